"""Nearest text feature: what classifies where nothing is learned."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from clip.model import CLIP
from trainers.method import HeadMethod, Task
from trainers.options import Options


class TextClassifier(HeadMethod):
    """Nothing is learned: logits from one text feature of each class.

    Args:
        text_features: (C, e), normalised.
    """

    def __init__(self, config: Options, task: Task, clip_model: CLIP, text_features: Tensor):
        super().__init__(config, task)
        self.register_buffer("text_features", text_features, persistent=False)
        self.register_buffer("scale", clip_model.logit_scale.detach().float().exp(), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        return self.scale * F.normalize(features, dim=-1) @ self.text_features.t()
