"""Files that are meant by paths of a list which does not write their names as they are."""

import os

from dassl.utils.image_formats import is_image
from support.user_error import shorten

from .class_names import normal_form


class NearFiles:
    """Looks in the folders of paths that lead nowhere; each folder is listed once.

    Attributes:
        renamed: {path: file} of the files that were found under another suffix.
    """

    def __init__(self):
        self.renamed: dict[str, str] = {}
        self._listings: dict[str, dict[str, list[str]]] = {}

    def find(self, path: str) -> str:
        """Return the file that `path` means, or `path` itself where none is that for certain.

        That is a file whose name has another Unicode normal form, or else the only one of that name with another
        image suffix in place of none or of the same in other case.
        """
        folder = self._folder(os.path.dirname(path))
        same = self._listing(folder).get(normal_form(os.path.basename(path)), [])
        if same:
            return os.path.join(folder, same[0])
        stem, suffix = _parted(path)
        others = [name for name in self.suffixed(path) if not suffix or _parted(name)[1].lower() == suffix.lower()]
        if len(others) == 1 and stem:
            self.renamed[path] = os.path.join(folder, others[0])
            return self.renamed[path]
        return path

    def suffixed(self, path: str) -> list[str]:
        """Return the images in the folder of `path` that have its name but for the suffix."""
        stem = normal_form(_parted(path)[0])
        names = self._listing(self._folder(os.path.dirname(path)))
        return [name for found in names.values() for name in found if _is(name, stem)]

    def in_other_case(self, path: str) -> list[str]:
        """Return the files in the folder of `path` that have its name in other case."""
        name = normal_form(os.path.basename(path)).lower()
        names = self._listing(self._folder(os.path.dirname(path)))
        return [found for form, all_found in names.items() if form.lower() == name for found in all_found]

    def _folder(self, folder: str) -> str:
        """Return the folder, whose name and those above may have another normal form."""
        if os.path.isdir(folder) or folder == os.path.dirname(folder):
            return folder
        above = self._folder(os.path.dirname(folder))
        same = self._listing(above).get(normal_form(os.path.basename(folder)), [])
        return os.path.join(above, same[0] if same else os.path.basename(folder))

    def _listing(self, folder: str) -> dict[str, list[str]]:
        """Return {normal form: names} of what is in a folder, nothing if it cannot be listed."""
        if folder not in self._listings:
            self._listings[folder] = names = {}
            try:
                found = sorted(os.listdir(folder))
            except OSError:
                found = []
            for name in found:
                names.setdefault(normal_form(name), []).append(name)
        return self._listings[folder]


def _parted(path: str) -> tuple[str, str]:
    """Return the name of a file and its image suffix, "" where what is behind the dot is none."""
    stem, suffix = os.path.splitext(os.path.basename(path))
    return (stem, suffix) if is_image(path) else (os.path.basename(path), "")


def _is(name: str, stem: str) -> bool:
    found, suffix = _parted(name)
    return bool(suffix) and normal_form(found) == stem


def elsewhere(path: str, image_dir: str) -> str:
    """Return where under `image_dir` the file is that `path`, which leads nowhere, means; "" where nothing is certain.

    Its path may begin with folders of another machine or above `image_dir`, or lack the one folder that it is in.
    """
    inside = os.path.join(image_dir, "")
    parts = path.removeprefix(inside).split(os.sep)
    for start in range(1, len(parts)):
        if os.path.isfile(os.path.join(image_dir, *parts[start:])):
            return "/".join(parts[start:])
    if not path.startswith(inside):
        return ""
    try:
        with os.scandir(image_dir) as entries:
            folders = [entry.name for entry in entries if entry.is_dir()]
    except OSError:
        return ""
    found = [folder for folder in folders if os.path.isfile(os.path.join(image_dir, folder, *parts))]
    return "/".join([found[0], *parts]) if len(found) == 1 else ""


def advice_on(path: str, image_dir: str, near: NearFiles) -> str:
    """Return what to write in place of a path that leads nowhere, for messages; "" where nothing is like it."""
    if os.sep == "/" and "\\" in path:
        return ', write "/" for each "\\"'
    end = elsewhere(path, image_dir)
    like = near.in_other_case(path) or near.suffixed(path) or ([end] if end else [])
    return f", or write {shorten(like)}, which is there" if like else ""
