"""What the encoders do differently from device to device.

How many tokens they work on together: enough to keep the processor busy, few enough to be cheap in memory.

On a CPU, freed blocks above 32 MiB go back to the system (glibc's malloc), which has to clear every page of them again
for the next layer: at ViT-B/16's width that costs up to a tenth of a pass. Blocks below are used again.
"""

from __future__ import annotations

import ctypes
import sys

import torch
from torch import Tensor

MOST_BYTES = {"cpu": 24 * 2**20}  # of the widest activation
MOST_BYTES_ELSEWHERE = 512 * 2**20


def tokens_at_once(width: int, dtype: torch.dtype, device: torch.device) -> int:
    """Number of tokens whose hidden activations, four times ``width`` wide, stay below the bound; at least 1."""
    most = MOST_BYTES.get(device.type, MOST_BYTES_ELSEWHERE)
    return max(1, most // (4 * width * dtype.itemsize))


def joined(pieces: list[Tensor], dim: int = 0) -> Tensor:
    """What was worked on in pieces; a single one as it is, without a copy."""
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=dim)


def launches_decide(device: torch.device) -> bool:
    """Whether the number of kernels decides how long a pass takes, not the work in them: on a GPU, not on a CPU."""
    return device.type != "cpu"


def give_back_freed_memory() -> None:
    """Hand freed memory back to the system, where the C library can (glibc).

    Between small blocks that stay, glibc leaves holes of just the size that was freed, into which the same with its
    alignment no longer fits: repeated work of one size takes new memory every time.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
