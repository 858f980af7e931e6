"""TCP: learned context vectors, replaced in a deep layer by vectors computed from each class's frozen text features.

Yao, Zhang, Xu, "TCP: Textual-based Class-aware Prompt tuning for Visual-Language Model", CVPR 2024 (arXiv 2311.18231).
Released code: github.com/htyao89/Textual-based_Class-aware_prompt_tuning (MIT).
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

import clip
from clip.class_text import ClassText
from clip.clip import TextTooLongError
from clip.model import QuickGELU
from clip.prompts import Prompts
from dassl.engine import TRAINER_REGISTRY
from support.user_error import ConfigError
from trainers.class_prompts import context_from_words, random_context, words_and_length
from trainers.consistency import loss_near_text
from trainers.options import NOT_NEGATIVE
from trainers.prompt_trainer import PromptTrainer
from trainers.templates import dataset_template, frozen_text_features, own_template

# Templates of the released code where they are not CoOp's.
TEMPLATES = {
    "FGVCAircraft": "a photo of an aircraft {}.",
    "DescribableTextures": "a photo of a {}, a type of texture.",
    "Food101": "a photo of a {}, a type of food.",
}
# What follows the context in the released code's learned prompts, where it is not its template from the name on.
AFTER_CONTEXT = {
    "FGVCAircraft": "{}, a type of aircraft.",
    "DescribableTextures": "{} texture.",
    "StanfordCars": "{}, a type of car",
    "UCF101": "person doing {}.",
}
REDUCTION = 4  # of the hidden layer of the network that makes the class prompts


class PromptLearner(nn.Module):
    """Learned: ``ctx`` (n, d_t) at the input; ``meta_net``, which makes the (C, n, d_t) that replace it before a layer.

    Args:
        after_context: template of what follows the context, {} for the class name.
        frozen_text: (C, e) normalised text features.
    """

    def __init__(self, node, class_names: list[str], clip_model, after_context: str, frozen_text: Tensor):
        super().__init__()
        words, n_ctx = words_and_length(node, "TRAINER.TCP")
        width, features = clip_model.ln_final.weight.shape[0], frozen_text.shape[1]
        self.ctx = context_from_words(words, n_ctx, clip_model) if words else random_context(n_ctx, width)
        self.meta_net = nn.Sequential(
            OrderedDict(
                linear1=nn.Linear(features, features // REDUCTION),
                relu=QuickGELU(),  # named as released
                linear2=nn.Linear(features // REDUCTION, n_ctx * width),
            )
        )
        self.register_buffer("frozen_text", frozen_text, persistent=False)
        self.layers_without = _layer(node.DEPTH, len(clip_model.transformer.resblocks)) - 2
        placeholders = " ".join(["X"] * n_ctx)
        names = [name.replace("_", " ") for name in class_names]
        try:
            tokens = clip.tokenize([f"{placeholders} {after_context.replace('{}', name)}" for name in names])
        except TextTooLongError as error:  # the template with the name alone was not
            raise ConfigError(
                f"TRAINER.TCP: {n_ctx} context tokens leave too little room for the class names: lower N_CTX, or the "
                "number of words in CTX_INIT"
            ) from error
        self.class_text = ClassText(tokens, n_ctx, class_specific=True)

    def forward(self) -> Prompts:
        per_class = self.meta_net(self.frozen_text).unflatten(-1, self.ctx.shape)  # (C, n, d_t)
        return Prompts(text=self.ctx, text_deep=[None] * self.layers_without + [per_class])


def _layer(depth: int, layers: int) -> int:
    """The layer, counted from 1, before which the class prompts enter."""
    if depth < 2:
        raise ConfigError(f"TRAINER.TCP.DEPTH is {depth}: the class prompts enter before layer 2 or a later one")
    if depth > layers:
        print(
            f"TRAINER.TCP.DEPTH {depth}: the text encoder has {layers} layers, the class prompts enter before its last"
        )
    return min(depth, layers)


@TRAINER_REGISTRY.register()
class TCP(PromptTrainer):
    config_node = "TCP"
    config_defaults = {
        "N_CTX": 4,  # number of context vectors
        "CTX_INIT": "",  # words that initialise the context; their number then replaces N_CTX; "": random
        "DEPTH": 9,  # text layer, counted from 1, before which the class prompts replace the context
        "W": 8.0,  # weight of the distance between the learned and the frozen text features
        "PREC": "fp16",  # fp32, fp16, bf16 or amp
    }
    config_ranges = {"W": NOT_NEGATIVE}

    def build_prompt_learner(self, cfg, class_names, clip_model) -> nn.Module:
        template = dataset_template(cfg, self.dm.dataset, TEMPLATES)
        self.frozen_text = frozen_text_features(clip_model, class_names, template)  # (C, e)
        after_context = template[template.index("{}") :]
        if not own_template(cfg, self.dm.dataset):
            after_context = AFTER_CONTEXT.get(cfg.DATASET.NAME, after_context)
        return PromptLearner(self.node, class_names, clip_model, after_context, self.frozen_text)

    def loss(self, images, labels):
        return loss_near_text(self.model, images, labels, self.frozen_text, self.node.W)
