"""Peak memory of one MuDPT training step against the number of classes: `python -m bench.memory [--classes ...]`.

Each point runs in a process of its own, whose peak resident memory (weights and libraries included) counts. A point of
the reference that would not fit, by linear growth from smaller ones, is not started; in its place comes the largest
that fits.
"""

from __future__ import annotations

from dataclasses import replace

from bench import measure
from bench.single_step import Growth, Point, measure_point


def main() -> None:
    parser = measure.argument_parser(__doc__, classes=None, pairs=None)
    parser.add_argument("--classes", type=measure.positive, nargs="+", default=[50, 100, 1000], help="of both sides")
    parser.add_argument("--chunk", type=int, default=500, help="classes at a time in further points of ours; 0: none")
    parser.add_argument("--chunked-classes", type=measure.positive, nargs="+", default=[1000, 5000, 20000])
    parser.add_argument("--memory-limit", type=float, help="GiB; default: nine tenths of what is available")
    args = parser.parse_args()
    limit = args.memory_limit or 0.9 * measure.available_memory(args.device)
    on = {"threads": args.threads, "device": args.device.type, "precision": args.precision}
    base = Point("reference", batch=args.batch, backbone=args.backbone, **on)

    rows, largest = reference_rows(base, sorted(args.classes), limit)
    for chunk, counts in ((0, args.classes), (args.chunk, args.chunked_classes if args.chunk else [])):
        for classes in sorted(counts):
            found = measure_point(replace(base, side="ours", classes=classes, chunk_classes=chunk))
            label = f"this project, {chunk} classes at a time" if chunk else "this project"
            rows.append([label, classes, *figures(found), largest / found["gib"] if "gib" in found else None])
    measure.print_table(
        f"MuDPT step, {args.backbone}, batch {args.batch}, {args.precision}; "
        f"{measure.machine(args.threads, args.device)}",
        rows,
        ["", "classes", "peak memory, GiB", "before the step, GiB", "s", "largest reference / this"],
    )


def reference_rows(base: Point, counts: list[int], limit: float) -> tuple[list[list], float]:
    """A row for each number of classes, in rising order, and the largest peak memory that was measured, in GiB."""
    rows, growth, largest = [], Growth(limit), 0.0
    for classes in counts:
        tried = [classes]
        if not growth.fits(classes):
            rows.append(["reference", classes, f"does not fit into {limit:.1f}", None, None, None])
            tried = [fitting] if (fitting := growth.largest()) and fitting > growth.points[-1][0] else []
        for number in tried:
            found = measure_point(replace(base, classes=number))
            rows.append(["reference", number, *figures(found), None])
            if "gib" in found:
                growth.add(number, found["gib"])
                largest = max(largest, found["gib"])
        if tried != [classes]:
            return rows, largest  # all others are larger
    return rows, largest


def figures(found: dict) -> list:
    """Peak memory, that before the step, seconds; or why there are none."""
    if "failed" in found:
        return [found["failed"], None, None]
    return [f"{found['gib']:.2f}", f"{found['gib_before']:.2f}", found["seconds"]]


if __name__ == "__main__":
    measure.run(main)
