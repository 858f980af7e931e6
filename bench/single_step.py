"""One MuDPT training step in a process of its own, for its seconds and peak memory.

`python -m bench.single_step '{"side": "ours", "classes": 100}'` prints a line of JSON; `measure_point` runs it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from bench import flops, measure, sides
from support.user_error import UserError

ROOT = Path(__file__).parents[1]
ENOUGH_SECONDS = 20.0  # after which a point gets no further step


@dataclass(frozen=True)
class Point:
    """What is measured. ``side`` is "reference" or "ours"; the fastest of ``steps`` counts, or of fewer if slow."""

    side: str
    classes: int = 100
    batch: int = 4
    prompts: int = 4
    depth: int = 9
    chunk_classes: int = 0
    backbone: str = "ViT-B/16"
    threads: int = 1
    steps: int = 1
    device: str = "cpu"
    precision: str = "fp32"


def measure_point(point: Point, seconds_limit: float | None = None) -> dict:
    """The point's seconds, peak memory and needed operations; ``{"failed": reason}`` where it gave none.

    Args:
        seconds_limit: for the whole process, after which it is stopped.
    """
    command = [sys.executable, "-m", "bench.single_step", json.dumps(asdict(point))]
    try:
        ended = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=seconds_limit, cwd=ROOT)
    except subprocess.TimeoutExpired:
        return {"failed": f"longer than {seconds_limit:.0f} s"}
    if ended.returncode < 0:
        return {"failed": "stopped by the system, as it does where memory ends"}
    if ended.returncode:
        reason = ended.stderr.strip().splitlines()
        raise UserError(f"{point.side}, {point.classes} classes: {reason[-1] if reason else 'no output'}")
    return json.loads(ended.stdout.splitlines()[-1])


def step(point: Point) -> dict:
    """Seconds and peak memory of the point, measured in this process."""
    torch.set_num_threads(point.threads)
    both = sides.build(
        "mudpt",
        point.classes,
        point.backbone,
        point.device,
        point.precision,
        chunk_classes=point.chunk_classes,
        N_CTX=point.prompts,
        DEEP_PROMPT_DEPTH=point.depth,
    )
    model = both.ours if point.side == "ours" else both.reference
    train_step = both.train_step(model, point.batch)
    before = measure.peak_memory(point.device)
    seconds = []
    while len(seconds) < point.steps and sum(seconds) < ENOUGH_SECONDS:
        seconds.append(measure.timed(train_step)[0])
    operations = flops.train_step(both.state, both.text, point.batch, "mudpt", both.deep_layers).total
    return {
        "seconds": min(seconds),
        "gib": measure.peak_memory(point.device),
        "gib_before": before,
        "gflop": operations / 1e9,
    }


class Growth:
    """Whether a point with more classes, images or prompts would fit, by linear growth from smaller ones."""

    def __init__(self, limit: float):
        self.limit = limit
        self.points: list[tuple[int, float]] = []

    def add(self, size: int, gib: float) -> None:
        self.points = [*self.points, (size, gib)][-2:]

    def fits(self, size: int) -> bool:
        """True where fewer than two smaller points are known."""
        return len(self.points) < 2 or self._at(size) <= self.limit

    def largest(self) -> int | None:
        """The largest size that fits, with two digits; None where growth is unknown."""
        if len(self.points) < 2 or self._slope() <= 0:
            return None
        size, gib = self.points[-1]
        largest = int(size + (self.limit - gib) / self._slope())
        digits = 10 ** max(0, len(str(largest)) - 2)
        return largest // digits * digits

    def _slope(self) -> float:
        (size, gib), (larger, more) = self.points
        return (more - gib) / (larger - size)

    def _at(self, size: int) -> float:
        return self.points[-1][1] + (size - self.points[-1][0]) * self._slope()


def main(arguments: Mapping) -> None:
    print(json.dumps(step(Point(**arguments))))


if __name__ == "__main__":
    measure.run(lambda: main(json.loads(sys.argv[1])))
