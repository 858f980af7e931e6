"""What Fashion-MNIST and its embedded subset share: the classes, and the images as files."""

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image

from dassl.data.datasets import Datum
from dassl.utils import progress_bar

from .splits import ListedImage

CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
SIZE = 28  # pixels, both ways


def write_images(image_dir: str, images: np.ndarray, labels: np.ndarray, stems: Sequence[str]) -> list[Datum]:
    """Write grey images as PNG, which keeps every pixel, and return them in the same order.

    Args:
        image_dir: the folder; each class has a folder in it.
        images: (N, 28, 28) uint8.
        labels: (N,) whole numbers, each a place in CLASSES.
        stems: N names of files, without ".png".
    """
    folders = [os.path.join(image_dir, name.replace(" ", "_")) for name in CLASSES]
    for folder in folders:
        os.makedirs(folder, exist_ok=True)
    written = []
    lines = zip(images, labels.tolist(), stems, strict=True)
    for pixels, label, stem in progress_bar(lines, total=len(images), desc="writing images", unit=" images"):
        path = os.path.join(folders[label], f"{stem}.png")
        Image.fromarray(pixels).save(path)
        written.append(ListedImage(path, label, classname=CLASSES[label]))
    return written
