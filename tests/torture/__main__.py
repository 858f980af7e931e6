"""Kill runs at random moments and see whether they end to the same bits: `python -m tests.torture [--kills 100]`."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tabulate import tabulate

from tests.torture.runs import KINDS, disturb


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="in all (100)")
    parser.add_argument("--runs", type=int, default=len(KINDS), help=f"kinds of runs ({len(KINDS)})")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (1)")
    args = parser.parse_args()
    begun, outcomes = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        for i, kind in enumerate(KINDS[: args.runs]):
            kills = args.kills // args.runs + (i < args.kills % args.runs)
            place = Path(folder) / str(i)
            place.mkdir()
            outcomes.append(disturb(kind, Path(folder) / "data", place, kills, True, random.Random(args.seed + i)))
            print(
                f"{i + 1}/{args.runs} {kind}: {'; '.join(outcomes[-1].faults) or 'equal'}", file=sys.stderr, flush=True
            )
    columns = ("kills", "stops", "full_disks", "short_writes", "resumed", "within_epoch")
    rows = [[o.kind, *(getattr(o, c) for c in columns), "no" if o.faults else "yes"] for o in outcomes]
    total = [sum(getattr(o, column) for o in outcomes) for column in columns]
    rows.append(["all", *total, f"{sum(not o.faults for o in outcomes)} of {len(outcomes)}"])
    headers = ["run", *(column.replace("_", " ") for column in columns), "same end"]
    print(tabulate(rows, headers=headers, tablefmt="github"))
    print(f"\n{time.monotonic() - begun:.0f} s")
    return 1 if any(o.faults for o in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
