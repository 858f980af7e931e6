"""Small packed idx files, as Fashion-MNIST is published."""

import gzip
import struct
from pathlib import Path

import numpy as np

OF_EACH_CLASS = {"train": 10, "t10k": 3}  # images


def idx(array: np.ndarray) -> bytes:
    """The content of an idx file: two zeros, the type (8: bytes), the number of dimensions, their sizes, the values."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0)


def fake_fashion_mnist() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{part: (images (N, 28, 28), labels (N,))}, all images different, labels in no order."""
    generator, parts = np.random.default_rng(5), {}
    for part, count in OF_EACH_CLASS.items():
        labels = generator.permutation(np.repeat(np.arange(10), count))
        parts[part] = (generator.integers(0, 256, (len(labels), 28, 28)).astype(np.uint8), labels.astype(np.uint8))
    return parts


def write_fashion_mnist(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Write the four files of Fashion-MNIST, with few images, and return what is in them."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = fake_fashion_mnist()
    for part, (images, labels) in parts.items():
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(idx(images))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(idx(labels))
    return parts
