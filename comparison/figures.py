"""Figures of runs: accuracy over shots, base against new, accuracy against cost. One look per method in all of them.

Text and axes have one dark colour that `svg` replaces by the colour of the text around, for light and dark pages.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from comparison.run_spec import in_words
from comparison.runs import Run, by_method, group
from comparison.statistics import Measure, harmonic_mean, mean_of
from comparison.tables import Value, at_every_number_of_shots, members_of_tables, method_cells
from dassl.utils import atomic_write

COLUMN, TEXT_WIDTH = 3.5, 7.0  # inches: one and both columns of a paper
NEUTRAL = "#010203"  # a black that nothing else draws in
# Okabe and Ito's colours, which the colour-blind can tell apart; not their yellow, which is too pale on white
COLOURS = (NEUTRAL, "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = "osD^vPX<>"  # as many as share no divisor with the colours: 63 different pairs
LINES = ("-", (0, (4, 1, 1, 1)), (0, (1, 1)))
DASHED = (0, (5, 3))

_LOOK = {
    "font.family": "sans-serif",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "text.color": NEUTRAL,
    "axes.edgecolor": NEUTRAL,
    "axes.labelcolor": NEUTRAL,
    "axes.titlecolor": NEUTRAL,
    "xtick.color": NEUTRAL,
    "ytick.color": NEUTRAL,
    "pdf.fonttype": 42,  # text that can be searched
    "svg.fonttype": "none",
}


@dataclass(frozen=True)
class Look:
    """How a method is drawn in every figure."""

    colour: str
    marker: str
    line: str | tuple

    def handle(self, line: str | tuple = "none", marker: bool = True) -> Line2D:
        """Its sign in a legend."""
        return Line2D([], [], color=self.colour, linestyle=line, **self.points() if marker else {})

    def points(self) -> dict:
        return {"marker": self.marker, "markeredgewidth": 0, "markerfacecolor": self.colour}


@dataclass(frozen=True)
class Methods:
    """The methods of all runs of a comparison: their names, and how each is drawn."""

    names: Mapping[tuple[str, str], str]
    looks: Mapping[str, Look]

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Methods:
        """A trainer is one method or, where it ran with several configs on one dataset and number of shots, each is."""
        names = {}
        groups = by_method(runs)
        for (trainer,), own in sorted(groups, key=lambda item: not is_zero_shot(item[1][0])):
            places = group(own, "table", "backbone", "dataset", "shots").values()
            one = all(len({run.config for run in members}) == 1 for members in places)
            for config in sorted({run.config for run in own}):
                names[trainer, config] = trainer if one else f"{trainer} {config}"
        looks = {
            name: Look(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], LINES[i // len(COLOURS) % len(LINES)])
            for i, name in enumerate(dict.fromkeys(names.values()))
        }
        return cls(names, looks)

    def split(self, runs: Iterable[Run]) -> dict[str, list[Run]]:
        """Runs by the name of their method, in the order of the looks."""
        found: dict[str, list[Run]] = {name: [] for name in self.looks}
        for run in runs:
            found[self.names[run.trainer, run.config]].append(run)
        return {name: own for name, own in found.items() if own}


def is_zero_shot(run: Run) -> bool:
    """Whether its accuracy does not depend on training images."""
    return not run.trained


def all_figures(runs: Sequence[Run]) -> dict[str, dict[str, Figure]]:
    """Every figure that the runs give, by protocol, then by title."""
    costs = accuracy_against_cost(runs)
    curves = {f"few-shot, {name}": figure for name, figure in few_shot_curves(runs).items()}
    return {
        name: {**own, **{title: figure for title, figure in costs.items() if title.startswith(name)}}
        for name, own in (("base-to-new", base_new_scatter(runs)), ("few-shot", curves))
    }


# Accuracy over shots


@matplotlib.rc_context(_LOOK)
def few_shot_curves(runs: Sequence[Run]) -> dict[str, Figure]:
    """Accuracy over shots by dataset and, where there are several, as "average"; {} without trained few-shot runs.

    The band is one standard deviation over the seeds. An average over datasets has a point only where the method has
    every seed on every dataset. With several backbones, each has figures of its own, named after both.
    """
    methods = Methods.of(runs)
    members = [run for run in runs if run.protocol in ("few_shot", "zero_shot") and run.shots >= 0]
    backbones = sorted({run.backbone for run in members if not is_zero_shot(run)})
    figures = {}
    for backbone in backbones:
        own = [run for run in members if run.backbone == backbone]
        suffix = f" {backbone}" if len(backbones) > 1 else ""
        datasets = sorted({run.dataset for run in own if not is_zero_shot(run)})
        for dataset in datasets:
            name = f"{dataset} (dataset)" if dataset == "average" else dataset
            figures[name + suffix] = _curves(own, [dataset], methods, name + suffix)
        if len(datasets) > 1:
            figures["average" + suffix] = _curves(own, datasets, methods, "average" + suffix)
    return {name: figure for name, figure in figures.items() if figure}


def _curves(runs: Sequence[Run], datasets: Sequence[str], methods: Methods, name: str) -> Figure | None:
    curves, levels = {}, {}
    for method, own in methods.split(run for run in runs if run.dataset in datasets).items():
        scores = {shots: _accuracy(found, datasets) for (shots,), found in group(own, "shots").items()}
        scores = {shots: score for shots, score in scores.items() if score}
        if scores and is_zero_shot(own[0]):
            levels[method] = next(iter(scores.values()))
        elif scores:
            curves[method] = scores
    if not curves:
        return None
    figure, axes = _figure(f"few-shot {name}", COLUMN, 2.3)
    shots = sorted({count for scores in curves.values() for count in scores})
    for method, scores in curves.items():
        look = methods.looks[method]
        found = [scores.get(count, Measure(np.nan, None)) for count in shots]  # no line across what is missing
        means, deviations = np.array([(score.mean, score.std or 0) for score in found]).T
        axes.fill_between(shots, means - deviations, means + deviations, color=look.colour, alpha=0.18, linewidth=0)
        axes.plot(shots, means, label=method, color=look.colour, linestyle=look.line, **look.points())
    for method, score in levels.items():
        colour = methods.looks[method].colour
        axes.axhline(score.mean, label=method, color=colour, linestyle=DASHED, linewidth=1)
    axes.set_xscale("log", base=2)
    axes.set_xlim(shots[0] / 1.15, shots[-1] * 1.15)
    axes.xaxis.set(
        major_locator=FixedLocator(shots), minor_locator=NullLocator(), major_formatter=FuncFormatter(_plain)
    )
    _name_axes(axes, "training images per class", "accuracy (%)")
    _title(figure, axes, name if len(datasets) == 1 else f"{name} over {len(datasets)} datasets")
    last = {method: scores[max(scores)].mean for method, scores in curves.items()}
    last |= {method: score.mean for method, score in levels.items()}
    order = sorted(last, key=lambda method: -last[method])
    handles = [
        methods.looks[method].handle(DASHED, marker=False)
        if method in levels
        else methods.looks[method].handle(methods.looks[method].line)
        for method in order
    ]
    _legend(figure, handles, order)
    return figure


def _accuracy(runs: Sequence[Run], datasets: Sequence[str]) -> Measure | None:
    return method_cells(runs, datasets, set())["accuracy"]


# Base against new


@matplotlib.rc_context(_LOOK)
def base_new_scatter(runs: Sequence[Run]) -> dict[str, Figure]:
    """Accuracy on new over base classes by a title, one for each backbone and number of shots.

    A point is a method's average over the datasets, with one standard deviation over the seeds; the lines are of equal
    H. Methods that lack a run, or know no new classes, are left out.
    """
    methods = Methods.of(runs)
    figures = {}
    members = members_of_tables(runs).get("base-to-new", [])
    for (backbone, shots), own in group(members, "backbone", "shots").items():
        cells = _cells(own, methods)
        points = {method: found for method, found in cells.items() if found["H"] is not None}
        if points:
            place = _place(own, backbone, shots)
            figures[f"base-to-new, {place}: base and new"] = _scatter(points, methods, place)
    return figures


def _scatter(points: Mapping[str, dict[str, Value]], methods: Methods, place: str) -> Figure:
    figure, axes = _figure(f"base and new, {place}", COLUMN, 2.8)
    for method, cells in points.items():
        look, base, new = methods.looks[method], cells["base"], cells["new"]
        spread = {"xerr": base.std, "yerr": new.std, "ecolor": (look.colour, 0.4), "elinewidth": 0.7}
        drawn = {"label": method, "color": look.colour, "linestyle": "none", **look.points()}
        axes.errorbar(base.mean, new.mean, **drawn, **spread)
    axes.margins(0.06)
    _equal_h(axes)
    _name_axes(axes, "base classes: accuracy (%)", "new classes: accuracy (%)")
    _title(figure, axes, place)
    order = sorted(points, key=lambda method: -points[method]["H"])
    labels = [f"{method}  {points[method]['H']:.1f}" for method in order]
    _legend(figure, [methods.looks[method].handle() for method in order], labels, "method and its H (%)")
    return figure


def _equal_h(axes: Axes) -> None:
    """Lines of equal H across the axes, each labelled where it leaves them."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    lowest, highest = harmonic_mean(max(left, 0), max(bottom, 0)), harmonic_mean(right, top)
    for level in MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(lowest, highest):
        if not lowest < level < highest:
            continue
        x = np.linspace(max(left, level / 2 + 1e-6), right, 200)
        y = level * x / (2 * x - level)
        inside = (y >= bottom) & (y <= top)
        if not inside.any():
            continue
        x, y = x[inside], y[inside]
        axes.plot(x, y, color=(NEUTRAL, 0.25), linewidth=0.6, zorder=0)
        at_right = right - x[-1] < 0.01 * (right - left)
        at_top = top - y[0] < 0.02 * (top - bottom)
        label = {"color": (NEUTRAL, 0.65), "fontsize": 6, "textcoords": "offset points", "annotation_clip": False}
        if at_right:
            axes.annotate(f"{level:g}", (x[-1], y[-1]), (2, 0), va="center", **label)
        elif at_top:
            axes.annotate(f"{level:g}", (x[0], y[0]), (0, 2), ha="center", **label)
        else:
            axes.annotate(f"{level:g}", (x[-1], y[-1]), (2, 3), **label)
    axes.set(xlim=(left, right), ylim=(bottom, top))


# Accuracy against cost


@matplotlib.rc_context(_LOOK)
def accuracy_against_cost(runs: Sequence[Run]) -> dict[str, Figure]:
    """H or accuracy over train seconds and over learned parameters by a title, for each backbone and number of shots.

    Base-to-new gives H, few-shot the accuracy; both and the costs are averages over the datasets. Methods that lack a
    run are left out, those that did not store a cost are from its panel.
    """
    methods = Methods.of(runs)
    figures = {}
    for table, score in (("base-to-new", "H"), ("few-shot", "accuracy")):
        members = at_every_number_of_shots(members_of_tables(runs).get(table, []))
        for (backbone, shots), own in group(members, "backbone", "shots").items():
            if all(map(is_zero_shot, own)):
                continue
            cells = {method: found for method, found in _cells(own, methods).items() if found[score] is not None}
            costs = {method: _costs(found) for method, found in methods.split(own).items()}
            place = _place(own, backbone, shots)
            figure = _cost_panels(cells, costs, score, methods, place, f"{table}, {place}: cost")
            if figure:
                figures[f"{table}, {place}: {score} against cost"] = figure
    return figures


def _costs(runs: Sequence[Run]) -> tuple[float | None, float | None]:
    """Train seconds and learned parameters, means over the runs that trained; 0 for zero-shot ones."""
    if is_zero_shot(runs[0]):
        return 0.0, 0.0
    trained = [run for run in runs if run.classes != "new"]
    return mean_of(run.train_seconds for run in trained), mean_of(run.learned_parameters for run in trained)


def _cost_panels(
    cells: Mapping[str, dict[str, Value]],
    costs: Mapping[str, tuple[float | None, float | None]],
    score: str,
    methods: Methods,
    place: str,
    name: str,
) -> Figure | None:
    units = ("training of one run (s)", "learned parameters")
    panels = [i for i in range(len(units)) if any(costs[method][i] for method in cells)]
    if not panels:
        return None
    figure = Figure(figsize=(TEXT_WIDTH if len(panels) > 1 else COLUMN, 2.5), layout="constrained")
    figure.set_label(name)
    values = {method: found[score] for method, found in cells.items()}
    means = {method: value.mean if isinstance(value, Measure) else value for method, value in values.items()}
    for axes, i in zip(figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True):
        shown = [method for method in means if costs[method][i] is not None]
        for method in shown:
            look = methods.looks[method]
            drawn = {"label": method, "color": look.colour, "linestyle": "none", **look.points()}
            axes.plot(costs[method][i], means[method], **drawn)
        _cost_axis(axes, [costs[method][i] for method in shown])
        _name_axes(axes, units[i], f"{score} (%)" if axes.get_subplotspec().is_first_col() else "")
        axes.margins(y=0.08)
    figure.suptitle(textwrap.fill(place, 90), fontsize=8)
    drawn = [method for method in means if any(costs[method][i] is not None for i in panels)]
    order = sorted(drawn, key=lambda method: -means[method])
    labels = [f"{method}  {means[method]:.1f}" for method in order]
    handles = [methods.looks[method].handle() for method in order]
    _legend(figure, handles, labels, f"method and its {score} (%)")
    return figure


def _cost_axis(axes: Axes, costs: Sequence[float]) -> None:
    """A logarithmic axis; left of it stands what costs nothing."""
    costly = [cost for cost in costs if cost > 0]
    first, last = np.floor(np.log10(min(costly))), np.ceil(np.log10(max(costly)))
    decades = [10.0**power for power in np.arange(first, max(last, first + 1) + 1)]
    if len(costly) == len(costs):
        axes.set_xscale("log")
        axes.set_xlim(decades[0] / 1.2, decades[-1] * 1.2)
    else:
        axes.set_xscale("symlog", linthresh=decades[0], linscale=0.6)
        axes.set_xlim(-0.35 * decades[0], decades[-1] * 1.2)
        decades = [0.0, *decades]
    axes.xaxis.set(major_locator=FixedLocator(decades), major_formatter=FuncFormatter(_plain))
    minor = [decade * i for decade in decades[:-1] for i in range(2, 10)]
    axes.xaxis.set(minor_locator=FixedLocator(minor), minor_formatter=FuncFormatter(lambda *_: ""))


# Parts that all figures have


def _cells(runs: Sequence[Run], methods: Methods) -> dict[str, dict[str, Value]]:
    """The figures of each method, averaged over all datasets of the runs."""
    datasets = sorted({run.dataset for run in runs})
    return {method: method_cells(own, datasets, set()) for method, own in methods.split(runs).items()}


def _place(runs: Sequence[Run], backbone: str, shots: int) -> str:
    datasets = sorted({run.dataset for run in runs})
    what = datasets[0] if len(datasets) == 1 else f"average over {len(datasets)} datasets"
    return f"{what} (backbone {backbone}), {in_words(shots)}"


def _figure(name: str, width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.set_label(name)
    return figure, figure.add_subplot()


def _name_axes(axes: Axes, x: str, y: str) -> None:
    axes.set(xlabel=x, ylabel=y)
    axes.grid(color=(NEUTRAL, 0.12), linewidth=0.5)
    axes.set_axisbelow(True)


def _title(figure: Figure, axes: Axes, title: str) -> None:
    axes.set_title(textwrap.fill(title, int(figure.get_figwidth() * 15)))


def _legend(figure: Figure, handles: Sequence[Line2D], labels: Sequence[str], title: str | None = None) -> None:
    """Below the axes, in as many columns as there is room for; the figure grows by its height."""
    width, height = figure.get_size_inches()
    spacing = {"columnspacing": 1.2, "handlelength": 1 if handles[0].get_linestyle() == "None" else 2.4}
    for columns in range(min(len(labels), 6), 0, -1):
        legend = figure.legend(handles, labels, loc="outside lower center", ncols=columns, title=title, **spacing)
        legend.get_title().set_fontsize(7)
        extent = legend.get_window_extent()
        if extent.width <= figure.dpi * width or columns == 1:
            break
        legend.remove()
    figure.set_size_inches(max(width, extent.width / figure.dpi), height + extent.height / figure.dpi)


def _plain(value: float, _: object = None) -> str:
    """1, 16, 0.1, 10k, 1M"""
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= factor:
            return f"{value / (1e3 if unit == 'k' else factor):g}{unit}"
    return f"{value:g}"


# Files


def svg(figure: Figure) -> str:
    """The figure as an SVG element of a page: without background, in the colour of the text around it.

    The same text each time; its ids are those of no figure with another label.
    """
    file = io.StringIO()
    with matplotlib.rc_context({**_LOOK, "svg.hashsalt": figure.get_label()}):
        figure.savefig(file, format="svg", facecolor="none", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<style [^>]*>.*?</style>", "", text, count=1, flags=re.DOTALL)  # it would style all of the page
    text = re.sub(r"<g id=\"[^\"]*\"", "<g", text)  # numbered alike in every figure
    text = re.sub(rf"\b(fill|stroke): {NEUTRAL}\b", r"\1: currentColor", text)
    return text.replace("<svg ", '<svg stroke-linejoin="round" ', 1).strip()


def save(figures: Mapping[str, Figure], folder: Path, suffix: str = "pdf") -> list[Path]:
    """Write each figure to ``<folder>/<name>.<suffix>``, a slash in a name as a dash; returns the files.

    Raises:
        UserError: a file cannot be written.
    """
    files = []
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(suffix)
    for name, figure in figures.items():
        file = folder / (re.sub(r"[/\\]", "-", name) + f".{suffix}")
        with matplotlib.rc_context({**_LOOK, "svg.hashsalt": name}), atomic_write(file, "wb") as opened:
            figure.savefig(opened, format=suffix, dpi=200, facecolor="white", metadata=undated)
        files.append(file)
    return files
