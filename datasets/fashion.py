"""3,000 photographs of clothes from Fashion-MNIST, which come with this repository.

`fashion.npz` holds the first images of each class in the published order: `images` (3000, 28, 28) uint8, `labels`
(3000,) uint8 and `parts` (3000,) "train", "val" or "test". The pixels are the published ones.

Source: Xiao, Rasul and Vollgraf, "Fashion-MNIST", 2017, https://github.com/zalandoresearch/fashion-mnist. Copyright (c)
2017 Zalando SE, MIT licence: `fashion_licence.txt`. `fashion_mnist.py` is the whole of it.
"""

from pathlib import Path

import numpy as np

from dassl.data.datasets import DATASET_REGISTRY

from .fashion_images import write_images
from .generated_dataset import GeneratedDataset
from .splits import PARTS, Split

STORED = Path(__file__).with_name("fashion.npz")


@DATASET_REGISTRY.register()
class Fashion(GeneratedDataset):
    """Clothes, grey on black; needs no network. 50 training, 50 validation and 200 test images per class."""

    dataset_dir = "fashion"
    split_file = "split_fashion.json"
    source = "https://github.com/zalandoresearch/fashion-mnist"

    def generate(self, image_dir: str) -> Split:
        with np.load(STORED, allow_pickle=False) as stored:
            images, labels, parts = stored["images"], stored["labels"], stored["parts"]
        stems = [f"{part}_{index:04d}" for index, part in enumerate(parts)]
        items = write_images(image_dir, images, labels, stems)
        train, val, test = ([items[index] for index in np.flatnonzero(parts == part)] for part in PARTS)
        return train, val, test
