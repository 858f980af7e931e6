"""TCP: learned context vectors, replaced in a deep layer by vectors computed from each class's frozen text features.

Yao, Zhang, Xu, "TCP: Textual-based Class-aware Prompt tuning for Visual-Language Model", CVPR 2024 (arXiv 2311.18231).
Released code: github.com/htyao89/Textual-based_Class-aware_prompt_tuning (MIT).

Differs from the release: the layer and the weight of the distance, constants there, are the options DEPTH and W;
CTX_INIT holds the words, which there are "a photo of a" wherever it is true.
Differs from the paper: in nothing known.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from torch import nn

import clip
from clip.class_text import ClassText
from clip.clip import TextTooLongError
from clip.model import QuickGELU
from clip.prompts import Prompts
from dassl.engine import TRAINER_REGISTRY
from support.user_error import ConfigError
from trainers.class_prompts import shared_context
from trainers.consistency import near_text_losses
from trainers.method import PromptMethod
from trainers.options import AT_LEAST_ONE, NOT_NEGATIVE, Options, Range, option, precision
from trainers.templates import choose_template, frozen_text_features
from trainers.trainer import MethodTrainer

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


class PromptLearner(PromptMethod):
    """Learned: ``ctx`` (n, d_t) at the input; ``meta_net``, which makes the (C, n, d_t) that replace it before a layer
    from frozen CLIP's text features.
    """

    @dataclass
    class Config(Options, node="TCP"):
        N_CTX: int = option(4, "number of context vectors", AT_LEAST_ONE)
        CTX_INIT: str = option("", "words that initialise the context; their number replaces N_CTX; empty: random")
        DEPTH: int = option(9, "text layer, from 1, before which the class prompts replace the context", Range(2))
        W: float = option(8.0, "weight of the distance to frozen CLIP's text features", NOT_NEGATIVE)
        PREC: str = precision("fp16")

    def __init__(self, config: Config, task, clip_model):
        super().__init__(config, task)
        template = choose_template(task, TEMPLATES)
        frozen_text = frozen_text_features(clip_model, self.class_names, template)  # (C, e)
        self.register_buffer("frozen_text", frozen_text, persistent=False)
        width, features = clip_model.ln_final.weight.shape[0], frozen_text.shape[1]
        self.ctx = shared_context(config, clip_model)
        n_ctx = len(self.ctx)
        self.meta_net = nn.Sequential(
            OrderedDict(
                linear1=nn.Linear(features, features // REDUCTION),
                relu=QuickGELU(),  # named as released
                linear2=nn.Linear(features // REDUCTION, n_ctx * width),
            )
        )
        self.layers_without = _layer(config.DEPTH, len(clip_model.transformer.resblocks)) - 2
        after_context = template[template.index("{}") :]
        if not task.template:
            after_context = AFTER_CONTEXT.get(task.dataset, after_context)
        self.class_text = _class_text(self.class_names, n_ctx, after_context)

    def forward(self) -> Prompts:
        per_class = self.meta_net(self.frozen_text).unflatten(-1, self.ctx.shape)  # (C, n, d_t)
        return Prompts(text=self.ctx, text_deep=[None] * self.layers_without + [per_class])

    def losses(self, outputs, labels):
        return near_text_losses(outputs, labels, self.frozen_text, self.config.W)


def _class_text(class_names: list[str], n_ctx: int, after_context: str) -> ClassText:
    """Layout of the prompts [SOS, n_ctx context vectors, ``after_context`` with the name in the place of {}, EOT]."""
    placeholders = " ".join(["X"] * n_ctx)
    names = [name.replace("_", " ") for name in class_names]
    try:
        tokens = clip.tokenize([f"{placeholders} {after_context.replace('{}', name)}" for name in names])
    except TextTooLongError as error:  # the template with the name alone was not
        raise ConfigError(
            f"TRAINER.TCP: {n_ctx} context tokens leave too little room for the class names: lower N_CTX, or the "
            "number of words in CTX_INIT"
        ) from error
    return ClassText(tokens, n_ctx, class_specific=True)


def _layer(depth: int, layers: int) -> int:
    """The layer, counted from 1, before which the class prompts enter."""
    if depth > layers:
        print(
            f"TRAINER.TCP.DEPTH {depth}: the text encoder has {layers} layers, the class prompts enter before its last"
        )
    return min(depth, layers)


@TRAINER_REGISTRY.register()
class TCP(MethodTrainer):
    Method = PromptLearner
