"""Zero-shot CLIP: hand-written prompts, nothing learned.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021 (arXiv 2103.00020).
Released code of the trainers: github.com/KaiyangZhou/CoOp (MIT).

Differs from the release: in nothing that changes a number.
Differs from the paper: as released, one template per dataset, or with ZeroshotCLIP2 seven and that; CLIP's own
ensembles have up to 80.
"""

from __future__ import annotations

from dassl.engine import TRAINER_REGISTRY
from trainers.imagenet_templates import IMAGENET_TEMPLATES_SELECT
from trainers.method import Task
from trainers.templates import choose_template, ensemble_features
from trainers.text_classifier import TextClassifier
from trainers.trainer import MethodTrainer


class ZeroShot(TextClassifier):
    """Nothing is learned: logits from the mean text feature of the templates."""

    def __init__(self, config, task, clip_model):
        features = ensemble_features(clip_model, task.class_names, self.templates_of(task))  # (C, e)
        super().__init__(config, task, clip_model, features)

    @staticmethod
    def templates_of(task: Task) -> list[str]:
        """Templates whose text features are averaged: one per dataset."""
        return [choose_template(task)]

    def plain_templates(self) -> list[str]:
        return self.templates_of(self.task)


class ZeroShotEnsemble(ZeroShot):
    """The mean text feature of seven general templates and, but for ImageNet, the dataset's own."""

    @staticmethod
    def templates_of(task: Task) -> list[str]:
        own = [] if task.dataset == "ImageNet" else [choose_template(task)]
        return [*IMAGENET_TEMPLATES_SELECT, *own]


@TRAINER_REGISTRY.register()
class ZeroshotCLIP(MethodTrainer):
    Method = ZeroShot

    def build_model(self) -> None:
        super().build_model()
        print(f"Templates: {self.method.plain_templates()}")


@TRAINER_REGISTRY.register()
class ZeroshotCLIP2(ZeroshotCLIP):
    Method = ZeroShotEnsemble
