"""Where in an archive a dataset lies, found by its content, as the archive's folders are not known.

paths of the files in an archive -> find_layout -> {path in the archive: path in the dataset's folder}

With a split file, the folder of the images is the one below which all images are that the split lists. Without, it is
the one with the most class folders (ImageNet's variants), or the dataset's folder is the one that holds all that the
dataset needs. Where CoOp's folders are around the images, all that is in the dataset's folder is taken; else the images
alone. Files of operating systems are left out, and so are pickles, which run code where they are read.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from posixpath import basename, dirname, join

from dassl.utils.image_formats import is_image
from datasets.imagenet_family import ImageNetVariant
from datasets.split_dataset import SplitDataset
from datasets.splits import PARTS
from support.system_files import is_system_file
from support.user_error import DataError, shorten

_PICKLES = (".pkl", ".pickle", ".pt", ".pth")
_CLASS_FOLDER = re.compile(r"n\d{8}|\d{1,3}")  # of ImageNet and its variants; a number in ImageNetV2
_TRIED = 10  # images of a split by which the folder of all is looked for


def find_layout(
    paths: Iterable[str], dataset: type[SplitDataset], needs: Sequence[str], read: Callable[[str], bytes]
) -> dict[str, str]:
    """Return {path in the archive: path in the dataset's folder}, with "/".

    Args:
        paths: of all files in the archive.
        dataset: the class that reads the dataset.
        needs: paths in the dataset's folder without which it is not complete.
        read: gives the content of a file in the archive.

    Raises:
        UserError: the dataset is not in the archive, or not all of it.
    """
    files = {path for path in paths if not any(map(is_system_file, path.split("/"))) and not path.endswith(_PICKLES)}
    if dataset.split_file:
        return _by_split(files, dataset, read)
    if issubclass(dataset, ImageNetVariant):
        return _by_class_folders(files, dataset)
    return _by_needs(files, needs)


def _by_split(files: Collection[str], dataset: type[SplitDataset], read: Callable[[str], bytes]) -> dict[str, str]:
    split_path = _highest(path for path in files if basename(path) == dataset.split_file)
    if not split_path:
        raise DataError(f"it holds no {dataset.split_file}")
    listed = _listed(split_path, read(split_path))
    if not listed:
        raise DataError(f"its {split_path} lists no images")
    candidates = {
        path.removesuffix(image).rstrip("/")
        for image in listed[:: max(len(listed) // _TRIED, 1)]
        for path in files
        if path == image or path.endswith(f"/{image}")
    }
    complete = [folder for folder in candidates if all(join(folder, image) in files for image in listed)]
    if not complete:
        lacking = [image for image in listed if not any(join(folder, image) in files for folder in candidates)]
        raise DataError(
            f"of the {len(listed):,} images that its {split_path} lists, no folder of it holds all: "
            f"{len(lacking):,} are in none, {shorten(lacking)}"
            if lacking
            else f"the images that its {split_path} lists are in several folders: {shorten(sorted(candidates))}"
        )
    folder = min(complete, key=lambda folder: (_root(folder, dataset) is None, len(folder), folder))
    root = _root(folder, dataset)
    targets = (
        _below(files, root)
        if root is not None
        else {join(folder, image): join(dataset.image_subdir, image) for image in listed}
    )
    return {**targets, split_path: dataset.split_file}


def _by_class_folders(files: Collection[str], dataset: type[SplitDataset]) -> dict[str, str]:
    classes = {dirname(path) for path in files if is_image(path) and _CLASS_FOLDER.fullmatch(basename(dirname(path)))}
    numbers = Counter(map(dirname, classes))
    if not numbers:
        raise DataError("it holds no folders of images that are named as ImageNet's classes")
    folder = min(numbers, key=lambda folder: (_root(folder, dataset) is None, -numbers[folder], len(folder), folder))
    root = _root(folder, dataset)
    if root is not None:
        return _below(files, root)
    names = _highest(path for path in files if basename(path) == "classnames.txt")
    images = {path: join(dataset.image_subdir, end) for path, end in _below(files, folder).items() if is_image(path)}
    return images | ({names: "classnames.txt"} if names else {})


def _by_needs(files: Collection[str], needs: Sequence[str]) -> dict[str, str]:
    there = {folder for path in files for folder in _and_above(path)}
    roots = {dirname(path) for path in there if basename(path) == basename(needs[0])}
    complete = [root for root in roots if all(join(root, need) in there for need in needs)]
    if not complete:
        raise DataError(f"it has no folder that holds {', '.join(needs)}")
    return _below(files, min(complete, key=lambda root: (len(root), root)))


def _listed(split_path: str, content: bytes) -> list[str]:
    """The paths of all images that a split file lists, each once."""
    try:
        split = json.loads(content)
        return list(dict.fromkeys(f"{path}" for part in PARTS for path, _, _ in split[part]))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise DataError(f"its {split_path} is not a split file ({type(error).__name__}: {error})") from error


def _root(image_dir: str, dataset: type[SplitDataset]) -> str | None:
    """The dataset's folder around a folder of images, None where it has another name than the dataset's own."""
    if dataset.image_subdir == ".":
        return image_dir
    return dirname(image_dir) if basename(image_dir) == dataset.image_subdir else None


def _below(files: Collection[str], folder: str) -> dict[str, str]:
    start = f"{folder}/" if folder else ""
    return {path: path[len(start) :] for path in files if path.startswith(start)}


def _and_above(path: str) -> list[str]:
    """A path, and those of the folders that it is in."""
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _highest(paths: Iterable[str]) -> str:
    """The path with the fewest folders, "" where there are none."""
    return min(paths, key=lambda path: (path.count("/"), path), default="")
