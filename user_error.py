"""The one kind of error that is the user's to mend, shared by all packages of this repository."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Sequence


class UserError(Exception):
    """A mistake the user can mend: what is wrong, where (file, key, value) and what to do, in one line.

    ``train.py`` prints it as ``error: <message>`` without a traceback and exits with code 2.
    """

    def __init__(self, message: str):
        # A DataLoader rebuilds a worker's error from the text of its traceback, whose last line ends in the message.
        prefix = f"{type(self).__module__}.{type(self).__qualname__}: "
        line = str(message).rpartition(prefix)[2]
        super().__init__(" ".join(part.strip() for part in line.splitlines() if part.strip()))

    def __str__(self) -> str:
        return self.args[0]  # KeyError, a base of some subclasses, would quote it


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """' (did you mean "x"?)' for the nearest of ``choices``, or '' where none is near. Case does not count."""
    by_lower_case = {str(choice).lower(): choice for choice in choices}
    near = difflib.get_close_matches(str(name).lower(), by_lower_case, n=1)
    return f' (did you mean "{by_lower_case[near[0]]}"?)' if near else ""


def shorten(names: Sequence[str], limit: int = 3) -> str:
    """The first ``limit`` of ``names``, and "..." where there are more."""
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")


def print_error(message: object) -> int:
    """Print the one line of a user's mistake; returns its exit code."""
    print(f"error: {message}", file=sys.stderr)
    return 2
