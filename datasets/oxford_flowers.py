"""Flowers 102: 102 kinds of flowers. Class names and order as in CoOp."""

from dassl.data.datasets import DATASET_REGISTRY

from .annotated_dataset import AnnotatedDataset
from .annotations import parse_mat, read_json, unreadable
from .splits import Split, by_label, split_classes


@DATASET_REGISTRY.register()
class OxfordFlowers(AnnotatedDataset):
    """Flowers; the n-th label is that of the n-th image, and the official parts are not used."""

    dataset_dir = "oxford_flowers"
    image_subdir = "jpg"
    split_file = "split_zhou_OxfordFlowers.json"
    class_file = "cat_to_name.json"
    layout = (
        "oxford_flowers/jpg/*.jpg, oxford_flowers/{imagelabels.mat,cat_to_name.json} or split_zhou_OxfordFlowers.json"
    )
    source = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
    published = {"classes": 102, "train": 4093, "val": 1633, "test": 2463}

    def build_split(self) -> Split:
        return split_classes(by_label(self.read_annotation("imagelabels.mat")).values())

    def read_classes(self, path):
        names = read_json(path)
        try:
            return {int(number): (int(number) - 1, str(name)) for number, name in names.items()}
        except (AttributeError, ValueError) as error:
            raise unreadable(path, error) from error

    def parse_file(self, path):
        classes = parse_mat(path, "labels", lambda number: self.class_of(int(number)), "<class from 1>")
        return [(f"image_{number:05d}.jpg", label, name) for number, (label, name) in enumerate(classes, start=1)]
