"""Linear probes that begin at zero-shot CLIP: one vector of each class in the place of its text feature.

Silva-Rodríguez, Hajimiri, Ben Ayed, Dolz, "A Closer Look at the Few-Shot Adaptation of Large Vision-Language Models",
CVPR 2024 (arXiv 2312.12730), section 3.1, and its released code, https://github.com/jusiro/CLAP (MIT),
trainers/adapters.py.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from clip.model import CLIP
from trainers.imagenet_templates import IMAGENET_TEMPLATES_SELECT
from trainers.method import HeadMethod, Task
from trainers.options import Options, Range, option
from trainers.templates import choose_template, template_features


def views_option(least: int = 0):
    """The field VIEWS."""
    help = "augmented views of each training image, encoded once"
    return option(20, help + ("" if least else "; 0: another view in every step"), Range(least))


class PrototypeMethod(HeadMethod):
    """Logits are the scaled cosines of a feature and a prototype of each class, which begin as text features.

    A class's text feature is the mean of its templates' features, not normalised before or after; ImageNet has seven
    templates and CoOp's. It has a length, then, which decides how far a step turns it.

    Attributes:
        text_features: (C, T, e) of T templates.
        base: (C, e), their mean.
    """

    released_folders = ("adapter",)
    begins_as_zero_shot = True

    def __init__(self, config: Options, task: Task, clip_model: CLIP):
        super().__init__(config, task)
        templates = [*(IMAGENET_TEMPLATES_SELECT if task.dataset == "ImageNet" else ()), choose_template(task)]
        text_features = template_features(clip_model, self.class_names, templates).transpose(0, 1)
        self.register_buffer("text_features", text_features, persistent=False)
        self.register_buffer("base", text_features.mean(dim=1), persistent=False)
        self.register_buffer("scale", clip_model.logit_scale.detach().float().exp(), persistent=False)

    @property
    def views(self) -> int:
        return self.config.VIEWS

    def prototypes_now(self) -> Tensor:
        """(C, e), which need not be normalised."""
        raise NotImplementedError

    def forward(self, features: Tensor) -> Tensor:
        return self.cosines(features, self.prototypes_now())

    def cosines(self, features: Tensor, prototypes: Tensor) -> Tensor:
        """Features (B, e) and prototypes (C, e) -> scaled cosines (B, C)."""
        return self.scale * F.normalize(features, dim=-1) @ F.normalize(prototypes, dim=-1).t()

    def convert_state_dict(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """A checkpoint of the released codes without the text features that they save beside what is learned."""
        return {name: tensor for name, tensor in tensors.items() if name != "base_text_features"}


class LearnedPrototypes(PrototypeMethod):
    """Learned: ``prototypes`` (C, e)."""

    def __init__(self, config: Options, task: Task, clip_model: CLIP):
        super().__init__(config, task, clip_model)
        self.class_dims = {"prototypes": 0}
        self.prototypes = nn.Parameter(self.base.clone())

    def prototypes_now(self) -> Tensor:
        return self.prototypes
