"""TaskRes: what is learned is added to each class's text feature.

Yu, Lu, Jin, Chen, Wang, "Task Residual for Tuning Vision-Language Models", CVPR 2023 (arXiv 2211.10277). Released code:
github.com/geekyutao/TaskRes (MIT). With VIEWS 20 it is the version of github.com/jusiro/CLAP (MIT),
trainers/adapters.py, with VIEWS 0 its authors', where images are augmented and encoded in every step. Classes that were
not trained on keep their text features.

Differs from the release: its enhanced base, a text projection trained before, is not here.
Differs from the paper: as from the release.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dassl.engine import TRAINER_REGISTRY
from trainers.options import NOT_NEGATIVE, Options, option, precision
from trainers.prototypes import PrototypeMethod, views_option
from trainers.trainer import MethodTrainer


class Residuals(PrototypeMethod):
    """Learned: ``residuals`` (C, e), zero at first."""

    @dataclass
    class Config(Options, node="TASKRES"):
        PREC: str = precision("fp16")
        VIEWS: int = views_option()
        RESIDUAL_SCALE: float = option(0.5, "factor of the residuals", NOT_NEGATIVE)

    def __init__(self, config: Config, task, clip_model):
        super().__init__(config, task, clip_model)
        self.class_dims = {"residuals": 0}
        self.residuals = nn.Parameter(torch.zeros_like(self.base))

    def prototypes_now(self) -> Tensor:
        return self.base + self.config.RESIDUAL_SCALE * self.residuals

    def convert_state_dict(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """A checkpoint of the authors' code or of CLAP's, which both save the text features beside what is learned."""
        if "base_text_features" not in tensors:
            return tensors
        names = {"text_feature_residuals": "residuals", "prototypes": "residuals"}
        return {names.get(name, name): tensor for name, tensor in super().convert_state_dict(tensors).items()}


@TRAINER_REGISTRY.register()
class TaskRes(MethodTrainer):
    Method = Residuals
