"""What the parts of the check share: where the product is, how much time is left, JSON lines."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback

CHECKOUT = os.environ.get("GPU_CHECK_CHECKOUT", os.getcwd())
WORK = os.environ.get("GPU_CHECK_WORK", os.path.join(__import__("tempfile").gettempdir(), "gpu_check_work"))
DEADLINE = float(os.environ.get("GPU_CHECK_DEADLINE", time.time() + 1e6))
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, CHECKOUT)
os.chdir(CHECKOUT)


def left() -> float:
    """Seconds until this part has to end."""
    return DEADLINE - time.time()


def emit(part: str, **values) -> None:
    print(json.dumps({"part": part, **{key: rounded(value) for key, value in values.items()}}), flush=True)


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    return [rounded(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def attempt(part: str, case: dict, function) -> None:
    """Emit what ``function`` returns, or its error."""
    if left() < 5:
        emit(part, **case, skipped="no time left")
        return
    began = time.time()
    try:
        emit(part, **case, **function(), seconds=time.time() - began)
    except BaseException as error:  # SystemExit too: a part goes on
        if isinstance(error, KeyboardInterrupt):
            raise
        where = [
            f"{os.path.relpath(f.filename, CHECKOUT)}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__)
        ]
        emit(part, **case, ok=False, error=f"{type(error).__name__}: {str(error)[:400]}", where=where[-6:])
