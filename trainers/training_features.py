"""Frozen CLIP's features of a run's images: for methods that are fitted to them, and where they are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dassl.data import build_data_loader
from dassl.engine.val_use import tests_its_val_images
from dassl.utils import progress_bar

if TYPE_CHECKING:
    from trainers.trainer import MethodTrainer


class TrainingFeatures:
    """Encodes the training and validation images of a run; features are float32 and not normalised."""

    def __init__(self, trainer: MethodTrainer):
        self._trainer = trainer
        self._val: tuple[Tensor, Tensor] | None = None
        self._val_is_known = False

    def train(self, augmented: bool, description: str = "train features") -> tuple[Tensor, Tensor]:
        """Features (N, e) and labels (N,) of every training image, in a fixed order.

        Args:
            augmented: whether the images are transformed as in training, else as in a test.
        """
        trainer = self._trainer
        loader = build_data_loader(
            trainer.cfg,
            data_source=trainer.dm.dataset.train_x,
            batch_size=trainer.cfg.DATALOADER.TEST.BATCH_SIZE,
            tfm=(trainer.train_loader_x if augmented else trainer.test_loader).dataset.transform,
            is_train=False,
        )
        return self._encode(loader, description)

    def val(self, instead: str) -> tuple[Tensor, Tensor] | None:
        """Features (N, e) and labels (N,) of the validation images, encoded once.

        None, with ``instead`` in a printed line, where there are none, or they are test images. A method that asks for
        them has `Method.searches_on_val`.
        """
        if not self._val_is_known:
            self._val_is_known = True
            trainer = self._trainer
            if trainer.val_loader is None or tests_its_val_images(trainer.dm.dataset):
                print(f"{trainer.cfg.DATASET.NAME} has no val images that are not test images: {instead}")
            else:
                self._val = self._encode(trainer.val_loader, "val features")
        return self._val

    @torch.no_grad()
    def _encode(self, loader, description: str) -> tuple[Tensor, Tensor]:
        trainer = self._trainer
        features, labels = [], []
        for batch in progress_bar(loader, desc=description, unit="batch"):
            with trainer.computing():
                features.append(
                    trainer.clip_model.encode_image(batch["img"].to(trainer.device, non_blocking=True)).float()
                )
            labels.append(batch["label"].to(trainer.device, non_blocking=True))
        return torch.cat(features), torch.cat(labels)
