"""The learner at the end of training as a weighted mean of its states after each epoch.

Khattak et al., PromptSRC (arXiv 2307.06948), section 3.2.2: weights from a Gaussian over epochs, so that early,
untrained states and late, overfitted ones count less.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from support.user_error import CheckpointError, ConfigError


def gaussian_weights(epochs: int, mean: float, std: float, key: str) -> list[float]:
    """Weights of the epochs 1..``epochs``, which add up to 1.

    Raises:
        UserError: ``std`` is not positive, or ``mean`` is NaN or so far off that every weight is 0; ``key`` names
            the option.
    """
    if not std > 0:
        raise ConfigError(f"{key}_STD is {std}: it must be above 0")
    density = torch.exp(-0.5 * ((torch.arange(1, epochs + 1, dtype=torch.float64) - mean) / std) ** 2)
    if not 0 < density.sum() < math.inf:
        raise ConfigError(f"{key}_MEAN is {mean}: no epoch of 1 to {epochs} (OPTIM.MAX_EPOCH) is near it")
    return (density / density.sum()).tolist()


class EpochAverage:
    """Running weighted sum of a module's tensors."""

    def __init__(self, weights: list[float]):
        self.weights = weights
        self.total: dict[str, Tensor] = {}

    def add(self, module: nn.Module, epoch: int) -> None:
        """Add the state of ``module`` after ``epoch``, counted from 0; after the last one, load the mean into it."""
        tensors = module.state_dict()
        self.total = {name: self.total.get(name, 0) + self.weights[epoch] * tensors[name] for name in tensors}
        if epoch + 1 == len(self.weights):
            module.load_state_dict(self.total)

    def state(self) -> dict:
        """What a resumed run needs to go on with."""
        return {"weights": self.weights, "total": self.total}

    def load_state(self, state: dict | None, device: torch.device) -> None:
        """Go on from `state` of an earlier run.

        Raises:
            UserError: that run weighted its epochs otherwise, as one with another OPTIM.MAX_EPOCH, or kept no average.
        """
        if not state or state["weights"] != self.weights:
            raise CheckpointError(
                "an average over epochs cannot be continued with another OPTIM.MAX_EPOCH or other weights: choose "
                "another OUTPUT_DIR, or delete the folder"
            )
        self.total = {name: tensor.to(device) for name, tensor in state["total"].items()}
