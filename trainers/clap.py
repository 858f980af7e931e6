"""CLAP: a linear probe that begins at zero-shot CLIP and is held near it, class by class; without that, ZS-LP.

Silva-Rodríguez, Hajimiri, Ben Ayed, Dolz, "A Closer Look at the Few-Shot Adaptation of Large Vision-Language Models",
CVPR 2024 (arXiv 2312.12730). Released code: github.com/jusiro/CLAP (MIT). As there, no val image is used, and twenty
views of each training image are encoded once. Classes that were not trained on keep their text features.

Differs from the release: an epoch has each image once, in one of its views drawn at random, and leaves out its
incomplete last batch; there it has as many features, drawn from all views without repetition.
Differs from the paper: as from the release.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dassl.engine import TRAINER_REGISTRY
from trainers.options import OneOf, Options, option, precision
from trainers.prototypes import LearnedPrototypes, views_option
from trainers.trainer import MethodTrainer


class ConstrainedProbe(LearnedPrototypes):
    """The loss is cross-entropy plus the mean over the classes of lambda_c |prototype_c - text feature_c|^2.

    lambda_c is zero-shot CLIP's mean probability of class c on the training images of that class, in all their views.
    """

    @dataclass
    class Config(Options, node="CLAP"):
        PREC: str = precision("fp16")
        VIEWS: int = views_option(least=1)
        CONSTRAINT: str = option("l2", "l2: near the text features; none: ZS-LP", OneOf(("l2", "none")))

    def __init__(self, config: Config, task, clip_model):
        super().__init__(config, task, clip_model)
        self.register_buffer("multipliers", self.base.new_ones(len(self.base)), persistent=False)

    @torch.no_grad()
    def see_views(self, features: Tensor, labels: Tensor) -> None:
        probabilities = self.cosines(features.flatten(0, 1), self.base).softmax(dim=-1)  # (V N, C)
        of_label = probabilities.gather(1, labels.repeat(len(features))[:, None]).unflatten(0, features.shape[:2])
        means = of_label[..., 0].mean(dim=0)  # (N,), over the views
        total, count = (torch.zeros_like(self.multipliers).index_add_(0, labels, each) for each in (means, means**0))
        self.multipliers.copy_(total / count)

    def losses(self, outputs, labels):
        terms = {"cross_entropy": F.cross_entropy(outputs.logits, labels)}
        if self.config.CONSTRAINT != "none":
            distances = (self.prototypes - self.base).square().sum(dim=-1)  # (C,)
            terms["constraint"] = (self.multipliers * distances).mean()
        return terms


@TRAINER_REGISTRY.register()
class CLAP(MethodTrainer):
    Method = ConstrainedProbe
