"""Decoded images in memory, shared by the worker processes of a loader."""

import mmap
import multiprocessing
import threading

import numpy as np
from PIL import Image

from dassl.utils import ConfigError

_OFFSET, _WIDTH, _HEIGHT, _EXIF, _PATH = range(5)  # columns of the table


class ImageCache:
    """RGB images by index, three bytes a pixel, up to a budget; what no longer fits is left out.

    An image keeps its EXIF data: a transform that turns images by them must find them in later epochs, too.

    The pixels lie in one block of anonymous shared memory: processes forked from this one see what the others have put
    in, and no limit of /dev/shm applies. Making it reserves addresses only, memory is taken as images come.

    A pickled or copied cache is an empty one that stays empty, since the block cannot be handed over; so worker
    processes that are started instead of forked (not on Linux) decode every time.

    Args:
        length: number of images there may be.
        budget: bytes.

    Raises:
        UserError: the system does not grant that much memory.
    """

    def __init__(self, length: int, budget: int):
        self._length = length if budget > 0 else 0
        if not self._length:
            return
        try:
            self._pixels = memoryview(mmap.mmap(-1, budget))
            table = mmap.mmap(-1, 8 * (1 + 5 * length))
        except (OSError, OverflowError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(
                f"DATALOADER.CACHE_MB: no room for {budget >> 20} MiB of decoded images ({reason}); choose less, or 0"
            ) from error
        self._used = np.frombuffer(table, np.int64, count=1)  # bytes
        self._table = np.frombuffer(table, np.int64, offset=8).reshape(length, 5)
        forks = "fork" in multiprocessing.get_all_start_methods()
        try:
            self._lock = multiprocessing.get_context("fork" if forks else None).Lock()
        except OSError:  # no /dev/shm, or a full one: nor can there be worker processes, which share the cache
            self._lock = threading.Lock()

    def __reduce__(self):
        return ImageCache, (0, 0)

    def __len__(self) -> int:
        """Number of images in it."""
        return int(np.count_nonzero(self._table[:, _WIDTH])) if self._length else 0

    def get(self, index: int, path: str) -> Image.Image | None:
        """A new image, or None. ``path`` must be that of ``put``: items of a dataset may be exchanged."""
        if not 0 <= index < self._length:
            return None
        with self._lock:
            start, width, height, exif_size, key = self._table[index].tolist()
        if not width or key != hash(path):
            return None
        end = start + 3 * width * height
        image = Image.frombytes("RGB", (width, height), self._pixels[start:end])
        if exif_size:
            image.info["exif"] = bytes(self._pixels[end : end + exif_size])
        return image

    def put(self, index: int, path: str, image: Image.Image) -> None:
        if not 0 <= index < self._length:
            return
        exif = image.info.get("exif", b"")
        size, key = 3 * image.width * image.height + len(exif), hash(path)
        with self._lock:
            start = int(self._used[0])
            known = self._table[index, _WIDTH] and self._table[index, _PATH] == key
            if known or start + size > len(self._pixels):
                return
            self._used[0] = start + size
        end = start + size - len(exif)
        self._pixels[start:end] = image.tobytes()
        self._pixels[end : end + len(exif)] = exif
        with self._lock:  # only now, with its pixels in place, can others find it
            self._table[index] = start, image.width, image.height, len(exif), key
