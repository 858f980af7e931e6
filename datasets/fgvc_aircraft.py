"""FGVC-Aircraft: 100 variants of aircraft. Class names and order as in CoOp."""

from dassl.data.datasets import DATASET_REGISTRY

from .annotated_dataset import AnnotatedDataset
from .annotations import read_lines
from .splits import PARTS, Split


@DATASET_REGISTRY.register()
class FGVCAircraft(AnnotatedDataset):
    """Aircraft; the official train, val and test are used as they are, so there is no split file."""

    dataset_dir = "fgvc_aircraft"
    class_file = "variants.txt"
    entry_layout = "<image> <variant>"
    layout = "fgvc_aircraft/images/*.jpg, fgvc_aircraft/{variants,images_variant_{train,val,test}}.txt"
    source = "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/"
    published = {"classes": 100, "train": 3334, "val": 3333, "test": 3333}

    def load_split(self) -> Split:
        train, val, test = (self.read_annotation(f"images_variant_{part}.txt") for part in PARTS)
        return train, val, test

    def read_classes(self, path):
        return {variant: (label, variant) for label, (_, variant) in enumerate(read_lines(path))}

    def parse(self, line):
        image, variant = line.split(" ", 1)
        return f"{image}.jpg", *self.class_of(variant)
