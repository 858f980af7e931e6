"""Tables as text: for a terminal, Markdown, LaTeX (booktabs) and CSV."""

from __future__ import annotations

import csv
import io
import re
import shutil
import sys
from collections.abc import Sequence

from tabulate import tabulate

from comparison.chosen_columns import choose
from comparison.metrics import ACCURACY, DESCRIPTIONS
from comparison.statistics import Measure
from comparison.tables import (
    AGAINST_LEGEND,
    LEGEND,
    PUBLISHED_LEGEND,
    SCORES,
    USES_LEGEND,
    Bytes,
    Difference,
    Probability,
    Row,
    Table,
    Value,
)
from support.user_error import ConfigError

FORMATS = ("terminal", "markdown", "latex", "csv")
CAPTIONED = ("latex", "markdown")
LEFT = ("dataset", "method", "source", "uses", "seeds")  # columns of words
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
    others = {"published": PUBLISHED_LEGEND, "uses": USES_LEGEND}
    return "\n".join(filter(None, (scores, against, *(others[name] for name in others if name in names))))


def shown_columns(table: Table) -> list[str]:
    """The columns without those that the title tells, and those beside the scores that have no value at all."""
    return [
        name
        for name in table.rows[0].cells
        if name not in table.told
        and (name in (*table.compared, table.metric) or any(row.cells[name] is not None for row in table.rows))
    ]


def render(tables: Sequence[Table], style: str, columns: Sequence[str] = (), caption: str = "") -> str:
    """All tables and, but for CSV, their legend.

    Args:
        style: one of `FORMATS`.
        columns: those to show, in this order, see `chosen_columns`; () for the usual ones.
        caption: of each table, in LaTeX and Markdown; the title follows it where there are several tables.

    Raises:
        UserError: no table has one of ``columns``, or there is a caption in another style.
    """
    if caption and style not in CAPTIONED:
        raise ConfigError(f"--caption is for --format {' or '.join(CAPTIONED)}, not {style}: choose one of them")
    if style == "csv":
        return as_csv(tables, columns)
    if columns:
        chosen = choose([list(table.rows[0].cells) for table in tables], columns, [table.told for table in tables])
    else:
        chosen = [shown_columns(table) for table in tables]
    shown = [(table, names) for table, names in zip(tables, chosen, strict=True) if names]
    comment = "% " if style == "latex" else ""
    lines = "".join(f"{comment}{line}\n" for line in legend(tables).splitlines())
    if not columns and style == "terminal":
        return f"{lines}\n" + "\n".join(f"{table.title}\n{fitted(table)}\n{noted(table)}" for table in tables)
    return f"{lines}\n" + "\n".join(render_table(*part, style, caption, len(shown) > 1) for part in shown)


def render_table(table: Table, columns: Sequence[str], style: str, caption: str = "", one_of_many: bool = False) -> str:
    """One table. The title follows the caption where it is ``one_of_many``."""
    if style == "markdown":
        whole = f"{caption} {as_sentence(table.title)}" if one_of_many else caption
        below = "".join(f"\n{line}\n" for line in (f"Table: {whole}" if caption else "", table.note()) if line)
        return f"### {table.title}\n\n{grid(table, columns, 'github', '**', '**')}\n{below}"
    if style == "latex":  # tabulate escapes what LaTeX would take for commands, so these come afterwards
        body = grid(table, columns, "latex_booktabs", "\ue000", "\ue001")
        body = body.replace("\ue000", r"\textbf{").replace("\ue001", "}")
        whole = f"{caption} {escaped(as_sentence(table.title))}" if one_of_many else caption
        body = captioned(body, whole, table.title) if caption else body
        return f"% {table.title}\n{body}\n" + (f"% {noted(table)}" if table.note() else "")
    return f"{table.title}\n{grid(table, columns, 'simple')}\n{noted(table)}"


def noted(table: Table) -> str:
    """The line below a table, "" where it needs none."""
    note = table.note()
    return f"{note}\n" if note else ""


def captioned(body: str, caption: str, title: str) -> str:
    """A LaTeX table with its caption, and a label made from its title; the caption may hold LaTeX's commands."""
    label = re.sub("[^a-z0-9]+", "-", title.lower()).strip("-")
    return f"\\begin{{table}}\n\\centering\n\\caption{{{caption}}}\n\\label{{tab:{label}}}\n{body}\n\\end{{table}}"


def as_sentence(title: str) -> str:
    return f"{title[:1].upper()}{title[1:]}."


def escaped(words: str) -> str:
    """Text as LaTeX prints it."""
    return re.sub(r"[&%$#_{}]", r"\\\g<0>", words)


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


def as_csv(tables: Sequence[Table], columns: Sequence[str] = ()) -> str:
    """One block per kind of table, with an empty line between them."""
    kinds = []
    for kind in dict.fromkeys(table.kind for table in tables):
        members = [row for table in tables if table.kind == kind for row in table.rows]
        rows = [{"protocol": kind, **flat(row)} for row in members]
        if any(row.trained_on for row in members):
            rows = [{**cells, "trained per class": row.trained_on} for cells, row in zip(rows, members, strict=True)]
        kinds.append(rows)
    names = [list(rows[0]) for rows in kinds]
    shown = choose(names, columns, [()] * len(names)) if columns else names
    blocks = []
    for rows, chosen in zip(kinds, shown, strict=True):
        if not chosen:
            continue
        block = io.StringIO()
        writer = csv.writer(block, lineterminator="\n")
        writer.writerow(chosen)
        writer.writerows([row[name] for name in chosen] if columns else row.values() for row in rows)
        blocks.append(block.getvalue())
    return "\n".join(blocks)
