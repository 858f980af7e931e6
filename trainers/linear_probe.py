"""Linear probe: multinomial logistic regression on frozen CLIP's image features.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021 (arXiv 2103.00020);
the few-shot protocol is that of CoOp (Zhou et al., IJCV 2022, arXiv 2109.01134). Released code, in lpclip/:
github.com/KaiyangZhou/CoOp (MIT). As there, features are not normalised, images not augmented, and the inverse strength
C of the L2 penalty is the one that is best on the val images.

Differs from the release: without val images C is 1, also on ImageNet, whose test images lpclip takes for that; the
few-shot images are those of the other methods, where lpclip draws its own.
Differs from the paper: as released, training is few-shot, by CoOp's protocol.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dassl.engine import TRAINER_REGISTRY
from support.user_error import DataError
from trainers.method import HeadMethod
from trainers.options import Options, precision
from trainers.trainer import MethodTrainer

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

GRID = (1e6, 1e4, 1e2, 1.0, 1e-2, 1e-4, 1e-6)
STEPS = 8  # bisections after the grid
DEFAULT_C = 1.0  # scikit-learn's
MAX_ITER = 1000


def best_c(accuracy: Callable[[float], float]) -> float:
    """The C that lpclip's search ends with: the best of `GRID`, then the better end of an interval around it.

    The interval reaches from a tenth to the tenfold of the best; each of `STEPS` steps keeps, on a log scale, the half
    beside the end that is better. The first of equals in the grid and the smaller of two equal ends win.

    Args:
        accuracy: of C on the val images.
    """
    accuracy = cache(accuracy)  # one of the two ends is known from the step before
    centre = math.log10(max(GRID, key=accuracy))
    low, high = centre - 1, centre + 1
    best = low
    for _ in range(STEPS):
        middle = (low + high) / 2
        if accuracy(10**low) < accuracy(10**high):
            best, low = high, middle
        else:
            best, high = low, middle
    return 10**best


def fit(features: np.ndarray, labels: np.ndarray, c: float) -> LogisticRegression:
    """Logistic regression of features (N, e), float64, and labels (N,) with every class in them."""
    from sklearn.exceptions import ConvergenceWarning  # slow to import, and only needed here
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the largest C rarely converge and rarely win
        return LogisticRegression(C=c, solver="lbfgs", max_iter=MAX_ITER).fit(features, labels)


class LinearClassifier(HeadMethod):
    """Learned: weight (C, e) and bias (C,), one row per class."""

    searches_on_val = True
    needs_training = True

    @dataclass
    class Config(Options, node="LINEAR_PROBE"):
        PREC: str = precision("fp16")

    def __init__(self, config: Config, task, clip_model):
        super().__init__(config, task)
        self.class_dims = {"weight": 0, "bias": 0}
        count, width = len(self.class_names), clip_model.text_projection.shape[1]
        self.weight = nn.Parameter(torch.zeros(count, width))
        self.bias = nn.Parameter(torch.zeros(count))

    @classmethod
    def knows_new_classes(cls, config: Config) -> bool:
        return False

    def forward(self, features: Tensor) -> Tensor:
        return F.linear(features, self.weight, self.bias)

    def fit(self, features) -> None:
        if len(self.class_names) < 2:
            raise DataError(f"LinearProbe tells classes apart, but {self.task.dataset} has one here")
        train_features, train_labels = _arrays(*features.train(augmented=False))
        val = features.val(f"C is {DEFAULT_C}")
        c = DEFAULT_C
        if val is not None:
            val_features, val_labels = _arrays(*val)
            c = best_c(lambda c: fit(train_features, train_labels, c).score(val_features, val_labels))
            print(f"C {c:.4g} is best on the {len(val_labels)} val images")
        self.set_to(fit(train_features, train_labels, c))

    @torch.no_grad()
    def set_to(self, regression: LogisticRegression) -> None:
        """Take over a regression's coefficients. Its one row for two classes becomes two here, of half the size."""
        weight, bias = torch.from_numpy(regression.coef_), torch.from_numpy(regression.intercept_)
        if len(weight) == 1:
            weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
        self.weight.copy_(weight)
        self.bias.copy_(bias)


def _arrays(features: Tensor, labels: Tensor) -> tuple[np.ndarray, np.ndarray]:
    return features.double().cpu().numpy(), labels.cpu().numpy()


@TRAINER_REGISTRY.register()
class LinearProbe(MethodTrainer):
    """Fits once; OPTIM has no effect."""

    Method = LinearClassifier
    takes_steps = False
