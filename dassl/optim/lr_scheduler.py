"""Learning rates per epoch, with a warm-up, equal to those of upstream Dassl.

With k the epoch, counted from 0, and W the number of warm-up epochs, the rate of a parameter group is

    warm-up, k < W:   constant: c            linear: m in the first epoch, then base * k / W
    after it:         base * decay(k - W)    WARMUP_RECOUNT
                      base * decay(k) / decay(W)    otherwise; without a warm-up W = 0

where decay(k) is (1 + cos(pi k / MAX_EPOCH)) / 2 for cosine, GAMMA ** (k // STEPSIZE) for single_step, and GAMMA to the
number of milestones up to k for multi_step.
"""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from dassl.utils import CheckpointError, ConfigError, check_availability

AVAI_SCHEDS = ["single_step", "multi_step", "cosine"]


class EpochScheduler(LRScheduler):
    """Sets each group's rate as the formula above says; its state is the number of epochs done.

    Args:
        optimizer: its groups' rates at this moment are the base rates.
        optim_cfg: the OPTIM node of a config.
    """

    def __init__(self, optimizer: Optimizer, optim_cfg):
        self._cfg = optim_cfg
        self._stepsize = _stepsize(optim_cfg)
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        cfg, epoch, warmup = self._cfg, self.last_epoch, max(self._cfg.WARMUP_EPOCH, 0)
        if epoch < warmup:
            if cfg.WARMUP_TYPE == "constant":
                return [cfg.WARMUP_CONS_LR for _ in self.base_lrs]
            return [base * epoch / warmup if epoch > 0 else cfg.WARMUP_MIN_LR for base in self.base_lrs]
        if epoch == warmup:
            factor = 1.0
        elif cfg.WARMUP_RECOUNT or warmup == 0:
            factor = self._decay(epoch - warmup)
        else:
            factor = self._decay(epoch) / self._decay(warmup)
        return [base * factor for base in self.base_lrs]

    def _decay(self, epoch: int) -> float:
        if self._cfg.LR_SCHEDULER == "cosine":
            return (1 + math.cos(math.pi * epoch / self._cfg.MAX_EPOCH)) / 2
        if self._cfg.LR_SCHEDULER == "single_step":
            return self._cfg.GAMMA ** (epoch // self._stepsize)
        return self._cfg.GAMMA ** sum(milestone <= epoch for milestone in self._stepsize)

    def state_dict(self) -> dict:
        return {"last_epoch": self.last_epoch}

    def load_state_dict(self, state_dict: dict) -> None:
        if "successor" in state_dict:
            raise CheckpointError(
                "cannot resume a run of upstream Dassl, whose scheduler was saved as an object: only test it, with "
                "--eval-only --model-dir"
            )
        self.last_epoch = state_dict["last_epoch"]
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]


class _BaseWarmupScheduler(LRScheduler):
    """Warms up for ``warmup_epoch`` epochs, then hands over to the scheduler ``successor``.

    Trainers that build their own schedule wrap it in one of these; `build_lr_scheduler` does without.
    """

    def __init__(self, optimizer: Optimizer, successor: LRScheduler, warmup_epoch: int, last_epoch=-1, verbose=False):
        self.successor = successor
        self.warmup_epoch = warmup_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch >= self.warmup_epoch:
            return self.successor.get_last_lr()
        return self._warmup_lr()

    def _warmup_lr(self) -> list[float]:
        raise NotImplementedError

    def step(self, epoch=None) -> None:
        if self.last_epoch < self.warmup_epoch:
            super().step(epoch)
            return
        self.successor.step(epoch)
        self._last_lr = self.successor.get_last_lr()

    def state_dict(self) -> dict:
        """Numbers only, as a checkpoint holds no objects."""
        return {"last_epoch": self.last_epoch, "after_warmup": self.successor.state_dict()}

    def load_state_dict(self, state_dict: dict) -> None:
        self.last_epoch = state_dict["last_epoch"]
        self.successor.load_state_dict(state_dict["after_warmup"])
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]


class ConstantWarmupScheduler(_BaseWarmupScheduler):
    """The rate ``cons_lr`` in the warm-up."""

    def __init__(self, optimizer, successor, warmup_epoch: int, cons_lr: float, last_epoch=-1, verbose=False):
        self.cons_lr = cons_lr
        super().__init__(optimizer, successor, warmup_epoch, last_epoch, verbose)

    def _warmup_lr(self) -> list[float]:
        return [self.cons_lr for _ in self.base_lrs]


class LinearWarmupScheduler(_BaseWarmupScheduler):
    """The rate ``min_lr`` in the first epoch of the warm-up, then a linear rise to the base rate."""

    def __init__(self, optimizer, successor, warmup_epoch: int, min_lr: float, last_epoch=-1, verbose=False):
        self.min_lr = min_lr
        super().__init__(optimizer, successor, warmup_epoch, last_epoch, verbose)

    def _warmup_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return [self.min_lr for _ in self.base_lrs]
        return [base * self.last_epoch / self.warmup_epoch for base in self.base_lrs]


def build_lr_scheduler(optimizer: Optimizer, optim_cfg) -> EpochScheduler:
    """Build the schedule that ``optim_cfg`` (the OPTIM node of a config) describes; step it once per epoch."""
    check_availability(optim_cfg.LR_SCHEDULER, AVAI_SCHEDS, "OPTIM.LR_SCHEDULER")
    check_availability(optim_cfg.WARMUP_TYPE, ["linear", "constant"], "OPTIM.WARMUP_TYPE")
    if optim_cfg.MAX_EPOCH < 1:
        raise ConfigError(f"OPTIM.MAX_EPOCH must be at least 1, got {optim_cfg.MAX_EPOCH}")
    return EpochScheduler(optimizer, optim_cfg)


def _stepsize(optim_cfg) -> int | list[int]:
    """The step of single_step, the milestones of multi_step."""
    stepsize = optim_cfg.STEPSIZE
    if optim_cfg.LR_SCHEDULER == "single_step":
        if isinstance(stepsize, (list, tuple)) and stepsize:
            stepsize = stepsize[-1]
        if not isinstance(stepsize, int):
            raise ConfigError(f"OPTIM.STEPSIZE of single_step must be a number of epochs, got {stepsize!r}")
        return stepsize if stepsize > 0 else optim_cfg.MAX_EPOCH
    if not isinstance(stepsize, (list, tuple)) or not all(isinstance(milestone, int) for milestone in stepsize):
        raise ConfigError(f"OPTIM.STEPSIZE of {optim_cfg.LR_SCHEDULER} must be a list of epochs, got {stepsize!r}")
    return [milestone for milestone in stepsize if milestone > 0]
