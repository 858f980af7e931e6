"""Zero-shot CLIP: hand-written prompts, nothing learned.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021 (arXiv 2103.00020).
Released code of the trainers: github.com/KaiyangZhou/CoOp (MIT).

Differs from the release: in nothing that changes a number.
Differs from the paper: as released, one template per dataset, or with ZeroshotCLIP2 seven and that; CLIP's own
ensembles have up to 80.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from dassl.engine import TRAINER_REGISTRY
from trainers.imagenet_templates import IMAGENET_TEMPLATES_SELECT
from trainers.method import HeadMethod
from trainers.templates import choose_template, ensemble_features
from trainers.trainer import MethodTrainer


class ZeroShot(HeadMethod):
    """Nothing is learned: logits from the mean text feature of the templates."""

    def __init__(self, config, task, clip_model):
        super().__init__(config, task)
        text_features = ensemble_features(clip_model, self.class_names, self.templates())  # (C, e)
        self.register_buffer("text_features", text_features, persistent=False)
        self.register_buffer("scale", clip_model.logit_scale.detach().float().exp(), persistent=False)

    def templates(self) -> list[str]:
        """Templates whose text features are averaged: one per dataset."""
        return [choose_template(self.task)]

    def plain_templates(self) -> list[str]:
        return self.templates()

    def forward(self, features: Tensor) -> Tensor:
        return self.scale * F.normalize(features, dim=-1) @ self.text_features.t()


class ZeroShotEnsemble(ZeroShot):
    """The mean text feature of seven general templates and, but for ImageNet, the dataset's own."""

    def templates(self) -> list[str]:
        own = [] if self.task.dataset == "ImageNet" else super().templates()
        return [*IMAGENET_TEMPLATES_SELECT, *own]


@TRAINER_REGISTRY.register()
class ZeroshotCLIP(MethodTrainer):
    Method = ZeroShot

    def build_model(self) -> None:
        super().build_model()
        print(f"Templates: {self.method.templates()}")


@TRAINER_REGISTRY.register()
class ZeroshotCLIP2(ZeroshotCLIP):
    Method = ZeroShotEnsemble
