"""Many runs in one view: `python benchmark.py report OUTPUT` reads every results.json under OUTPUT and prints tables.

Which protocol, dataset, method and seed a run belongs to is read from its folder (the layout that scripts/ write and
CoOp wrote); its figures are read from results.json.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from tabulate import tabulate

from dassl.utils import read_json
from user_error import UserError, print_error, shorten

LEGEND = """\
Accuracy in %: mean ± standard deviation over the seeds (ddof 0, as CoOp's parse_test_res.py); H: harmonic mean of the
means of base and new; s.e.: standard error of the accuracy from the number of test images, sqrt(p (1 - p) / n);
learned: parameters trained; train s: seconds of one training run; –: no such figure, or runs are missing; base only: a
method that knows only the classes it was trained on."""

_METHOD = r"(?P<trainer>[^/]+)/(?P<config>[^/]+)"
_SHOTS = r"_(?P<shots>\d+)shots(?P<variant>/.+)?"
LAYOUTS = [
    (protocol, re.compile(pattern))
    for protocol, pattern in (
        (
            "base",
            rf"base2new/train_base/(?P<dataset>[^/]+)/shots_(?P<shots>\d+)/{_METHOD}(?P<variant>/.+)?/seed(?P<seed>\d+)",
        ),
        (
            "new",
            rf"base2new/test_new/(?P<dataset>[^/]+)/shots_(?P<shots>\d+)/{_METHOD}(?P<variant>/.+)?/seed(?P<seed>\d+)",
        ),
        ("cross-dataset", rf"evaluation/{_METHOD}{_SHOTS}/(?P<dataset>[^/]+)/seed(?P<seed>\d+)"),
        ("few-shot", rf"(?P<dataset>[^/]+)/{_METHOD}{_SHOTS}/seed(?P<seed>\d+)"),
        ("few-shot", r"(?P<trainer>Zeroshot[^/]+)/(?P<config>[^/]+)/(?P<dataset>[^/]+)"),
    )
]


@dataclass(frozen=True)
class Run:
    """One finished run.

    Attributes:
        protocol: "base" or "new" (the halves of base-to-new), "few-shot" or "cross-dataset".
        config: name of the config file, with the settings that CoOp's main.sh puts in a folder below it.
        shots: training images per class; 0 for zero-shot runs without a seed.
        seed: None for zero-shot runs without a seed.
        accuracy: in %; sampling_error: its standard error in points, None where the run did not store it.
        train_seconds: None for a run that only tested.
    """

    protocol: str
    dataset: str
    trainer: str
    config: str
    shots: int
    seed: int | None
    backbone: str
    accuracy: float
    sampling_error: float | None
    learned_parameters: int
    train_seconds: float | None


@dataclass(frozen=True)
class Measure:
    """Mean and standard deviation over seeds; no deviation from a single one."""

    mean: float
    std: float | None

    @classmethod
    def of(cls, values: Iterable[float]) -> Measure:
        values = list(values)
        return cls(float(np.mean(values)), float(np.std(values)) if len(values) > 1 else None)


AVERAGES = ("base", "new", "H", "learned", "train s")  # of an overview
COLUMNS = {*AVERAGES, "protocol", "dataset", "method", "seeds", "accuracy", "base std", "new std"}

Value = str | int | float | Measure | None


@dataclass
class Table:
    """Rows of equal columns under a title; `kind` tells which tables have the same columns."""

    kind: str
    title: str
    rows: list[dict[str, Value]]


# Reading


def read_run(file: Path, output: Path) -> Run | None:
    """The run that wrote `file`, or None if its folder is not one of the layouts or it tested nothing.

    Raises:
        UserError: the file is damaged.
    """
    folder = file.parent.relative_to(output).as_posix()
    matches = ((protocol, layout.fullmatch(folder)) for protocol, layout in LAYOUTS)
    protocol, match = next((found for found in matches if found[1]), (None, None))
    if match is None:
        return None
    place = match.groupdict()
    results = read_json(str(file))
    try:
        if not results["metrics"]:
            return None
        return Run(
            protocol=protocol,
            dataset=place["dataset"],
            trainer=place["trainer"],
            config=place["config"] + (place.get("variant") or ""),
            shots=int(place.get("shots") or 0),
            seed=int(place["seed"]) if "seed" in place else None,
            backbone=str(results["backbone"]),
            accuracy=float(results["metrics"]["accuracy"]),
            sampling_error=results["sampling_error"],
            learned_parameters=int(results["learned_parameters"]),
            train_seconds=results["seconds"]["train"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{file} is not a complete result ({type(error).__name__}: {error}): delete it and repeat that run"
        ) from error


def read_runs(output: Path) -> list[Run]:
    """All finished runs under `output`. Raises UserError where there are none."""
    if not output.is_dir():
        raise UserError(f"no folder {output}")
    runs = [read_run(file, output) for file in sorted(output.rglob("results.json"))]
    runs = [run for run in runs if run is not None]
    if not runs:
        raise UserError(f"no finished run under {output}: no results.json in the folders that scripts/ write")
    return runs


# Grouping


@cache
def base_only() -> frozenset[str]:
    """Trainers without results on new classes: those whose scripts/<method>/method.sh says ``new_classes=false``."""
    texts = [file.read_text() for file in (Path(__file__).resolve().parent / "scripts").glob("*/method.sh")]
    return frozenset(
        re.search(r"^trainer=(\S+)", text, re.MULTILINE)[1] for text in texts if "\nnew_classes=false" in text
    )


def is_base_only(runs: list[Run]) -> bool:
    """Whether these runs of one method lack the new classes because it does not know any."""
    return all(run.trainer in base_only() and run.protocol == "base" for run in runs)


def group(runs: Iterable[Run], *names: str) -> dict[tuple, list[Run]]:
    """Runs by the values of the attributes `names`, in sorted order."""
    groups = defaultdict(list)
    for run in runs:
        groups[tuple(getattr(run, name) for name in names)].append(run)
    return dict(sorted(groups.items()))


def by_method(runs: Iterable[Run], *names: str) -> list[tuple[tuple[str, ...], list[Run]]]:
    """Runs by trainer and the further attributes `names`, those with the fewest learned parameters first."""
    groups = group(runs, "trainer", *names)
    return sorted(groups.items(), key=lambda item: (max(run.learned_parameters for run in item[1]), item[0]))


def seeds_of(runs: Iterable[Run]) -> set[int]:
    return {run.seed for run in runs if run.seed is not None}


def seed_list(seeds: set[int]) -> str:
    return " ".join(map(str, sorted(seeds)))


def seed_note(present: set[int], expected: set[int]) -> str:
    """The seeds, and those that other methods have on the same dataset but this one lacks."""
    missing = expected - present
    return (seed_list(present) if present else "none") + (f" (no {seed_list(missing)})" if missing else "")


def harmonic_mean(base: float, new: float) -> float:
    return 2 * base * new / (base + new) if base + new else 0.0


def pooled_error(runs: Iterable[Run]) -> float | None:
    """Sampling error of one test set, over seeds: the seeds share the images, so it does not shrink with them."""
    errors = [run.sampling_error for run in runs if run.sampling_error is not None]
    return float(np.mean(errors)) if errors else None


def training_cost(runs: Iterable[Run]) -> float | None:
    seconds = [run.train_seconds for run in runs if run.train_seconds is not None]
    return float(np.mean(seconds)) if seconds else None


def learned(runs: Iterable[Run]) -> int | None:
    """Learned parameters, None where they differ (class-specific context on datasets with other classes)."""
    counts = {run.learned_parameters for run in runs}
    return counts.pop() if len(counts) == 1 else None


# Tables


def base_to_new_row(runs: list[Run], expected: set[int]) -> dict[str, Value]:
    """One method on one dataset. H is left out where base and new were not run with the same seeds."""
    base = [run for run in runs if run.protocol == "base"]
    new = [run for run in runs if run.protocol == "new"]
    seeds, new_seeds = seeds_of(base), seeds_of(new)
    if is_base_only(runs):
        note = f"{seed_note(seeds, expected)}, base only"
    elif seeds == new_seeds:
        note = seed_note(seeds, expected)
    else:
        note = f"base {seed_note(seeds, expected)}, new {seed_note(new_seeds, expected)}"
    base_accuracy = Measure.of(run.accuracy for run in base) if base else None
    new_accuracy = Measure.of(run.accuracy for run in new) if new else None
    return {
        "base": base_accuracy,
        "new": new_accuracy,
        "H": harmonic_mean(base_accuracy.mean, new_accuracy.mean) if base and seeds == new_seeds else None,
        "s.e. base": pooled_error(base),
        "s.e. new": pooled_error(new),
        "learned": learned(base or runs),
        "train s": training_cost(base),
        "seeds": note,
    }


def base_to_new_tables(runs: list[Run]) -> list[Table]:
    """One table per dataset and number of shots, then the averages over the datasets of each backbone."""
    runs = [run for run in runs if run.protocol in ("base", "new")]
    tables = []
    for (dataset, shots), members in group(runs, "dataset", "shots").items():
        rows = [
            {"dataset": dataset, "shots": shots, "method": " ".join(method), **base_to_new_row(own, seeds_of(members))}
            for method, own in by_method(members, "config")
        ]
        tables.append(Table("base-to-new", f"base-to-new, {dataset}, {shots} shots", rows))
    for (backbone, shots), members in group(runs, "backbone", "shots").items():
        datasets = sorted({run.dataset for run in members})
        if len(datasets) > 1:
            name = f"average of {len(datasets)}, {backbone}"
            title = f"base-to-new, average over {', '.join(datasets)} (backbone {backbone}), {shots} shots"
            rows = [
                {"dataset": name, "shots": shots, "method": method, **average_row(own, datasets, seeds_of(members))}
                for method, own in averaged_methods(members)
            ]
            tables.append(Table("base-to-new", title, rows))
            tables.append(overview_table(members, datasets, f"backbone {backbone}, {shots} shots"))
    return tables


def column(dataset: str) -> str:
    """Heading of a dataset's column; one that is called like a column of the reports is told from it."""
    return f"{dataset} (dataset)" if dataset in COLUMNS else dataset


def overview_table(runs: list[Run], datasets: Sequence[str], setting: str) -> Table:
    """One row per method: H on every dataset, and the figures of its average over them."""
    rows = []
    for method, own in averaged_methods(runs):
        by_dataset = group(own, "dataset")
        average = average_row(own, datasets, seeds_of(runs))
        row = {column(dataset): base_to_new_row(by_dataset.get((dataset,), []), set())["H"] for dataset in datasets}
        figures = {name: average[name] for name in AVERAGES}
        rows.append({"method": method, **row, **figures})
    kind = f"base-to-new overview, {setting}"  # its columns are those of no other table
    return Table(kind, f"base-to-new, H on every dataset, then the average over them ({setting})", rows)


def averaged_methods(runs: list[Run]) -> list[tuple[str, list[Run]]]:
    """What counts as one method in an average: a trainer, or, where it ran with several configs on one dataset, each.

    CoOp's paper config, for one, has another name on ImageNet than on the other datasets.
    """
    methods = []
    for (trainer,), own in by_method(runs):
        configs = sorted({run.config for run in own})
        if all(len({run.config for run in members}) == 1 for members in group(own, "dataset").values()):
            methods.append((f"{trainer} {', '.join(configs)}", own))
        else:
            methods += [(f"{trainer} {config}", [run for run in own if run.config == config]) for config in configs]
    return methods


def average_row(runs: list[Run], datasets: Sequence[str], expected: set[int]) -> dict[str, Value]:
    """One method over all `datasets`; no figures where a dataset, a half or a seed is missing.

    Per seed the accuracies are averaged over the datasets; mean and standard deviation are those of the averages.
    """
    row: dict[str, Value] = dict.fromkeys(("base", "new", "H", "s.e. base", "s.e. new", "learned", "train s"))
    closed = is_base_only(runs)
    wanted = ("base",) if closed else ("base", "new")
    halves = {half: group((run for run in runs if run.protocol == half), "dataset", "seed") for half in wanted}
    seeds = seeds_of(runs)
    missing = sorted(
        {
            f"{dataset}: {half} {seed}"
            for half, found in halves.items()
            for dataset in datasets
            for seed in seeds
            if (dataset, seed) not in found
        }
    )
    if missing:
        count = len(wanted) * len(datasets) * len(seeds)
        return {**row, "seeds": f"missing {len(missing)} of {count} runs: {shorten(missing)}"}
    for half, found in halves.items():
        row[half], row[f"s.e. {half}"] = mean_over_datasets(found, datasets, seeds)
    base = [run for run in runs if run.protocol == "base"]
    row["learned"], row["train s"] = learned(base), training_cost(base)
    if closed:
        return {**row, "seeds": f"{seed_note(seeds, expected)}, base only"}
    row["H"] = harmonic_mean(row["base"].mean, row["new"].mean)
    return {**row, "seeds": seed_note(seeds, expected)}


def mean_over_datasets(
    found: dict[tuple, list[Run]], datasets: Sequence[str], seeds: set[int | None]
) -> tuple[Measure, float | None]:
    """Accuracy averaged over the datasets per seed, and its sampling error; `found` holds runs by (dataset, seed)."""
    accuracy = Measure.of(np.mean([found[dataset, seed][0].accuracy for dataset in datasets]) for seed in seeds)
    errors = [pooled_error(run for seed in seeds for run in found[dataset, seed]) for dataset in datasets]
    return accuracy, None if None in errors else float(np.sqrt(np.sum(np.square(errors))) / len(errors))


def accuracy_table(protocol: str, title: str, runs: list[Run]) -> list[Table]:
    """All runs of few-shot or cross-dataset evaluation: one row per dataset, shots and method, then the averages."""
    runs = [run for run in runs if run.protocol == protocol]
    rows = []
    for (dataset, shots), members in group(runs, "dataset", "shots").items():
        for method, own in by_method(members, "config"):
            rows.append(
                {
                    "dataset": dataset,
                    "shots": shots,
                    "method": " ".join(method),
                    "accuracy": Measure.of(run.accuracy for run in own),
                    "s.e.": pooled_error(own),
                    "learned": learned(own),
                    "train s": training_cost(own),
                    "seeds": seed_note(seeds_of(own), seeds_of(members)) if seeds_of(own) else None,
                }
            )
    for (backbone, shots), members in group(runs, "backbone", "shots").items():
        datasets = sorted({run.dataset for run in members})
        if len(datasets) > 1:
            name = f"average of {len(datasets)}, {backbone}"
            rows += [
                {"dataset": name, "shots": shots, "method": method, **average_accuracy_row(own, datasets)}
                for method, own in averaged_methods(members)
            ]
    return [Table(protocol, title, rows)] if rows else []


def average_accuracy_row(runs: list[Run], datasets: Sequence[str]) -> dict[str, Value]:
    """One method over all `datasets`; no figures where a dataset or a seed is missing."""
    found = {(run.dataset, run.seed): [run] for run in runs}
    seeds = {seed for _, seed in found}
    missing = [f"{dataset}: {seed}" for dataset in datasets for seed in seeds if (dataset, seed) not in found]
    if missing:
        note = f"missing {len(missing)} of {len(datasets) * len(seeds)} runs: {shorten(sorted(missing))}"
        return {"accuracy": None, "s.e.": None, "learned": None, "train s": None, "seeds": note}
    accuracy, error = mean_over_datasets(found, datasets, seeds)
    note = seed_list(seeds) if None not in seeds else None
    return {
        "accuracy": accuracy,
        "s.e.": error,
        "learned": learned(runs),
        "train s": training_cost(runs),
        "seeds": note,
    }


def all_tables(runs: list[Run]) -> list[Table]:
    return [
        *base_to_new_tables(runs),
        *accuracy_table("few-shot", "few-shot: all classes", runs),
        *accuracy_table("cross-dataset", "cross-dataset: trained on the source dataset, tested on these", runs),
    ]


# Printing


def text(value: Value) -> str:
    if value is None:
        return "–"
    if isinstance(value, Measure):
        return f"{value.mean:.2f}" + (f" ± {value.std:.2f}" if value.std is not None else "")
    if isinstance(value, float):
        return f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else value


def render(table: Table, style: str) -> str:
    """A titled table; the columns that its title already tells are left out."""
    told = ("dataset", "shots") if table.kind == "base-to-new" else ()
    rows = [{name: text(value) for name, value in row.items() if name not in told} for row in table.rows]
    left = ("dataset", "method", "seeds")
    align = ["left" if name in left else "right" for name in rows[0]]
    body = tabulate(rows, headers="keys", tablefmt=style, disable_numparse=True, colalign=align)
    heading = {"github": f"### {table.title}\n", "latex_booktabs": f"% {table.title}"}.get(style, table.title)
    return f"{heading}\n{body}\n"


def flat(row: dict[str, Value]) -> dict[str, Value]:
    """A row with bare numbers: mean and deviation in columns of their own, nothing where a value is missing."""
    cells: dict[str, Value] = {}
    for name, value in row.items():
        if name in ("base", "new", "accuracy"):
            cells[name] = value.mean if value else ""
            cells[f"{name} std"] = value.std if value and value.std is not None else ""
        else:
            cells[name] = "" if value is None else value
    return cells


def print_csv(tables: list[Table]) -> None:
    """One block per kind of table, with an empty line between them."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for number, kind in enumerate(dict.fromkeys(table.kind for table in tables)):
        rows = [{"protocol": kind, **flat(row)} for table in tables if table.kind == kind for row in table.rows]
        if number:
            print()
        writer.writerow(rows[0])
        writer.writerows(row.values() for row in rows)


def report(args: argparse.Namespace) -> None:
    tables = all_tables(read_runs(Path(args.output)))
    if args.format == "csv":
        print_csv(tables)
        return
    style = {"terminal": "simple", "markdown": "github", "latex": "latex_booktabs"}[args.format]
    before = "% " if args.format == "latex" else ""
    print("".join(f"{before}{line}\n" for line in LEGEND.splitlines()))
    print("\n".join(render(table, style) for table in tables), end="")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Tables of many runs.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("report", help="print the tables of all finished runs")
    command.add_argument("output", help="the folder that the scripts wrote into (output/)")
    command.add_argument("--format", choices=("terminal", "markdown", "latex", "csv"), default="terminal")
    command.set_defaults(run=report)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        args.run(args)
    except UserError as error:
        return print_error(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
