"""MaPLe: deep text prompts, from which a linear map for each layer makes the prompts of the image encoder.

Khattak, Rasheed, Maaz, Khan, Khan, "MaPLe: Multi-modal Prompt Learning", CVPR 2023 (arXiv 2210.03117).
Released code: github.com/muzairkhattak/multimodal-prompt-learning (MIT).

Differs from the release: vectors without a word are random, the depth is at most the encoders', and linear maps end in
the backbone's own width (there 768).
Differs from the paper: in nothing known.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

from torch import nn

from clip.prompts import Prompts
from dassl.engine import TRAINER_REGISTRY
from trainers.class_prompts import random_context
from trainers.deep_prompts import prompt_depth, worded_context
from trainers.frozen_clip import require_vit
from trainers.method import PromptMethod
from trainers.options import AT_LEAST_ONE, Options, option, precision
from trainers.trainer import MethodTrainer


class PromptLearner(PromptMethod):
    """Learned, under the released names, for L deep layers: ``ctx`` (n, d_t) and ``proj`` d_t -> d_v for the first
    layer, ``compound_prompts_text`` L times (n, d_t) and ``compound_prompt_projections`` L times d_t -> d_v.

    Raises:
        ConfigError: the backbone is a ResNet.
    """

    released_folders = ("MultiModalPromptLearner",)

    @dataclass
    class Config(Options, node="MAPLE"):
        N_CTX: int = option(2, "prompts per layer and encoder", AT_LEAST_ONE)
        CTX_INIT: str = option("a photo of a", "words for the shallow prompts, for up to 4 of them; empty: random")
        PREC: str = precision("fp16")
        PROMPT_DEPTH: int = option(9, "layers with prompts, the first included", AT_LEAST_ONE)

    def __init__(self, config: Config, task, clip_model):
        super().__init__(config, task)
        visual = require_vit(clip_model, config)
        layers = min(clip_model.transformer.layers, visual.transformer.layers)
        n, deep = config.N_CTX, prompt_depth(config, "PROMPT_DEPTH", layers) - 1
        d_t, d_v = clip_model.ln_final.weight.shape[0], visual.ln_pre.weight.shape[0]

        self.ctx, self.class_text = worded_context(config, n, task, clip_model)
        self.proj = nn.Linear(d_t, d_v)
        self.compound_prompts_text = nn.ParameterList(random_context(n, d_t) for _ in range(deep))
        projection = nn.Linear(d_t, d_v)  # all deep layers start from the same one
        self.compound_prompt_projections = nn.ModuleList(deepcopy(projection) for _ in range(deep))

    def forward(self) -> Prompts:
        text = list(self.compound_prompts_text)
        visual = [project(own) for project, own in zip(self.compound_prompt_projections, text, strict=True)]
        return Prompts(self.ctx, text, self.proj(self.ctx), visual)


@TRAINER_REGISTRY.register()
class MaPLe(MethodTrainer):
    Method = PromptLearner
