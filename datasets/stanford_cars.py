"""Stanford Cars: 196 models of cars. Class names and order as in CoOp."""

import re

from dassl.data.datasets import DATASET_REGISTRY

from .annotated_dataset import AnnotatedDataset
from .annotations import parse_mat
from .splits import Split, split_off_val


@DATASET_REGISTRY.register()
class StanfordCars(AnnotatedDataset):
    """Cars; a class name begins with the year, which the annotations put last."""

    dataset_dir = "stanford_cars"
    image_subdir = "."
    split_file = "split_zhou_StanfordCars.json"
    class_file = "devkit/cars_meta.mat"
    entry_layout = "fields fname, class (from 1)"
    layout = (
        "stanford_cars/{cars_train,cars_test}/*.jpg, stanford_cars/{devkit/cars_meta,devkit/cars_train_annos,"
        "cars_test_annos_withlabels}.mat or split_zhou_StanfordCars.json"
    )
    source = "https://ai.stanford.edu/~jkrause/cars/car_dataset.html"
    published = {"classes": 196, "train": 6509, "val": 1635, "test": 8041}

    def build_split(self) -> Split:
        train, val = split_off_val(self.read_annotation("devkit/cars_train_annos.mat", "cars_train"))
        return train, val, self.read_annotation("cars_test_annos_withlabels.mat", "cars_test")

    def read_classes(self, path):
        names = parse_mat(path, "class_names", lambda name: re.sub("(.*) (.*)", r"\2 \1", name), "<model> <year>")
        return {label + 1: (label, name) for label, name in enumerate(names)}

    def parse_file(self, path):
        return parse_mat(path, "annotations", self.parse, self.entry_layout)

    def parse(self, entry):
        return str(entry["fname"]), *self.class_of(int(entry["class"]))
