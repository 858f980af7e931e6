"""Caltech-101: 100 kinds of objects (of 101 and a background folder). Class names and order as in CoOp."""

from dassl.data.datasets import DATASET_REGISTRY

from .split_dataset import SplitDataset


@DATASET_REGISTRY.register()
class Caltech101(SplitDataset):
    """Objects; the background is no class, and `Faces_easy` shows the same people as `Faces`."""

    dataset_dir = "caltech-101"
    image_subdir = "101_ObjectCategories"
    split_file = "split_zhou_Caltech101.json"
    layout = "caltech-101/101_ObjectCategories/<class>/*.jpg"
    source = "https://data.caltech.edu/records/mzrjq-6wc02"
    published = {"classes": 100, "train": 4128, "val": 1649, "test": 2465}
    ignored_folders = ("BACKGROUND_Google", "Faces_easy")
    new_names = {"airplanes": "airplane", "Faces": "face", "Leopards": "leopard", "Motorbikes": "motorbike"}
