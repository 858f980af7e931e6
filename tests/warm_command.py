"""Commands in processes of their own that need not import PyTorch first, for tests of more than the start of Python.

What the project itself is made of they import, so a copy of it in another folder can be tried, too.
"""

from __future__ import annotations

import atexit
import itertools
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from comparison.workers import LIBRARIES
from support.warm_python import WarmProcess, WarmPython

IMPORTED = ("torch", "yacs.config", "ftfy", "regex", "tabulate", "tqdm", *LIBRARIES)
READ_AT_START = ("LANG", "LC_", "MKL_", "OMP_", "PYTHON", "TORCH")  # variables of Python and its libraries


class WarmCommand:
    """A running command, with the methods of `subprocess.Popen` that tests need."""

    def __init__(self, process: WarmProcess, output: Path, errors: Path):
        self.pid, self.poll, self.wait = process.pid, process.poll, process.wait
        self._process, self._files = process, (output, errors)

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def communicate(self) -> tuple[str, str]:
        self.wait()
        return self._files[0].read_text(), self._files[1].read_text()


def start(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> WarmCommand | subprocess.Popen:
    """Start Python with these arguments, a script first; a new one where it cannot be a fork of the one that is there.

    Ctrl-C reaches it also where a shell runs the tests in the background. It has one thread, unless told otherwise.
    """
    environment = {"OMP_NUM_THREADS": "1", **(os.environ if environment is None else environment)}
    server = _server() if WarmPython.is_possible() else None
    if server is None or _read_at_start(environment) != _read_at_start(server.environment):
        return subprocess.Popen(
            [sys.executable, *arguments],
            **{"cwd": folder, "env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
    number = next(_numbers())
    output, errors = (Path(_folder().name, f"{number}.{stream}") for stream in ("out", "err"))
    words = [str(Path(folder, arguments[0]).resolve()), *arguments[1:]]
    return WarmCommand(server.start(words, environment, folder, output, errors), output, errors)


def run(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess:
    """`start`, and wait for the end."""
    process = start(arguments, folder, environment)
    output, errors = process.communicate()
    return subprocess.CompletedProcess(arguments, process.returncode, output, errors)


@cache
def _server() -> WarmPython:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        server = WarmPython(IMPORTED, {"OMP_NUM_THREADS": "1", **os.environ})
    finally:
        signal.signal(signal.SIGINT, before)
    atexit.register(server.close)
    return server


@cache
def _folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory()


@cache
def _numbers() -> itertools.count:
    return itertools.count()


def _read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(READ_AT_START)}
