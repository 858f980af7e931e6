"""What the methods share that are made of the training images' features and so know the training classes alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from support.user_error import ConfigError
from trainers.feature_adapter import FeatureTrainer


class ClosedSetTrainer(FeatureTrainer):
    """Base of these methods. Their head is `ClassBound`.

    Attributes:
        searches_on_val: whether val images are needed in training.
    """

    searches_on_val = False

    def check_one_epoch(self, cfg) -> None:
        """Raise a UserError where a method that looks at its images once is told to train longer."""
        if cfg.OPTIM.MAX_EPOCH != 1:
            raise ConfigError(
                f"OPTIM.MAX_EPOCH is {cfg.OPTIM.MAX_EPOCH}: {type(self).__name__} has no epochs, set it to 1"
            )

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Adds the time that the block takes to the run's training time."""
        start = time.time()
        yield
        self.train_seconds += time.time() - start

    def val_features(self, instead: str) -> tuple[Tensor, Tensor] | None:
        """`encode` of the val images. None, with ``instead`` in a printed line, where there are none or test images.

        A trainer that calls it has `searches_on_val`.
        """
        if not hasattr(self, "_val_features"):
            dataset, self._val_features = self.dm.dataset, None
            test = {item.impath for item in dataset.test}
            if self.val_loader is None or any(item.impath in test for item in dataset.val):
                print(f"{self.cfg.DATASET.NAME} has no val images that are not test images: {instead}")
            else:
                self._val_features = self.encode(self.val_loader, "val features")
        return self._val_features

    def load_model(self, directory: str, epoch: int | None = None) -> None:
        """As `CLIPTrainer.load_model`, for any list of classes that the head can handle.

        Raises:
            UserError: no folder is given, too.
        """
        if not directory:
            name = type(self).__name__
            raise ConfigError(f"{name} without training cannot be tested: name a training run with --model-dir")
        super().load_model(directory, epoch)
