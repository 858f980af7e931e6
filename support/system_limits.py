"""What a machine has run out of (memory, shared memory, open files, processes, disk), in one line with the remedy."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Iterator
from typing import NamedTuple


class Limit(NamedTuple):
    """A limit of the machine.

    Attributes:
        pattern: regular expression of what the texts of its errors hold.
        cause: what has happened, in words.
    """

    pattern: str
    cause: str
    remedy: str


_BATCHES = "lower DATALOADER.TRAIN_X.BATCH_SIZE (in a test DATALOADER.TEST.BATCH_SIZE)"
_CLASSES = "set TRAIN.CHUNK_CLASSES 100, which encodes that many classes at a time"

OPEN_FILES = Limit(
    r"Too many open files|received \d+ items of ancdata",
    "too many open files",
    "raise the limit in the shell (ulimit -n 4096), or set DATALOADER.NUM_WORKERS 0",
)
SHARED_MEMORY = Limit(
    r"</?torch_\d+|shared memory|killed by signal: Bus error",
    "shared memory (/dev/shm), in which processes hand over batches, is full or not there",
    "set DATALOADER.NUM_WORKERS 0, or enlarge it (docker run --shm-size=8g; mount -o remount,size=8g /dev/shm)",
)
MEMORY = Limit(
    r"MemoryError|can't allocate memory|not enough memory: you tried|Cannot allocate memory|std::bad_alloc"
    "|failed to map segment|killed by signal: Killed",
    "the machine has too little memory",
    f"{_BATCHES}, DATALOADER.CACHE_MB or DATALOADER.NUM_WORKERS, or {_CLASSES}",
)
LIMITS = (  # in the order of precedence
    OPEN_FILES,
    Limit(
        r"OutOfMemoryError|(?i:(cuda|hip|xpu|mps)\b.* out of memory|cuda.*'out of memory')"
        r"|CU\w+_STATUS_\w*ALLOC(ATION)?_FAILED",
        "the GPU has too little memory",
        f"{_BATCHES}, or {_CLASSES}; nvidia-smi shows what else is on the GPU",
    ),
    SHARED_MEMORY,
    MEMORY,
    Limit(
        "can't start new thread|Resource temporarily unavailable",
        "no more processes or threads can be started",
        "raise the limit in the shell (ulimit -u), or set DATALOADER.NUM_WORKERS 0",
    ),
    Limit(
        r"DataLoader worker \(pid.*\) (exited unexpectedly|is killed by signal)",
        "a process that loads images has ended",
        "set DATALOADER.NUM_WORKERS 0, which loads them without such processes and shows why",
    ),
    Limit(
        "No usable temporary directory",
        "no folder for temporary files can be written in",
        "free some space in /tmp, or name another folder with TMPDIR",
    ),
    Limit(
        "No space left on device|Disk quota exceeded|File too large|PytorchStreamWriter failed writing",
        "the disk is full",
        "free some space, then give the same command again",
    ),
)


def limit_message(error: Exception) -> str | None:
    """The one line for an error that a limit of the machine has caused, None for any other."""
    text = "\n".join(_texts(error))
    if not isinstance(error, (ImportError, MemoryError, OSError, RuntimeError)):
        # a reader names the file that it could not open, whatever the reason
        return _line(OPEN_FILES, error, text) if re.search(OPEN_FILES.pattern, text) else None
    limit = next((limit for limit in LIMITS if re.search(limit.pattern, text)), None)
    if limit is not OPEN_FILES and isinstance(error, OSError) and _is_of_semaphore(error):
        return f"{SHARED_MEMORY.cause} ({error.strerror}): {SHARED_MEMORY.remedy}"
    return _line(limit, error, text) if limit else None


def _line(limit: Limit, error: Exception, text: str) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename is not None else ""
        return f"{error.strerror}{where}: {limit.remedy}"
    size = re.search(r"(?i)(tried to|unable to) allocate ([\d.]+ \w+)", text)
    return f"{limit.cause}{f' (for another {size[2]})' if size else ''}: {limit.remedy}"


def _texts(error: BaseException | None) -> Iterator[str]:
    """Kinds and messages of an error and of its causes."""
    while error is not None:
        yield f"{type(error).__name__}: {error}"
        error = error.__cause__


def _is_of_semaphore(error: OSError) -> bool:
    """Whether the system refused a semaphore, which is a file in /dev/shm."""
    frames = traceback.extract_tb(error.__traceback__)
    return any(frame.filename.endswith(os.path.join("multiprocessing", "synchronize.py")) for frame in frames)
