from dassl.utils import Registry, check_availability

__all__ = ["TRAINER_REGISTRY", "Registry", "build_trainer", "check_availability"]

TRAINER_REGISTRY = Registry("TRAINER")


def build_trainer(cfg):
    """Build the trainer that ``cfg.TRAINER.NAME`` names."""
    trainer = TRAINER_REGISTRY.get(cfg.TRAINER.NAME)
    if cfg.VERBOSE:
        print(f"Loading trainer: {cfg.TRAINER.NAME}")
    return trainer(cfg)
