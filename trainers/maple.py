"""MaPLe: deep text prompts, from which a linear map for each layer makes the prompts of the image encoder.

Khattak, Rasheed, Maaz, Khan, Khan, "MaPLe: Multi-modal Prompt Learning", CVPR 2023 (arXiv 2210.03117).
Released code: github.com/muzairkhattak/multimodal-prompt-learning (MIT).
"""

from __future__ import annotations

from copy import deepcopy

from torch import nn

from clip.prompts import Prompts
from dassl.engine import TRAINER_REGISTRY
from trainers.class_prompts import at_least_one, random_context
from trainers.clip_trainer import require_vit
from trainers.independent_prompts import prompt_depth, worded_context
from trainers.prompt_trainer import PromptTrainer


class PromptLearner(nn.Module):
    """Learned, under the released names, for L deep layers: ``ctx`` (n, d_t) and ``proj`` d_t -> d_v for the first
    layer, ``compound_prompts_text`` L times (n, d_t) and ``compound_prompt_projections`` L times d_t -> d_v.

    Raises:
        UserError: an option is out of its range, or the backbone is a ResNet.
    """

    def __init__(self, node, class_names: list[str], clip_model):
        super().__init__()
        visual = require_vit(clip_model, "MaPLe")
        n = at_least_one(node.N_CTX, "TRAINER.MAPLE.N_CTX")
        layers = min(clip_model.transformer.layers, visual.transformer.layers)
        deep = prompt_depth(node.PROMPT_DEPTH, layers, "TRAINER.MAPLE.PROMPT_DEPTH") - 1
        d_t, d_v = clip_model.ln_final.weight.shape[0], visual.ln_pre.weight.shape[0]

        self.ctx, self.class_text = worded_context(node, n, class_names, clip_model)
        self.proj = nn.Linear(d_t, d_v)
        self.compound_prompts_text = nn.ParameterList(random_context(n, d_t) for _ in range(deep))
        projection = nn.Linear(d_t, d_v)  # all deep layers start from the same one
        self.compound_prompt_projections = nn.ModuleList(deepcopy(projection) for _ in range(deep))

    def forward(self) -> Prompts:
        text = list(self.compound_prompts_text)
        visual = [project(own) for project, own in zip(self.compound_prompt_projections, text, strict=True)]
        return Prompts(self.ctx, text, self.proj(self.ctx), visual)


@TRAINER_REGISTRY.register()
class MaPLe(PromptTrainer):
    config_node = "MAPLE"
    released_folders = ("MultiModalPromptLearner",)
    config_defaults = {
        "N_CTX": 2,  # prompts per layer and encoder
        "CTX_INIT": "a photo of a",  # words for the shallow prompts, for up to 4 of them; "": random
        "PREC": "fp16",  # fp32, fp16, bf16 or amp
        "PROMPT_DEPTH": 9,  # layers with prompts of their own, the first included
    }

    def build_prompt_learner(self, cfg, class_names, clip_model) -> nn.Module:
        return PromptLearner(self.node, class_names, clip_model)
