"""Losses that keep the features of prompts near frozen CLIP's.

Khattak et al., PromptSRC (arXiv 2307.06948), section 3.2.1: mutual agreement of features and of logits. Yao et al.,
KgCoOp (arXiv 2303.13283): of text features alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from clip.model import CLIP
from trainers.imagenet_templates import IMAGENET_TEMPLATES
from trainers.method import Outputs
from trainers.templates import template_features

TEMPLATES = IMAGENET_TEMPLATES[:60]  # PromptSRC's released code has the first 60 of OpenAI's 80


def frozen_ensemble(clip_model: CLIP, class_names: Sequence[str]) -> Tensor:
    """(C, e) normalised mean of frozen CLIP's text features over `TEMPLATES`, which are not normalised before."""
    return F.normalize(template_features(clip_model, class_names, TEMPLATES).mean(dim=0), dim=-1)


def consistency_losses(
    outputs: Outputs, labels: Tensor, frozen_text: Tensor, text: float, image: float, logits: float
) -> dict[str, Tensor]:
    """Cross-entropy and three weighted distances of a forward pass from frozen CLIP.

    The distances of the normalised features are mean absolute differences, over (C, e) and (B, e); that of the logits
    is the Kullback-Leibler divergence of the class probabilities from frozen CLIP's, over B C.

    Args:
        labels: (B,).
        frozen_text: (C, e), see `frozen_ensemble`.
        text, image, logits: weights of the three distances.
    """
    frozen_image = outputs.frozen_image_features()  # (B, e)
    frozen_logits = outputs.logit_scale.detach() * frozen_image @ frozen_text.t()  # (B, C)
    student, teacher = (F.log_softmax(each, dim=1) for each in (outputs.logits, frozen_logits))
    divergence = F.kl_div(student, teacher, reduction="sum", log_target=True) / student.numel()
    return {
        "cross_entropy": F.cross_entropy(outputs.logits, labels),
        "text_distance": text * F.l1_loss(outputs.text_features, frozen_text),
        "image_distance": image * F.l1_loss(outputs.image_features, frozen_image),
        "logits_divergence": logits * divergence,
    }


def near_text_losses(outputs: Outputs, labels: Tensor, frozen_text: Tensor, weight: float) -> dict[str, Tensor]:
    """Cross-entropy, and ``weight`` times 1 - mean cosine of the text features and frozen CLIP's (C, e).

    Args:
        labels: (B,).
    """
    distance = 1 - F.cosine_similarity(outputs.text_features, frozen_text).mean()
    return {"cross_entropy": F.cross_entropy(outputs.logits, labels), "text_distance": weight * distance}
