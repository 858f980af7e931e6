"""A person's own images, one folder per class."""

import os
from itertools import chain

from dassl.data.datasets import DATASET_REGISTRY, Datum
from user_error import UserError, did_you_mean

from .split_dataset import SplitDataset
from .splits import ListedImage, Split, list_files, list_folders, split_classes, split_off_val

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


@DATASET_REGISTRY.register()
class ImageFolder(SplitDataset):
    """The images in `cfg.DATASET.DIR`, a folder under the data root or an absolute path.

    Two layouts:

    - `<dir>/{train,val,test}/<class>/*`: used as it is. Without `val`, a fifth of each class of train becomes val.
    - `<dir>/<class>/*`, no folder `test`: split 50/20/30 per class, once, and kept in `split_image_folder.json`.

    Labels follow the sorted folder names; "_" in a folder name reads as a space. Images end in one of SUFFIXES, in
    upper or lower case. Hidden files and folders are passed over, and so are files beside the class folders; other
    files in a class folder get a notice.
    """

    split_file = "split_image_folder.json"
    layout = "<DATASET.DIR>/{train,val,test}/<class>/*.{jpg,jpeg,png,webp,bmp} or <DATASET.DIR>/<class>/*"

    def locate(self, cfg) -> None:
        if not cfg.DATASET.DIR:
            raise UserError("ImageFolder: DATASET.DIR is empty: set it to the folder that holds your class folders")
        root = os.path.abspath(os.path.expanduser(cfg.DATASET.ROOT))
        self.dataset_dir = os.path.normpath(os.path.join(root, os.path.expanduser(cfg.DATASET.DIR)))
        self.image_dir = self.dataset_dir
        self.split_path = os.path.join(self.dataset_dir, self.split_file)

    def prepare(self) -> None:
        if not os.path.isdir(self.dataset_dir):
            raise UserError(f"ImageFolder: DATASET.DIR {self.dataset_dir} is no folder; expected: {self.layout}")

    def load_split(self) -> Split:
        parts = {part: os.path.join(self.dataset_dir, part) for part in ("train", "val", "test")}
        if os.path.isdir(parts["test"]):
            return self._read_parts(parts)
        if os.path.isdir(parts["train"]) and list_folders(parts["train"]):
            raise UserError(
                f"ImageFolder: {self.dataset_dir} has train/ but no test/: add test/<class>/, rename val/ to test/, "
                f"or put the class folders directly into {self.dataset_dir} to have them split"
            )
        classes = self._read_classes(self.dataset_dir, self._class_folders(self.dataset_dir))
        split = self.read_or_build(lambda: split_classes(classes))
        self._report_later_images(split, classes)
        return split

    def advice_on_split(self) -> str:
        return " (50 % train, 20 % val, 30 % test of each class); delete it to have new images split"

    def _read_parts(self, parts: dict[str, str]) -> Split:
        if not os.path.isdir(parts["train"]):
            raise UserError(f"ImageFolder: {self.dataset_dir} has test/ but no train/: add train/<class>/")
        folders = self._class_folders(parts["train"])
        train = list(chain.from_iterable(self._read_classes(parts["train"], folders)))
        test = list(chain.from_iterable(self._read_classes(parts["test"], folders)))
        if not os.path.isdir(parts["val"]):
            return *split_off_val(train), test
        return train, list(chain.from_iterable(self._read_classes(parts["val"], folders))), test

    def _class_folders(self, parent: str) -> list[str]:
        """Return the sorted class folders in `parent`, at least two, all with different class names."""
        folders = list_folders(parent)
        if len(folders) < 2:
            raise UserError(f"ImageFolder: {parent} holds {len(folders)} class folder(s), two or more are needed")
        seen: dict[str, str] = {}
        for folder in folders:
            other = seen.setdefault(_class_name(folder), folder)
            if other != folder:
                raise UserError(f'ImageFolder: "{other}" and "{folder}" in {parent} read as one class: rename one')
        return folders

    def _read_classes(self, parent: str, folders: list[str]) -> list[list[Datum]]:
        """Return one list of images for each class folder in `parent`; `folders` gives the labels."""
        present = list_folders(parent)
        if not present:
            raise UserError(f"ImageFolder: {parent} holds no class folders: sort its images into {parent}/<class>/")
        classes, left_out = [], []
        for folder in present:
            class_dir = os.path.join(parent, folder)
            if folder not in folders:
                raise UserError(
                    f'ImageFolder: {class_dir} has no counterpart: class "{_class_name(folder)}" has no folder in '
                    f"train/: add it there or remove it{did_you_mean(folder, folders)}"
                )
            label, paths = folders.index(folder), [os.path.join(class_dir, name) for name in list_files(class_dir)]
            images = [path for path in paths if path.lower().endswith(SUFFIXES)]
            left_out += [path for path in paths if not path.lower().endswith(SUFFIXES)]
            if not images:
                raise UserError(
                    f"ImageFolder: class folder {class_dir} holds no images ({', '.join(SUFFIXES)}): fill or remove it"
                )
            classes.append([ListedImage(path, label, classname=_class_name(folder)) for path in images])
        if left_out:
            kinds = ", ".join(SUFFIXES)
            print(f"notice: left out {len(left_out)} file(s) that are not {kinds}, the first is {left_out[0]}")
        without = [folder for folder in folders if folder not in present]
        if without:
            print(f"notice: no images in {parent} for {len(without)} class(es), the first is {without[0]}")
        return classes

    def _report_later_images(self, split: Split, classes: list[list[Datum]]) -> None:
        later = {item.impath for items in classes for item in items} - {item.impath for part in split for item in part}
        if later:
            print(
                f"notice: {len(later)} image(s) came after {self.split_path} was made and are not used; delete it to "
                "have the folder split anew"
            )


def _class_name(folder: str) -> str:
    name = " ".join(folder.replace("_", " ").split())
    if not name:
        raise UserError(f'ImageFolder: class folder "{folder}" reads as an empty name: rename it')
    return name
