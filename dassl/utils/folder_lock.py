"""One run per output folder."""

import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from .errors import OutputError, cannot_write

try:
    import fcntl
except ImportError:  # not a POSIX system: nothing keeps two runs apart there
    fcntl = None

LOCK = ".lock"
_LEFT_BEHIND = re.compile(r".+\.tmp-\d+")  # what `atomic_write` had begun in a process that was killed


@contextmanager
def locked(folder: str) -> Iterator[None]:
    """Keep other processes out of ``folder``, which must exist, and remove files that killed ones had begun.

    The lock is the system's, so it ends with the process however that ends; children do not inherit it. The file that
    it is on names the process and its machine, and is gone after the block.

    Raises:
        UserError: another process has the folder, or it cannot be written in.
    """
    path = os.path.join(folder, LOCK)
    try:
        descriptor = _acquire(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        for directory, folders, names in os.walk(folder):
            if LOCK in names and directory != folder:  # of another run, which may be writing there
                folders.clear()
                continue
            for name in filter(_LEFT_BEHIND.fullmatch, names):
                with suppress(OSError):
                    os.remove(os.path.join(directory, name))
        yield
    finally:
        with suppress(OSError):
            os.remove(path)  # while it is held: who has just opened it notices
        os.close(descriptor)


def _acquire(path: str) -> int:
    """A descriptor of the file, locked, with this process's name in it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if fcntl is not None and not _lock(descriptor):
                raise OutputError(
                    f"{os.path.dirname(path)} is in use by {_holder(descriptor)}: wait until that has ended, or choose "
                    "another --output-dir"
                )
            if _is_at(descriptor, path):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"process {os.getpid()} on {platform.node()}\n".encode())
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the one before has removed it meanwhile


def _lock(descriptor: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # what systems answer where another process has it
        return False
    except OSError as error:  # a network drive without locks
        print(f"warning: this file system has no locks ({error.strerror}): do not start two runs in one folder")
    return True


def _is_at(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 300, 0).decode(errors="replace").strip() or "another process"
