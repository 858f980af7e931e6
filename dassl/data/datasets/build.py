from dassl.utils import Registry, check_availability
from dassl.utils.distributed import main_first

__all__ = ["DATASET_REGISTRY", "Registry", "build_dataset", "check_availability"]

DATASET_REGISTRY = Registry("DATASET")


def build_dataset(cfg):
    """Build the dataset that ``cfg.DATASET.NAME`` names."""
    dataset = DATASET_REGISTRY.get(cfg.DATASET.NAME)
    if cfg.VERBOSE:
        print(f"Loading dataset: {cfg.DATASET.NAME}")
    with main_first():  # it may write its images, or a split file
        return dataset(cfg)
