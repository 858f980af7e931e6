"""Batches on their way from worker processes, in memory that is used again and again.

torch hands over each tensor in newly allocated shared memory, and for the kernel to clear and map such pages can take
longer than to transform the images in them.
"""

import itertools
import math
import mmap
import os
import weakref
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info
from torch.utils.data._utils.collate import collate, default_collate_fn_map

_keys = itertools.count()
_in_use: weakref.WeakValueDictionary[int, "SharedCollate"] = weakref.WeakValueDictionary()


class _Built:
    """Stands for ``build(*arguments)`` where it is unpickled."""

    def __init__(self, build: Callable, *arguments):
        self._reduced = build, arguments

    def __reduce__(self):
        return self._reduced


class SharedCollate:
    """torch's default_collate for worker processes that are forked after it was made.

    Every worker has ``slots`` parts of a block of anonymous shared memory, and stacks the tensors of its items into a
    free one. In the main process the stacked tensor lies in the same memory; when the last reference to it is gone, its
    slot is free again. Where no slot is free or large enough, the tensor goes torch's way. A process that the caller
    forks shares that memory too: it has to copy what the main process will let go.

    Args:
        workers: number of worker processes.
        slots: tensors per worker that are being made, waiting or in use at a time.
        slot_bytes: size of the largest of them.
    """

    def __init__(self, workers: int, slots: int, slot_bytes: int):
        self._slots = slots
        self._slot_bytes = mmap.PAGESIZE * math.ceil(slot_bytes / mmap.PAGESIZE)
        self._memory = mmap.mmap(-1, workers * slots * self._slot_bytes)
        # set by the worker that takes a slot, cleared by the main process: no slot has two writers at a time
        self._taken = np.frombuffer(mmap.mmap(-1, workers * slots), np.bool_)
        self._key = next(_keys)
        _in_use[self._key] = self

    def __call__(self, items: list):
        return collate(items, collate_fn_map={**default_collate_fn_map, Tensor: self._stack, int: _integers})

    def _stack(self, tensors: list[Tensor], *, collate_fn_map=None):
        first = tensors[0]
        shape = (len(tensors), *first.shape)
        slot = self._free_slot(math.prod(shape) * first.element_size())
        plain = type(first) is Tensor and first.device.type == "cpu" and first.layout == torch.strided
        if slot is None or not plain:
            return default_collate_fn_map[Tensor](tensors, collate_fn_map=collate_fn_map)
        torch.stack(tensors, out=self._tensor(slot, shape, first.dtype)[0])
        self._taken[slot] = True
        return _Built(_receive, self._key, slot, shape, first.dtype)

    def _free_slot(self, size: int) -> int | None:
        if not 0 < size <= self._slot_bytes:
            return None
        first = self._slots * get_worker_info().id
        return next((slot for slot in range(first, first + self._slots) if not self._taken[slot]), None)

    def _tensor(self, slot: int, shape: tuple[int, ...], dtype: torch.dtype) -> tuple[Tensor, np.ndarray]:
        """The tensor in a slot, and the object that lives as long as the tensor's memory is referred to."""
        size = math.prod(shape) * dtype.itemsize
        memory = np.frombuffer(self._memory, np.uint8, count=size, offset=slot * self._slot_bytes)
        return torch.from_numpy(memory).view(dtype).view(shape), memory

    def receive(self, slot: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        tensor, memory = self._tensor(slot, shape, dtype)
        weakref.finalize(memory, _release, self._taken, slot, os.getpid()).atexit = False
        return tensor


def _release(taken: np.ndarray, slot: int, owner: int) -> None:
    if os.getpid() == owner:  # a process forked since has dropped but its own reference
        taken[slot] = False


def _receive(key: int, *where) -> Tensor:
    return _in_use[key].receive(*where)


def _integers(numbers: list[int], *, collate_fn_map=None) -> _Built:
    """Few bytes: pickled with the batch, where a tensor would be a file to open in shared memory."""
    return _Built(torch.tensor, numbers)
