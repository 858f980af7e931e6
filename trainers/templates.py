"""Hand-written prompts for a dataset's classes, and frozen CLIP's text features of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from clip.model import CLIP
from trainers.class_prompts import template_text
from trainers.imagenet_templates import IMAGENET_TEMPLATES_SELECT
from trainers.method import Task

DEFAULT_TEMPLATE = "a photo of a {}."
# CoOp's template of each of its datasets. A dataset class may bring its own as an attribute ``template``.
TEMPLATES = {
    "OxfordPets": "a photo of a {}, a type of pet.",
    "OxfordFlowers": "a photo of a {}, a type of flower.",
    "FGVCAircraft": "a photo of a {}, a type of aircraft.",
    "DescribableTextures": "{} texture.",
    "EuroSAT": "a centered satellite photo of {}.",
    "Food101": "a photo of {}, a type of food.",
    "UCF101": "a photo of a person doing {}.",
}


def own_template(cfg, dataset) -> str:
    """DATASET.TEMPLATE, else the dataset's own template; "" where there is neither."""
    return getattr(cfg.DATASET, "TEMPLATE", "") or getattr(dataset, "template", "")


def choose_template(task: Task, released: dict[str, str] | None = None) -> str:
    """The template of a task: its own, else a published one.

    Args:
        released: templates by DATASET.NAME where a method's released code has others than CoOp.
    """
    return task.template or {**TEMPLATES, **(released or {})}.get(task.dataset, DEFAULT_TEMPLATE)


def ensemble_templates(task: Task) -> list[str]:
    """The templates of a task whose text features are averaged: its own, or a published one; ImageNet's are seven."""
    template = choose_template(task)
    if task.dataset.startswith("ImageNet") and template == DEFAULT_TEMPLATE:
        return IMAGENET_TEMPLATES_SELECT
    return [template]


def frozen_text_features(clip_model: CLIP, class_names: Sequence[str], template: str) -> Tensor:
    """(C, e) normalised text features of frozen CLIP for one template."""
    return F.normalize(template_features(clip_model, class_names, [template])[0], dim=-1)


def ensemble_features(clip_model: CLIP, class_names: Sequence[str], templates: Iterable[str]) -> Tensor:
    """(C, e) normalised mean of frozen CLIP's normalised text features over templates, as in CLIP."""
    features = F.normalize(template_features(clip_model, class_names, templates), dim=-1)  # (T, C, e)
    return F.normalize(features.mean(dim=0), dim=-1)


def zero_shot_weights(clip_model: CLIP, class_names: Sequence[str], templates: Iterable[str]) -> Tensor:
    """(C, e) weights whose product with a normalised image feature is zero-shot CLIP's logits."""
    return clip_model.logit_scale.detach().float().exp() * ensemble_features(clip_model, class_names, templates)


@torch.no_grad()
def template_features(clip_model: CLIP, class_names: Sequence[str], templates: Iterable[str]) -> Tensor:
    """(T, C, e) float32 text features of T templates, not normalised."""
    device = clip_model.text_projection.device
    texts = (template_text(class_names, template).to(device) for template in templates)
    return torch.stack([clip_model.encode_text(text).float() for text in texts])
