"""ImageNet (ILSVRC 2012): 1,000 classes. Class names from `classnames.txt`, order of the sorted folder names."""

import os

from dassl.data.datasets import DATASET_REGISTRY, Datum
from support.user_error import DataError, did_you_mean

from .imagenet_family import ImageNetFamily, read_classnames
from .splits import Split, sample_few_shot


@DATASET_REGISTRY.register()
class ImageNet(ImageNetFamily):
    """ImageNet as in CoOp: its official val images serve as test *and* as val, and are never sampled."""

    dataset_dir = "imagenet"
    layout = "imagenet/images/{train,val}/<wnid>/*.JPEG, imagenet/classnames.txt (lines: <wnid> <class name>)"
    source = "https://image-net.org"
    published = {"classes": 1000, "train": 1281167, "val": 50000, "test": 50000}

    def __init__(self, cfg):
        super().__init__(cfg)
        if cfg.TEST.FINAL_MODEL == "best_val":
            self._val = None  # they are the test images; with no others to choose by, trainers refuse to train

    def load_split(self) -> Split:
        train_dir, test_dir = (os.path.join(self.image_dir, part) for part in ("train", "val"))
        folders = self.class_folders(train_dir)
        for folder, classname in self.class_folders(test_dir).items():
            if folder not in folders:
                raise DataError(
                    f'{os.path.join(test_dir, folder)} has no counterpart: class "{classname}" has no images in '
                    f"{train_dir}: add or remove the folder{did_you_mean(folder, folders)}"
                )
        test = self.read_images(test_dir, folders)
        return self.read_images(train_dir, folders), test, test

    def few_shot(self, train: list[Datum], val: list[Datum], shots: int, seed: int) -> tuple[list[Datum], list[Datum]]:
        return sample_few_shot(train, [], shots, seed)[0], val

    @staticmethod
    def read_classnames(text_file):
        """Return {folder: class name}; the door through which CoOp's dataset files reach `read_classnames`."""
        return read_classnames(text_file)
