"""ImageNet (ILSVRC 2012): 1,000 classes. Class names from `classnames.txt`, order of the sorted folder names."""

import os

from dassl.data.datasets import DATASET_REGISTRY, Datum
from user_error import UserError, did_you_mean

from .split_dataset import SplitDataset
from .splits import ListedImage, Split, list_files, list_folders, sample_few_shot


@DATASET_REGISTRY.register()
class ImageNet(SplitDataset):
    """ImageNet as in CoOp: its official val images serve as test *and* as val.

    They are never sampled. Choosing a model on val (`TEST.FINAL_MODEL best_val`) would here be choosing on test.
    Folders are listed anew in each run, which takes seconds; nothing is cached.
    """

    dataset_dir = "imagenet"
    layout = "imagenet/images/{train,val}/<wnid>/*.JPEG, imagenet/classnames.txt (lines: <wnid> <class name>)"
    source = "https://image-net.org"

    def load_split(self) -> Split:
        path = os.path.join(self.dataset_dir, "classnames.txt")
        self.require(path)
        classnames = self.read_classnames(path)
        train_dir, test_dir = (os.path.join(self.image_dir, part) for part in ("train", "val"))
        wnids = self._class_folders(train_dir)
        for wnid in wnids:
            if wnid not in classnames:
                raise UserError(f"{path} has no line for the folder {os.path.join(train_dir, wnid)}: add it")
        for wnid in self._class_folders(test_dir):
            if wnid not in wnids:
                raise UserError(
                    f'{os.path.join(test_dir, wnid)} has no counterpart: class "{classnames.get(wnid, wnid)}" has no '
                    f"images in {train_dir}: add or remove the folder{did_you_mean(wnid, wnids)}"
                )
        train, test = self._read(train_dir, wnids, classnames), self._read(test_dir, wnids, classnames)
        return train, test, test

    def few_shot(self, train: list[Datum], val: list[Datum], shots: int, seed: int) -> tuple[list[Datum], list[Datum]]:
        return sample_few_shot(train, [], shots, seed)[0], val

    @staticmethod
    def read_classnames(text_file: str) -> dict[str, str]:
        """Return {folder name: class name} in the order of the file, whose lines are `<folder> <class name>`."""
        classnames = {}
        with open(text_file, encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                folder, _, classname = line.strip().partition(" ")
                if not classname:
                    raise UserError(f'{text_file}, line {number}: expected "<folder> <class name>", found "{folder}"')
                classnames[folder] = classname
        return classnames

    def _class_folders(self, part_dir: str) -> list[str]:
        self.require(part_dir)
        folders = list_folders(part_dir)
        if not folders:
            raise UserError(f"ImageNet: {part_dir} holds no class folders: sort the images into {self.layout}")
        return folders

    def _read(self, part_dir: str, wnids: list[str], classnames: dict[str, str]) -> list[Datum]:
        items = []
        for label, wnid in enumerate(wnids):
            class_dir = os.path.join(part_dir, wnid)
            names = list_files(class_dir) if os.path.isdir(class_dir) else []
            if not names:
                raise UserError(f'ImageNet: class "{classnames[wnid]}" has no images: {class_dir} is missing or empty')
            items += [ListedImage(os.path.join(class_dir, name), label, classname=classnames[wnid]) for name in names]
        return items
