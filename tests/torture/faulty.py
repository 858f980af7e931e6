"""train.py on a disk that fails: `python tests/torture/faulty.py KIND NUMBER [arguments of train.py]`.

Every write, synchronisation and renaming of files that are replaced atomically is counted. KIND tells what happens at
the one of this NUMBER: "kill" ends the process with SIGKILL, a write half done; "full" answers, after half a write,
that there is no space left, as do all that follow; "short" lets every write from then on take a part of the bytes only.
The file that COUNT names tells what was counted.
"""

import errno
import io
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import train
from dassl.utils import atomic

KIND, NUMBER = sys.argv[1], int(sys.argv[2])
count = 0


def reached() -> bool:
    """Count an operation, and tell whether it is the one to go wrong, or one after it."""
    global count
    count += 1
    if "COUNT" in os.environ:
        Path(os.environ["COUNT"]).write_text(str(count))
    return count >= NUMBER


def fail() -> None:
    if KIND == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if KIND == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class FaultyFile(io.FileIO):
    def write(self, content) -> int:
        content = memoryview(content).cast("B")
        if reached():
            written = super().write(content[: len(content) // 2 or 1])
            fail()
            return written
        return super().write(content)


def faulty_open(path, mode, encoding=None, errors=None):
    buffered = io.BufferedWriter(FaultyFile(path, mode.replace("b", "")))
    return buffered if encoding is None else io.TextIOWrapper(buffered, encoding, errors)


def faulty(operation):
    def call(*arguments):
        if reached():
            fail()
        return operation(*arguments)

    return call


atomic.open = faulty_open
os.replace, os.fsync = faulty(os.replace), faulty(os.fsync)
sys.exit(train.run(sys.argv[3:]))
