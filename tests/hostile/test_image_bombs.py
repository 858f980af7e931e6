"""Small image files that stand for much: reading them takes neither much memory nor long."""

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from dassl.utils import read_image
from support.user_error import DataError
from tests.hostile.attempts import Memory, limited_time

MEGABYTES = 300
HUGE = 2**28  # bytes, packed into a quarter of a megabyte


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int = 2, height: int = 2, *before: bytes, rows: bytes | None = None) -> bytes:
    """A grey image; ``before`` are chunks in front of its rows."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    rows = zlib.compress(b"\0" * (width + 1) * height) if rows is None else rows
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(before) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def packed(length: int) -> bytes:
    packing = zlib.compressobj(9)
    block = b"\0" * 2**20
    return b"".join(packing.compress(block) for _ in range(length >> 20)) + packing.flush()


def gif(frames: int) -> bytes:
    buffer, image = io.BytesIO(), Image.new("P", (9, 9))
    image.save(buffer, "GIF", save_all=True, append_images=[Image.new("P", (9, 9), n % 256) for n in range(frames)])
    return buffer.getvalue()


def jpeg_of_scans(count: int) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((800, 800), 50).save(buffer, "JPEG", progressive=True)
    whole = buffer.getvalue()
    begin = whole.rindex(b"\xff\xda")
    return whole[:-2] + whole[begin:-2] * count + b"\xff\xd9"


def tiff(width: int, height: int) -> bytes:
    entries = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, height), (279, 9)]
    listed = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + listed + b"\0\0\0\0"


READ = {
    "rows that go on": lambda: png(rows=packed(HUGE)),
    "many frames": lambda: gif(2000),
    "many scans": lambda: jpeg_of_scans(30),
}
REFUSED = {
    "a packed comment": lambda: png(2, 2, chunk(b"zTXt", b"Comment\0\0" + packed(HUGE))),
    "many comments": lambda: png(2, 2, *[chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b" " * 10**6))] * 400),
    "a packed profile": lambda: png(2, 2, chunk(b"iCCP", b"profile\0\0" + packed(HUGE))),
    "too many pixels": lambda: png(2**14, 2**14, rows=b""),
    "a line of pixels": lambda: png(2**20, 1),
    "a size beyond all numbers": lambda: png(2**31 - 1, 2**31 - 1, rows=b""),
    "a TIFF of nothing": lambda: tiff(11_000, 11_000),
    "a TIFF beyond all numbers": lambda: tiff(2**32 - 1, 2**32 - 1),
    "a BMP of nothing": lambda: b"BM" + struct.pack("<6I2H6I", 54, 0, 54, 40, 2**30, 2**30, 1, 24, 0, 0, 1, 1, 0, 0),
    "a PPM of nothing": lambda: b"P6 11000 11000 255\n",
}


def read(make, folder: Path) -> int:
    """Read an image; returns the most memory, in MB, that it took."""
    (folder / "a.png").write_bytes(make())
    memory = Memory()
    with limited_time(), memory.watched():
        read_image(str(folder / "a.png"))
    return memory.most


@pytest.mark.parametrize("name", READ)
def test_what_is_more_than_the_image_is_left_alone(name, tmp_path):
    assert read(READ[name], tmp_path) < MEGABYTES


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_image_needs_is_refused(name, tmp_path):
    (tmp_path / "a.png").write_bytes(REFUSED[name]())
    memory = Memory()
    with limited_time(), memory.watched(), pytest.raises(DataError, match="a.png"):
        read_image(str(tmp_path / "a.png"))
    assert memory.most < MEGABYTES
