"""Ending a run from outside: Ctrl-C and SIGTERM wait for a step to be finished, and for its checkpoint.

    with handled():               # the whole run
        ...                       # here a signal raises StopRequest at once
        with deferred():
            ...                   # here it waits
        stop_if_asked()           # and is raised here

A second signal does not wait.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from .distributed import average, world_size

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_received: int | None = None
_deferring = 0  # blocks of `deferred` that are entered
_of_children = None  # the handler of SIGCHLD that a signal has put aside


class StopRequest(KeyboardInterrupt):
    """The run was asked to end.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int):
        super().__init__()
        self.number = number


@contextmanager
def handled() -> Iterator[None]:
    """In this block SIGINT and SIGTERM raise `StopRequest`, unless the process was started to ignore them.

    Outside of the main thread nothing changes.
    """
    global _received, _of_children
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _received = _of_children = None
    heeded = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, _receive) for number in heeded}
    try:
        yield
    finally:
        if _of_children is not None:
            signal.signal(signal.SIGCHLD, _of_children)
        _received = None
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def deferred(wanted: bool = True) -> Iterator[None]:
    """In this block, if ``wanted``, a first signal is only remembered, see `stop_if_asked`."""
    global _deferring
    _deferring += wanted
    try:
        yield
    finally:
        _deferring -= wanted


def stop_if_asked() -> None:
    """Raise the `StopRequest` that waits. Of several processes all have to call this, and end together."""
    number = _received or 0
    if world_size() > 1 and float(average(torch.tensor(float(number)))) > 0:
        number = number or signal.SIGTERM
    if number:
        raise StopRequest(number)


def _receive(number: int, frame) -> None:
    global _received, _of_children
    if not _deferring or _received is not None:
        raise StopRequest(number)
    _received = number
    # The loader's processes may have got the signal, too. Their end, which torch looks for, is no error any more.
    if hasattr(signal, "SIGCHLD"):
        _of_children = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
