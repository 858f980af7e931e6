"""The report as one HTML file that needs no network: tables, figures, and every run's configuration, log and mistakes.

Tables and figures show without JavaScript; sorting, filtering and opening a run need it.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from html import escape
from pathlib import Path

import yaml
from matplotlib.figure import Figure

from comparison.figures import TEXT_WIDTH, Methods, all_figures, svg
from comparison.logs import LOG, logged_config
from comparison.mistakes import Mistakes, thumbnails
from comparison.rendering import legend, shown_columns, text
from comparison.results_file import read_results
from comparison.run_spec import PROTOCOLS, RESULTS
from comparison.runs import Run
from comparison.settings import digest
from comparison.statistics import Measure
from comparison.tables import Row, Table, Value, cost_cells, uses_cell
from dassl.evaluation import PREDICTIONS_FILE
from dassl.utils import atomic_write
from support.regular_file import regular_only

LONGEST_LOG = 2_000_000  # bytes; of a longer one, the beginning and the end are kept
SOURCES = Path(__file__).parent

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<div class="top">
<h1>{title}</h1>
<button id="theme" type="button" data-scripted hidden>Dark</button>
</div>
{facts}
{legend}
{contents}
<main>
{sections}
{runs}
</main>
<dialog id="run" aria-labelledby="run-title">
<header><h2 id="run-title"></h2><button id="close" type="button">Close</button></header>
<div class="texts" id="run-mistakes" hidden>
<section><h3 id="run-classes-title"></h3><div id="run-classes" class="bars"></div></section>
<section>
<h3>Most confused</h3><ol id="run-pairs"></ol>
<h3>Wrong, with the highest probability</h3><div id="run-images" class="thumbnails"></div>
</section>
</div>
<div class="texts">
<section><h3>Configuration</h3><pre id="run-config" tabindex="0"></pre></section>
<section><h3>Log</h3><pre id="run-log" tabindex="0"></pre></section>
</div>
</dialog>
<script type="application/json" id="stored">{stored}</script>
<script>{script}</script>
</body>
</html>
"""


def write_page(file: Path, runs: list[Run], tables: list[Table]) -> None:
    """Write the report on ``runs`` (one or more) and their ``tables`` to ``file``, which is replaced at once.

    Raises:
        UserError: the file cannot be written, or a run's results.json or predictions.csv cannot be read.
    """
    page = render_page(runs, tables, datetime.now(timezone.utc))
    with atomic_write(file) as opened:
        opened.write(page.encode("utf-8", "replace").decode())  # names of files that are no text


def render_page(runs: Sequence[Run], tables: Sequence[Table], made: datetime) -> str:
    """The page's HTML; ``made`` is the time that it names."""
    runs = sorted(runs, key=_order)
    results = [_results(run) for run in runs]
    script = "\n" + (SOURCES / "page.js").read_text(encoding="utf-8")
    protocols = _protocols(tables)
    figures = all_figures(runs)
    datasets, methods = {run.dataset for run in runs}, Methods.of(runs).looks
    title = f"{_count(len(methods), 'method')} on {_count(len(datasets), 'dataset')}"
    return _PAGE.format(
        policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src '{_hash(script)}'",
        title=escape(title),
        style=(SOURCES / "page.css").read_text(encoding="utf-8"),
        facts=_facts(runs, results, made),
        legend=_legend(tables),
        contents=_contents(protocols, figures),
        sections="\n".join(_section(name, own, figures.get(name, {}), runs) for name, own in protocols.items()),
        runs=_runs_section(runs),
        stored=_stored(runs, results),
        script=script,
    )


def _order(run: Run) -> tuple:
    return (
        list(PROTOCOLS).index(run.protocol),
        run.classes,
        run.dataset,
        run.shots,
        run.trainer,
        run.config,
        run.seed or 0,
    )


def _hash(script: str) -> str:
    """What a Content-Security-Policy calls the one script that may run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' if number != 1 else ''}"


# What the page is about


def _results(run: Run) -> dict:
    """Its results.json, {} where there is none."""
    file = run.folder / RESULTS
    return read_results(file) if file.exists() else {}


def _facts(runs: Sequence[Run], results: Iterable[dict], made: datetime) -> str:
    time = _element("time", f"{made:%Y-%m-%d %H:%M} UTC", datetime=made.isoformat(timespec="minutes"))
    versions = [escape(f"{name} {', '.join(values)}") for name, values in _versions(results).items()]
    return _element("p", "; ".join([f"{_count(len(runs), 'run')}, put together on {time}", *versions]), class_="facts")


def _versions(results: Iterable[dict]) -> dict[str, list[str]]:
    """The software and the devices of the runs that stored them."""
    found: dict[str, set[str]] = {}
    for result in results:
        environment = result.get("environment") or {}
        named = {name: environment.get(name) for name in ("torch", "python", "device")}
        for name, value in {"version": result.get("version"), **named}.items():
            if value:
                found.setdefault(name, set()).add(str(value))
    return {name: sorted(values) for name, values in found.items()}


def _legend(tables: Sequence[Table]) -> str:
    items = []
    for item in re.split(r";\s|\.\n", legend(tables)):
        name, colon, meaning = escape(" ".join(item.split()).rstrip(".")).partition(": ")
        items.append(_element("li", f"<b>{name}</b>: {meaning}" if colon else name))
    listed = _element("summary", "What the columns mean") + _element("ul", "".join(items))
    return _element("details", listed, class_="legend", open="")


def _protocols(tables: Sequence[Table]) -> dict[str, list[Table]]:
    """The tables of each protocol, the overviews first."""
    protocols: dict[str, list[Table]] = {}
    for table in tables:
        protocols.setdefault(table.kind.partition(" overview")[0], []).append(table)
    return {name: sorted(own, key=lambda table: table.kind in protocols) for name, own in protocols.items()}


def _contents(protocols: Mapping[str, Sequence[Table]], figures: Mapping[str, Mapping[str, Figure]]) -> str:
    items = []
    for name, tables in protocols.items():
        links = [_link(_id(name, i), table.title) for i, table in enumerate(tables)]
        if figures.get(name):
            links.insert(_before_figures(tables), _link(_id(name, "figures"), "figures"))
        items.append(_element("li", _anchor(_id(name), name) + _element("ul", "".join(links))))
    items.append(_link("runs", "every run, with its configuration and log"))
    listed = _element("summary", "Contents") + _element("ul", "".join(items))
    return _element("nav", _element("details", listed, open=""))


def _before_figures(tables: Sequence[Table]) -> int:
    """How many of these tables come before the figures: the overviews, or the first."""
    return max(sum(" overview" in table.kind for table in tables), 1)


def _id(*parts: object) -> str:
    return re.sub(r"\W+", "-", " ".join(map(str, parts)))


def _anchor(place: str, name: str) -> str:
    return _element("a", escape(name), href=f"#{place}")


def _link(place: str, name: str) -> str:
    return _element("li", _anchor(place, name))


def _element(tag: str, content: str, **attributes: str | None) -> str:
    """HTML of an element around ``content``, which is HTML; attributes are text, those that are None are left out.

    ``class_`` is class, ``data_value`` data-value.
    """
    told = [
        f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for name, value in attributes.items()
        if value is not None
    ]
    return f"<{tag}{''.join(told)}>{content}</{tag}>"


# Tables and figures


def _section(name: str, tables: Sequence[Table], figures: Mapping[str, Figure], runs: Sequence[Run]) -> str:
    numbers = {run.folder: number for number, run in enumerate(runs)}
    shown = [
        _element("h3", escape(table.title), id=_id(name, i)) + "\n" + _table(table, numbers) + _note(table)
        for i, table in enumerate(tables)
    ]
    if figures:
        drawn = "\n".join(_figure(caption, figure) for caption, figure in figures.items())
        heading = _element("h3", "figures", id=_id(name, "figures"))
        shown.insert(_before_figures(tables), heading + "\n" + _element("div", f"\n{drawn}\n", class_="figures"))
    heading = _element("h2", escape(name), id=_id(name))
    return _element("section", "\n" + "\n".join([heading, *shown]) + "\n")


def _figure(caption: str, figure: Figure) -> str:
    drawn = svg(figure).replace("<svg ", f'<svg role="img" aria-label="{escape(caption)}" ', 1)
    wide = "wide" if figure.get_figwidth() >= TEXT_WIDTH else None
    return _element("figure", f"{_element('figcaption', escape(caption))}\n{drawn}\n", class_=wide)


def _table(table: Table, numbers: Mapping[Path, int]) -> str:
    columns = [name for name in shown_columns(table) if name != "method"]
    words = {name for name in columns if any(isinstance(row.cells[name], str) for row in table.rows)}
    best, places = table.best(), [(row.cells.get("dataset"), row.cells.get("shots")) for row in table.rows]
    lines = []
    for i, row in enumerate(table.rows):
        cells = [_cell(row.cells[name], name in words, (i, name) in best) for name in columns]
        changed = i > 0 and places[i] != places[i - 1]
        line = _method_cell(row, numbers) + "".join(cells)
        lines.append(_element("tr", line, class_="new-group" if changed else None))
    return _grid(["method", *columns], words, lines)  # the first column stays in sight


def _note(table: Table) -> str:
    return "\n" + _element("p", escape(table.note()), class_="quiet") if table.note() else ""


def _grid(columns: Sequence[str], words: Collection[str], lines: Sequence[str], name: str | None = None) -> str:
    """A table of these lines; the columns ``words`` and the first are sorted as words, the others as numbers."""
    heads = [_head(column, i == 0 or column in words) for i, column in enumerate(columns)]
    head = _element("thead", _element("tr", "".join(heads)))
    body = _element("tbody", "\n" + "\n".join(lines) + "\n")
    return _element("div", _element("table", f"\n{head}\n{body}", id=name), class_="scroll", tabindex="0")


def _head(column: str, words: bool) -> str:
    kind = "words" if words else "numbers"
    return _element("th", escape(column), scope="col", class_="words" if words else None, data_type=kind)


def _method_cell(row: Row, numbers: Mapping[Path, int]) -> str:
    name, own = escape(text(row.cells["method"])), [str(numbers[run.folder]) for run in row.runs]
    linked = _element("a", name, href="#runs", data_runs=" ".join(own), title="show its runs")
    return _element("th", linked, scope="row", class_="words")


def _cell(value: Value, words: bool, best: bool = False) -> str:
    number = value.mean if isinstance(value, Measure) else value
    return _element(
        "td",
        escape(text(value)),
        class_=" ".join(["words"] * words + ["best"] * best) or None,
        data_value=None if number is None or isinstance(number, str) else f"{float(number):.10g}",
        title=value if isinstance(value, str) and len(value) > 40 else None,
    )


# Every run


def _runs_section(runs: Sequence[Run]) -> str:
    words = ("protocol", "dataset", "uses", "settings")
    columns = [name for name in _run_cells(runs[0]) if name != "uses" or any(run.uses for run in runs)]
    lines = []
    for number, run in enumerate(runs):
        own = _run_cells(run)
        cells = [_cell(own[name], name in words) for name in columns]
        method = _element("th", escape(run.method), scope="row", class_="words")
        lines.append(_element("tr", method + "".join(cells), data_run=str(number)))
    return f"""\
<section>
<h2 id="runs">Runs</h2>
<p class="filter" data-scripted hidden>
<input id="filter" type="search" placeholder="filter: words of method, dataset, ..." aria-label="filter the runs">
<button id="selection" type="button" title="show all runs" hidden></button>
<span class="quiet"><span id="shown" role="status"></span> runs; a click on one opens settings, log and mistakes</span>
</p>
{_grid(["method", *columns], words, lines, "run-table")}
</section>"""


def _run_cells(run: Run) -> dict[str, Value]:
    return {
        "protocol": run.table if run.classes == "all" else f"{run.table}, {run.classes}",
        "dataset": run.dataset,
        "shots": run.shots,
        "seed": run.seed,
        "accuracy": run.accuracy,
        **cost_cells([run]),
        "uses": uses_cell([run]),
        "settings": digest(run.settings) if run.settings else None,
    }


def _stored(runs: Sequence[Run], results: Sequence[dict]) -> str:
    """JSON of what opens with a click on a run: its title, the number of its configuration, its log and its mistakes.

    All configurations are packed together, as they hardly differ; each log is packed alone. Runs share thumbnails.
    """
    configs: dict[str, int] = {}
    opened = []
    mistakes = [_mistakes(run, result) for run, result in zip(runs, results, strict=True)]
    images = thumbnails([found for found in mistakes if found])
    numbers = {path: number for number, path in enumerate(images)}
    for run, result, found in zip(runs, results, mistakes, strict=True):
        log = read_log(run.folder / LOG)
        config = _config(result, log or "")
        opened.append(
            {
                "title": str(run.spec),
                "config": configs.setdefault(config, len(configs)) if config else None,
                "log": _packed(log) if log is not None else None,
                "mistakes": _packed(json.dumps(found[0].to_dict(numbers, found[1]))) if found else None,
            }
        )
    packed = _packed(json.dumps(list(configs)))
    stored = json.dumps({"configs": packed, "images": list(images.values()), "runs": opened})
    return stored.replace("<", "\\u003c")  # no name ends the script element


def _mistakes(run: Run, results: dict) -> tuple[Mistakes, str] | None:
    """A run's mistakes and its data root, None where it has no predictions.csv of its test."""
    file = run.folder / PREDICTIONS_FILE
    if not results.get("predictions") or not file.exists():
        return None
    dataset = (results.get("config") or {}).get("DATASET")
    root = dataset.get("ROOT") if isinstance(dataset, dict) else ""
    return Mistakes.of_csv(file), os.path.expanduser(root) if isinstance(root, str) else ""


def _packed(content: str) -> str:
    """gzip in base64"""
    return base64.b64encode(gzip.compress(content.encode("utf-8", "replace"), mtime=0)).decode()


def read_log(file: Path, longest: int = LONGEST_LOG) -> str | None:
    """A run's log, of more than ``longest`` bytes the beginning and the end; None where there is none."""
    try:
        with open(file, "rb", opener=regular_only) as opened:
            size = opened.seek(0, 2)
            opened.seek(0)
            if size <= longest:
                return opened.read().decode("utf-8", "replace")
            head = opened.read(longest // 2)
            opened.seek(size - longest // 2)
            tail = opened.read()
    except OSError:
        return None
    cut = f"\n[... {size - len(head) - len(tail):,} of {size:,} bytes left out here ...]\n"
    return head.decode("utf-8", "replace") + cut + tail.decode("utf-8", "replace")


def _config(results: dict, log: str) -> str:
    """The configuration as YAML: that of results.json, else the one that the log begins with, "" where neither is."""
    if results.get("config"):
        return yaml.safe_dump(results["config"], allow_unicode=True)
    found = logged_config(log).strip()
    return f"{found}\n" if found else ""
