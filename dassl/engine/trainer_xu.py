"""Training on labelled and unlabelled images side by side."""

import itertools
import random
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from dassl.utils import DataError, check_availability
from dassl.utils.random_states import random_states, set_random_states

from .trainer import TrainerX

_LENGTHS = {  # TRAIN.COUNT_ITER: batches of an epoch, given those of both loaders
    "train_x": lambda x, u: x,
    "train_u": lambda x, u: u,
    "smaller_one": min,
}


class PairedBatches:
    """Pairs of a batch of each loader; a loader that ends first begins again.

    Args:
        count_iter: the loader that has as many batches as there are pairs, a value of TRAIN.COUNT_ITER.
    """

    def __init__(self, loader_x, loader_u, count_iter: str):
        check_availability(count_iter, _LENGTHS, "TRAIN.COUNT_ITER")
        self.loaders = (loader_x, loader_u)
        self.length = _LENGTHS[count_iter](len(loader_x), len(loader_u))
        self.num_workers = min(getattr(loader, "num_workers", 0) for loader in self.loaders)

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[tuple]:
        seed = int(torch.empty((), dtype=torch.int64).random_())
        endless = [_passes(loader, seed) for loader in self.loaders]
        for _ in range(self.length):
            yield tuple(next(batches) for batches in endless)


def _passes(loader, seed: int) -> Iterator:
    """The batches of one pass after the other.

    The order of a later pass follows from ``seed`` alone, so that a run which is resumed within an epoch, and leaves
    out the steps before, gets the same.
    """
    yield from loader
    for number in itertools.count(1):
        states = random_states()
        words = np.random.SeedSequence((seed, number)).generate_state(3).tolist()
        random.seed(words[0])
        np.random.seed(words[1])
        torch.default_generator.manual_seed(words[2])
        batches = iter(loader)
        first = next(batches)  # a sampler may draw its order only now
        set_random_states(states)
        yield first
        yield from batches


class TrainerXU(TrainerX):
    """A trainer whose forward_backward(batch_x, batch_u) is given a labelled and an unlabelled batch."""

    def train_batches(self) -> PairedBatches:
        if self.train_loader_u is None:
            raise DataError(
                f"{self.cfg.TRAINER.NAME} also trains on unlabelled images, and the dataset {self.cfg.DATASET.NAME} "
                "has none: choose another dataset or trainer"
            )
        return PairedBatches(self.train_loader_x, self.train_loader_u, self.cfg.TRAIN.COUNT_ITER)

    def parts_of(self, batch: tuple) -> tuple:
        return batch

    def parse_batch_train(self, batch_x: dict, batch_u: dict) -> tuple[Tensor, Tensor, Tensor]:
        """Labelled images (B, 3, H, W), their labels (B,), and unlabelled images."""
        return tuple(self._to_device(part) for part in (batch_x["img"], batch_x["label"], batch_u["img"]))
