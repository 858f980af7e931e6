"""What was found of the data sets, as a table with a paragraph for each that needs one."""

from collections import Counter

from tabulate import tabulate

from datasets.splits import PARTS, Split

from .inspection import Inspection

HEADERS = ("data set", "state", "classes", *PARTS, "split", "unreadable")
MOST_CLASSES = 100  # shown unless all are asked for
LEGEND = """\
(n): as published; split: where it is from and the start of its hash; unreadable: of the images looked at"""


def render(inspections: list[Inspection], verbose: bool = False) -> str:
    """Return the table, and below it what is wrong and what to do.

    Args:
        verbose: with the whole hash of each split, and the numbers of images of every class.
    """
    table = tabulate(
        [_row(found) for found in inspections],
        headers=HEADERS,
        colalign=("left", "left", *["right"] * 4, "left", "right"),
        disable_numparse=True,
    )
    paragraphs = [part for found in inspections for part in (_classes(found, verbose), _paragraph(found, verbose))]
    return "\n\n".join([f"{table}\n{LEGEND}", *filter(None, paragraphs)])


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


def _classes(found: Inspection, verbose: bool) -> str:
    """The images of each class of a person's own data, and of any other where ``verbose``."""
    if not found.images or not (verbose or found.is_own):
        return ""
    rows = [[str(label), name, *map(str, counts)] for label, name, counts in images_per_class(found.images)]
    left_out = 0 if verbose else max(0, len(rows) - MOST_CLASSES)
    table = tabulate(
        rows[: len(rows) - left_out],
        headers=("label", "class", *PARTS),
        colalign=("right", "left", "right", "right", "right"),
        disable_numparse=True,
    )
    return f"{table}\n... and {left_out:,} more classes (--verbose shows all)" if left_out else table


def images_per_class(images: Split) -> list[tuple[int, str, list[int]]]:
    """Return (label, class name, numbers of images in train, val and test) for each class."""
    names = {item.label: item.classname for part in images for item in part}
    counts = [Counter(item.label for item in part) for part in images]
    return [(label, names[label], [count[label] for count in counts]) for label in sorted(names)]


def _paragraph(found: Inspection, verbose: bool) -> str:
    lines = list(found.problems)
    if verbose and found.split_hash:
        lines.append(f"SHA-256 of the split: {found.split_hash}")
    return "\n".join([f"{found.name}:", *(f"  - {line}" for line in lines)]) if lines else ""
