"""Reading the annotation files of published datasets: text, JSON, MATLAB."""

import json
from collections.abc import Iterator
from typing import Any

from user_error import UserError


def read_lines(path: str) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, stripped line) for each line of a text file that is not empty.

    Raises:
        UserError: the file cannot be read or is not UTF-8.
    """
    # utf-8-sig: editors on Windows put a mark at the start of the file, which is no part of the first line.
    try:
        with open(path, encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line := line.strip():
                    yield number, line
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error


def read_json(path: str) -> Any:
    """Return the content of a JSON file.

    Raises:
        UserError: the file cannot be read, is not UTF-8 or not JSON.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            return json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise unreadable(path, error) from error


def read_mat(path: str, key: str) -> Any:
    """Return the variable `key` of a MATLAB file as scipy gives it (structures and cells as nested object arrays).

    Raises:
        UserError: the file cannot be read or has no such variable.
    """
    from scipy.io import loadmat  # only two datasets need it, and it takes a while to import

    try:
        return loadmat(path)[key]
    except Exception as error:  # scipy fails in many ways on a damaged file
        raise unreadable(path, error) from error


def unreadable(path: str, error: Exception) -> UserError:
    """Return the error for a file that cannot be understood."""
    reason = getattr(error, "strerror", None) or (
        "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else f"{type(error).__name__}: {error}"
    )
    return UserError(f"{path} cannot be read ({' '.join(reason.split())}): get the file again")
