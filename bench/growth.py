"""Seconds and peak memory of a MuDPT step against its sizes: `python -m bench.growth`, then growth.json and .png.

Each point runs in a process of its own. A line ends where a point took longer than --seconds-limit, or where the next
would not fit into memory or time by linear growth from the last two. `--redraw` only draws, from the JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from bench import measure
from bench.single_step import Growth, Point, measure_point

SIZES = {
    "classes": [10, 30, 100, 300, 1000, 3000, 10000, 20000],
    "batch": [1, 4, 16, 64],
    "prompts": [2, 4, 8, 16],
    "depth": [1, 3, 6, 9, 12],
}
LABELS = {
    "classes": "classes",
    "batch": "batch (images)",
    "prompts": "prompt length (tokens per layer)",
    "depth": "depth (layers with prompts)",
}
REFERENCE, OURS, CHUNKED = "reference", "this project", "this project, {} classes at a time"
FLOOR = "floor: needed operations at the matrix rate"


def main() -> None:
    parser = measure.argument_parser(__doc__, pairs=None)
    parser.add_argument("--steps", type=measure.positive, default=3, help="of a point, of which the fastest counts")
    parser.add_argument("--axes", nargs="+", choices=SIZES, default=list(SIZES), help="which columns to measure")
    for axis in SIZES:
        parser.add_argument(
            f"--{axis}-sizes", type=measure.positive, nargs="+", default=SIZES[axis], metavar="N", help="of the x axis"
        )
    parser.add_argument("--chunk", type=int, default=500, help="classes at a time in the chunked line; 0: none")
    parser.add_argument("--memory-limit", type=float, help="GiB; default: nine tenths of what is available")
    parser.add_argument("--seconds-limit", type=float, default=600, help="for the process of one point")
    parser.add_argument("--json", type=Path, default=Path(__file__).with_name("growth.json"))
    parser.add_argument("--redraw", action="store_true", help="the picture from --json, without measuring")
    args = parser.parse_args()
    if not args.redraw:
        measure_all(args)
    measured = json.loads(args.json.read_text(encoding="utf-8"))
    draw(measured, args.json.with_suffix(".png"))
    measure.print_table(
        f"MuDPT step; {measured['machine']}",
        [
            [LABELS[point["axis"]], point[point["axis"]], point["line"], point.get("seconds"), memory_or_failure(point)]
            for point in measured["points"]
        ],
        ["varied", "", "", "s", "peak memory, GiB"],
    )


def measure_all(args: argparse.Namespace) -> None:
    """Measure every line of every column and write the JSON, anew after each point."""
    on = {"threads": args.threads, "device": args.device.type, "precision": args.precision}
    base = Point("ours", args.classes, args.batch, backbone=args.backbone, steps=args.steps, **on)
    limit = args.memory_limit or 0.9 * measure.available_memory(args.device)
    measured = {
        "machine": measure.machine(args.threads, args.device),
        "precision": args.precision,
        "backbone": args.backbone,
        "fixed": {axis: getattr(base, axis) for axis in SIZES},
        "gflop_per_second": measure.matrix_rate(args.device, args.precision) / 1e9,
        "memory_limit_gib": limit,
        "seconds_limit": args.seconds_limit,
        "points": [],
    }
    for axis in args.axes:
        lines = {REFERENCE: replace(base, side="reference"), OURS: base}
        if axis == "classes" and args.chunk:
            lines[CHUNKED.format(args.chunk)] = replace(base, chunk_classes=args.chunk)
        for line, point in lines.items():
            sizes = [size for size in getattr(args, f"{axis}_sizes") if size > point.chunk_classes]
            for found in line_points(point, axis, sorted(sizes), limit, args.seconds_limit):
                measured["points"].append({"axis": axis, "line": line, **found})
                args.json.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


def line_points(point: Point, axis: str, sizes: list[int], limit: float, seconds_limit: float) -> Iterator[dict]:
    """What was measured at each size, up to the first that gave no figure."""
    memory, time = Growth(limit), Growth(seconds_limit)
    for size in sizes:
        point = replace(point, **{axis: size})
        if not memory.fits(size):
            found = {"failed": f"does not fit into {limit:.1f} GiB"}
        elif not time.fits(size):
            found = {"failed": f"longer than {seconds_limit:.0f} s"}
        else:
            found = measure_point(point, seconds_limit)
        print(f"{axis} {size}, {point.side}: {found}", flush=True)
        yield {**asdict(point), **found}
        if "failed" in found:
            return
        memory.add(size, found["gib"])
        time.add(size, found["seconds"])


def memory_or_failure(point: dict) -> str:
    return f"{point['gib']:.2f}" if "gib" in point else point["failed"]


def draw(measured: dict, path: Path) -> None:
    """Two rows (seconds, GiB) of one column per size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import LogLocator

    points = [point for point in measured["points"] if "seconds" in point]
    columns = list(dict.fromkeys(point["axis"] for point in points))
    size = (1 + 3 * max(2, len(columns)), 6.5)
    figure, plots = pyplot.subplots(
        2, len(columns), figsize=size, sharey="row", sharex="col", squeeze=False, layout="constrained"
    )
    for column, axis in enumerate(columns):
        own = [point for point in points if point["axis"] == axis]
        for row, key in enumerate(("seconds", "gib")):
            plot = plots[row, column]
            for line in dict.fromkeys(point["line"] for point in own):
                on_line = [(point[axis], point[key]) for point in own if point["line"] == line]
                plot.plot(*zip(*on_line, strict=True), label=line, markersize=5, linewidth=1.6, **style(line))
            plot.set_yscale("log")
            plot.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if row == 0 else (1, 2, 3, 4, 6)))
            plot.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
            plot.minorticks_off()
            plot.grid(alpha=0.3)
            plot.spines[["top", "right"]].set_visible(False)
        floor = {point[axis]: point["gflop"] / measured["gflop_per_second"] for point in own}
        plots[0, column].plot(*zip(*sorted(floor.items()), strict=True), color="0.35", linestyle=":", label=FLOOR)
        if axis in ("classes", "batch"):
            plot.set_xscale("log")
        if axis == "classes":
            plot.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        else:
            plot.set_xticks(sorted(floor), labels=map(str, sorted(floor)))
        plot.minorticks_off()
        plot.set_xlabel(LABELS[axis])
    plots[0, 0].set_ylabel("seconds per step")
    plots[1, 0].set_ylabel("peak memory, GiB")
    figure.legend(
        *plots[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(columns), frameon=False
    )
    fixed = ", ".join(f"{LABELS[axis].partition(' (')[0]} {size}" for axis, size in measured["fixed"].items())
    step = f"One MuDPT training step, {measured['backbone']}, {measured.get('precision', 'fp32')}"
    figure.suptitle(f"{step}; where not varied: {fixed}\n{measured['machine']}", fontsize=10)
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def style(line: str) -> dict:
    """Colour, marker and dashes of a line."""
    if line == REFERENCE:
        return {"color": "#b2442e", "marker": "o"}
    if line == OURS:
        return {"color": "#1f5f99", "marker": "s"}
    return {"color": "#2c8f5a", "marker": "^", "linestyle": "--"}


if __name__ == "__main__":
    measure.run(main)
