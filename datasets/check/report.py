"""What was found of the data sets, as a table with a paragraph for each that needs one."""

from tabulate import tabulate

from datasets.splits import PARTS

from .inspection import Inspection

HEADERS = ("data set", "state", "classes", *PARTS, "split", "unreadable")
LEGEND = """\
(n): as published; split: where it is from and the start of its hash; unreadable: of the images looked at"""


def render(inspections: list[Inspection], verbose: bool = False) -> str:
    """Return the table, and below it what is wrong and what to do.

    Args:
        verbose: with the whole hash of each split.
    """
    table = tabulate(
        [_row(found) for found in inspections],
        headers=HEADERS,
        colalign=("left", "left", *["right"] * 4, "left", "right"),
        disable_numparse=True,
    )
    return "\n\n".join([f"{table}\n{LEGEND}", *filter(None, (_paragraph(found, verbose) for found in inspections))])


def _row(found: Inspection) -> list[str]:
    return [
        found.name,
        found.state,
        *(_number(found, what) for what in ("classes", *PARTS)),
        f"{found.split} {found.split_hash[:12]}" if found.split_hash else "",
        f"{len(found.unreadable):,} of {found.looked_at:,}" if found.looked_at else "",
    ]


def _number(found: Inspection, what: str) -> str:
    number, published = found.counts.get(what), found.published.get(what)
    text = f"{number:,}" if number is not None else ""
    if found.counts and published not in (None, number):
        text += f" ({published:,})"
    return text


def _paragraph(found: Inspection, verbose: bool) -> str:
    lines = list(found.problems)
    if verbose and found.split_hash:
        lines.append(f"SHA-256 of the split: {found.split_hash}")
    return "\n".join([f"{found.name}:", *(f"  - {line}" for line in lines)]) if lines else ""
