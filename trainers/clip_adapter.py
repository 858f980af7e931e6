"""CLIP-Adapter: a bottleneck on frozen CLIP's image feature, mixed with the feature itself.

Gao et al., "CLIP-Adapter: Better Vision-Language Models with Feature Adapters", IJCV 2024 (arXiv 2110.04544).
Released code: github.com/gaopengcuhk/CLIP-Adapter (no licence stated), run with CoOp's settings.

Differs from the release: REDUCTION and RATIO, constants there, are options.
Differs from the paper: as released, only the image side has an adapter, and RATIO is 0.2 on every dataset.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from dassl.engine import TRAINER_REGISTRY
from trainers.method import HeadMethod
from trainers.options import AT_LEAST_ONE, Options, Range, option, precision
from trainers.templates import choose_template, zero_shot_weights
from trainers.trainer import MethodTrainer


class Adapter(HeadMethod):
    """Features f (B, e) -> logits (B, C) of RATIO * bottleneck(f) + (1 - RATIO) * f; it belongs to no class."""

    released_folders = ("clip_adapter",)

    @dataclass
    class Config(Options, node="CLIP_ADAPTER"):
        PREC: str = precision("fp32")
        REDUCTION: int = option(4, "width of the features divided by that of the bottleneck", AT_LEAST_ONE)
        RATIO: float = option(0.2, "share of the bottleneck's output", Range(0, 1))

    def __init__(self, config: Config, task, clip_model):
        super().__init__(config, task)
        weights = zero_shot_weights(clip_model, self.class_names, [choose_template(task)])  # (C, e)
        width = weights.shape[1]
        bottleneck = max(1, width // config.REDUCTION)
        self.fc = nn.Sequential(
            nn.Linear(width, bottleneck, bias=False), nn.ReLU(), nn.Linear(bottleneck, width, bias=False), nn.ReLU()
        )
        self.register_buffer("text_weights", weights, persistent=False)  # of the class names, not learned

    def forward(self, features: Tensor) -> Tensor:
        ratio = self.config.RATIO
        mixed = ratio * self.fc(features) + (1 - ratio) * features
        return F.normalize(mixed, dim=-1) @ self.text_weights.t()


@TRAINER_REGISTRY.register()
class CLIP_Adapter(MethodTrainer):
    Method = Adapter
