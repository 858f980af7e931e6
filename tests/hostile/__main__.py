"""Try thousands of hostile inputs of every kind and print what became of them.

    python -m tests.hostile                       20,000 inputs
    python -m tests.hostile --inputs 500 --only images

Each kind is tried in a process of its own, so that an interpreter that crashes is counted and not the end. Exit code 1
where an input did anything but load or be refused in one line.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

KINDS = ("CONFIGS", "LISTS", "RESULT_FILES", "LEARNED", "BACKBONES", "IMAGES", "ARCHIVES", "RUNS")
INPUTS = 20_000


def try_kind(name: str, inputs: int) -> dict:
    """Try its share of ``inputs`` in this process; returns the counts, the seconds and the most memory of an input."""
    import torch

    from tests.hostile.attempts import Memory, try_all
    from tests.hostile.kinds import by_name

    torch.set_num_threads(1)
    kind, memory = by_name()[name], Memory()

    def load(content: object, folder: Path) -> None:
        with memory.watched():
            kind.load(content, folder)

    def report(content: object, error: BaseException) -> None:
        print(f"{kind.name}: {type(error).__name__}: {str(error)[:300]}; input {content!r:.400}", file=sys.stderr)

    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as box:
        outcomes = try_all(replace(kind, load=load), inputs * kind.share // 100, Path(box), report)
    return {"kind": kind.name, **outcomes, "seconds": time.perf_counter() - started, "peak": memory.most}


def row(name: str, inputs: int) -> dict:
    """The counts of a kind, tried in a process of its own."""
    command = [sys.executable, "-m", "tests.hostile", "--inputs", str(inputs), "--in-this-process", name]
    ended = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    found = json.loads(ended.stdout.splitlines()[-1]) if ended.returncode == 0 else {"kind": name.lower(), "crashed": 1}
    if found.get("crashed"):  # libraries print too, on what is damaged: that is left out where nothing crashed
        print(ended.stderr, file=sys.stderr)
    return {"seconds": 0, "peak": 0, **found}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=INPUTS, help=f"of all kinds together (default {INPUTS})")
    parser.add_argument("--only", choices=KINDS, type=str.upper, help="one kind alone")
    parser.add_argument("--in-this-process", choices=KINDS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.in_this_process:
        print(json.dumps(try_kind(args.in_this_process, args.inputs)))
        return 0
    rows = [row(name, args.inputs) for name in ([args.only] if args.only else KINDS)]
    columns = ("loaded", "refused", "crashed")
    rows.append({"kind": "all", "peak": max(each["peak"] for each in rows)})
    for column in (*columns, "seconds"):
        rows[-1][column] = sum(each.get(column, 0) for each in rows[:-1])
    print("| input | tried | loaded | refused | crashed | seconds | most memory of one, MB |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for each in rows:
        counts = [each.get(column, 0) for column in columns]
        cells = [
            each["kind"],
            *(f"{number:,}" for number in (sum(counts), *counts, round(each["seconds"]), each["peak"])),
        ]
        print(f"| {' | '.join(cells)} |")
    return 1 if rows[-1]["crashed"] else 0


if __name__ == "__main__":
    sys.exit(main())
