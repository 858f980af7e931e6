"""The version of the code that a run was made with."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CODE = ("*.py", "*.yaml", "*.sh")  # results and notes beside it are no change of the code
SECONDS = 10  # that git may take


def code_version() -> dict[str, object]:
    """``commit``, and whether the code was ``changed`` since; None where it is no git repository."""
    top = _git("rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != ROOT:
        return {"commit": None, "changed": None}
    changes = _git("status", "--porcelain", "--", *CODE)
    return {"commit": _git("rev-parse", "HEAD"), "changed": None if changes is None else bool(changes)}


def _git(*words: str) -> str | None:
    """What git prints, None where it is not installed or fails."""
    command = ["git", "-C", str(ROOT), *words]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
