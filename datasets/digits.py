"""The 1,797 handwritten digits that are bundled with scikit-learn (UCI "Optical Recognition of Handwritten Digits")."""

import os

import numpy as np
from PIL import Image

from dassl.data.datasets import DATASET_REGISTRY, Datum

from .generated_dataset import GeneratedDataset
from .splits import Split, split_classes

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
SIZE = 32


@DATASET_REGISTRY.register()
class Digits(GeneratedDataset):
    """White digits on black, real handwriting; needs no network. 50/20/30 per class."""

    dataset_dir = "digits"
    split_file = "split_digits.json"

    def generate(self, image_dir: str) -> Split:
        from sklearn.datasets import load_digits  # Slow to import, and needed once in the life of a data folder.

        classes = [[] for _ in NAMES]
        for name in NAMES:
            os.mkdir(os.path.join(image_dir, name))
        digits = load_digits()
        for index, pixels in enumerate(digits.images):  # (8, 8), 0 to 16
            label = int(digits.target[index])
            path = os.path.join(image_dir, NAMES[label], f"{index:04d}.png")
            image = Image.fromarray(np.round(pixels * (255 / 16)).astype(np.uint8))
            image.resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(path)
            classes[label].append(Datum(impath=path, label=label, classname=NAMES[label]))
        return split_classes(classes)
