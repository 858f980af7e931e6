"""What a result may draw on beyond the labelled images of its shots: the words of the tables' column `uses`."""

from __future__ import annotations

from collections.abc import Iterable

SETTINGS = "settings"
DESCRIPTIONS = "descriptions"
UNLABELLED = "unlabelled"
SPLIT = "split"
MEANINGS = {
    SETTINGS: "chosen for this very dataset",
    DESCRIPTIONS: "of the classes, by a language model",
    UNLABELLED: "images without labels",
    SPLIT: "knowledge of which classes were trained on",
}


def in_order(words: Iterable[str]) -> list[str]:
    """Each of these words once, in the order of `MEANINGS`."""
    named = set(words)
    return [word for word in MEANINGS if word in named]


def is_list_of_uses(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) and word in MEANINGS for word in value)
