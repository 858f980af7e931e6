"""A copy of everything printed, in log.txt."""

import os
import sys
import time

from tqdm import tqdm

from support.standard_streams import show_any_letter

from .errors import cannot_write
from .progress import bars_are_shown
from .tools import mkdir_if_missing


class Logger:
    """Standard output that is also written to a file, line by line, so that a killed run keeps what it said.

    Args:
        fpath: the log file; None for the console alone.
    """

    def __init__(self, fpath: str | None = None):
        self.console = sys.stdout
        show_any_letter(self.console)
        self.file = None
        self._line = ""  # begun but not ended, held back from a terminal that shows a bar
        if fpath is not None:
            mkdir_if_missing(os.path.dirname(fpath))
            try:
                self.file = open(fpath, "w", buffering=1, encoding="utf-8", errors="backslashreplace")
            except OSError as error:
                raise cannot_write(fpath, error) from error

    def write(self, msg: str) -> None:
        if self.file is not None:
            try:
                self.file.write(msg)
            except OSError as error:
                path, self.file = self.file.name, None  # what is left of the run must not fail at it again
                raise cannot_write(path, error) from error
        if not bars_are_shown():
            self.console.write(msg)
            return
        self._line += msg
        if self._line.endswith("\n"):
            self.flush()

    def flush(self) -> None:
        if self._line:
            with tqdm.external_write_mode():  # takes the bars off the screen and puts them back below the text
                self.console.write(self._line)
                self.console.flush()
            self._line = ""
        self.console.flush()

    def close(self) -> None:
        """Close the file; the console stays open."""
        self.flush()
        if self.file is not None:
            self.file.close()
            self.file = None

    def __getattr__(self, name: str):
        return getattr(self.console, name)  # isatty, encoding, fileno, ...


def setup_logger(output: str | None = None) -> None:
    """Send standard output to the console and to a log file.

    Args:
        output: a folder, for ``log.txt`` in it, or a file that ends in .txt or .log. A log that is already there is
            kept under a time-stamped name, so ``log.txt`` is always the latest run. None changes nothing.
    """
    if output is None:
        return
    if isinstance(sys.stdout, Logger):  # a second run in one process does not belong in the first one's log
        sys.stdout.close()
        sys.stdout = sys.stdout.console
    fpath = output if output.endswith((".txt", ".log")) else os.path.join(output, "log.txt")
    if os.path.exists(fpath):
        os.replace(fpath, _dated(fpath))
    sys.stdout = Logger(fpath)


def _dated(fpath: str) -> str:
    stem = fpath + time.strftime("-%Y-%m-%d-%H-%M-%S", time.localtime(os.path.getmtime(fpath)))
    name, count = stem, 1
    while os.path.exists(name):
        count += 1
        name = f"{stem}-{count}"
    return name
