"""Laying out a data set: fetch its archives, unpack them beside their place, and move them there in one step."""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress

from datasets.sources import Archive, Source, downloads_folder, in_bytes, is_there
from support.user_error import DataError
from support.verified_download import alone, checksum, describe, fetch, require_space

from .archives import unpack

FETCHED = ".fetched"  # ends the names of archives that are here to be deleted once they are unpacked


Unpack = Callable[[Archive, str, str], None]  # an archive, its file, the folder that it goes to


def lay_out(
    name: str,
    source: Source,
    root: str,
    dataset_dir: str,
    keep_archives: bool = False,
    scheme: str = "https",
    *,
    unpack_archive: Unpack | None = None,
) -> None:
    """Bring all into ``dataset_dir`` that can be fetched, or lies in the downloads folder, and is not there.

    What is there is not touched. Everything is unpacked into a hidden folder first and renamed once it is complete, so
    a run that is killed leaves nothing that looks like data. Archives that were fetched are deleted at the end; those
    that a person brought stay.

    Args:
        name: of the data set, for messages and the downloads folder.
        root: the data root; ``dataset_dir``, the data set's folder, is usually in it.
        scheme: see `support.verified_download.fetch`.
        unpack_archive: writes what an archive gives; by default what the archive itself names.

    Raises:
        UserError: an archive cannot be fetched, is not the published one, or is refused; no space; no permission.
    """
    folder = downloads_folder(root, name)
    if not _at_hand(source, dataset_dir, folder):
        return
    downloads, root = os.path.dirname(folder), os.path.dirname(os.path.dirname(folder))
    with alone(os.path.join(root, f".{name}.lock")):
        archives = _at_hand(source, dataset_dir, folder)  # another run may have laid them out meanwhile
        if os.path.lexists(dataset_dir) and not os.path.isdir(dataset_dir):
            raise DataError(f"{dataset_dir} is no folder, or a link that leads nowhere: mend or remove it")
        try:
            os.makedirs(folder, exist_ok=True)
            _require_space(name, archives, folder, dataset_dir)
            files = [_obtain(name, archive, folder, scheme) for archive in archives]
            if archives:
                _unpack(name, archives, files, dataset_dir, unpack_archive or _unpack_as_published)
            for file in files:
                if file.endswith(FETCHED):
                    os.replace(file, file.removesuffix(FETCHED)) if keep_archives else os.remove(file)
        except OSError as error:
            raise DataError(f"{name}: {error.filename or dataset_dir}: {error.strerror or error}") from error
        finally:
            for empty in (folder, downloads):
                with suppress(OSError):
                    os.rmdir(empty)


def _at_hand(source: Source, dataset_dir: str, folder: str) -> list[Archive]:
    """The archives that are needed, and can be fetched or were brought."""
    needed = source.missing_archives(dataset_dir)
    return [archive for archive in needed if archive.url or os.path.isfile(os.path.join(folder, archive.name))]


def _require_space(name: str, archives: list[Archive], folder: str, dataset_dir: str) -> None:
    unpacked = sum(archive.size for archive in archives)  # images hardly shrink when they are packed
    to_fetch = unpacked
    for archive in archives:
        for end in ("", FETCHED, f"{FETCHED}.part"):
            file = os.path.join(folder, archive.name + end)
            to_fetch -= os.path.getsize(file) if os.path.isfile(file) else 0
    place = dataset_dir if os.path.isdir(dataset_dir) else os.path.dirname(dataset_dir)
    if os.stat(place).st_dev == os.stat(folder).st_dev:
        require_space(folder, to_fetch + unpacked, f"preparing {name}")
    else:
        require_space(folder, to_fetch, f"fetching {name}")
        require_space(place, unpacked, f"unpacking {name}")


def _obtain(name: str, archive: Archive, folder: str, scheme: str) -> str:
    """Return the path of the archive, verified; fetched unless it is there."""
    brought = os.path.join(folder, archive.name)
    for file in (brought, brought + FETCHED):
        if os.path.isfile(file):
            print(f"{name}: using {file}", flush=True)
            found = checksum(file, archive.digest)
            if found != archive.digest:
                raise DataError(
                    f"{file} is not the published file ({describe(found)}, published: {describe(archive.digest)}): "
                    "replace or remove it"
                )
            return file
    print(f"{name}: fetching {archive.url} ({in_bytes(archive.size)})", flush=True)
    fetch(archive.url, brought + FETCHED, archive.digest, archive.size, scheme)
    return brought + FETCHED


def _unpack(name: str, archives: list[Archive], files: list[str], dataset_dir: str, unpack_archive: Unpack) -> None:
    hidden = f".{name}.unpacking"
    beside, within = os.path.join(os.path.dirname(dataset_dir), hidden), os.path.join(dataset_dir, hidden)
    for leftover in (beside, within):  # of a killed run
        shutil.rmtree(leftover, ignore_errors=True)
    # Within a folder that is there: it may be a link to another disk, and renaming works on one disk only.
    staging = within if os.path.isdir(dataset_dir) else beside
    try:
        os.mkdir(staging)
        for archive, file in zip(archives, files, strict=True):
            if archive.is_packed:
                print(f"{name}: unpacking {archive.name}", flush=True)
                unpack_archive(archive, file, staging)
            else:
                shutil.copyfile(file, os.path.join(staging, archive.name))
            lacking = [path for path in archive.gives if not is_there(os.path.join(staging, path))]
            if lacking:
                raise DataError(f"{file} does not hold {', '.join(lacking)}, so it is not laid out: get it again")
        given = [path for archive in archives for path in archive.gives]
        _move(staging, dataset_dir, last=set(given))
        in_the_way = [path for path in given if not is_there(os.path.join(dataset_dir, path))]
        if in_the_way:
            raise DataError(f"{os.path.join(dataset_dir, in_the_way[0])} is in the way: remove it")
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _unpack_as_published(archive: Archive, file: str, staging: str) -> None:
    unpack(file, os.path.join(staging, archive.to), archive.name, archive.folder, archive.inner)


def _move(staging: str, dataset_dir: str, last: set[str]) -> None:
    """Move what is in ``staging`` to ``dataset_dir``, except what is there; ``last`` tells that all of it came."""
    if not os.path.isdir(dataset_dir):
        os.rename(staging, dataset_dir)
        return
    for entry in sorted(os.listdir(staging), key=lambda entry: (entry in last, entry)):
        place = os.path.join(dataset_dir, entry)
        if not os.path.lexists(place) or (os.path.isdir(place) and not is_there(place)):
            os.rename(os.path.join(staging, entry), place)
