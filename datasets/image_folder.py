"""A person's own images, one folder per class."""

import os
from itertools import chain

from dassl.data.datasets import DATASET_REGISTRY, Datum
from dassl.utils.image_formats import describe_unread, is_image, suffixes_read, unread_format
from support.folders import scan, walk
from support.user_error import DataError, did_you_mean

from .class_names import normal_form
from .own_images import PART_OF, OwnImages, report_classes_without_images, under_root
from .splits import ListedImage, Split, list_files, list_folders, require_utf8

LISTS = (".csv", ".tsv", ".jsonl")


@DATASET_REGISTRY.register()
class ImageFolder(OwnImages):
    """The images in `cfg.DATASET.DIR`, a folder under the data root or an absolute path.

    Two layouts, which are also those of torchvision's and Hugging Face's image folders:

    - `<dir>/{train,val,test}/<class>/**`: used as it is. Without `val`, a fifth of each class of train becomes val in
      runs that use val images, see `dassl/engine/val_use.py`. A run that only tests needs `test` alone. The part
      folders may have the other names in NAMES_OF_PARTS, such as `validation`, in upper or lower case.
    - `<dir>/<class>/**`: split 50/20/30 per class, once, and kept in `split_image_folder.json`; FEWEST_TO_SPLIT or more
      images of each class are needed. A run that only tests takes the test images of that split.

    Labels follow the sorted folder names; OwnImages tells where class names come from. Images end in one of
    `image_formats.suffixes_read`, in upper or lower case, and count to the class however deep they lie in its folder.
    Links are followed, but none may lead to a folder twice. Hidden files and folders and those of systems (see
    `support.system_files`) are passed over, and so are files beside the class folders; other files in a class folder
    get a notice.
    """

    split_file = "split_image_folder.json"
    layout = "<DATASET.DIR>/{train,val,test}/<class>/*.jpg (or another image format) or <DATASET.DIR>/<class>/*.jpg"

    def locate(self, cfg) -> None:
        if not cfg.DATASET.DIR:
            raise DataError("ImageFolder: DATASET.DIR is empty: set it to the folder that holds your class folders")
        self.dataset_dir = self.image_dir = self.names_dir = under_root(cfg, "DIR")
        self.split_path = os.path.join(self.dataset_dir, self.split_file)
        self.way_to_test_all = f"move the class folders into {os.path.join(self.dataset_dir, 'test')}/ to test all"
        self.read_settings(cfg)

    def prepare(self) -> None:
        if not os.path.isdir(self.dataset_dir):
            raise DataError(f"ImageFolder: DATASET.DIR {self.dataset_dir} is no folder; expected: {self.layout}")

    def load_split(self) -> Split:
        folders = _folders(self.dataset_dir)
        parts = [folder for folder in folders if folder.lower() in PART_OF]
        with_classes = [folder for folder in parts if list_folders(os.path.join(self.dataset_dir, folder))]
        there = {PART_OF[folder.lower()] for folder in (with_classes if self.only_tests else parts)}
        if {"train", "test"} <= there or (self.only_tests and "test" in there):
            if len(parts) < len(folders):
                print(f"notice: {self.dataset_dir}: of {len(folders)} folders only {', '.join(parts)} are used")
            split = self._read_parts(parts)
            report_classes_without_images(split, type(self).__name__)
            return split
        for folder in with_classes:  # one without folders in it is a class of that name
            lacking = "test" if self.only_tests or PART_OF[folder.lower()] == "train" else "train"
            raise DataError(
                f"ImageFolder: {self.dataset_dir} has {folder}/ but no {lacking}/: add {lacking}/<class>/, rename "
                f"a folder to {lacking}/, or put the class folders directly into {self.dataset_dir} to have them split"
            )
        names = self._named_folders(self.dataset_dir, folders)
        images = self._read_classes(self.dataset_dir, names, {})
        return self.split_once({self._place(self.dataset_dir, folder): items for folder, items in images.items()})

    def _read_parts(self, folders: list[str]) -> Split:
        parts: dict[str, str] = {}
        for folder in folders:
            part, path = PART_OF[folder.lower()], os.path.join(self.dataset_dir, folder)
            if part in parts:
                raise DataError(
                    f"ImageFolder: {parts[part]} and {path} are both the {part} images: remove or merge one"
                )
            parts[part] = path
        if "train" not in parts:
            return self._read_test_alone(parts)
        names = self._named_folders(parts["train"], _folders(parts["train"]))
        train_and_test: dict[str, str] = {}  # that test is no link to train; val may be one to test
        train, test = (self._read_part(parts[part], names, train_and_test) for part in ("train", "test"))
        if "val" not in parts:
            return *self.with_val(train), test
        return train, self._read_part(parts["val"], names, {}), test

    def _read_test_alone(self, parts: dict[str, str]) -> Split:
        names = self._named_folders(parts["test"], _folders(parts["test"]))
        split = self.test_images_alone(self._read_part(parts["test"], names, {}))
        if "val" in parts and self.use_of_val:
            split[1].extend(self._read_part(parts["val"], names, {}))
        return split

    def _read_part(self, parent: str, names: dict[str, str], seen: dict[str, str]) -> list[Datum]:
        return list(chain.from_iterable(self._read_classes(parent, names, seen).values()))

    def _named_folders(self, parent: str, folders: list[str]) -> dict[str, str]:
        """Return the class name of each of the class folders, `folders` in `parent`."""
        if len(folders) < 2:
            raise DataError(
                f"ImageFolder: {parent} holds {len(folders)} class folder(s), two or more are needed: sort its images "
                f"into {parent}/<class>/{_hint(parent)}"
            )
        return self.class_names({folder: self._place(parent, folder) for folder in folders})

    @staticmethod
    def _place(parent: str, folder: str) -> str:
        return f"class folder {os.path.join(parent, folder)}"

    def _read_classes(self, parent: str, names: dict[str, str], seen: dict[str, str]) -> dict[str, list[Datum]]:
        """Return the images in each class folder in `parent`, sorted by path.

        Args:
            names: class name of each class folder, in the order of the labels.
            seen: the folders read before, by their real paths; those read here are added.
        """
        present = _folders(parent)
        if not present:
            raise DataError(
                f"ImageFolder: {parent} holds no class folders: sort its images into {parent}/<class>/{_hint(parent)}"
            )
        class_of = {normal_form(folder): folder for folder in names}  # a Mac may have copied one of the parts
        label_of = {folder: label for label, folder in enumerate(names)}
        classes: dict[str, list[Datum]] = {}
        left_out: list[str] = []
        unread: list[str] = []
        deeper: list[str] = []
        for folder in present:
            class_dir = os.path.join(parent, folder)
            known = folder if folder in names else class_of.get(normal_form(folder))
            if known is None:
                raise DataError(
                    f'ImageFolder: {class_dir} has no counterpart: class "{folder}" has no folder in '
                    f"{'test' if self.only_tested else 'train'}: add it there or remove it{did_you_mean(folder, names)}"
                )
            files, dead_links = _files_below(class_dir, seen)
            images = list(filter(is_image, files))
            unread_here = list(filter(unread_format, files))
            unread += unread_here
            left_out += dead_links + [path for path in files if not (is_image(path) or unread_format(path))]
            deeper += [path for path in images if os.path.dirname(path) != class_dir]
            if not images:
                others = "".join(f"; {sentence}" for sentence in describe_unread(unread_here))
                endings = ", ".join(suffixes_read())
                raise DataError(
                    f"ImageFolder: class folder {class_dir} holds no images ({endings}): fill or remove it{others}"
                )
            classes[folder] = [ListedImage(path, label_of[known], classname=names[known]) for path in images]
        for sentence in describe_unread(unread):
            print(f"notice: {sentence}; they are left out")
        if left_out:
            what = "file(s) that are no images or links to nowhere"
            print(f"notice: left out {len(left_out)} {what}, the first is {left_out[0]}")
        if deeper:
            print(f"notice: {len(deeper)} image(s) lie deeper in class folders and count, the first is {deeper[0]}")
        return classes


def _folders(parent: str) -> list[str]:
    """Return the folders in `parent`, after checking that a link is none that is gone."""
    folders = list_folders(parent)
    for name in scan(parent).dead:
        path = os.path.join(parent, name)
        if os.path.islink(path):
            raise DataError(f"ImageFolder: the link {path} leads nowhere: correct or remove it")
    return folders


def _files_below(folder: str, seen: dict[str, str]) -> tuple[list[str], list[str]]:
    """Return the files in and below `folder`, and the links that lead nowhere; `seen` as above."""
    found = walk(folder, seen)
    if found.repeated:
        raise DataError(f"ImageFolder: {found.repeated[0]}: remove the link")
    return require_utf8(found.files), found.dead


def _hint(parent: str) -> str:
    """Return advice for a folder of images with a list, such as Hugging Face's metadata.csv, else an empty text."""
    lists = [os.path.join(parent, name) for name in list_files(parent) if name.lower().endswith(LISTS)]
    return (
        f"; if {lists[0]} lists the images, DATASET.NAME ImageList reads such lists (path,label,split)" if lists else ""
    )
