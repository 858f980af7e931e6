from .lr_scheduler import EpochScheduler, build_lr_scheduler
from .optimizer import build_optimizer

__all__ = ["EpochScheduler", "build_lr_scheduler", "build_optimizer"]
