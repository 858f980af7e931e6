"""Progress bars for a person at a terminal; nothing where the output goes to a file."""

import sys

from tqdm import tqdm

from .distributed import is_main


def bars_are_shown() -> bool:
    return is_main() and sys.__stderr__ is not None and sys.__stderr__.isatty()


def progress_bar(iterable=None, **options) -> tqdm:
    """A tqdm bar on the terminal, and none where standard error is a file. ``options`` are tqdm's: total, desc, ..."""
    options.setdefault("disable", not bars_are_shown())
    return tqdm(iterable, file=sys.__stderr__, dynamic_ncols=True, leave=False, **options)
