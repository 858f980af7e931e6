"""Fashion-MNIST: 70,000 photographs of clothes, 28 x 28 pixels, grey (Xiao, Rasul and Vollgraf, 2017)."""

import os

import numpy as np

from dassl.data.datasets import DATASET_REGISTRY, Datum
from support.user_error import DataError

from .fashion_images import CLASSES, SIZE, write_images
from .generated_dataset import GeneratedDataset
from .idx_files import read_idx
from .splits import Split, split_off_val


@DATASET_REGISTRY.register()
class FashionMNIST(GeneratedDataset):
    """The published files, written as PNG on first use, into a folder beside them.

    The test images are the published ones. The published training images are divided into train and val by CoOp's rule
    (`splits.split_off_val`): a fifth of each class becomes val, drawn with a fixed seed. So a class has 4,800 images in
    train, 1,200 in val and 1,000 in test.
    """

    dataset_dir = "fashion_mnist"
    image_subdir = "png"
    split_file = "png/split_fashion_mnist.json"
    layout = "fashion_mnist/{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz"
    source = "https://github.com/zalandoresearch/fashion-mnist"
    published = {"classes": 10, "train": 48000, "val": 12000, "test": 10000}
    in_coops_paper = False

    def require_sources(self) -> None:
        self.require(self.dataset_dir)
        for part in ("train", "t10k"):
            for path in self.published_files(part):
                self.require(path)

    def generate(self, image_dir: str) -> Split:
        sources = {part: self.read_published(part) for part in ("train", "t10k")}  # both, before one is written
        train, val = split_off_val(self._write(image_dir, "train", *sources["train"]))
        return train, val, self._write(image_dir, "test", *sources["t10k"])

    def published_files(self, part: str) -> tuple[str, str]:
        """Return the paths of the images and of the labels of a part, "train" or "t10k" (the test images)."""
        names = (f"{part}-images-idx3-ubyte.gz", f"{part}-labels-idx1-ubyte.gz")
        return os.path.join(self.dataset_dir, names[0]), os.path.join(self.dataset_dir, names[1])

    def read_published(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Return images (N, 28, 28) and labels (N,), both uint8, of a part.

        Raises:
            UserError: a file is damaged, or they do not belong together.
        """
        image_file, label_file = self.published_files(part)
        images, labels = read_idx(image_file, 3), read_idx(label_file, 1)
        if images.shape[1:] != (SIZE, SIZE):
            raise DataError(
                f"{image_file} holds images of {images.shape[1]} x {images.shape[2]} pixels, not {SIZE} x {SIZE}: get "
                "the file again"
            )
        if len(images) != len(labels):
            raise DataError(f"{label_file} has {len(labels):,} labels for {len(images):,} images: get both files again")
        if set(labels.tolist()) != set(range(len(CLASSES))):
            raise DataError(f"{label_file} does not hold the labels 0 to {len(CLASSES) - 1}: get the file again")
        return images, labels

    def _write(self, image_dir: str, part: str, images: np.ndarray, labels: np.ndarray) -> list[Datum]:
        return write_images(image_dir, images, labels, [f"{part}_{index:05d}" for index in range(len(images))])
