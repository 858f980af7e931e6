"""The one kind of error that is the user's to mend, shared by all packages of this repository."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake the user can mend. Its message is one line: what, where (file, key, value), what to do."""


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """' (did you mean "x"?)' for the nearest of ``choices``, or '' where none is near."""
    by_lower_case = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(name.lower(), by_lower_case, n=1, cutoff=0.6)
    return f' (did you mean "{by_lower_case[near[0]]}"?)' if near else ""
