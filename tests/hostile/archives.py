"""Archives of data sets with damaged bytes, or with members of all names and kinds."""

from __future__ import annotations

import io
import tarfile
import warnings
import zipfile
from pathlib import Path

from hypothesis import strategies as st

from datasets.prepare.archives import unpack
from tests.hostile.attempts import Kind, snapshot
from tests.hostile.mutations import damaged

_INSIDE = ["a/1.png", "a/2.png", "b/1.png", "a", "a/", "b/1.png/c", "a//b", "a/./b", "x" * 300, "a\nb", "\udcff", "é"]
_OUTSIDE = ["../beside.txt", "a/../../beside.txt", "/tmp/absolute", "..", "C:\\x", "c:/x", "\\\\host\\share"]
_NAMES = st.sampled_from([*_INSIDE, *_OUTSIDE, "", ".", "./", "a\x00b"]) | st.text(max_size=12)
_LINKS = [tarfile.SYMTYPE, tarfile.LNKTYPE]
_DEVICES = [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
_KINDS = st.sampled_from([tarfile.REGTYPE] * 5 + [tarfile.DIRTYPE, *_LINKS, *_DEVICES, tarfile.GNUTYPE_SPARSE, b"Z"])
_MEMBERS = st.lists(st.tuples(_NAMES, _KINDS, st.sampled_from(["../beside.txt", "/etc/passwd", "a/1.png"])), max_size=4)


def as_tar(members: list[tuple[str, bytes, str]], packing: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{packing}") as archive:
        for name, kind, target in [("a/0.png", tarfile.REGTYPE, ""), *members]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            info.size = 4 if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(b"data"))
    return buffer.getvalue()


def as_zip(members: list[tuple[str, bytes, str]], packing: int = zipfile.ZIP_STORED) -> bytes:
    modes = {
        tarfile.DIRTYPE: 0o040755,
        tarfile.SYMTYPE: 0o120777,
        tarfile.CHRTYPE: 0o020666,
        tarfile.FIFOTYPE: 0o010666,
    }
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", packing) as archive:
        warnings.simplefilter("ignore")  # of names that repeat
        for name, kind, target in [("a/0.png", tarfile.REGTYPE, ""), *members]:
            info = zipfile.ZipInfo("x")
            info.filename = name.encode("utf-8", "replace").decode()
            info.external_attr = modes.get(kind, 0o100644) << 16
            archive.writestr(info, target)
    return buffer.getvalue()


def load(content: bytes, folder: Path) -> None:
    archive, destination = folder / "some.archive", folder / "unpacked"
    archive.write_bytes(content)
    unpack(str(archive), str(destination), "some.archive")
    assert not any(path.is_symlink() for path in destination.rglob("*"))
    assert set(snapshot(folder, destination)) == {str(archive)}


_ZIPPED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_WHOLE = [("a/1.png", tarfile.REGTYPE, "data" * 9), ("b", tarfile.DIRTYPE, ""), ("b/1.png", tarfile.REGTYPE, "more")]
ARCHIVES = Kind(
    "archives",
    damaged([*(as_tar(_WHOLE, way) for way in ("", "gz", "bz2", "xz")), *(as_zip(_WHOLE, way) for way in _ZIPPED)])
    | _MEMBERS.map(as_tar)
    | _MEMBERS.map(as_zip),
    load,
    5,
)
