"""Cross-modal linear probe: the classifier is trained on text features of the class names as well as on image features.

Lin, Yu, Kuang, Pathak, Ramanan, "Multimodality Helps Unimodality: Cross-Modal Few-Shot Learning with Multimodal
Models", CVPR 2023 (arXiv 2301.06267), as in github.com/jusiro/CLAP (MIT), trainers/adapters.py. Classes that were not
trained on keep their text features.

Differs from the release: there, half of a batch is drawn from the text features; here each step has all of them, at the
weight of half of the loss, which is what that draw amounts to on average. An epoch has each image once, in one of its
views; there as many features, drawn from all views.
Differs from the paper: as from the release.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from dassl.engine import TRAINER_REGISTRY
from trainers.options import Options, precision
from trainers.prototypes import LearnedPrototypes, views_option
from trainers.trainer import MethodTrainer


class CrossModalProbe(LearnedPrototypes):
    """The loss is the mean of the cross-entropies of images and of texts."""

    @dataclass
    class Config(Options, node="CROSS_MODAL"):
        PREC: str = precision("fp16")
        VIEWS: int = views_option()

    def losses(self, outputs, labels):
        classes, templates = self.text_features.shape[:2]
        text_logits = self(self.text_features.flatten(0, 1))  # (C T, C)
        text_labels = torch.arange(classes, device=text_logits.device).repeat_interleave(templates)
        return {
            "image_cross_entropy": F.cross_entropy(outputs.logits, labels) / 2,
            "text_cross_entropy": F.cross_entropy(text_logits, text_labels) / 2,
        }


@TRAINER_REGISTRY.register()
class CrossModal(MethodTrainer):
    Method = CrossModalProbe
