"""KgCoOp: learned context vectors, with text features kept near those of hand-written prompts.

Yao, Zhang, Xu, "Visual-Language Prompt Tuning with Knowledge-guided Context Optimization", CVPR 2023
(arXiv 2303.13283). Released code: github.com/htyao89/KgCoOp (MIT).
"""

from __future__ import annotations

from torch import Tensor, nn

from clip.prompts import Prompts
from dassl.engine import TRAINER_REGISTRY
from trainers.class_prompts import class_text, context_from_words, random_context, words_and_length
from trainers.consistency import loss_near_text
from trainers.options import NOT_NEGATIVE
from trainers.prompt_trainer import PromptTrainer
from trainers.templates import dataset_template, frozen_text_features

# Templates of the released code where they are not CoOp's.
TEMPLATES = {"DescribableTextures": "a photo of a {}, a type of texture."}


class PromptLearner(nn.Module):
    """Learned: ``ctx`` (n, d_t)."""

    def __init__(self, node, class_names: list[str], clip_model):
        super().__init__()
        words, n_ctx = words_and_length(node, "TRAINER.KGCOOP")
        if words:
            self.ctx = context_from_words(words, n_ctx, clip_model)
        else:
            self.ctx = random_context(n_ctx, clip_model.ln_final.weight.shape[0])
        self.class_text = class_text(class_names, words, n_ctx)

    def forward(self) -> Prompts:
        return Prompts(text=self.ctx)

    @staticmethod
    def convert_state_dict(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """A released checkpoint without the modules that the released code saves but never trains or uses.

        Its ``bias_vectors`` tell it from another method's checkpoint, whose ``meta_net`` was trained.
        """
        if "bias_vectors" not in tensors:
            return tensors
        return {name: tensor for name, tensor in tensors.items() if not name.startswith(("bias_vectors", "meta_net."))}


@TRAINER_REGISTRY.register()
class KgCoOp(PromptTrainer):
    config_node = "KGCOOP"
    config_defaults = {
        "N_CTX": 4,  # number of context vectors
        "CTX_INIT": "a photo of a",  # words that initialise the context; their number then replaces N_CTX; "": random
        "W": 8.0,  # weight of the distance between the learned and the frozen text features
        "PREC": "fp16",  # fp32, fp16, bf16 or amp
    }
    config_ranges = {"W": NOT_NEGATIVE}

    def build_prompt_learner(self, cfg, class_names, clip_model) -> nn.Module:
        template = dataset_template(cfg, self.dm.dataset, TEMPLATES)
        self.frozen_text = frozen_text_features(clip_model, class_names, template)  # (C, e)
        return PromptLearner(self.node, class_names, clip_model)

    def loss(self, images, labels):
        return loss_near_text(self.model, images, labels, self.frozen_text, self.node.W)
