"""Zero-shot CLIP: hand-written prompts, nothing learned.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021 (arXiv 2103.00020).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dassl.engine import TRAINER_REGISTRY, TrainerX
from trainers.class_prompts import template_text
from trainers.imagenet_templates import IMAGENET_TEMPLATES_SELECT
from trainers.prompt_trainer import load_clip_to_cpu
from user_error import UserError

DEFAULT_TEMPLATE = "a photo of a {}."
# CoOp's template of each of its data sets. A data set class may bring its own as an attribute ``template``.
TEMPLATES = {
    "OxfordPets": "a photo of a {}, a type of pet.",
    "OxfordFlowers": "a photo of a {}, a type of flower.",
    "FGVCAircraft": "a photo of a {}, a type of aircraft.",
    "DescribableTextures": "{} texture.",
    "EuroSAT": "a centered satellite photo of {}.",
    "Food101": "a photo of {}, a type of food.",
    "UCF101": "a photo of a person doing {}.",
}


@TRAINER_REGISTRY.register()
class ZeroshotCLIP(TrainerX):
    """One template per data set."""

    def templates(self) -> list[str]:
        """Templates whose text features are averaged."""
        own = getattr(self.cfg.DATASET, "TEMPLATE", "") or getattr(self.dm.dataset, "template", "")
        return [own or TEMPLATES.get(self.cfg.DATASET.NAME, DEFAULT_TEMPLATE)]

    def build_model(self) -> None:
        print(f"Loading CLIP (backbone: {self.cfg.MODEL.BACKBONE.NAME})")
        clip_model = load_clip_to_cpu(self.cfg)
        if self.device.type == "cpu":
            clip_model = clip_model.float()
        self.clip_model = clip_model.to(self.device).eval()
        templates = self.templates()
        print(f"Templates: {templates}")
        with torch.no_grad():
            features = [self.encode_classes(template) for template in templates]  # each (C, e)
        self.text_features = F.normalize(torch.stack(features).mean(dim=0), dim=-1)

    def encode_classes(self, template: str) -> Tensor:
        """(C, e) normalised text features of one template."""
        text = template_text(self.dm.dataset.classnames, template).to(self.device)
        return F.normalize(self.clip_model.encode_text(text).float(), dim=-1)

    def model_inference(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C) logits."""
        image_features = F.normalize(self.clip_model.encode_image(images).float(), dim=-1)
        return self.clip_model.logit_scale.float().exp() * image_features @ self.text_features.t()

    def train(self) -> None:
        raise UserError(f"{self.cfg.TRAINER.NAME} has nothing to train: add --eval-only")


@TRAINER_REGISTRY.register()
class ZeroshotCLIP2(ZeroshotCLIP):
    """The mean text feature of seven general templates and, but for ImageNet, the data set's own."""

    def templates(self) -> list[str]:
        own = [] if self.cfg.DATASET.NAME == "ImageNet" else super().templates()
        return [*IMAGENET_TEMPLATES_SELECT, *own]
