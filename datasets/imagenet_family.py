"""What ImageNet and its variants share: one folder of images per class, and `classnames.txt`, which names the folders.

Folders are listed anew in each run, which takes seconds; nothing is cached.
"""

import os

from dassl.data.datasets import Datum
from support.user_error import DataError

from .annotations import parse_lines
from .split_dataset import SplitDataset
from .splits import ListedImage, Split, list_files, list_folders


def read_classnames(path: str) -> dict[str, str]:
    """Return {folder: class name} in the order of the file, whose lines are `<folder> <class name>`."""

    def parse(line: str) -> tuple[str, str]:
        folder, classname = line.split(" ", 1)
        return folder, classname

    return dict(parse_lines(path, parse, "<folder> <class name>"))


class ImageNetFamily(SplitDataset):
    """ImageNet or a variant; a few of ImageNet's classes share a name."""

    names_repeat = True

    def classnames_path(self) -> str:
        """Return the path of `classnames.txt`; ImageNet's own serves where a variant has no copy."""
        path = os.path.join(self.dataset_dir, "classnames.txt")
        original = os.path.join(os.path.dirname(self.dataset_dir), "imagenet", "classnames.txt")
        if not os.path.exists(path) and os.path.exists(original):
            return original
        self.require(path)
        return path

    def class_folders(self, parent: str) -> dict[str, str]:
        """Return {folder: class name} for the sorted folders in `parent`, so in the order of the labels."""
        path = self.classnames_path()
        classnames = read_classnames(path)
        self.require(parent)
        folders = list_folders(parent)
        if not folders:
            raise DataError(
                f"{type(self).__name__}: {parent} holds no class folders: sort the images into {self.layout}"
            )
        for folder in folders:
            if folder not in classnames:
                raise DataError(
                    f"{path} has no line for the folder {os.path.join(parent, folder)}: add it or remove the folder"
                )
        return {folder: classnames[folder] for folder in folders}

    def read_images(self, parent: str, folders: dict[str, str]) -> list[Datum]:
        """Return the images of `folders` in `parent`."""
        items = []
        for label, (folder, classname) in enumerate(folders.items()):
            class_dir = os.path.join(parent, folder)
            names = list_files(class_dir) if os.path.isdir(class_dir) else []
            if not names:
                raise DataError(
                    f'{type(self).__name__}: class "{classname}" has no images: {class_dir} is missing or empty'
                )
            items += [ListedImage(os.path.join(class_dir, name), label, classname=classname) for name in names]
        return items


class ImageNetVariant(ImageNetFamily):
    """Images to test an ImageNet model on, which has its own choice of ImageNet's classes."""

    only_tested = tested_whole = True

    def load_split(self) -> Split:
        items = self.read_images(self.image_dir, self.class_folders(self.image_dir))
        return items, [], items
