"""The columns of tables that a person names, in their order (`report --columns`)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from support.user_error import ConfigError, did_you_mean

NAMING = ("protocol", "dataset", "shots", "method")  # say what a row is: shown first where they are not named


def choose(tables: Sequence[Sequence[str]], columns: Sequence[str], told: Sequence[Collection[str]]) -> list[list[str]]:
    """For each table the names of the columns to show, [] where it has no figure of ``columns``.

    Args:
        tables: the names of all columns of each table.
        columns: as a person names and orders them.
        told: for each table, columns that its title tells already.

    Raises:
        UserError: no table has one of ``columns``, with the nearest name.
    """
    known = list(dict.fromkeys(name for names in tables for name in names))
    for column in columns:
        if column not in known:
            near = did_you_mean(column, known)
            raise ConfigError(f'--columns: no table has a column "{column}"{near}; there are {", ".join(known)}')
    shown = []
    for names, in_title in zip(tables, told, strict=True):
        own = [column for column in dict.fromkeys(columns) if column in names]
        naming = [name for name in NAMING if name in names and name not in (*own, *in_title)]
        has_figures = not set(NAMING).issuperset(own) or set(NAMING).issuperset(columns)
        shown.append(naming + own if has_figures else [])
    return shown
