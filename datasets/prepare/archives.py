"""Unpacking .zip and .tar archives whose members may not be trusted.

Every member is looked at before the first is written. One that leads out of the folder, or that is anything but a file
or a folder, condemns the archive: no data set needs it. Files get the permissions that are usual here; owners and times
in the archive are not taken over.
"""

import gzip
import lzma
import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, NamedTuple

from dassl.utils import progress_bar
from support.folders import printable
from support.user_error import DataError
from support.verified_download import require_space

MOST_MEMBERS = 5_000_000
MOST_BYTES = 200 * 10**9  # unpacked; ImageNet has 155 GB

_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,  # the end is missing
    RuntimeError,  # encrypted
    NotImplementedError,  # packed in a way that Python does not know
    ValueError,
)


class Member(NamedTuple):
    """A file or folder in an archive.

    Attributes:
        name: path in the archive, with "/".
        size: bytes, unpacked; 0 for a folder.
        kind: "file", "folder" or, with an article, what else it is.
        open: gives its content; only for files, and only while the archive is being read.
    """

    name: str
    size: int
    kind: str
    open: Callable[[], IO[bytes]]


def unpack(archive: str, destination: str, label: str, folder: str = "", inner: str = "") -> None:
    """Write what is in ``folder`` of an archive into the folder ``destination``, which is made.

    Args:
        label: what messages call the archive.
        folder: path in the archive; "" for all that is in it.
        inner: path of another archive inside this one, which is the one to unpack; it is checked in the same way.

    Raises:
        UserError: the archive is damaged, refused, or without ``folder``, or its content cannot be written.
    """
    with _writable(label, destination):
        if not inner:
            _unpack(archive, destination, label, folder, lambda name: _relative(name, folder))
            return
        packed = os.path.join(destination, os.path.basename(inner))
        _unpack(archive, destination, label, inner, lambda name: _parts(inner)[-1:] if path_of(name) == inner else [])
        try:
            _unpack(packed, destination, f"{label}, {inner}", folder, lambda name: _relative(name, folder))
        finally:
            os.remove(packed)


def unpack_as(archive: str, destination: str, label: str, targets: Mapping[str, str]) -> None:
    """Write some files of an archive into the folder ``destination``, which is made, under paths of their own.

    Args:
        targets: `path_of` a member: its path in ``destination``, of names without "..".

    Raises:
        UserError: as `unpack`.
    """
    with _writable(label, destination):
        _unpack(archive, destination, label, "", lambda name: _parts(targets.get(path_of(name), "")))


def read_file(archive: str, label: str, path: str, most_bytes: int) -> bytes:
    """Return the content of the file whose `path_of` is ``path``.

    Raises:
        UserError: the archive is damaged or refused, or the file is missing or larger than ``most_bytes``.
    """
    with _readable(label):
        sizes = check(archive, label, lambda name: path_of(name) == path)
        if not sizes or max(sizes.values()) > most_bytes:
            raise DataError(f"{label} holds no {path} of at most {most_bytes / 1e6:.0f} MB: it is another archive")
        for member in _members(archive):
            if member.kind == "file" and path_of(member.name) == path:
                with member.open() as source:
                    return source.read(most_bytes)
    raise AssertionError("unreachable")


def list_files(archive: str, label: str) -> list[str]:
    """Return `path_of` each file of an archive, all of which are looked at first.

    Raises:
        UserError: the archive is damaged, or refused.
    """
    with _readable(label):
        return [path for name in check(archive, label, lambda name: True) if (path := path_of(name))]


def path_of(name: str) -> str:
    """Return the name of a member without "." and double slashes."""
    return "/".join(_parts(name))


def _unpack(archive: str, destination: str, label: str, what: str, target_of: Callable[[str], list[str]]) -> None:
    """Write the files for which ``target_of`` gives the parts of a path."""
    with _readable(label):
        files = check(archive, label, lambda name: bool(target_of(name)))
        if not files:
            raise DataError(f'{label} holds no "{what}", nothing was unpacked: it is another archive')
        require_space(existing_folder(destination), sum(files.values()), f"unpacking {label}")
        os.makedirs(destination, exist_ok=True)
        with progress_bar(total=sum(files.values()), desc=f"unpacking {label}", unit="B", unit_scale=True) as bar:
            for member in _members(archive):
                if member.name not in files or member.kind != "file":  # a folder may have the name of a file
                    continue
                target = os.path.join(destination, *target_of(member.name))
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with member.open() as source, open(target, "wb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
                bar.update(member.size)


def check(archive: str, label: str, wanted: Callable[[str], bool]) -> dict[str, int]:
    """Look at every member, without writing, and return {name: size} of the ``wanted`` files.

    Raises:
        UserError: a member is refused, or the archive unpacks to more than MOST_MEMBERS or MOST_BYTES.
    """
    files, size = {}, 0
    members = progress_bar(_members(archive), desc=f"checking {label}", unit=" members")
    for number, member in enumerate(members, start=1):
        if objection := _objection(member):
            raise DataError(
                f'{label} is refused, nothing was unpacked: its member "{printable(member.name)}" {objection}'
            )
        size += member.size
        if number > MOST_MEMBERS or size > MOST_BYTES:
            raise DataError(
                f"{label} is refused, nothing was unpacked: it holds more than {MOST_MEMBERS:,} members or "
                f"{MOST_BYTES / 1e9:.0f} GB"
            )
        if member.kind == "file" and wanted(member.name):
            files[member.name] = member.size
    return files


def _objection(member: Member) -> str:
    name = member.name
    if name.startswith("/") or re.match("[A-Za-z]:", name):
        return "has an absolute path"
    if ".." in name.split("/"):
        return 'leads out of the folder with ".."'
    if "\\" in name or "\0" in name:
        return "has a backslash or a zero byte in its name"
    if member.kind not in ("file", "folder"):
        return f"is {member.kind}"
    if member.size < 0:
        return "has a negative size"
    return ""


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".")]


def _relative(name: str, folder: str) -> list[str]:
    """The parts of ``name`` below ``folder``; none if it is not there."""
    parts, above = _parts(name), _parts(folder)
    return parts[len(above) :] if parts[: len(above)] == above else []


def _members(archive: str) -> Iterator[Member]:
    with open(archive, "rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
    return _members_of_zip(archive) if is_zip else _members_of_tar(archive)


def _members_of_zip(archive: str) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as zipped:
        for info in zipped.infolist():
            mode = stat.S_IFMT(info.external_attr >> 16)  # 0 where it was packed on Windows
            if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
                kind = "a symbolic link" if mode == stat.S_IFLNK else "neither file nor folder"
            else:
                kind = "folder" if info.orig_filename.endswith("/") else "file"
            # orig_filename: as it is in the archive, also where zipfile would cut or convert it
            yield Member(info.orig_filename, info.file_size, kind, lambda info=info: zipped.open(info))


def _members_of_tar(archive: str) -> Iterator[Member]:
    with tarfile.open(archive) as tar:
        while (info := tar.next()) is not None:
            tar.members.clear()  # else it keeps them all
            if info.isreg():
                kind = "file"
            elif info.isdir():
                kind = "folder"
            else:
                kind = "a symbolic link" if info.issym() else "a hard link" if info.islnk() else "a device or pipe"
            size = info.size if kind == "file" else 0
            yield Member(info.name, size, kind, lambda info=info: tar.extractfile(info))


@contextmanager
def _writable(label: str, destination: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f" at {printable(os.fspath(error.filename))}" if error.filename else ""
        raise DataError(
            f"cannot unpack {label} to {destination} ({error.strerror or error}{where}): free some space, or mend "
            "permissions"
        ) from error


@contextmanager
def _readable(label: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        raise DataError(f"{label} is damaged ({error}): get it again") from error


def existing_folder(folder: str) -> str:
    """Return the folder, or the one above it that is there."""
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder
