"""Describable Textures: 47 textures. Class names and order as in CoOp."""

from dassl.data.datasets import DATASET_REGISTRY

from .split_dataset import SplitDataset
from .splits import TRAIN_SHARE, VAL_SHARE, split_class_folders


@DATASET_REGISTRY.register()
class DescribableTextures(SplitDataset):
    """The textures; its static method is the door through which CoOp's dataset files reach `splits`."""

    dataset_dir = "dtd"
    split_file = "split_zhou_DescribableTextures.json"
    layout = "dtd/images/<class>/*.jpg"
    source = "https://www.robots.ox.ac.uk/~vgg/data/dtd/"
    published = {"classes": 47, "train": 2820, "val": 1128, "test": 1692}

    @staticmethod
    def read_and_split_data(image_dir, p_trn=TRAIN_SHARE, p_val=VAL_SHARE, ignored=(), new_cnames=None):
        """Return (train, val, test) from class folders; see `splits.split_class_folders`."""
        return split_class_folders(image_dir, p_trn, p_val, ignored, new_cnames)
