"""One try with one hostile input: it loads, or the project refuses it in one line; anything else is a crash."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import signal
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

from support.user_error import UserError

set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "hypothesis")  # not a folder of this repository
SECONDS = 20  # after which an input counts as hanging; most take milliseconds


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Attributes:
        inputs: what is tried.
        load: takes an input and an empty folder, where it may write the files; returns nothing.
        share: of all inputs of a full run, in percent.
    """

    name: str
    inputs: st.SearchStrategy
    load: Callable[[object, Path], None]
    share: int


class Hang(BaseException):
    """An input that took longer than SECONDS."""


@contextlib.contextmanager
def limited_time() -> Iterator[None]:
    """Raise Hang in Python code after SECONDS; end the process, with a traceback, where other code never returns."""

    def stop(*_):
        raise Hang(f"longer than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    faulthandler.dump_traceback_later(3 * SECONDS, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def attempt(kind: Kind, content: object, folder: Path) -> str:
    """ "loaded" or "refused"; any other outcome is raised.

    What stands beside ``folder`` must stay as it is.
    """
    beside = snapshot(folder.parent, folder)
    with limited_time(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # of libraries, on files that are damaged
        try:
            kind.load(content, folder)
            outcome = "loaded"
        except UserError as error:
            assert type(error) is not UserError, f"of no kind: {error}"
            assert str(error).strip() and "\n" not in str(error), repr(str(error))
            assert len(str(error)) < 5000, f"{len(str(error))} characters"
            outcome = "refused"
    assert snapshot(folder.parent, folder) == beside, "files beside the folder changed"
    return outcome


class Memory:
    """The most that a single input took, in MB, on Linux.

    Attributes:
        most: of all inputs so far, beyond what the process had before.
    """

    def __init__(self):
        self.most = 0

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = self._in_mb("VmRSS")
        try:
            yield
        finally:
            self.most = max(self.most, self._in_mb("VmHWM") - before)

    @staticmethod
    def _in_mb(name: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) >> 10 for line in lines if line.startswith(f"{name}:"))


def snapshot(folder: Path, without: Path | None = None) -> dict[str, bytes]:
    """The files below a folder with what they hold, but for those below ``without``."""
    return {
        str(path): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not (without and path.is_relative_to(without))
    }


def try_all(
    kind: Kind, count: int, box: Path, report: Callable[[object, BaseException], None] | None = None
) -> Counter:
    """Try ``count`` inputs of a kind; returns how often each outcome came.

    Args:
        box: an empty folder.
        report: called with an input that crashed, and the error; by default the error is raised, with the smallest
            input that leads to it.
    """
    outcomes = Counter()
    (box / "beside.txt").write_text("stays as it is")
    phases = (Phase.generate,) if report else (Phase.generate, Phase.shrink)

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )
    @given(kind.inputs)
    def test(content: object) -> None:
        folder = box / "files"
        folder.mkdir()
        try:
            outcomes[attempt(kind, content, folder)] += 1
        except (Exception, Hang) as error:
            outcomes["crashed"] += 1
            if report is None:
                raise
            report(content, error)
        finally:
            remove(folder)

    test()
    return outcomes


def remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink() if path.is_symlink() or not path.is_dir() else os.rmdir(path)
    os.rmdir(folder)
