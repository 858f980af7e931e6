"""The methods that have scripts, as scripts/<name>/method.sh describes them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(os.path.relpath(Path(__file__).resolve().parents[1]))  # short paths in messages


@dataclass(frozen=True)
class Method:
    """What scripts/<name>/method.sh says; without ``new_classes`` it knows only the classes it was trained on."""

    name: str
    trainer: str
    new_classes: bool


@cache
def methods_here() -> tuple[Method, ...]:
    methods = []
    for file in sorted((ROOT / "scripts").glob("*/method.sh")):
        text = file.read_text(encoding="utf-8")
        if found := re.search(r"^trainer=[\"']?([\w-]+)", text, re.MULTILINE):
            methods.append(Method(file.parent.name, found[1], "\nnew_classes=false" not in text))
    return tuple(methods)
