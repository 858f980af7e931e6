"""Tables of runs: one row per method on a dataset, averaged over datasets, and in an overview of all datasets."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from comparison.metrics import ACCURACY, LOWER_IS_BETTER, WITH_H, at_metric, digits_of
from comparison.published import published
from comparison.run_spec import PROTOCOLS, RunSpec, in_words
from comparison.runs import Run, by_method, group, is_base_only, seeds_of
from comparison.statistics import FEWEST_PAIRS, Measure, common, harmonic_mean, mean_of, p_value, paired_scores
from support.user_error import ConfigError, did_you_mean, shorten
from support.uses import MEANINGS, in_order

LEGEND = """\
Accuracy in %: mean ± standard deviation over the seeds (ddof 0, as CoOp's parse_test_res.py); H: harmonic mean of the
means of base and new; the best in bold; s.e.: standard error of the accuracy from the number of test images,
sqrt(p (1 - p) / n); learned: parameters trained; checkpoint: size of its files; train s: seconds of one training run,
s/epoch: of an epoch of it; peak: most memory in use while training; –: no such figure, or runs are missing; base only:
a method that knows only the classes it was trained on."""
AGAINST_LEGEND = f"""\
vs: difference to the baseline; p: two-sided Wilcoxon signed-rank test over the pairs of (dataset, seed) that both
have, none with fewer than {FEWEST_PAIRS} pairs; seeds share a dataset's test images, so that p is rather too low."""
USES_LEGEND = textwrap.fill(
    "uses: what a result draws on beyond the labelled images of its shots: "
    f"{', '.join(f'{word} ({meaning})' for word, meaning in MEANINGS.items())}.",
    width=118,
)
PUBLISHED_LEGEND = """\
published: what the source has for ViT-B/16 and as many shots, base / new / H or accuracy, with H and averages computed
from its cells (all of it is in comparison/published_base2new.csv and published_few_shot.csv)."""

TITLES = {
    "few-shot": "few-shot: all classes",
    "cross-dataset": "cross-dataset: trained on the source dataset, tested on these",
    "domain generalization": "domain generalization: trained on the source dataset, tested on its shifted versions",
}
SCORES = ("base", "new", "H", ACCURACY, "average")  # columns in which the best value is marked
HALVES = ("base", "new")
COST = ("learned", "checkpoint", "train s", "s/epoch", "peak")
OVERVIEW = ("base", "new", "H", "average", "learned", "train s", "uses")  # what an overview has beside its datasets
COLUMNS = {
    *("protocol", "dataset", "shots", "method", "vs", "p", "published", "source", "s.e.", "s.e. base", "s.e. new"),
    *("uses", "seeds", *SCORES, *COST, *(f"{name} std" for name in SCORES)),
}


@dataclass(frozen=True)
class Difference:
    """How much more or less than the baseline; ``digits``: the decimals that are shown."""

    value: float
    digits: int = 2

    def __float__(self) -> float:
        return self.value


class Probability(float):
    """A p-value."""


class Bytes(int):
    """A size."""


Value = str | int | float | Measure | Difference | None


@dataclass
class Row:
    """One line of a table, and the runs that it sums up."""

    cells: dict[str, Value]
    runs: list[Run] = field(default_factory=list, repr=False)

    @property
    def metric(self) -> str:
        """What its scores are, a key of results.json's metrics."""
        return self.runs[0].metric if self.runs else ACCURACY

    @property
    def trained_on(self) -> str:
        """Images per class that its models were trained on, where these are not as many as the shots; else ""."""
        others = [run for run in self.runs if run.shots and run.images_per_class not in (None, (run.shots, run.shots))]
        numbers = sorted(number for run in others for number in run.images_per_class)
        return " to ".join(dict.fromkeys(str(number) for number in (*numbers[:1], *numbers[-1:])))


@dataclass
class Table:
    """Rows of equal columns under a title.

    Attributes:
        kind: tables of one kind have the same columns.
        compared: columns whose best value is marked.
        told: columns that the title tells already.
    """

    kind: str
    title: str
    rows: list[Row]
    compared: tuple[str, ...] = SCORES
    told: tuple[str, ...] = ()

    @property
    def metric(self) -> str:
        """What its scores are, a key of results.json's metrics."""
        return self.rows[0].metric

    def note(self) -> str:
        """Which rows were trained on another number of images per class than the shots, "" where none were."""
        others = [
            f"{row.trained_on}, not {row.runs[0].shots} ("
            + ", ".join(str(row.cells[name]) for name in ("dataset", "method") if name in row.cells)
            + ")"
            for row in self.rows
            if row.trained_on
        ]
        return f"Images per class that were trained on: {'; '.join(others)}." if others else ""

    def best(self) -> set[tuple[int, str]]:
        """Row and column of the best figures, among the rows of one dataset and number of shots; of two or more."""
        found, best_of = set(), min if self.metric in LOWER_IS_BETTER else max
        places = [(row.cells.get("dataset"), row.cells.get("shots")) for row in self.rows]
        for name in (*self.compared, self.metric):
            for place in dict.fromkeys(places):
                shown = {
                    index: round(_mean(value), digits_of(self.metric))
                    for index, row in enumerate(self.rows)
                    if places[index] == place and (value := row.cells.get(name)) is not None
                }
                if len(shown) > 1:
                    found |= {(index, name) for index, value in shown.items() if value == best_of(shown.values())}
        return found


@dataclass(frozen=True)
class Baseline:
    """The method that the others are compared with: ``name`` is a trainer, or a trainer and its config."""

    name: str

    def runs(self, members: Sequence[Run], shots: int) -> list[Run]:
        """Its runs among those of one table, with ``shots`` or without any training.

        Raises:
            UserError: they are of several configs.
        """
        own = [run for run in members if self.matches(run) and run.shots in (0, shots)]
        configs = sorted({run.config for run in own})
        if any(len({run.config for run in runs}) > 1 for runs in group(own, "dataset").values()):
            names = shorten([f"{own[0].trainer}/{config}" for config in configs])
            raise ConfigError(f"--against {self.name} has several configs: name one of {names}")
        return own

    def matches(self, run: Run) -> bool:
        return self._names(run.spec)

    def _names(self, spec: RunSpec) -> bool:
        return self.name in (spec.trainer, f"{spec.trainer}/{spec.settings_name}")

    def check(self, specs: Sequence[RunSpec]) -> None:
        """UserError where there is none of it, finished or planned."""
        if not any(map(self._names, specs)):
            names = {name for spec in specs for name in (spec.trainer, f"{spec.trainer}/{spec.settings_name}")}
            known = sorted(names)
            raise ConfigError(
                f'no run of --against "{self.name}"{did_you_mean(self.name, known)}; there are {shorten(known, 6)}'
            )


def all_tables(runs: Sequence[Run], against: str | None = None, metric: str = ACCURACY) -> list[Table]:
    """Every table that the runs give.

    Args:
        against: name of the baseline.
        metric: a key of results.json's metrics; a run that lacks it has no score.

    Raises:
        UserError: ``against`` is the name of none of the runs, or of several; no run has the metric.
    """
    runs = at_metric(runs, metric)
    baseline = Baseline(against) if against else None
    if baseline:
        baseline.check([run.spec for run in runs])
    tables = []
    for kind, members in members_of_tables(runs).items():
        if kind == "base-to-new":
            tables += base_to_new_tables(members, baseline)
        else:
            tables.append(accuracy_table(kind, members, baseline))
        if kind != "base-to-new" or metric in WITH_H:
            tables += overviews(kind, members, runs)
    for table in tables if metric != ACCURACY else ():
        table.title += f", {metric}"
    return tables


def members_of_tables(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs of each kind of table. Zero-shot runs are in every table with their dataset.

    Few-shot runs have them beside them with 0 shots, the other tables at each number of shots.
    """
    zero_shot = [run for run in runs if run.protocol == "zero_shot"]
    found, placed = {}, set()
    for protocol in ("base2new", "cross_dataset", "domain_generalization", "few_shot"):
        own = [run for run in runs if run.protocol == protocol]
        datasets = {run.dataset for run in own}
        beside = [run for run in zero_shot if run.dataset in datasets] if protocol != "base2new" else []
        if protocol == "few_shot":
            found[protocol] = own + [run for run in zero_shot if run.dataset in datasets or run.dataset not in placed]
        else:
            found[protocol] = at_every_number_of_shots(own + beside)
        placed |= {run.dataset for run in beside}
    return {name: found[protocol] for protocol, name in PROTOCOLS.items() if found.get(protocol)}


def at_every_number_of_shots(runs: Sequence[Run]) -> list[Run]:
    """The runs, those that are not trained once for each number of shots that the others have."""
    numbers = sorted({run.shots for run in runs if run.trained})
    untrained = [run for run in runs if not run.trained]
    repeated = [run.at_shots(shots) for shots in numbers for run in untrained] if numbers else untrained
    return [run for run in runs if run.trained] + repeated


def base_to_new_tables(runs: Sequence[Run], baseline: Baseline | None) -> list[Table]:
    """One table per dataset and number of shots, then the averages over the datasets of each backbone."""
    tables = []
    for (dataset, shots), members in group(runs, "dataset", "shots").items():
        rows = dataset_rows(members, dataset, shots, baseline)
        tables.append(
            Table("base-to-new", f"base-to-new, {dataset}, {in_words(shots)}", rows, told=("dataset", "shots"))
        )
    for (backbone, shots), members, datasets in averaged_groups(runs):
        title = f"base-to-new, average over {', '.join(datasets)} (backbone {backbone}), {in_words(shots)}"
        rows = average_rows(members, backbone, shots, datasets, baseline)
        tables.append(Table("base-to-new", title, rows, told=("dataset", "shots")))
    return tables


def accuracy_table(kind: str, runs: Sequence[Run], baseline: Baseline | None) -> Table:
    """The table of all runs of a protocol: each dataset and number of shots, then the averages.

    Args:
        kind: the protocol's name in titles. Zero-shot runs may be the only ones.
    """
    rows = []
    for (dataset, shots), members in group(runs, "dataset", "shots").items():
        with_baseline = members + [run for run in runs if run.dataset == dataset and run.shots == 0 != shots]
        rows += dataset_rows(members, dataset, shots, baseline, with_baseline)
    for (backbone, shots), members, datasets in averaged_groups(runs):
        with_baseline = members + [run for run in runs if run.backbone == backbone and run.shots == 0 != shots]
        rows += average_rows(members, backbone, shots, datasets, baseline, with_baseline)
    return Table(kind, TITLES[kind], rows)


def averaged_groups(runs: Sequence[Run]) -> Iterable[tuple[tuple[str, int], list[Run], list[str]]]:
    """(backbone, shots), their runs and their datasets, where there are several datasets to average over."""
    for setting, members in group(runs, "backbone", "shots").items():
        datasets = sorted({run.dataset for run in members})
        if len(datasets) > 1:
            yield setting, members, datasets


def averaged_methods(runs: Iterable[Run]) -> list[tuple[str, list[Run]]]:
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


def dataset_rows(
    members: Sequence[Run], dataset: str, shots: int, baseline: Baseline | None, pool: Sequence[Run] | None = None
) -> list[Row]:
    """A row per method on one dataset; the baseline's runs are looked for in ``pool`` (``members``)."""
    methods = [(" ".join(method), own) for method, own in by_method(members, "config")]
    place = {"dataset": dataset, "shots": shots}
    return method_rows(place, methods, [dataset], baseline, baseline.runs(pool or members, shots) if baseline else [])


def average_rows(
    members: Sequence[Run],
    backbone: str,
    shots: int,
    datasets: Sequence[str],
    baseline: Baseline | None,
    pool: Sequence[Run] | None = None,
) -> list[Row]:
    """As `dataset_rows`, averaged over ``datasets``."""
    place = {"dataset": f"average of {len(datasets)}, {backbone}", "shots": shots}
    reference = baseline.runs(pool or members, shots) if baseline else []
    return method_rows(place, averaged_methods(members), datasets, baseline, reference)


def method_rows(
    place: dict[str, Value],
    methods: Iterable[tuple[str, list[Run]]],
    datasets: Sequence[str],
    baseline: Baseline | None,
    reference: Sequence[Run],
) -> list[Row]:
    """Rows that begin with the cells ``place``; ``methods`` are names and their runs."""
    methods = list(methods)
    expected = seeds_of(run for _, own in methods for run in own)
    return [
        Row({**place, "method": name, **method_cells(own, datasets, expected, baseline, reference)}, own)
        for name, own in methods
    ]


def method_cells(
    runs: Sequence[Run],
    datasets: Sequence[str],
    expected: set[int],
    baseline: Baseline | None = None,
    reference: Sequence[Run] = (),
) -> dict[str, Value]:
    """The figures of one method, averaged over ``datasets``; none where one of several datasets lacks a run.

    Args:
        expected: the seeds that other methods have; those that this one lacks are named.
        reference: the runs of the baseline.
    """
    metric = runs[0].metric
    halves = HALVES if runs[0].table == "base-to-new" else (metric,)
    closed = is_base_only(runs)
    by_half = {half: [run for run in runs if half in (run.classes, metric)] for half in halves}
    wanted = ("base",) if closed else halves
    missing = missing_runs({half: by_half[half] for half in wanted}, datasets) if len(datasets) > 1 else []

    cells: dict[str, Value] = dict.fromkeys(halves)
    errors = {f"s.e. {half}" if half in HALVES else "s.e.": None for half in halves}
    trained = by_half[halves[0]] or runs
    if not missing:
        for half, name in zip(halves, errors, strict=True):
            if by_half[half]:
                cells[half], errors[name] = mean_over_datasets(by_half[half], datasets)
    if len(halves) > 1 and metric in WITH_H:
        comparable = not closed and None not in cells.values() and _seeds(by_half["base"]) == _seeds(by_half["new"])
        cells["H"] = harmonic_mean(cells["base"].mean, cells["new"].mean) if comparable else None
    if baseline:
        cells |= comparison_cells(cells, runs, datasets, baseline, reference)
    cells |= published_cells(runs, datasets) if metric == ACCURACY else {}
    cells |= errors | (dict.fromkeys(COST) if missing else cost_cells(trained))
    return {**cells, "uses": uses_cell(runs), "seeds": seeds_cell(by_half, closed, expected, missing, len(datasets))}


def uses_cell(runs: Iterable[Run]) -> str | None:
    """What any of these runs draws on beyond the labelled images of its shots."""
    return ", ".join(in_order(word for run in runs for word in run.uses)) or None


def _seeds(runs: Iterable[Run]) -> set[int | None]:
    return {run.seed for run in runs}


def missing_runs(by_half: dict[str, list[Run]], datasets: Sequence[str]) -> list[str]:
    """What an average over datasets lacks, of the seeds that the method has anywhere."""
    seeds = {run.seed for own in by_half.values() for run in own}
    found = {(half, run.dataset, run.seed) for half, own in by_half.items() for run in own}
    return sorted(
        f"{dataset}: {half + ' ' if half in HALVES else ''}{'' if seed is None else seed}".rstrip(": ")
        for half in by_half
        for dataset in datasets
        for seed in seeds
        if (half, dataset, seed) not in found
    )


def mean_over_datasets(runs: Sequence[Run], datasets: Sequence[str]) -> tuple[Measure | None, float | None]:
    """Score averaged over the datasets per seed, then over seeds, and the sampling error of an accuracy.

    The seeds share the test images, so the sampling error does not shrink with them. Where a run lacks the score there
    is no mean.
    """
    scores, metric = {(run.dataset, run.seed): run.score for run in runs}, runs[0].metric
    if None in scores.values():
        return None, None
    means = (np.mean([scores[dataset, seed] for dataset in datasets]) for seed in _seeds(runs))
    measure = Measure.of(means, digits_of(metric))
    if metric != ACCURACY:
        return measure, None
    errors = [mean_of(run.sampling_error for run in runs if run.dataset == dataset) for dataset in datasets]
    return measure, None if None in errors else float(np.sqrt(np.sum(np.square(errors))) / len(errors))


def cost_cells(runs: Sequence[Run]) -> dict[str, Value]:
    peak, size = mean_of(run.peak_memory_mb for run in runs), mean_of(run.checkpoint_bytes for run in runs)
    return {
        "learned": common(run.learned_parameters for run in runs),
        "checkpoint": None if size is None else Bytes(size),
        "train s": mean_of(run.train_seconds for run in runs),
        "s/epoch": mean_of(run.epoch_seconds for run in runs),
        "peak": None if peak is None else Bytes(peak * 2**20),
    }


def comparison_cells(
    cells: dict[str, Value], runs: Sequence[Run], datasets: Sequence[str], baseline: Baseline, reference: Sequence[Run]
) -> dict[str, Value]:
    """Difference of what the table shows to what it shows of the baseline, and the p-value over pairs of runs."""
    name, empty = f"vs {baseline.name}", {f"vs {baseline.name}": None, "p": None}
    score = headline(cells, runs[0].metric)
    if score is None or not reference or baseline.matches(runs[0]):
        return empty
    others = method_cells(reference, datasets, set())
    other = headline(others, runs[0].metric)
    if other is None:
        return empty
    p = p_value(paired_scores(runs), paired_scores(reference))
    difference = Difference(_mean(score) - _mean(other), digits_of(runs[0].metric))
    return {name: difference, "p": None if p is None else Probability(p)}


def headline(cells: dict[str, Value], metric: str) -> Value:
    """The one score of a row: H in base-to-new, else the metric."""
    return cells.get("H", cells.get(metric))


def _mean(value: Measure | float) -> float:
    return value.mean if isinstance(value, Measure) else value


def published_cells(runs: Sequence[Run], datasets: Sequence[str]) -> dict[str, Value]:
    """What others measured with the method, and who."""
    return dict(zip(("published", "source"), published(runs, datasets) or (None, None), strict=True))


def seeds_cell(
    by_half: dict[str, list[Run]], closed: bool, expected: set[int], missing: Sequence[str], datasets: int
) -> str | None:
    """The seeds, and what is missing."""
    if missing:
        halves = ["base"] if closed else list(by_half)
        count = len(halves) * datasets * len({run.seed for half in halves for run in by_half[half]})
        return f"missing {len(missing)} of {count} runs: {shorten(missing)}"
    if all(run.seed is None for own in by_half.values() for run in own):
        return None
    present = {half: seeds_of(own) for half, own in by_half.items()}
    if closed:
        return f"{seed_note(present['base'], expected)}, base only"
    if len(present) == 1:
        return seed_note(*present.values(), expected)
    if present["base"] == present["new"]:
        return seed_note(present["base"], expected)
    return f"base {seed_note(present['base'], expected)}, new {seed_note(present['new'], expected)}"


def seed_note(present: set[int], expected: set[int]) -> str:
    """The seeds, and those that other methods have on the same dataset but this one lacks."""
    missing = expected - present
    return (seed_list(present) if present else "none") + (f" (no {seed_list(missing)})" if missing else "")


def seed_list(seeds: set[int]) -> str:
    return " ".join(map(str, sorted(seeds)))


# Overviews


def overviews(kind: str, members: Sequence[Run], runs: Sequence[Run]) -> list[Table]:
    """For each backbone and number of shots, the scores of all methods on all datasets side by side.

    Those of a test on other datasets than the model's own begin with the dataset it was trained on, from ``runs``.
    """
    tables = []
    for (backbone, shots), own, datasets in averaged_groups(at_every_number_of_shots(members)):
        setting = f"backbone {backbone}, {in_words(shots)}"
        source = source_of(own)
        trained_on = [
            run for run in runs if source and (run.table, run.dataset, run.shots) == ("few-shot", source, shots)
        ]
        rows = [overview_row(method, found, datasets, source, trained_on) for method, found in averaged_methods(own)]
        what = "H" if kind == "base-to-new" else own[0].metric
        title = f"{kind}, {what} on every dataset, then the average over them ({setting})"
        compared = (*(column(dataset) for dataset in datasets), *SCORES)
        tables.append(Table(f"{kind} overview, {setting}", title, rows, compared))
    return tables


def source_of(runs: Iterable[Run]) -> str | None:
    """The dataset that the tested models were trained on, None where they tested none or those of several."""
    transfers = [run.spec.model for run in runs if run.table not in ("base-to-new", "few-shot")]
    sources = {model.dataset for model in transfers if model}
    return sources.pop() if len(sources) == 1 else None


def overview_row(
    method: str, runs: list[Run], datasets: Sequence[str], source: str | None, trained_on: Sequence[Run]
) -> Row:
    def score(found: list[Run], name: str) -> Value:
        cells = method_cells(found, [name], set()) if found else {}
        return headline(cells, runs[0].metric)

    cells: dict[str, Value] = {"method": method}
    if source:
        names = {(run.trainer, run.config) for run in runs}
        cells[f"{source} (source)"] = score([run for run in trained_on if (run.trainer, run.config) in names], source)
    by_dataset = group(runs, "dataset")
    cells |= {column(dataset): score(by_dataset.get((dataset,), []), dataset) for dataset in datasets}
    average = method_cells(runs, datasets, set())
    average["average"] = average.get(runs[0].metric)
    return Row(cells | {name: average[name] for name in OVERVIEW if name in average and _shown(name, average)}, runs)


def _shown(name: str, average: dict[str, Value]) -> bool:
    return name != "average" if "H" in average else name not in ("base", "new", "H")


def column(dataset: str) -> str:
    """Heading of a dataset's column; one that is called like a column of the tables is told from it."""
    return f"{dataset} (dataset)" if dataset in COLUMNS else dataset
