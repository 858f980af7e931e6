"""The errors that the user can correct, shared by all packages of this repository."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from support.system_limits import limit_message

LONGEST = 4000  # characters of a message; what to do stands at its end


class UserError(Exception):
    """A mistake the user can mend: what is wrong, where (file, key, value) and what to do, in one line.

    Every command prints it as ``error: <message>`` without a traceback and exits with code 2, see `exit_code`.
    """

    def __init__(self, message: str):
        # A DataLoader rebuilds a worker's error from the text of its traceback, whose last line ends in the message.
        prefix = f"{type(self).__module__}.{type(self).__qualname__}: "
        line = str(message).rpartition(prefix)[2]
        line = " ".join(part.strip() for part in line.splitlines() if part.strip())
        if len(line) > LONGEST:  # a file may have put a megabyte where a name belongs
            line = f"{line[: 3 * LONGEST // 4]} ... {line[-LONGEST // 5 :]}"
        super().__init__(line)

    def __str__(self) -> str:
        return self.args[0]  # KeyError, a base of some subclasses, would quote it


class ConfigError(UserError):
    """A flag, a config file, a key or a value: unknown, out of range, or not fitting the others."""


class DataError(UserError):
    """Images, their folders, lists, splits and annotations: missing, damaged or contradictory."""


class CheckpointError(UserError):
    """CLIP's weights or learned tensors: missing, damaged, or of another model or run."""


class ResultsError(UserError):
    """Results of finished runs: missing, damaged, or of settings that do not belong together."""


class OutputError(UserError):
    """What a run would write: no permission, no space, or another run is writing there."""


class DownloadError(UserError):
    """A file from the network: unreachable, incomplete or not the published one."""


class ProcessError(UserError):
    """Several processes, GPUs or a cluster: too few, or out of reach."""


class TrainingError(UserError):
    """Training itself came to a number that nothing follows from."""


def cannot_write(path: str | os.PathLike, error: OSError) -> OutputError:
    """The error for a file that the system does not let be written."""
    return OutputError(
        f"cannot write {path}: {error.strerror or error}; free some space, mend permissions, or choose another folder"
    )


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """' (did you mean "x"?)' for the nearest of ``choices``, or '' where none is near. Case does not count."""
    by_lower_case = {str(choice).lower(): choice for choice in choices}
    near = difflib.get_close_matches(str(name).lower(), by_lower_case, n=1)
    return f' (did you mean "{by_lower_case[near[0]]}"?)' if near else ""


def shorten(names: Sequence[str], limit: int = 3) -> str:
    """The first ``limit`` of ``names``, and "..." where there are more."""
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")


class OneLineParser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line without the usage."""

    def error(self, message: str):
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")


def _importing_file(error: Exception) -> str:
    """The file of this tree that an error comes from, relative to its root; "" where none does."""
    files = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
    root = Path(__file__).parents[1]
    return next((str(file.relative_to(root)) for file in reversed(files) if file.is_relative_to(root)), "")


def user_message(error: Exception) -> str | None:
    """The one line for an error that the user can mend, None for any other."""
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "").partition(".")[0]
        if (Path(__file__).parents[1] / package).is_dir():
            return None  # a mistake in our own tree
        file = _importing_file(error)
        if file.startswith(("trainers", "datasets")):  # where files of others are put
            return (
                f'Python package "{package}" is missing, which {file} imports: bash scripts/setup_venv.sh installs '
                "what our own files need into .venv; for a file of others install the package, or take the file out"
            )
        return f'Python package "{package}" is missing: bash scripts/setup_venv.sh installs what is needed into .venv'
    if message := limit_message(error):
        return message
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror}: {error.filename}"
    return str(error) if isinstance(error, UserError) else None


def is_debugging() -> bool:
    """Whether mistakes of the user end in a traceback, too."""
    return os.environ.get("MUDPT_DEBUG") == "1"


def exit_code(command: Callable[[], int]) -> int:
    """Run a command and return its exit code: 2, with one line, after a mistake of the user."""
    try:
        return command()
    except Exception as error:
        message = user_message(error)
        if message is None or is_debugging():
            raise
        return print_error(message)


def print_error(message: object) -> int:
    """Print the one line of a user's mistake; returns its exit code."""
    print(f"error: {message}", file=sys.stderr)
    return 2
