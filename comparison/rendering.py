"""Tables as text: for a terminal, Markdown, LaTeX (booktabs) and CSV."""

from __future__ import annotations

import csv
import io
import shutil
import sys
from collections.abc import Sequence

from tabulate import tabulate

from comparison.metrics import ACCURACY, DESCRIPTIONS
from comparison.statistics import Measure
from comparison.tables import (
    AGAINST_LEGEND,
    KNOWS_SPLIT,
    KNOWS_SPLIT_LEGEND,
    LEGEND,
    PUBLISHED_LEGEND,
    SCORES,
    Bytes,
    Difference,
    Probability,
    Row,
    Table,
    Value,
)

FORMATS = ("terminal", "markdown", "latex", "csv")
LEFT = ("dataset", "method", "source", "seeds")  # columns of words
LESS_NEEDED = ("s.e. base", "s.e. new", "s.e.", "peak", "s/epoch", "checkpoint", "source")  # first to go


def text(value: Value) -> str:
    """A cell as it is read."""
    if value is None:
        return "–"
    if isinstance(value, Measure):
        std = f" ± {value.std:.{value.digits}f}" if value.std is not None else ""
        return f"{value.mean:.{value.digits}f}{std}"
    if isinstance(value, Difference):
        return f"{value.value:+.{value.digits}f}"
    if isinstance(value, Probability):
        return "<0.001" if value < 0.001 else f"{value:.3f}"
    if isinstance(value, Bytes):
        return size(value)
    if isinstance(value, float):
        return f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else value


def size(count: int) -> str:
    for unit, bytes_each in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if count >= bytes_each:
            return f"{count / bytes_each:.{0 if count >= 10 * bytes_each else 1}f} {unit}"
    return f"{count} B"


def legend(tables: Sequence[Table]) -> str:
    """What the columns of these tables mean."""
    names = {name for table in tables for row in table.rows for name, value in row.cells.items() if value is not None}
    against = AGAINST_LEGEND if any(name.startswith("vs ") for name in names) else ""
    scores = LEGEND.replace(DESCRIPTIONS[ACCURACY], DESCRIPTIONS.get(tables[0].metric, tables[0].metric), 1)
    seeds = [str(row.cells.get("seeds")) for table in tables for row in table.rows]
    split = KNOWS_SPLIT_LEGEND if any(KNOWS_SPLIT in cell for cell in seeds) else ""
    return "\n".join(filter(None, (scores, split, against, PUBLISHED_LEGEND if "published" in names else "")))


def shown_columns(table: Table) -> list[str]:
    """The columns without those that the title tells, and those beside the scores that have no value at all."""
    return [
        name
        for name in table.rows[0].cells
        if name not in table.told
        and (name in (*table.compared, table.metric) or any(row.cells[name] is not None for row in table.rows))
    ]


def render(tables: Sequence[Table], style: str) -> str:
    """All tables and, but for CSV, their legend. ``style`` is one of `FORMATS`."""
    if style == "csv":
        return as_csv(tables)
    comment = "% " if style == "latex" else ""
    lines = "".join(f"{comment}{line}\n" for line in legend(tables).splitlines())
    return lines + "\n" + "\n".join(render_table(table, style) for table in tables)


def render_table(table: Table, style: str) -> str:
    note = table.note()
    if style == "markdown":
        below = f"\n{note}\n" if note else ""
        return f"### {table.title}\n\n{grid(table, shown_columns(table), 'github', '**', '**')}\n{below}"
    below = f"{note}\n" if note else ""
    if style == "latex":  # tabulate escapes what LaTeX would take for commands, so these come afterwards
        body = grid(table, shown_columns(table), "latex_booktabs", "\ue000", "\ue001")
        body = body.replace("\ue000", r"\textbf{").replace("\ue001", "}")
        return f"% {table.title}\n{body}\n" + (f"% {below}" if below else "")
    return f"{table.title}\n{fitted(table)}\n{below}"


def grid(table: Table, columns: Sequence[str], style: str, bold: str = "", unbold: str = "") -> str:
    best = table.best()
    rows = [
        [
            f"{bold}{text(row.cells[name])}{unbold}" if (index, name) in best else text(row.cells[name])
            for name in columns
        ]
        for index, row in enumerate(table.rows)
    ]
    align = ["left" if name in LEFT else "right" for name in columns]
    return tabulate(rows, headers=columns, tablefmt=style, disable_numparse=True, colalign=align)


def fitted(table: Table) -> str:
    """The table; on a terminal with bold figures, and without the columns for which it has no room."""
    columns = shown_columns(table)
    if not sys.stdout.isatty():
        return grid(table, columns, "simple")
    room, left_out = shutil.get_terminal_size().columns, []
    for name in LESS_NEEDED:
        if len(grid(table, columns, "simple").splitlines()[1]) <= room:
            break
        if name in columns:
            columns.remove(name)
            left_out.append(name)
    note = f"\n(no room for {', '.join(left_out)})" if left_out else ""
    return grid(table, columns, "simple", "\033[1m", "\033[0m") + note


def flat(row: Row) -> dict[str, Value]:
    """A row with bare numbers: mean and deviation in columns of their own, nothing where a value is missing."""
    cells: dict[str, Value] = {}
    for name, value in row.cells.items():
        if name in (*SCORES, row.metric) and not isinstance(value, float):
            cells[name] = value.mean if value else ""
            if name != "H":
                cells[f"{name} std"] = value.std if value and value.std is not None else ""
        elif isinstance(value, Measure):  # a dataset's column of an overview
            cells[name] = value.mean
        elif isinstance(value, Difference):
            cells[name] = value.value
        else:
            cells[name] = "" if value is None else value
    return cells


def as_csv(tables: Sequence[Table]) -> str:
    """One block per kind of table, with an empty line between them."""
    blocks = []
    for kind in dict.fromkeys(table.kind for table in tables):
        members = [row for table in tables if table.kind == kind for row in table.rows]
        rows = [{"protocol": kind, **flat(row)} for row in members]
        if any(row.trained_on for row in members):
            rows = [{**cells, "trained per class": row.trained_on} for cells, row in zip(rows, members, strict=True)]
        block = io.StringIO()
        writer = csv.writer(block, lineterminator="\n")
        writer.writerow(rows[0])
        writer.writerows(row.values() for row in rows)
        blocks.append(block.getvalue())
    return "\n".join(blocks)
