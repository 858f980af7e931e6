"""Losses that keep prompted features near frozen CLIP's.

Khattak et al., PromptSRC (arXiv 2307.06948), section 3.2.1: mutual agreement of features and of logits. Yao et al.,
KgCoOp (arXiv 2303.13283): of text features alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from clip.model import CLIP
from trainers.imagenet_templates import IMAGENET_TEMPLATES
from trainers.prompt_trainer import Outputs, PromptedCLIP
from trainers.templates import template_features

TEMPLATES = IMAGENET_TEMPLATES[:60]  # PromptSRC's released code has the first 60 of OpenAI's 80


@dataclass(frozen=True)
class Consistency:
    """Distances of a forward pass from frozen CLIP; all scalars.

    Attributes:
        text, image: mean absolute difference of the normalised features, over (C, e) and (B, e).
        logits: Kullback-Leibler divergence of the class probabilities from frozen CLIP's, over B C.
    """

    text: Tensor
    image: Tensor
    logits: Tensor

    def weighted(self, text: float, image: float, logits: float) -> Tensor:
        """Their sum with these weights."""
        return text * self.text + image * self.image + logits * self.logits


def text_distance(outputs: Outputs, frozen_text: Tensor) -> Tensor:
    """1 - mean cosine of the text features and frozen CLIP's (C, e)."""
    return 1 - F.cosine_similarity(outputs.text_features, frozen_text).mean()


def loss_near_text(
    model: PromptedCLIP, images: Tensor, labels: Tensor, frozen_text: Tensor, weight: float
) -> tuple[Tensor, Tensor]:
    """Cross-entropy plus ``weight`` times `text_distance`, and logits (B, C), for images (B, 3, H, W), labels (B,)."""
    outputs = model.outputs(images)
    loss = F.cross_entropy(outputs.logits, labels) + weight * text_distance(outputs, frozen_text)
    return loss, outputs.logits


def frozen_ensemble(clip_model: CLIP, class_names: list[str]) -> Tensor:
    """(C, e) normalised mean of frozen CLIP's text features over `TEMPLATES`, which are not normalised before."""
    return F.normalize(template_features(clip_model, class_names, TEMPLATES).mean(dim=0), dim=-1)


def consistency(model: PromptedCLIP, images: Tensor, outputs: Outputs, frozen_text: Tensor) -> Consistency:
    """How far ``outputs`` for ``images`` (B, 3, H, W) are from frozen CLIP's.

    Args:
        frozen_text: (C, e), see `frozen_ensemble`.
    """
    with torch.no_grad():
        frozen_image = model.encode_image(images)  # (B, e)
        frozen_logits = model.clip.logit_scale.float().exp() * frozen_image @ frozen_text.t()  # (B, C)
    student, teacher = (F.log_softmax(logits, dim=1) for logits in (outputs.logits, frozen_logits))
    divergence = F.kl_div(student, teacher, reduction="sum", log_target=True) / student.numel()
    return Consistency(
        F.l1_loss(outputs.text_features, frozen_text), F.l1_loss(outputs.image_features, frozen_image), divergence
    )
