"""Opening files whose paths come from outside: a pipe would wait for ever, a device may never end."""

from __future__ import annotations

import errno
import os
import stat


def regular_only(path: str | os.PathLike, flags: int) -> int:
    """An ``opener`` for `open` that takes regular files, and links to them, alone.

    Raises:
        OSError: as `os.open`, or ``path`` is a folder, a pipe, a socket or a device.
    """
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)  # else a pipe waits for its writer
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        raise OSError(errno.EINVAL, "no regular file", os.fspath(path))
    return descriptor
