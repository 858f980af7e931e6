"""Reading idx files, the format of MNIST and of the datasets that took it over.

Torchvision reads unpacked files alone, without looking at how much they would take, and damaged ones end in assertions.
"""

import gzip
import math
import struct
import zlib

import numpy as np

from support.regular_file import regular_only

from .annotations import unreadable

MOST_VALUES = 2**28  # of a file; the training images of MNIST and its kin have 47 million
_BYTES = 8  # the type of the values in a header


def read_idx(path: str, dimensions: int) -> np.ndarray:
    """Return the array of a packed idx file (.gz) of bytes.

    Args:
        dimensions: how many the array has to have.

    Raises:
        UserError: the file cannot be read, is damaged, or holds another kind of array.
    """
    try:
        with open(path, "rb", opener=regular_only) as packed, gzip.GzipFile(fileobj=packed) as file:
            shape = _read_shape(file, dimensions)
            size = math.prod(shape)
            values = file.read(size + 1)  # to its end, where gzip compares the checksum
            if len(values) != size:
                raise ValueError(f"{'more' if len(values) > size else 'fewer'} values than the {size:,} of its header")
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise unreadable(path, error) from error
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)


def _read_shape(file: gzip.GzipFile, dimensions: int) -> tuple[int, ...]:
    header = file.read(4 + 4 * dimensions)
    if header[:4] != bytes((0, 0, _BYTES, dimensions)) or len(header) < 4 + 4 * dimensions:
        raise ValueError(f"no idx file of bytes in {dimensions} dimension(s)")
    shape = struct.unpack(f">{dimensions}I", header[4:])
    if math.prod(shape) > MOST_VALUES:
        raise ValueError(f"its header tells of {math.prod(shape):,} values, more than {MOST_VALUES:,}")
    return shape
