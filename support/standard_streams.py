"""Standard output and error of a command: they show any letter in some way, and outlive their reader.

if __name__ == "__main__":
    sys.exit(standard_streams.run(main))
"""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
from collections.abc import Callable
from typing import TextIO


def run(main: Callable[[], int | None]) -> int | None:
    """Run the main function of a command; returns its exit code.

    A letter that the console's encoding lacks is printed as its escape. Once the reader of a pipe has ended, as
    ``head`` does, or the terminal is closed, output goes nowhere and the command goes on.
    """
    _use_utf8()
    sys.stdout = sys.__stdout__ = _outliving(sys.stdout)
    sys.stderr = sys.__stderr__ = _outliving(sys.stderr)
    return main()


def show_any_letter(stream: TextIO) -> None:
    """From now on ``stream`` prints the escape of a letter that its encoding lacks."""
    if isinstance(stream, io.TextIOWrapper):  # not a notebook's
        stream.reconfigure(errors="backslashreplace")


def _use_utf8() -> None:
    """Where the locale is another than UTF-8, start Python anew: names of files are UTF-8, the console is unchanged."""
    if sys.getfilesystemencoding() == "utf-8" or "utf8" in sys._xoptions:
        return
    if sys.stdout is not None:
        os.environ.setdefault("PYTHONIOENCODING", sys.stdout.encoding)
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def _outliving(stream: TextIO | None) -> TextIO:
    """A stream to the same descriptor that never fails for want of a letter or a reader."""
    if stream is None:  # the descriptor is closed
        return open(os.devnull, "w", encoding="utf-8", errors="backslashreplace")
    if not isinstance(stream, io.TextIOWrapper) or os.name == "nt":
        show_any_letter(stream)
        return stream
    stream.flush()
    raw = _Descriptor(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        raw if stream.write_through else io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Descriptor(io.FileIO):
    """A descriptor that becomes the null device's once nobody reads what is written to it."""

    def write(self, content) -> int | None:
        try:
            return super().write(content)
        except OSError as error:
            if not self._is_without_reader(error):
                raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        return super().write(content)

    def _is_without_reader(self, error: OSError) -> bool:
        is_closed_terminal = error.errno == errno.EIO and stat.S_ISCHR(os.fstat(self.fileno()).st_mode)
        return error.errno == errno.EPIPE or is_closed_terminal
