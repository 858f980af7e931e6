"""How many images the classes of a split have."""

from collections import Counter
from collections.abc import Mapping, Sequence

from .datasets import Datum


def images_per_class(items: Sequence[Datum] | None, lab2cname: Mapping[int, str]) -> tuple[int, int] | None:
    """Return the numbers of images of the smallest and of the largest class, None where there are no images at all."""
    of_class = _of_class(items, lab2cname)
    return (min(of_class.values()), max(of_class.values())) if items else None


def in_words(fewest: int, most: int) -> str:
    return f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"


def describe(items: Sequence[Datum], lab2cname: Mapping[int, str]) -> str:
    """Return the number of images, and the smallest and the largest class where not all are equal."""
    of_class = _of_class(items, lab2cname)
    smallest, largest = (lab2cname[choose(of_class, key=of_class.get)] for choose in (min, max))
    fewest, most = min(of_class.values()), max(of_class.values())
    if fewest == most:
        return f"{len(items):,} images, {fewest:,} of each class"
    return (
        f'{len(items):,} images, {fewest:,} of the smallest class "{smallest}" to {most:,} of the largest "{largest}"'
    )


def _of_class(items: Sequence[Datum] | None, lab2cname: Mapping[int, str]) -> dict[int, int]:
    counts = Counter(item.label for item in items or ())
    return {label: counts[label] for label in lab2cname}
