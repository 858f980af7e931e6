"""Zero-shot CLIP: hand-written prompts, nothing learned.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021 (arXiv 2103.00020).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from dassl.engine import TRAINER_REGISTRY, TrainerX
from support.user_error import ConfigError
from trainers.clip_trainer import load_clip_to_cpu
from trainers.imagenet_templates import IMAGENET_TEMPLATES_SELECT
from trainers.templates import dataset_template, ensemble_features


@TRAINER_REGISTRY.register()
class ZeroshotCLIP(TrainerX):
    """One template per data set."""

    config_node = ""  # it has no settings

    def templates(self) -> list[str]:
        """Templates whose text features are averaged."""
        return [dataset_template(self.cfg, self.dm.dataset)]

    def build_model(self) -> None:
        print(f"Loading CLIP (backbone: {self.cfg.MODEL.BACKBONE.NAME})")
        clip_model = load_clip_to_cpu(self.cfg)
        if self.device.type == "cpu":
            clip_model = clip_model.float()
        self.clip_model = clip_model.to(self.device).eval()
        templates = self.templates()
        print(f"Templates: {templates}")
        self.text_features = ensemble_features(self.clip_model, self.dm.dataset.classnames, templates)  # (C, e)

    def model_inference(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C) logits."""
        image_features = F.normalize(self.clip_model.encode_image(images).float(), dim=-1)
        return self.clip_model.logit_scale.float().exp() * image_features @ self.text_features.t()

    def train(self) -> None:
        raise ConfigError(f"{self.cfg.TRAINER.NAME} has nothing to train: add --eval-only")


@TRAINER_REGISTRY.register()
class ZeroshotCLIP2(ZeroshotCLIP):
    """The mean text feature of seven general templates and, but for ImageNet, the data set's own."""

    def templates(self) -> list[str]:
        own = [] if self.cfg.DATASET.NAME == "ImageNet" else super().templates()
        return [*IMAGENET_TEMPLATES_SELECT, *own]
