"""JSON that may be missing or damaged, where that is no mistake."""

from __future__ import annotations

import json
import os

from support.regular_file import regular_only


def json_if_readable(path: str | os.PathLike) -> object | None:
    """The content of a JSON file, None where there is none or it cannot be read."""
    try:
        with open(path, encoding="utf-8", opener=regular_only) as file:
            return json.load(file)
    except (OSError, ValueError, RecursionError):
        return None
