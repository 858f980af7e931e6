"""Reading the annotation files of published datasets: text, JSON, MATLAB."""

import json
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, TypeVar

import numpy as np

from support.regular_file import regular_only
from support.user_error import DataError

T = TypeVar("T")

MOST_UNPACKED = 2**28  # bytes of a MATLAB file; the largest that is read here has a few million
_MAT_HEADER, _MAT_PACKED = 128, 15  # length of the text a MATLAB file begins with; the type of a packed variable


def read_lines(path: str) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, stripped line) for each line of a text file that is not empty.

    Raises:
        UserError: the file cannot be read or is not UTF-8.
    """
    # utf-8-sig: editors on Windows put a mark at the start of the file, which is no part of the first line.
    try:
        with open(path, encoding="utf-8-sig", opener=regular_only) as file:
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
        with open(path, encoding="utf-8-sig", opener=regular_only) as file:
            return json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise unreadable(path, error) from error


def read_mat(path: str, key: str) -> np.ndarray:
    """Return the variable `key` of a MATLAB file as a vector: of numbers, of texts, or of records with named fields.

    Raises:
        UserError: the file cannot be read or has no such variable.
    """
    from scipy.io import loadmat  # only two datasets need it, and it takes a while to import

    try:
        with open(path, "rb", opener=regular_only) as file:
            _check_unpacked_size(file)
            return np.atleast_1d(loadmat(file, variable_names=[key], squeeze_me=True)[key])
    except Exception as error:  # scipy fails in many ways on a damaged file
        raise unreadable(path, error) from error


def _check_unpacked_size(file: BinaryIO) -> None:
    """ValueError where the packed variables of a MATLAB file unpack to more than MOST_UNPACKED bytes."""
    order = "<" if file.read(_MAT_HEADER)[-2:] == b"IM" else ">"
    unpacked = 0
    while len(tag := file.read(8)) == 8:
        kind, size = struct.unpack(f"{order}II", tag)
        if kind != _MAT_PACKED:
            file.seek(size, os.SEEK_CUR)
            continue
        unpacking = zlib.decompressobj()
        packed = file.read(size)
        while packed and unpacked <= MOST_UNPACKED:
            unpacked += len(unpacking.decompress(packed, 1 << 20))
            packed = unpacking.unconsumed_tail
        if unpacked > MOST_UNPACKED:
            raise ValueError(f"it unpacks to more than {MOST_UNPACKED:,} bytes")
    file.seek(0)


def parse_lines(path: str, parse: Callable[[str], T], expected: str) -> list[T]:
    """Return `parse(line)` for each line of a text file that is not empty.

    `parse` may raise a ValueError for a line that does not look like `expected`, and a LookupError, with a message, for
    one that names what another file should list.

    Raises:
        UserError: the file cannot be read, or `parse` fails.
    """
    return _parsed(path, "line", read_lines(path), parse, expected)


def parse_mat(path: str, key: str, parse: Callable[[Any], T], expected: str) -> list[T]:
    """Return `parse(entry)` for each entry of the variable `key` of a MATLAB file; as `parse_lines` otherwise.

    Raises:
        UserError: the file cannot be read, or `parse` fails.
    """
    return _parsed(path, key, enumerate(read_mat(path, key), start=1), parse, expected)


def label_of(number: str) -> int:
    """Return the label, from 0, of a class that a file numbers from 1; ValueError if it is no such number."""
    label = int(number) - 1
    if label < 0:
        raise ValueError(f"class {number} is below 1")
    return label


def _parsed(
    path: str, what: str, entries: Iterable[tuple[int, Any]], parse: Callable[[Any], T], expected: str
) -> list[T]:
    results = []
    for number, entry in entries:
        try:
            results.append(parse(entry))
        except LookupError as error:
            raise DataError(f"{path}, {what} {number}: {error}: get both files again") from error
        except (AttributeError, OverflowError, TypeError, ValueError) as error:
            found = json.dumps(str(entry)[:80], ensure_ascii=False)  # without control characters
            raise DataError(
                f'{path}, {what} {number}: expected "{expected}", found {found}: mend it or get the file again'
            ) from error
    return results


def unreadable(path: str, error: Exception) -> DataError:
    """Return the error for a file that cannot be understood."""
    reason = getattr(error, "strerror", None) or (
        "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else f"{type(error).__name__}: {error}"
    )
    return DataError(f"{path} cannot be read ({' '.join(reason.split())}): get the file again")
