"""The dtype that a pass computes in, and frozen tensors in it, cast once instead of at every use."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

_copies = WeakTensorKeyDictionary()  # tensor -> (its state, {dtype and factor: copy})


def cast(tensor: Tensor, dtype: torch.dtype, factor: float = 1.0) -> Tensor:
    """``factor * tensor`` in ``dtype``, multiplied in the tensor's own; a frozen tensor's copy is made once and kept.

    The copy follows changes of the tensor's values and device.
    """
    if tensor.dtype == dtype and factor == 1:
        return tensor

    def made() -> Tensor:
        return (tensor * factor if factor != 1 else tensor).to(dtype)

    if tensor.requires_grad or torch.compiler.is_compiling():
        return made()
    state = (tensor._version, tensor.data_ptr(), tensor.device)
    known = _copies.get(tensor)
    if known is None or known[0] != state:
        known = _copies[tensor] = (state, {})
    if (dtype, factor) not in known[1]:
        with torch.no_grad():
            known[1][dtype, factor] = made()
    return known[1][dtype, factor]


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """The dtype of automatic mixed precision; None where that is off."""
    if device.type == "meta" or not torch.is_autocast_enabled(device.type):
        return None
    return torch.get_autocast_dtype(device.type)
