"""From the shell to the first training step, on the embedded data: `python -m bench.startup`."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import measure

ROOT = Path(__file__).resolve().parents[1]
TRAIN = [sys.executable, str(ROOT / "train.py")]
FIRST_STEP = "epoch [1/"  # how the line of a step begins


def seconds_until(command: list[str], beginning: str | None) -> float:
    """Seconds from starting ``command`` to its first line with this beginning; None: to its end."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as process:
        for line in process.stdout:
            if beginning and line.startswith(beginning):
                seconds = time.perf_counter() - started
                process.kill()
                return seconds
    if beginning or process.returncode:
        sys.exit(f"error: {' '.join(command)} did not get there")
    return time.perf_counter() - started


def main() -> None:
    parser = measure.argument_parser(__doc__, classes=None, batch=None, pairs=None, backbone=None, gpu=False)
    parser.add_argument("--repetitions", type=measure.positive, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = ["--trainer", "MuDPT", "--config-file", str(ROOT / "configs/trainers/MuDPT/tiny.yaml")]
        config += ["--dataset-config-file", str(ROOT / "configs/datasets/digits.yaml"), "--root", f"{folder}/data"]
        options = ["DATASET.NUM_SHOTS", "16", "TRAIN.PRINT_FREQ", "1"]
        rows = []
        for repetition in range(args.repetitions + 1):  # the first writes the data
            output = ["--output-dir", f"{folder}/{repetition}"]
            step = seconds_until([*TRAIN, *config, *output, *options], FIRST_STEP)
            rows.append((seconds_until([*TRAIN, "--help"], None), step))
    helps, steps = zip(*rows, strict=True)
    measure.print_table(
        f"Start-up, median of {args.repetitions}; {measure.machine(args.threads)}",
        [
            ["train.py --help, s", statistics.median(helps[1:])],
            ["first training step of MuDPT on the embedded digits, s", statistics.median(steps[1:])],
            ["the same in an empty data folder, s", steps[0]],
        ],
    )


if __name__ == "__main__":
    measure.run(main)
