"""CoCoOp: context vectors shifted per image by a small network on the image feature.

Zhou, Yang, Loy, Liu, "Conditional Prompt Learning for Vision-Language Models", CVPR 2022 (arXiv 2203.05557).
Released code: github.com/KaiyangZhou/CoOp (MIT).

Differs from the release: in nothing that changes a number.
Differs from the paper: in nothing known.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from torch import Tensor, nn

from clip.prompts import Prompts
from dassl.engine import TRAINER_REGISTRY
from trainers.class_prompts import class_text, shared_context, words_and_length
from trainers.method import PromptMethod
from trainers.options import AT_LEAST_ONE, Options, option, precision
from trainers.trainer import MethodTrainer

REDUCTION = 16  # the network's bottleneck is this much narrower than the joint embedding


class PromptLearner(PromptMethod):
    """Learned: ``ctx`` (n, d_t) and ``meta_net``, which maps a normalised image feature (e) to a shift (d_t)."""

    conditioned_on_image = True

    @dataclass
    class Config(Options, node="COCOOP"):
        N_CTX: int = option(16, "number of context vectors", AT_LEAST_ONE)
        CTX_INIT: str = option("", "words that initialise the context; their number replaces N_CTX; empty: random")
        PREC: str = precision("fp16")

    def __init__(self, config: Config, task, clip_model):
        super().__init__(config, task)
        width, embed_dim = clip_model.ln_final.weight.shape[0], clip_model.visual.output_dim
        self.ctx = shared_context(config, clip_model)
        self.meta_net = nn.Sequential(
            OrderedDict(
                linear1=nn.Linear(embed_dim, embed_dim // REDUCTION),
                relu=nn.ReLU(),
                linear2=nn.Linear(embed_dim // REDUCTION, width),
            )
        )
        self.class_text = class_text(self.class_names, *words_and_length(config))

    def forward(self, image_features: Tensor) -> Prompts:
        """(B, e) -> one context per image, (B, 1, n, d_t)."""
        shift = self.meta_net(image_features)  # (B, d_t)
        return Prompts(text=self.ctx + shift[:, None, None])


@TRAINER_REGISTRY.register()
class CoCoOp(MethodTrainer):
    Method = PromptLearner
