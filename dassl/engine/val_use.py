"""What a run needs its val split for: the one place that says so."""

import inspect

from .build import TRAINER_REGISTRY


def chooses_epoch_on_val(cfg) -> bool:
    """Whether the model that is tested in the end is the best of all epochs on the val split."""
    return cfg.TEST.FINAL_MODEL == "best_val" and not cfg.TEST.NO_TEST


def tests_its_val_images(dataset) -> bool:
    """Whether test images are among the val images, as ImageNet's are: nothing may be chosen on those."""
    test = {item.impath for item in dataset.test}
    return any(item.impath in test for item in dataset.val or ())


def use_of_val(cfg, only_tests: bool = False) -> str:
    """Return what uses the val images in the run that `cfg` describes, as subject and verb of a sentence; "": nothing.

    A trainer that looks at its val images in training has the attribute `searches_on_val`. One that was written for
    upstream's Dassl cannot say so: there its source has to name the loader.

    Args:
        only_tests: whether the run trains nothing.
    """
    if cfg.TEST.SPLIT == "val":
        return "TEST.SPLIT val tests on them"
    if cfg.TEST.CALIBRATE:
        return "TEST.CALIBRATE fits the temperature on them"
    if only_tests:
        return ""
    if chooses_epoch_on_val(cfg):
        return "TEST.FINAL_MODEL best_val chooses the epoch on them"
    name = cfg.TRAINER.NAME
    trainer = TRAINER_REGISTRY.get(name) if name in TRAINER_REGISTRY.registered_names() else None
    if getattr(trainer, "searches_on_val", False):
        return f"{name} chooses its settings on them"
    if trainer and not hasattr(trainer, "config_node") and "val_loader" in _source(trainer):
        return f"{name} has a use for them"
    return ""


def _source(trainer: type) -> str:
    """Return the source of a class and of those that it derives from, without those of this package."""
    try:
        return "".join(
            inspect.getsource(base) for base in trainer.__mro__[:-1] if not base.__module__.startswith("dassl.")
        )
    except (AttributeError, OSError, TypeError):  # no class, or one without a file
        return ""
