"""A loader with worker processes that live on from epoch to epoch, and the random numbers they use."""

import contextlib
import copy
import itertools
import operator
import os
import random
import signal
import sys
import threading
import time
import weakref
from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler, default_collate, get_worker_info
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from dassl.utils.distributed import rank, share, world_size

from .shared_collate import SharedCollate

PATIENCE = 10  # seconds from a cluster's SIGTERM to a worker's end


class _SeededBatch(list):
    """Indices of a batch. In a worker process, iterating over them seeds the generators before each.

    Args:
        indices: of items.
        epoch_seed: what the epoch's numbers depend on.
        first: position in the epoch of the first one.
    """

    def __init__(self, indices=(), epoch_seed: int = 0, first: int = 0):
        super().__init__(indices)
        self.epoch_seed = epoch_seed
        self.first = first

    def __iter__(self) -> Iterator[int]:
        for position, index in enumerate(super().__iter__(), start=self.first):
            if get_worker_info() is not None:
                words = np.random.SeedSequence((self.epoch_seed, position)).generate_state(3).tolist()
                random.seed(words[0])
                np.random.seed(words[1])
                torch.default_generator.manual_seed(words[2])
            yield index


class SeededBatchSampler(Sampler):
    """The batches of another batch sampler, each item with random numbers of its own.

    A number from torch's global generator, drawn as an epoch begins, and the position of an item in the epoch decide on
    the item's augmentation; so neither the number of workers nor what they did before makes a difference.

    Args:
        shared: of several processes, each takes its share of every batch, with the numbers that the items have in one.

    Attributes:
        skipped: how many batches the next pass leaves out at its beginning; the others stay as they are.
    """

    def __init__(self, batches: BatchSampler, shared: bool = False):
        self.batches = batches
        self.shared = shared
        self.skipped = 0

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        epoch_seed = int(torch.empty((), dtype=torch.int64).random_())
        position = 0
        skipped, self.skipped = self.skipped, 0
        for number, batch in enumerate(self.batches):
            own = share(len(batch)) if self.shared else slice(0, len(batch))
            if number >= skipped:
                yield _SeededBatch(batch[own], epoch_seed, position + own.start)
            position += len(batch)


class _Epoch:
    """Iterator over the batches of an epoch."""

    def __init__(self, loader: "EpochLoader", batches: Iterator):
        self._loader = loader
        self._batches = batches
        self.ended = False

    def __iter__(self):
        return self

    def __len__(self) -> int:
        return len(self._loader)

    def __next__(self):
        try:
            return next(self._batches)
        except BaseException as error:
            self.ended = True
            if not isinstance(error, Exception):  # a message may have been half read
                self._loader._iterator = None
            raise

    def close(self) -> None:
        """No more batches: its workers serve the next epoch."""
        self._batches = iter(())


class _Workers(_MultiProcessingDataLoaderIter):
    """torch's iterator with its worker processes."""

    def __init__(self, loader: DataLoader):
        self._process = os.getpid()
        super().__init__(loader)

    def __del__(self):
        if self._process != os.getpid():  # a copy in a worker forked later, which cannot end its siblings
            return
        with contextlib.suppress(AttributeError):  # the system refused a part of it, whose error is the one to show
            super().__del__()


class EpochLoader(DataLoader):
    """torch's DataLoader with one worker process or more. The batches of an epoch depend on the states of the global
    generators at its beginning alone.

    Persistent workers are forked in the first epoch and end with the loader. They are exchanged if the dataset's
    attributes or the members of its ``data_source`` were, if one has died and after an interruption; and an epoch that
    begins while another is being iterated over gets workers of its own.

    Args:
        tensors, tensor_bytes: how many tensors of images a batch has, and their size. Where these are too small,
            batches take torch's slower way from the workers.
        shared: of several processes, each takes its share of every batch.
        options: of DataLoader.
    """

    def __init__(self, dataset: Dataset, tensors: int, tensor_bytes: int, shared: bool = False, **options):
        self._forks = sys.platform == "linux"
        super().__init__(
            dataset,
            worker_init_fn=_follow_the_main_process,
            generator=torch.Generator(),  # for a number that only new workers need: not from the global generator
            multiprocessing_context="fork" if self._forks else None,  # only forked workers share memory
            **options,
        )
        # Given to DataLoader as batch_sampler it would hide batch_size and sampler, which trainers of others read.
        self.__dict__["batch_sampler"] = SeededBatchSampler(self.batch_sampler, shared)
        self.tensors = tensors
        self.tensor_bytes = tensor_bytes
        self._dataset_parts: list = []
        self._epoch = None  # weak reference to the last one's iterator

    def __getstate__(self) -> dict:
        """A copy starts without workers."""
        return {**self.__dict__, "_iterator": None, "_epoch": None}

    def __iter__(self) -> Iterator:
        if not self.persistent_workers:
            return self._begin_epoch()
        last = self._epoch and self._epoch()
        if last is not None and not last.ended:
            return copy.copy(self)._begin_epoch()
        if last is not None:
            last.close()
        items = getattr(self.dataset, "data_source", None)
        parts = [*vars(self.dataset).values(), *(items if isinstance(items, (list, tuple)) else ())]
        changed = len(parts) != len(self._dataset_parts) or any(map(operator.is_not, parts, self._dataset_parts))
        if changed or not all(worker.is_alive() for worker in getattr(self._iterator, "_workers", ())):
            self._iterator = None
            self._dataset_parts = parts
        epoch = _Epoch(self, self._begin_epoch())
        self._epoch = weakref.ref(epoch)
        return epoch

    def close(self) -> None:
        """End the persistent workers; the next epoch gets new ones. Left to the garbage collector each takes 5 s."""
        workers, self._iterator = self._iterator, None
        if workers is not None:
            workers._shutdown_workers()

    def _get_iterator(self) -> Iterator:
        return _Workers(self)

    def _begin_epoch(self) -> Iterator:
        """A new iterator, which keeps the collate function; or the one with the persistent workers, begun anew."""
        usual = self.collate_fn
        if self._iterator is None and self._forks and usual is default_collate:
            slots = (self.prefetch_factor + 2) * self.tensors  # in use: one batch, and the next while it is asked for
            with contextlib.suppress(OSError):  # no memory: torch's way
                self.collate_fn = SharedCollate(self.num_workers, slots, self.tensor_bytes)
        try:
            return super().__iter__()
        except BaseException:
            self._iterator = None
            raise
        finally:
            self.collate_fn = usual


class _EveryNth(Sampler):
    """Of the indices of another sampler those that this process tests, where there are several."""

    def __init__(self, sampler: Sampler):
        self.sampler = sampler

    def __len__(self) -> int:
        return len(range(rank(), len(self.sampler), world_size()))

    def __iter__(self) -> Iterator[int]:
        return itertools.islice(self.sampler, rank(), None, world_size())


def share_of_images(loader: DataLoader) -> DataLoader:
    """A loader of those images of ``loader`` that this process tests: every n-th of n processes, none twice.

    Returns ``loader`` itself where there is one process, or where it is not a loader that `build_data_loader` makes
    for a test.
    """
    if world_size() == 1 or type(loader) not in (DataLoader, EpochLoader) or not loader.batch_size or loader.drop_last:
        return loader
    batches = BatchSampler(_EveryNth(loader.sampler), loader.batch_size, drop_last=False)
    part = copy.copy(loader)
    part.__dict__["batch_sampler"] = SeededBatchSampler(batches) if isinstance(loader, EpochLoader) else batches
    return part


def _follow_the_main_process(worker: int) -> None:
    """Signals may reach all processes at once; the workers end when the main process tells them to, or has been killed.

    SIGTERM of the main process, which sends it to a worker that does not end by itself, is obeyed at once. A cluster's,
    which all get, after a time in which the main process can finish its step.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main = os.getppid()
    threading.Thread(target=_end_with_the_main_process, args=(main,), daemon=True).start()
    if hasattr(signal, "sigwaitinfo"):  # Linux
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # for the threads that follow, too
        threading.Thread(target=_end_if_terminated, args=(main,), daemon=True).start()


def _end_if_terminated(main: int) -> None:
    if signal.sigwaitinfo({signal.SIGTERM}).si_pid != main:
        signal.sigtimedwait({signal.SIGTERM}, PATIENCE)  # one more ends it
    os._exit(0)


def _end_with_the_main_process(main: int) -> None:
    """torch looks for it as well, but not in a worker that waits for room in the full queue of batches."""
    while os.getppid() == main:
        time.sleep(1)
    os._exit(1)
