from .build import TRAINER_REGISTRY, build_trainer
from .trainer import SimpleTrainer, TrainerX
from .trainer_base import TrainerBase

__all__ = ["TRAINER_REGISTRY", "SimpleTrainer", "TrainerBase", "TrainerX", "build_trainer"]
