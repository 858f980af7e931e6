"""Rows of learned tensors that belong to classes: they are found by the names of the classes, never by place.

So a test on a part of the classes, or on another order of them, has each class's own tensors. A test on a class without
any is refused, or has those that a method begins with, as the method says.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from clip.simple_tokenizer import SimpleTokenizer

_tokenizer = SimpleTokenizer()


def rows_of(wanted: Sequence[str], known: Sequence[str]) -> list[int | None]:
    """Place among ``known`` of each name in ``wanted``, None where it is not there.

    Names are compared as CLIP reads them: "Polar_bear" is "polar bear". Of equal names, which ImageNet has, the k-th in
    one list is the k-th in the other.
    """
    places = defaultdict(list)
    for row, name in enumerate(known):
        places[as_read(name)].append(row)
    rows = []
    for name in wanted:
        found = places.get(as_read(name))
        rows.append(None if not found else found.pop(0) if len(found) > 1 else found[0])
    return rows


def as_read(name: str) -> tuple[int, ...]:
    """The tokens of a class name, by which names are compared."""
    return tuple(_tokenizer.encode(name.replace("_", " ")))


def warn_of_repeated(wanted: Sequence[str], known: Sequence[str]) -> None:
    """Print the names that stand for a different number of classes in the two lists, so that one may be the other's."""
    here, there = (Counter(map(as_read, names)) for names in (wanted, known))
    for name in dict.fromkeys(wanted):
        now, before = here[as_read(name)], there[as_read(name)]
        if now != before and max(now, before) > 1 and before:
            print(f'warning: "{name}" was the name of {before} classes in training and is that of {now} here')
