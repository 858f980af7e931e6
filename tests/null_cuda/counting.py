"""What the null device counted: names such as `launches`, `kernel:...`, `copy:...`, `wait:...` and `graph launch`."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import torch

FOLDER = Path(os.environ["NULLCUDA"])
_device = ctypes.CDLL(str(FOLDER / "libnullcuda.so"))

# cuDNN is not part of the device.
torch.backends.cudnn.enabled = False
torch.backends.cuda.enable_cudnn_sdp(False)
torch.set_num_threads(1)


def reset() -> None:
    """Count from zero."""
    _device.nullcuda_reset()


def counts() -> dict[str, int]:
    """How often each thing has happened since `reset`."""
    file = FOLDER / "counts.txt"
    _device.nullcuda_dump(str(file).encode())
    lines = (line.split("\t", 1) for line in file.read_text(encoding="utf-8").splitlines())
    return {name: int(number) for number, name in lines}


def waits(counted: dict[str, int]) -> int:
    """How often the host waited for the device."""
    return sum(number for name, number in counted.items() if name.startswith("wait:"))
