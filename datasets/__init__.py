"""The datasets: importing this package registers every dataset file in this folder.

A new dataset is a new file here that decorates its class with `@DATASET_REGISTRY.register()`; nothing else is edited.
"""

import importlib
import pkgutil

__all__ = ["add_config"]


def add_config(cfg) -> None:
    """Add the configuration keys that only the datasets read, with their defaults, to a yacs `cfg`."""
    cfg.DATASET.SUBSAMPLE_CLASSES = "all"  # "all", "base" (first half of the classes) or "new" (second half)
    cfg.DATASET.FEW_SHOT_FILE = ""  # lists the training images, under the dataset's folder or DATASET.ROOT, or absolute
    cfg.DATASET.TEMPLATE = ""  # hand-written prompt, {} for the class name; "" for the dataset's usual one
    cfg.DATASET.ONLY_TESTED = False  # set by --eval-only: whether nothing is trained on
    cfg.DATASET.DIR = ""  # ImageFolder, ImageList: the folder with the images, under DATASET.ROOT or absolute
    cfg.DATASET.LIST = ""  # ImageList: the file that lists the images, as above
    cfg.DATASET.CLASSNAMES = ""  # ImageFolder, ImageList: names of the classes, as above; "": classnames.txt there


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
