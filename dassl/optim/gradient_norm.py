"""OPTIM.CLIP_GRAD_NORM: gradients are scaled down to a largest norm before an optimizer uses them.

Clipping is a hook of the optimizer, so it also holds for trainers with a step of their own: in each it comes after the
unscaling of mixed precision and the all-reduce over processes.
"""

import math

import torch
from torch.optim import Optimizer

from dassl.utils import ConfigError


def check_largest_norm(largest: float) -> None:
    """UserError where OPTIM.CLIP_GRAD_NORM is no norm."""
    if not 0 <= largest < math.inf:
        raise ConfigError(f"OPTIM.CLIP_GRAD_NORM is {largest}: give the largest norm, or 0 for no clipping")


def clip_gradient_norm(optimizer: Optimizer, largest: float) -> None:
    """From now on clip the norm of all the optimizer's gradients together to ``largest``, before each of its steps."""
    optimizer.register_step_pre_hook(lambda optimizer, args, kwargs: _clip(optimizer, largest))


def _clip(optimizer: Optimizer, largest: float) -> None:
    scale = getattr(optimizer, "grad_scale", None)  # of a fused optimizer, which unscales the gradients itself
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    torch.nn.utils.clip_grad_norm_(parameters, largest if scale is None else largest * float(scale))
