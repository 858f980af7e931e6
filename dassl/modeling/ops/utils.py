"""Small functions of semi-supervised trainers."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def sharpen_prob(p: Tensor, temperature: float = 2) -> Tensor:
    """Probabilities (B, C) to the power of ``temperature``, normalised again."""
    return F.normalize(p.pow(temperature), p=1, dim=1)


def reverse_index(data: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    return data.flip(0), label.flip(0)


def shuffle_index(data: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    order = torch.randperm(len(data))
    return data[order], label[order]


def create_onehot(label: Tensor, num_classes: int) -> Tensor:
    """Labels (B,) to float (B, C)."""
    return F.one_hot(label, num_classes).float()


def sigmoid_rampup(current: float, rampup_length: float) -> float:
    """exp(-5 (1 - t)^2), with t from 0 at step 0 to 1 at step ``rampup_length`` and after it."""
    return math.exp(-5 * (1 - linear_rampup(current, rampup_length)) ** 2)


def linear_rampup(current: float, rampup_length: float) -> float:
    """From 0 at step 0 to 1 at step ``rampup_length`` and after it."""
    assert rampup_length > 0
    return float(min(max(current / rampup_length, 0.0), 1.0))


@torch.no_grad()
def ema_model_update(model: nn.Module, ema_model: nn.Module, alpha: float) -> None:
    """Each parameter of ``ema_model`` becomes ``alpha`` of itself and ``1 - alpha`` of that of ``model``."""
    for average, parameter in zip(ema_model.parameters(), model.parameters(), strict=True):
        average.lerp_(parameter, 1 - alpha)
