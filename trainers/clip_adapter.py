"""CLIP-Adapter: a bottleneck on frozen CLIP's image feature, mixed with the feature itself.

Gao et al., "CLIP-Adapter: Better Vision-Language Models with Feature Adapters", IJCV 2024 (arXiv 2110.04544).
Released code: https://github.com/gaopengcuhk/CLIP-Adapter (no licence stated), run with CoOp's settings; as there, only
the image side has an adapter.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from dassl.engine import TRAINER_REGISTRY
from trainers.feature_adapter import FeatureTrainer, zero_shot_weights
from trainers.options import Range
from trainers.templates import dataset_template


class Adapter(nn.Module):
    """Features f (B, e) -> logits (B, C) of ratio * bottleneck(f) + (1 - ratio) * f.

    Args:
        text_weights: (C, e), see `zero_shot_weights`.
        reduction: e divided by the width of the bottleneck.
        ratio: share of the bottleneck's output.
    """

    def __init__(self, text_weights: Tensor, reduction: int, ratio: float):
        super().__init__()
        width = text_weights.shape[1]
        bottleneck = max(1, width // reduction)
        self.fc = nn.Sequential(
            nn.Linear(width, bottleneck, bias=False), nn.ReLU(), nn.Linear(bottleneck, width, bias=False), nn.ReLU()
        )
        self.ratio = ratio
        self.register_buffer("text_weights", text_weights, persistent=False)  # of the class names, not learned

    def forward(self, features: Tensor) -> Tensor:
        mixed = self.ratio * self.fc(features) + (1 - self.ratio) * features
        return F.normalize(mixed, dim=-1) @ self.text_weights.t()


@TRAINER_REGISTRY.register()
class CLIP_Adapter(FeatureTrainer):
    """The adapter is of no class, so it serves new ones too."""

    config_node = "CLIP_ADAPTER"
    released_folders = ("clip_adapter",)
    config_defaults = {"PREC": "fp32", "REDUCTION": 4, "RATIO": 0.2}
    config_ranges = {"REDUCTION": Range(1), "RATIO": Range(0, 1)}

    def build_head(self, cfg, class_names, clip_model) -> Adapter:
        template = dataset_template(cfg, self.dm.dataset)
        return Adapter(zero_shot_weights(clip_model, class_names, [template]), self.node.REDUCTION, self.node.RATIO)
