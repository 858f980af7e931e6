"""Datasets whose annotation files say which images there are and what they show."""

import os
from collections.abc import Hashable
from functools import cached_property
from typing import Any

from dassl.data.datasets import Datum
from support.user_error import DataError

from .annotations import parse_lines
from .split_dataset import SplitDataset
from .splits import ListedImage, Split, require_images, split_off_val


class AnnotatedDataset(SplitDataset):
    """A dataset with one annotation file for training and validation and one for testing, divided as in CoOp.

    A subclass says how an entry of these files is read, and which classes they speak of.
    """

    trainval_file = ""  # annotation files under `dataset_dir`
    test_file = ""
    class_file = ""  # the file under `dataset_dir` that lists the classes
    entry_layout = ""  # what an entry of an annotation file looks like, for messages

    def parse(self, entry: Any) -> tuple[str, int, str]:
        """Return (path of the image, label, class name) for an entry of an annotation file.

        Raises:
            ValueError: the entry does not look like `entry_layout`.
            LookupError: its class is unknown.
        """
        raise NotImplementedError

    def read_classes(self, path: str) -> dict[Hashable, tuple[int, str]]:
        """Return {class as the annotation files write it: (label, class name)} from the class file."""
        raise NotImplementedError

    def load_split(self) -> Split:
        return self.read_or_build(self.build_split)

    def build_split(self) -> Split:
        """Return (train, val, test), all classes, all images, from the annotation files."""
        train, val = split_off_val(self.read_annotation(self.trainval_file))
        return train, val, self.read_annotation(self.test_file)

    def read_annotation(self, name: str, folder: str = "") -> list[Datum]:
        """Read the annotation file `name`; its images are in `folder` of the image folder.

        Raises:
            UserError: the file cannot be understood, or images that it lists are missing.
        """
        path = self.require_file(name)
        items = [
            ListedImage(os.path.join(self.image_dir, folder, image), label, classname=classname)
            for image, label, classname in self.parse_file(path)
        ]
        if not items:
            raise DataError(f"{path} lists no images: get the file again")
        require_images(items, path)
        return items

    def parse_file(self, path: str) -> list[tuple[str, int, str]]:
        """Return (path of the image, label, class name) for each entry of an annotation file."""
        return parse_lines(path, self.parse, self.entry_layout)

    def class_of(self, key: Hashable) -> tuple[int, str]:
        """Return (label, class name) of a class as the annotation files write it.

        Raises:
            LookupError: the class file does not list it.
        """
        if key not in self._classes:
            raise LookupError(f'class "{key}" is not in {os.path.join(self.dataset_dir, self.class_file)}')
        return self._classes[key]

    def require_file(self, name: str) -> str:
        """Return the path of the annotation file `name`, which must be there."""
        path = os.path.join(self.dataset_dir, name)
        self.require(path)
        return path

    @cached_property
    def _classes(self) -> dict[Hashable, tuple[int, str]]:
        return self.read_classes(self.require_file(self.class_file))
