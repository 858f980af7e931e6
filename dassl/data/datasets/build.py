from dassl.utils import Registry, check_availability
from dassl.utils.distributed import main_first

__all__ = ["DATASET_REGISTRY", "Registry", "build_dataset", "check_availability"]

DATASET_REGISTRY = Registry("DATASET")


def images_as_shown(cfg) -> bool:
    """Whether the images of the dataset that ``cfg.DATASET.NAME`` names are read as a viewer shows them."""
    name = cfg.DATASET.NAME
    known = name in DATASET_REGISTRY.registered_names()  # a trainer of others may build loaders without a dataset
    return known and getattr(DATASET_REGISTRY.get(name), "images_as_shown", False)


def build_dataset(cfg):
    """Build the dataset that ``cfg.DATASET.NAME`` names."""
    dataset = DATASET_REGISTRY.get(cfg.DATASET.NAME)
    if cfg.VERBOSE:
        print(f"Loading dataset: {cfg.DATASET.NAME}")
    with main_first():  # it may write its images, or a split file
        return dataset(cfg)
