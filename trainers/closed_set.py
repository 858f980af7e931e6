"""What the methods share that are made of the training images' features and so know the training classes alone.

Checkpoints name these classes, so that a test on a part of them, or on another order of them, finds its own by name.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor

from trainers.feature_adapter import FeatureTrainer
from user_error import CheckpointError, ConfigError


def rows_of(wanted: Sequence[str], known: Sequence[str]) -> list[int | None]:
    """Place among ``known`` of each name in ``wanted``, None where it is not there.

    Of equal names, which ImageNet has, the k-th in one list is the k-th in the other.
    """
    places = defaultdict(list)
    for row, name in enumerate(known):
        places[name].append(row)
    rows = []
    for name in wanted:
        found = places.get(name)
        rows.append(None if not found else found.pop(0) if len(found) > 1 else found[0])
    return rows


class ClosedSetTrainer(FeatureTrainer):
    """Base of these methods. Their head has ``from_released``, which picks the rows of its classes from a checkpoint.

    Attributes:
        searches_on_val: whether val images are needed in training.
        learner: the head; its ``known_classes`` are those of the checkpoint that is being loaded.
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

    def run_state(self) -> dict:
        return {**super().run_state(), "class_names": list(self.dm.dataset.classnames)}

    def load_model(self, directory: str, epoch: int | None = None) -> None:
        """As `CLIPTrainer.load_model`, for any list of classes that the head can handle.

        Raises:
            UserError: no folder is given, too.
        """
        if not directory:
            name = type(self).__name__
            raise ConfigError(f"{name} without training cannot be tested: name a training run with --model-dir")
        super().load_model(directory, epoch)

    def before_loading(self, run: dict, path: str) -> None:
        super().before_loading(run, path)
        self.learner.known_classes = run.get("class_names")
        if self.learner.known_classes is None:
            raise CheckpointError(
                f"{path} does not name its classes: it belongs to another method than {type(self).__name__}"
            )
