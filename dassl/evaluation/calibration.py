"""Temperature scaling (Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017)."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

LOWEST, HIGHEST = 0.05, 20.0  # few images that are all right or all wrong would draw the temperature to 0 or infinity


def fit_temperature(scores: Tensor, labels: Tensor) -> float:
    """The temperature from `LOWEST` to `HIGHEST` that scores are best divided by: the one of the smallest NLL.

    Dividing by one number changes no order of the scores, so that no accuracy changes.

    Args:
        scores: (N, C) of validation images.
        labels: (N,).
    """
    from scipy.optimize import minimize_scalar  # takes half a second to import

    scores, labels = scores.double(), labels.long()
    found = minimize_scalar(
        lambda exponent: F.cross_entropy(scores / math.exp(exponent), labels).item(),
        bounds=(math.log(LOWEST), math.log(HIGHEST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return math.exp(found.x)
