"""Food-101: 101 dishes. Class names and order as in CoOp."""

from dassl.data.datasets import DATASET_REGISTRY

from .split_dataset import SplitDataset


@DATASET_REGISTRY.register()
class Food101(SplitDataset):
    """Dishes; the official parts are not used."""

    dataset_dir = "food-101"
    split_file = "split_zhou_Food101.json"
    layout = "food-101/images/<class>/*.jpg"
    source = "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/"
    published = {"classes": 101, "train": 50500, "val": 20200, "test": 30300}
