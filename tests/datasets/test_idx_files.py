"""The reader of packed idx files."""

import gzip
import os
import struct

import numpy as np
import pytest
from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

from datasets import idx_files
from datasets.idx_files import read_idx
from tests.datasets.fake_idx import idx

IMAGES = np.arange(3 * 5 * 4, dtype=np.uint8).reshape(3, 5, 4)


@pytest.mark.parametrize("array", [IMAGES, IMAGES[0], IMAGES[0, 0]])
def test_it_reads_what_torchvision_reads(array, tmp_path):
    packed = tmp_path / "a.gz"
    packed.write_bytes(idx(array))
    (tmp_path / "a").write_bytes(gzip.decompress(packed.read_bytes()))
    theirs = read_sn3_pascalvincent_tensor(str(tmp_path / "a"))
    ours = read_idx(str(packed), array.ndim)
    assert ours.dtype == np.uint8 and np.array_equal(ours, array) and np.array_equal(ours, theirs.numpy())


def header(*sizes, kind=8):
    return struct.pack(f">BBBB{len(sizes)}I", 0, 0, kind, len(sizes), *sizes)


DAMAGED = {
    "cut off": (idx(IMAGES)[:-12], "end-of-stream"),
    "another checksum": (idx(IMAGES)[:-8] + bytes(8), "CRC"),
    "spoilt": (idx(IMAGES)[:12] + b"\xff" * 8 + idx(IMAGES)[20:], ""),
    "not packed": (gzip.decompress(idx(IMAGES)), "gzip"),
    "empty": (b"", "no idx file"),
    "a page": (gzip.compress(b"<html>not found</html>"), "no idx file"),
    "labels": (idx(IMAGES[0, 0]), "3 dimension"),
    "a short header": (gzip.compress(header(3, 5, 4)[:10]), "no idx file"),
    "other numbers": (gzip.compress(header(3, 5, 4, kind=13) + bytes(240)), "no idx file"),
    "too few values": (gzip.compress(header(3, 5, 4) + bytes(59)), "fewer values than the 60"),
    "too many values": (gzip.compress(header(3, 5, 4) + bytes(61)), "more values than the 60"),
    "sizes that overflow": (gzip.compress(header(2**32 - 1, 2**32 - 1, 2**32 - 1)), "of its header|more than"),
}


@pytest.mark.parametrize("content, reason", DAMAGED.values(), ids=DAMAGED)
def test_a_file_that_is_damaged_or_another_is_told_in_a_line(content, reason, tmp_path, user_error):
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    message = user_error(read_idx, str(path), 3)
    assert message.startswith(f"{path} cannot be read (") and message.endswith("get the file again")
    assert any(part in message for part in reason.split("|"))


def test_what_is_no_file_is_told(tmp_path, user_error):
    os.mkfifo(tmp_path / "pipe.gz")
    assert "no regular file" in user_error(read_idx, str(tmp_path / "pipe.gz"), 1)
    assert "No such file" in user_error(read_idx, str(tmp_path / "gone.gz"), 1)


def test_a_file_that_unpacks_to_more_than_its_header_tells_is_not_unpacked_whole(tmp_path, user_error, monkeypatch):
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(header(10) + bytes(50_000_000)))
    read = []
    unpack = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda self, size=-1: (read.append(size), unpack(self, size))[1])
    assert "more values" in user_error(read_idx, str(tmp_path / "bomb.gz"), 1)
    assert 0 < sum(read) < 100 and min(read) > 0
    monkeypatch.setattr(idx_files, "MOST_VALUES", 9)
    assert "tells of 10 values, more than 9" in user_error(read_idx, str(tmp_path / "bomb.gz"), 1)
