"""Files of pixels that Pillow reads but does not write: 16 bits of colour, several bands, byte orders."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np

_PNG_COLOUR = {1: 0, 2: 4, 3: 2, 4: 6}  # bands: PNG's number of them
_TIFF_KINDS = {"u": 1, "i": 2, "f": 3}


def png_of_16_bits(values: np.ndarray, transparent: Sequence[int] = ()) -> bytes:
    """A PNG of (height, width, bands), every other row filtered; ``transparent`` is the colour that is."""
    height, width, bands = values.shape
    rows = bytearray()
    for number, row in enumerate(values.astype(">u2").reshape(height, -1)):
        whole = np.frombuffer(row.tobytes(), np.uint8).copy()
        if number % 2:
            whole[2 * bands :] -= np.frombuffer(row.tobytes(), np.uint8)[: -2 * bands]
        rows += bytes([number % 2]) + whole.tobytes()
    chunks = [b"IHDR" + struct.pack(">IIBBBBB", width, height, 16, _PNG_COLOUR[bands], 0, 0, 0)]
    chunks += [b"tRNS" + struct.pack(f">{len(transparent)}H", *transparent)] if transparent else []
    chunks += [b"IDAT" + zlib.compress(rows), b"IEND"]
    packed = (struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def tiff(
    values: np.ndarray, end: str = "<", photometric: int | None = None, extra: Sequence[int] = (), planar: bool = False
) -> bytes:
    """An uncompressed TIFF of (height, width, bands).

    Args:
        end: "<" or ">", the order of bytes.
        photometric: 0 for white at 0, 1 for black at 0, 2 for RGB; None: RGB for three bands or more.
        extra: what the bands beyond the colours are: 0 unknown, 1 premultiplied alpha, 2 alpha.
        planar: whether band lies after band.
    """
    height, width, bands = values.shape
    if photometric is None:
        photometric = 2 if bands > 2 else 1
    pixels = (np.moveaxis(values, 2, 0) if planar else values).astype(values.dtype.newbyteorder(end)).tobytes()
    strips, start = bands if planar else 1, 1024
    size = len(pixels) // strips
    short, long = ("H", 3), ("I", 4)
    tags = [
        (256, long, [width]),
        (257, long, [height]),
        (258, short, [8 * values.itemsize] * bands),
        (259, short, [1]),
        (262, short, [photometric]),
        (273, long, [start + number * size for number in range(strips)]),
        (277, short, [bands]),
        (278, long, [height]),
        (279, long, [size] * strips),
        (284, short, [1 + planar]),
        *([(338, short, list(extra))] if extra else []),
        (339, short, [_TIFF_KINDS[values.dtype.kind]] * bands),
    ]
    entries, beyond = b"", b""
    for tag, (letter, kind), numbers in tags:
        content = struct.pack(f"{end}{len(numbers)}{letter}", *numbers)
        if len(content) > 4:
            place = 8 + 2 + 12 * len(tags) + 4 + len(beyond)
            beyond += content
            content = struct.pack(f"{end}I", place)
        entries += struct.pack(f"{end}HHI", tag, kind, len(numbers)) + content.ljust(4, b"\0")
    head = (b"II*\0" if end == "<" else b"MM\0*") + struct.pack(f"{end}IH", 8, len(tags))
    return (head + entries + bytes(4) + beyond).ljust(start, b"\0") + pixels
