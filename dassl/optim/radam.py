"""RAdam as upstream Dassl has it: Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", ICLR 2020."""

import torch
from torch.optim import Optimizer

__all__ = ["AdamW", "Optimizer", "PlainRAdam", "RAdam"]


class RAdam(torch.optim.RAdam):
    """torch's RAdam with decoupled weight decay.

    Args:
        degenerated_to_sgd: in the first steps, whose variance is not known yet, step along the momentum; otherwise only
            gather the moments.
    """

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        degenerated_to_sgd: bool = True,
    ):
        super().__init__(params, lr, betas, eps, weight_decay, decoupled_weight_decay=True)
        self.degenerated_to_sgd = degenerated_to_sgd

    def step(self, closure=None):
        if self.degenerated_to_sgd:
            return super().step(closure)
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        kept = [
            (parameter, parameter.detach().clone())
            for group in self.param_groups
            for parameter in group["params"]
            if parameter.grad is not None and not self._variance_is_known(parameter, group["betas"][1])
        ]
        super().step()
        with torch.no_grad():
            for parameter, value in kept:
                parameter.copy_(value)
        return loss

    def _variance_is_known(self, parameter: torch.Tensor, beta2: float) -> bool:
        """Whether the next step is rectified: its averages are as good as those of more than five gradients."""
        step = int(self.state[parameter].get("step", 0)) + 1
        return 2 / (1 - beta2) - 1 - 2 * step * beta2**step / (1 - beta2**step) > 5


PlainRAdam = RAdam  # upstream's differ in how they compute the same


class AdamW(torch.optim.AdamW):
    """torch's AdamW, whose rate grows linearly to ``lr`` over the first ``warmup`` steps."""

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        warmup: int = 0,
    ):
        super().__init__(params, lr, betas, eps, weight_decay)
        self.defaults["warmup"] = warmup
        for group in self.param_groups:
            group.setdefault("warmup", warmup)

    def step(self, closure=None):
        rates = [group["lr"] for group in self.param_groups]
        for group in self.param_groups:
            done = max((int(self.state[p].get("step", 0)) for p in group["params"]), default=0)
            if done + 1 < group["warmup"]:
                group["lr"] = 1e-8 + (done + 1) * group["lr"] / group["warmup"]
        try:
            return super().step(closure)
        finally:
            for group, rate in zip(self.param_groups, rates, strict=True):
                group["lr"] = rate
