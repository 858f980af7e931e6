"""Linear probe: multinomial logistic regression on frozen CLIP's image features.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021 (arXiv 2103.00020);
the few-shot protocol is that of CoOp (Zhou et al., IJCV 2022, arXiv 2109.01134), whose code stands in lpclip/ of
https://github.com/KaiyangZhou/CoOp (MIT). As there, features are not normalised, images not augmented, and the inverse
strength C of the L2 penalty is the one that is best on the val images; without any it is 1, also on ImageNet, whose
test images lpclip takes for that. lpclip draws few-shot images of its own; here they are those of the other methods.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dassl.engine import TRAINER_REGISTRY
from support.user_error import DataError
from trainers.class_bound import ClassBound
from trainers.closed_set import ClosedSetTrainer

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


class LinearClassifier(ClassBound):
    """Weight (C, e) and bias (C,), one row per class."""

    def __init__(self, class_names: list[str], width: int):
        super().__init__(class_names, {"weight": 0, "bias": 0})
        self.weight = nn.Parameter(torch.zeros(len(class_names), width))
        self.bias = nn.Parameter(torch.zeros(len(class_names)))

    def forward(self, features: Tensor) -> Tensor:
        return F.linear(features, self.weight, self.bias)

    @torch.no_grad()
    def set_to(self, regression: LogisticRegression) -> None:
        """Take over a regression's coefficients. Its one row for two classes becomes two here, of half the size."""
        weight, bias = torch.from_numpy(regression.coef_), torch.from_numpy(regression.intercept_)
        if len(weight) == 1:
            weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
        self.weight.copy_(weight)
        self.bias.copy_(bias)


@TRAINER_REGISTRY.register()
class LinearProbe(ClosedSetTrainer):
    """Fits once; OPTIM has no effect."""

    searches_on_val = True
    config_node = "LINEAR_PROBE"
    config_defaults = {"PREC": "fp16"}

    @classmethod
    def knows_new_classes(cls, cfg) -> bool:
        return False

    def check_cfg(self, cfg) -> None:
        super().check_cfg(cfg)
        self.check_one_epoch(cfg)

    def build_head(self, cfg, class_names, clip_model) -> LinearClassifier:
        return LinearClassifier(class_names, clip_model.text_projection.shape[1])

    def run_epoch(self) -> None:
        if self.num_classes < 2:
            raise DataError(f"LinearProbe tells classes apart, but {self.cfg.DATASET.NAME} has one here")
        with self.counted():
            features, labels = self._arrays(self.encode(self.all_train_images(augmented=False), "train features"))
            val = self.val_features(f"C is {DEFAULT_C}")
            c = DEFAULT_C
            if val is not None:
                val_features, val_labels = self._arrays(val)
                c = best_c(lambda c: fit(features, labels, c).score(val_features, val_labels))
                print(f"C {c:.4g} is best on the {len(val_labels)} val images")
            self.learner.set_to(fit(features, labels, c))

    @staticmethod
    def _arrays(encoded: tuple[Tensor, Tensor]) -> tuple[np.ndarray, np.ndarray]:
        features, labels = encoded
        return features.double().cpu().numpy(), labels.cpu().numpy()
