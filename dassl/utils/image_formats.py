"""Which files are images, which of these can be read here, and what to do about the others."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable
from functools import cache
from typing import IO

from PIL import features
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from support.user_error import DataError, shorten

# Pillow's formats that are read. Of the others that Pillow knows, some start programs of the system, as EPS does.
ALWAYS_READ = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM", "GIF")

# Endings of image files by format, in the order in which messages list them. An ending is never the only sign of a
# format: what is in the file decides how it is read.
_READ = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "WebP": (".webp",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "GIF": (".gif",),
    "AVIF": (".avif",),  # where Pillow was built with it
    "HEIC": (".heic", ".heif", ".hif"),  # where pillow-heif is installed
}
_NOT_READ = {
    "JPEG 2000": (".jp2", ".j2k", ".jpx"),
    "JPEG XL": (".jxl",),
    "camera raw": (".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2", ".pef", ".srw"),
    "DICOM": (".dcm", ".dicom"),
    "Photoshop": (".psd", ".psb"),
    "OpenEXR": (".exr",),
    "Radiance HDR": (".hdr",),
    "Targa": (".tga",),
    "SVG": (".svg", ".svgz"),
    "Windows icon": (".ico",),
}
_FORMAT_OF = {suffix: name for table in (_READ, _NOT_READ) for name, suffixes in table.items() for suffix in suffixes}
_REMEDIES = {
    "HEIC": "pip install pillow-heif, or save it as JPEG",
    "AVIF": "pip install 'pillow>=11.3', or save it as JPEG",
}

# First bytes of what is found under the name of an image, and their place in the file.
_FORMAT_BY_BYTES = (
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (128, b"DICM", "DICOM"),
    (0, b"8BPS", "Photoshop"),
    (0, b"MM\0+", "BigTIFF with its largest bytes first"),
    (0, b"\x76\x2f\x31\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"\0\0\1\0", "Windows icon"),
    (0, b"<svg", "SVG"),
    (0, b"%PDF", "PDF"),
    (0, b"%!PS", "PostScript"),
)
_NO_IMAGE_BY_TEXT = {  # in lower case
    b"<!doctype html": "a web page",
    b"<html": "a web page",
    b"version https://git-lfs": "a pointer of Git LFS in place of the image: git lfs pull gets it",
}
_BRANDS = {  # of the container that both formats share
    "AVIF": {b"avif", b"avis"},
    "HEIC": {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"},
}


@cache
def is_read(name: str) -> bool:
    """Whether images of a format, as in the tables above, can be read here."""
    if name == "AVIF":
        return bool(features.check("avif"))
    if name == "HEIC":
        return importlib.util.find_spec("pillow_heif") is not None
    return name in _READ


def suffixes_read() -> tuple[str, ...]:
    """Endings of the image files that can be read here, in lower case."""
    return tuple(suffix for suffix, name in _FORMAT_OF.items() if is_read(name))


def is_image(path: str) -> bool:
    """Whether a file counts as an image by its name, in upper or lower case."""
    return is_read(_FORMAT_OF.get(_suffix(path), ""))


def unread_format(path: str) -> str:
    """The format of an image file, by its name, that cannot be read here; "" for all other files."""
    name = _FORMAT_OF.get(_suffix(path), "")
    return "" if is_read(name) else name


def describe_unread(paths: Iterable[str]) -> list[str]:
    """For each format, one sentence on those of ``paths`` that are images but cannot be read here."""
    by_format: dict[str, list[str]] = {}
    for path in paths:
        if name := unread_format(path):
            by_format.setdefault(name, []).append(path)
    return [
        f"{len(group)} image(s) are {name}, which is not read here: {remedy(name)} ({shorten(group)})"
        for name, group in by_format.items()
    ]


def require_format(path: str, listed_at: str) -> None:
    """Raise a UserError if an image, listed in a file, has a name by which it cannot be read here."""
    if name := unread_format(path):
        raise DataError(f"{listed_at}: {path} is {name}, which is not read here: {remedy(name)}")


def remedy(name: str) -> str:
    """What to do about an image of a format that cannot be read here."""
    return _REMEDIES.get(name, "save it as PNG or JPEG")


def formats_to_try(head: bytes) -> tuple[str, ...]:
    """Pillow's names of the formats that a file may be read as, given its first bytes."""
    if head[4:8] != b"ftyp":
        return ALWAYS_READ
    formats = ("AVIF",) if is_read("AVIF") else ()
    if is_read("HEIC"):
        import pillow_heif  # only for such files: it loads large libraries

        pillow_heif.register_heif_opener()
        formats += ("HEIF",)
    return formats or ALWAYS_READ


def identify(file: IO[bytes]) -> str:
    """Say what a file is that Pillow takes for no image, and what to do about it."""
    file.seek(0)
    head = file.read(256)
    if not head:
        return "it is empty"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0"):
        return _describe_tiff(file, head)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for start, what in _NO_IMAGE_BY_TEXT.items():
        if text.startswith(start):
            return f"it is {what}"
    name = _brand(head) or next((of for at, sign, of in _FORMAT_BY_BYTES if head[at:].startswith(sign)), "")
    if name and not is_read(name):
        return f"it is {name}, which is not read here: {remedy(name)}"
    return f"it is damaged or none of {', '.join(ALWAYS_READ)}" if not name else f"it is a damaged {name} image"


def _brand(head: bytes) -> str:
    brands = {head[at : at + 4] for at in range(8, 64, 4)} if head[4:8] == b"ftyp" else set()
    return next((name for name, own in _BRANDS.items() if brands & own), "")


def _describe_tiff(file: IO[bytes], head: bytes) -> str:
    try:
        tags = ImageFileDirectory_v2(head[:16] if b"+" in head[2:4] else head[:8])
        file.seek(tags.next)
        tags.load(file)
        bands, bits, kind = tags.get(277, 1), tags.get(258, (1,))[0], tags.get(339, (1,))[0]
    except Exception:  # Pillow fails in many ways
        return "it is a damaged TIFF"
    if bits <= 8 and bands <= 4:  # which Pillow reads
        return "it is a TIFF that is damaged or of an unusual kind"
    numbers = {2: "signed numbers of ", 3: "floating-point numbers of "}.get(kind, "")
    what = f"it is a TIFF of {bands} band(s) of {numbers}{bits} bits"
    if bands > 4:
        return f"{what} (multispectral), which Pillow does not read: save three of its bands as RGB of 8 bits"
    return f"{what}, which Pillow does not read: save it with 8 bits"


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()
