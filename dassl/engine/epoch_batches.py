"""The batches of an epoch, from the first or from a later one on, as a run gets them that was never stopped."""

import itertools
import random
from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import DataLoader

from dassl.data.epoch_loader import SeededBatchSampler
from dassl.utils.distributed import gather, rank, world_size
from dassl.utils.random_states import random_states, set_random_states


class EpochBatches:
    """One pass through a loader that can be gone on with in another process.

    Of several processes each draws random numbers of its own between the batches, for instance for dropout; the
    generators that the loader draws from stay the same in all, so that these agree on the order of the images.

    Args:
        loader: of batches.
        resumed: `state` of an earlier process: the batches that it had done are left out.

    Attributes:
        first: number of batches that an earlier process had done.
        done: number of batches that were worked on. The caller counts.
    """

    def __init__(self, loader, resumed: dict | None = None):
        self.loader = loader
        self.first = self.done = resumed["batches"] if resumed else 0
        self._resumed = resumed
        self._beginning = None
        self._common = None  # of the loader, where the processes have numbers of their own between batches

    def state(self) -> dict:
        """Where this pass is. Of several processes all have to ask for it."""
        several = world_size() > 1
        return {
            "batches": self.done,
            "beginning": self._beginning,
            "common": self._common if several else random_states(with_gpus=True),
            "own": gather(random_states(with_gpus=True)) if several else [],
        }

    def __iter__(self) -> Iterator:
        if self._resumed:
            set_random_states(self._resumed["beginning"])
        self._beginning = random_states()
        batches = _begin(self.loader, self.done)
        if self._resumed:
            set_random_states(self._resumed["common"])
        return batches if world_size() == 1 else self._with_own_random_numbers(batches)

    def _with_own_random_numbers(self, batches: Iterator) -> Iterator:
        self._common = random_states()
        words = np.random.SeedSequence((int(torch.empty((), dtype=torch.int64).random_()), rank())).generate_state(3)
        random.seed(int(words[0]))
        np.random.seed(words[1])
        torch.manual_seed(int(words[2]))  # all GPUs too
        if self._resumed and len(self._resumed["own"]) == world_size():
            set_random_states(self._resumed["own"][rank()])
        while True:
            own = random_states()
            set_random_states(self._common)
            batch = next(batches, batches)
            if batch is batches:  # the end
                return
            self._common = random_states()
            set_random_states(own)
            yield batch


def _begin(loader, done: int) -> Iterator:
    """An iterator over the batches after the first ``done``, which are not loaded where that can be avoided."""
    sampler = getattr(loader, "batch_sampler", None)
    if isinstance(sampler, SeededBatchSampler):
        sampler.skipped = done
        return iter(loader)
    batches = iter(loader)
    # Without worker processes the indices can be drawn alone; what images draw from the generators is set afterwards.
    indices = getattr(batches, "_sampler_iter", None) if type(loader) is DataLoader else None
    for _ in itertools.islice(batches if indices is None else indices, done):
        pass
    return batches
