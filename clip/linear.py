"""Products with frozen weights: what `torch.nn.functional.linear` gives, to rounding, on some CPUs twice as fast.

For float32 on a CPU PyTorch calls MKL, which on processors of other makers leaves half of their vector units unused.
oneDNN, which PyTorch brings along for its compiler, uses them. Its operator has no derivative; for a weight that is
not trained the only one needed is a product with the transposed weight.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clip.casts import autocast_dtype, cast

_onednn = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None


class _FrozenLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None, added: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight)
        if added is None:
            return _onednn(x, weight, bias, "none", [], "")
        return _onednn.binary(x, added, weight, bias, "add")

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, None, None, Tensor | None]:
        (weight,) = ctx.saved_tensors
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = _onednn(gradient.contiguous(), weight.t(), None, "none", [], "")
        return of_x, None, None, gradient if ctx.needs_input_grad[3] else None


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, added: Tensor | None = None) -> Tensor:
    """x W^T + b: (..., d_in), (d_out, d_in), (d_out) -> (..., d_out); plus ``added`` of the shape of the result."""
    if _is_for_onednn(x, weight, bias) and (added is None or added.dtype == x.dtype):
        return _FrozenLinear.apply(x, weight, bias, added)
    weight, bias = for_autocast(weight, x.device), for_autocast(bias, x.device)
    result = F.linear(x, weight, bias)
    return result if added is None else added + result


def _is_for_onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    return (
        _onednn is not None
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.numel() > 0
        and not weight.requires_grad
        and not (bias is not None and bias.requires_grad)
        and not torch.is_autocast_enabled("cpu")
        and not torch.jit.is_tracing()
        and not torch.compiler.is_compiling()
        and torch.backends.mkldnn.enabled
    )


def for_autocast(tensor: Tensor | None, device: torch.device) -> Tensor | None:
    """A weight or bias in the dtype of automatic mixed precision where that is on: autocast casts at every use."""
    dtype = autocast_dtype(device)
    return tensor if tensor is None or dtype is None else cast(tensor, dtype)


class Linear(nn.Linear):
    """`torch.nn.Linear` through `linear`."""

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        return linear(x, self.weight, self.bias, added)


class Conv2d(nn.Conv2d):
    """`torch.nn.Conv2d` whose frozen weight is cast once under automatic mixed precision."""

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, for_autocast(self.weight, x.device), for_autocast(self.bias, x.device))
