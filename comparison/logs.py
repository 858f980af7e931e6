"""What a log.txt tells of a run: its configuration and its last figures, in this project's logs and upstream Dassl's.

** Config **                                     the configuration, in YAML
...
Finish training        or        => result       the line before the figures that count
* accuracy: 91.5%                                a figure, the last of its name
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from os import PathLike

from support.regular_file import regular_only

LOG = "log.txt"
AFTER_TRAINING = "Finish training"  # what stands before the figures that count: not those of a validation on the way
AFTER_TEST = "=> result"


def final_value(log: str | PathLike[str], keyword: str, signal: str) -> float | None:
    """The last "* <keyword>: <number>%" after the line ``signal``, None where there is none.

    Raises:
        OSError: the log cannot be read.
    """
    figure = re.compile(rf"\* {re.escape(keyword)}: ([-+.\deE]+)%")
    value, counts = None, False
    with open(log, encoding="utf-8", errors="replace", opener=regular_only) as file:
        for line in file:
            counts = counts or line.strip() == signal
            if counts and (match := figure.search(line)):
                with suppress(ValueError):  # "--" and "1e" look like numbers
                    number = float(match[1])
                    value = number if math.isfinite(number) else value
    return value


def logged_config(log: str) -> str:
    """The configuration that a log begins with, as YAML; "" where there is none."""
    found = re.search(r"^\*\* Config \*\*\n\*+\n(.*?)\nCollecting env info", log, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""
