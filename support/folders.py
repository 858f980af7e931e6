"""What lies in and below a folder of a person: without hidden files and those of systems, links followed but not twice.

folder -> scan -> names of its files, folders and dead links
       -> walk -> paths of the files below it
"""

from __future__ import annotations

import os
from typing import NamedTuple

from support.system_files import is_system_file
from support.user_error import DataError


class Entries(NamedTuple):
    """Names in one folder, each list sorted, since the order of a listing is the file system's own."""

    files: list[str]
    folders: list[str]
    dead: list[str]  # neither, as a link that leads nowhere


class Found(NamedTuple):
    """Paths below a folder, those of files and of dead links sorted.

    Attributes:
        repeated: for each folder that was passed over, a sentence that says where it was read before, or that it leads
            back.
    """

    files: list[str]
    dead: list[str]
    repeated: list[str]


def scan(folder: str) -> Entries:
    """What one folder holds.

    Raises:
        DataError: it cannot be listed, or a link in it leads to itself.
    """
    found, path = Entries([], [], []), folder
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_system_file(entry.name):
                    continue
                path = entry.path  # what fails below
                kind = found.files if entry.is_file() else found.folders if entry.is_dir() else found.dead
                kind.append(entry.name)
    except OSError as error:
        what = "cannot be listed" if path == folder else "cannot be followed"
        raise DataError(f"{printable(path)} {what} ({error.strerror}): check path and permissions") from error
    for names in found:
        names.sort()
    return found


def walk(folder: str, seen: dict[str, str] | None = None) -> Found:
    """The files in and below a folder; links are followed, but none to a folder that was read, or that it lies in.

    Args:
        seen: the folders read before, by their real paths; those read here are added.

    Raises:
        DataError: as `scan`.
    """
    found = Found([], [], [])
    _walk(folder, {} if seen is None else seen, found)
    found.files.sort()
    found.dead.sort()
    return found


def _walk(folder: str, seen: dict[str, str], found: Found) -> None:
    real = os.path.realpath(folder)
    parent = os.path.realpath(os.path.dirname(folder))
    if os.path.islink(folder) and os.path.join(parent, "").startswith(os.path.join(real, "")):
        found.repeated.append(f"the link {folder} leads back to {real}, which it lies in")
        return
    if real in seen:
        found.repeated.append(
            f"{folder} and {seen[real]} are one folder through a link, so its images would count twice"
        )
        return
    seen[real] = folder
    entries = scan(folder)
    found.files.extend(os.path.join(folder, name) for name in entries.files)
    found.dead.extend(os.path.join(folder, name) for name in entries.dead)
    for name in entries.folders:
        _walk(os.path.join(folder, name), seen, found)


def printable(path: str) -> str:
    """A path with the bytes that are not UTF-8 written as \\xNN."""
    return os.fsencode(path).decode("utf-8", errors="backslashreplace")
