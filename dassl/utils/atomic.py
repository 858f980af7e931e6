"""Files that are either the old one or the new one, never half of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from .errors import cannot_write

TEXT = {"encoding": "utf-8", "errors": "surrogateescape"}


@contextmanager
def atomic_write(path: str | os.PathLike, mode: str = "w") -> Iterator[IO]:
    """Open a file for writing that takes the place of ``path`` once the block has ended without an error.

    Folders are made as needed. A process killed inside the block leaves ``path`` as it was, as does a power failure.

    Args:
        path: the file to write or replace.
        mode: "w" for text (UTF-8, and bytes of paths that are not as they are) or "wb" for bytes.

    Raises:
        UserError: the file cannot be written (no permission, disk full, ...).
    """
    path = os.fspath(path)
    temporary = f"{path}.tmp-{os.getpid()}"  # in the same folder, because os.replace cannot cross file systems
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(temporary, mode, **({} if "b" in mode else TEXT)) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(os.path.dirname(path) or ".")
    except BaseException as error:
        if os.path.exists(temporary):
            os.remove(temporary)
        if isinstance(error, OSError):
            raise cannot_write(path, error) from error
        raise


def _sync_folder(folder: str) -> None:
    """Put the new name on the disk, too, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
