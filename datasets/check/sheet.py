"""A contact sheet: a few images of each class, as the program sees them, in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import chain
from multiprocessing.pool import ThreadPool
from pathlib import Path

import matplotlib
from matplotlib.font_manager import fontManager
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

from dassl.data.data_manager import available_cores
from dassl.data.datasets import Datum
from dassl.data.transforms.image_ops import CenterCrop, Compose, Resize
from dassl.utils import atomic_write, progress_bar, read_image
from datasets.splits import by_label
from support.user_error import DataError, UserError

from .inspection import Inspection, spread
from .report import images_per_class

SIDE = 112  # pixels of an image
COLUMNS = 12
MOST_IMAGES = 300  # on a sheet, however many classes there are
OF_CLASS = (12, 6, 4, 3, 2, 1)  # images of a class, as many as there is room for; blocks of these fill the columns
GAP, MARGIN, LABEL_WIDTH = 6, 16, 28
TITLE, CAPTION = 14, 11  # sizes of text
HEADING_HEIGHT, FILE_HEIGHT = 40, 18
GREY, RED = (110, 110, 110), (180, 30, 30)
DEFAULT_FONT = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")


def write_sheet(found: Inspection, path: str) -> str:
    """Write the contact sheet of a dataset; returns a line that says so.

    The images are read, resized and cut to their middle as for testing. Up to twelve of each class are shown,
    spread over train, val and test; of more than `MOST_IMAGES` classes as many, spread over all.

    Raises:
        UserError: there are no images, or the file cannot be written.
    """
    if not any(found.images):
        raise DataError(f"{found.name} is {found.state}: there are no images for a sheet, see above")
    classes = images_per_class(found.images)
    shown = spread(classes, min(len(classes), MOST_IMAGES))
    per_class = next(number for number in OF_CLASS if number * len(shown) <= MOST_IMAGES)
    images = by_label({item.impath: item for item in chain.from_iterable(found.images)}.values())
    chosen = [spread(images[label], per_class) for label, _, _ in shown]
    with ThreadPool(available_cores()) as pool:
        read = pool.imap(lambda item: _tile(item, found.images_as_shown), chain.from_iterable(chosen))
        tiles = list(progress_bar(read, total=sum(map(len, chosen)), desc="sheet", unit=" images"))
    number = f"{len(shown):,} of {len(classes):,}" if len(shown) < len(classes) else f"{len(classes):,}"
    title = f"{found.name}: {number} classes, with their training / validation / test images"
    sheet = _drawn(title, shown, chosen, iter(tiles), per_class)
    with atomic_write(path, "wb") as file:
        sheet.save(file, "PNG")
    return (
        f"wrote {path}: {sum(map(len, chosen)):,} images of {number} classes, as the program sees them{_lacking(shown)}"
    )


def _tile(item: Datum, as_shown: bool) -> Image.Image | None:
    """What a model gets of an image; None if it cannot be read."""
    transform = Compose([Resize(SIDE, Image.Resampling.BICUBIC), CenterCrop((SIDE, SIDE))])
    try:
        return transform(read_image(item.impath, transform.suffices, as_shown))
    except UserError:
        return None


def _drawn(
    title: str,
    classes: list[tuple[int, str, list[int]]],
    chosen: list[list[Datum]],
    tiles,
    per_class: int,
) -> Image.Image:
    blocks = max(1, min(COLUMNS // per_class, len(classes)))  # side by side
    step, height = SIDE + GAP, HEADING_HEIGHT + SIDE + FILE_HEIGHT
    width = max(blocks * (per_class * step + GAP), 4 * step)
    rows = -(-len(classes) // blocks)
    top = MARGIN + 2 * TITLE
    sheet = Image.new("RGB", (2 * MARGIN + width, top + rows * height + MARGIN), "white")
    pen = ImageDraw.Draw(sheet)
    _write(pen, (MARGIN, MARGIN // 2), title, TITLE, width)
    for position, ((label, name, counts), items) in enumerate(zip(classes, chosen, strict=True)):
        left = MARGIN + position % blocks * (per_class * step + GAP)
        above = top + position // blocks * height
        _write(pen, (left, above + 4), str(label), CAPTION + 1, LABEL_WIDTH, GREY)
        _write(pen, (left + LABEL_WIDTH, above + 4), name, CAPTION + 1, per_class * step - GAP - LABEL_WIDTH)
        _write(pen, (left, above + 21), " / ".join(map(str, counts)), CAPTION - 1, per_class * step - GAP, GREY)
        for item in items:
            tile, below = next(tiles), above + HEADING_HEIGHT
            if tile is None:
                pen.rectangle((left, below, left + SIDE - 1, below + SIDE - 1), outline=RED)
                _write(pen, (left + GAP, below + SIDE // 2 - CAPTION), "cannot be read", CAPTION, SIDE - GAP, RED)
            else:
                sheet.paste(tile, (left, below))
            _write(pen, (left, below + SIDE + 1), Path(item.impath).name, CAPTION - 2, SIDE, GREY, keep_end=True)
            left += step
    return sheet


def _write(
    pen: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    size: int,
    width: int,
    colour: Sequence[int] = (0, 0, 0),
    keep_end: bool = False,
) -> None:
    """Write a line that is cut to ``width``, at its end or, where that tells images apart, in its middle."""
    text = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    font = ImageFont.truetype(_font_for(text), size)
    kept = len(text)
    shortened = text
    while font.getlength(shortened) > width and kept > 1:
        kept -= 1
        end = kept // 2 if keep_end else 0
        shortened = f"{text[: kept - end]}…{text[len(text) - end :]}"
    pen.text(place, shortened, fill=tuple(colour), font=font)


def _font_for(text: str) -> str:
    """The font of this machine that has the most letters of a text; the default one if that has all."""
    letters = set(map(ord, text)) - {ord(" ")}
    if letters <= _letters(str(DEFAULT_FONT)):
        return str(DEFAULT_FONT)
    fonts = {font.fname for font in fontManager.ttflist if "LastResort" not in font.fname}  # boxes for all
    fonts = [str(DEFAULT_FONT), *sorted(fonts)]
    return max(fonts, key=lambda font: len(letters & _letters(font)))


@cache
def _letters(font: str) -> frozenset[int]:
    try:
        return frozenset(FT2Font(font).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()


def _lacking(classes: list[tuple[int, str, list[int]]]) -> str:
    """A notice where no font has all letters of a class name, which are boxes then."""
    for label, name, _ in classes:
        if not set(map(ord, name)) - {ord(" ")} <= _letters(_font_for(name)):
            return (
                f'\nnotice: no font of this machine has all letters of "{name}", class {label}: they are drawn as boxes'
            )
    return ""
