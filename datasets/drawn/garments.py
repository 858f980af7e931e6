"""Ten garments, drawn as one sees them on the pages of a shop: hung up or from the side, toes to the left.

A garment is a function of a `RandomState` and a `Sheet`: it draws its silhouette in fabric and, over it, seams,
openings, straps and soles in darker or lighter tones. Every measure is random within a range.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

RandomState = np.random.RandomState
Point = tuple[float, float]

PIXELS = 96  # of a sheet's side
FABRIC = 170  # tone of plain fabric, of 255; 0 is what lies behind the garment
NOTHING = 0


class Sheet:
    """A square of tones to draw on, in coordinates from -1 to 1 (x to the right, y downwards)."""

    def __init__(self):
        self.image = Image.new("L", (PIXELS, PIXELS))
        self.pen = ImageDraw.Draw(self.image)

    def polygon(self, *points: Point, tone: int = FABRIC) -> None:
        self.pen.polygon([_pixel(point) for point in points], fill=tone)

    def mirrored(self, *points: Point, tone: int = FABRIC) -> None:
        """The polygon and its mirror image: both sleeves, both legs."""
        self.polygon(*points, tone=tone)
        self.polygon(*((-x, y) for x, y in points), tone=tone)

    def symmetric(self, *points: Point, tone: int = FABRIC) -> None:
        """The polygon whose right half has these corners, from top to bottom."""
        self.polygon(*points, *((-x, y) for x, y in reversed(points)), tone=tone)

    def line(self, *points: Point, width: float = 0.03, tone: int = FABRIC) -> None:
        self.pen.line([_pixel(point) for point in points], fill=tone, width=_width(width), joint="curve")

    def ellipse(self, centre: Point, radii: Point, tone: int = FABRIC) -> None:
        self.pen.ellipse(_box(centre, radii), fill=tone)

    def arc(self, centre: Point, radii: Point, start: float, end: float, width: float, tone: int = FABRIC) -> None:
        """A part of an ellipse's outline, from one angle to another (degrees, clockwise from the right)."""
        self.pen.arc(_box(centre, radii), start, end, fill=tone, width=_width(width))

    def tones(self) -> np.ndarray:
        """(PIXELS, PIXELS) in 0..255."""
        return np.asarray(self.image, dtype=np.float32)


def _pixel(point: Point) -> Point:
    return tuple((coordinate + 1) / 2 * PIXELS for coordinate in point)


def _box(centre: Point, radii: Point) -> tuple[float, float, float, float]:
    (x, y), (across, down) = centre, radii
    return (*_pixel((x - across, y - down)), *_pixel((x + across, y + down)))


def _width(part: float) -> int:
    return max(1, round(part / 2 * PIXELS))


def _dark(rng: RandomState) -> int:
    return rng.randint(20, 110)


def _other(rng: RandomState) -> int:
    """A tone that differs from the fabric's, darker or lighter."""
    return rng.randint(30, 120) if rng.uniform() < 0.6 else rng.randint(210, 256)


def _chance(rng: RandomState, probability: float) -> bool:
    return rng.uniform() < probability


# Tops


def _torso(rng: RandomState, sheet: Sheet, half_width: float, top: float, bottom: float, flare: float = 0.0) -> float:
    """Body of a top; returns the half width of its neck."""
    neck, slope = half_width * rng.uniform(0.3, 0.55), rng.uniform(0.05, 0.15)
    waist = half_width * rng.uniform(0.85, 1.0)
    sheet.symmetric(
        (neck, top),
        (half_width, top + slope),
        (waist, (top + bottom) / 2),
        (half_width * rng.uniform(0.92, 1.05) + flare, bottom),
    )
    for _ in range(rng.randint(4)):  # folds
        x, y = rng.uniform(-0.8, 0.8) * half_width, rng.uniform(top + 0.3, bottom - 0.3)
        end = (x + rng.uniform(-0.12, 0.12), min(bottom, y + rng.uniform(0.3, 1.2)))
        sheet.line((x, y), end, width=rng.uniform(0.02, 0.08), tone=rng.randint(115, 225))
    return neck


def _neck(rng: RandomState, sheet: Sheet, half_width: float, top: float) -> None:
    """An opening at the neck, round or pointed; behind it is nothing, or the dark inside of the back."""
    depth = rng.uniform(0.06, 0.28)
    tone = NOTHING if _chance(rng, 0.5) else _dark(rng)
    if _chance(rng, 0.7):
        sheet.ellipse((0, top), (half_width, depth), tone=tone)
    else:
        sheet.polygon((-half_width, top), (half_width, top), (0, top + 1.3 * depth), tone=tone)


def _long_sleeves(rng: RandomState, sheet: Sheet, half_width: float, top: float, bottom: float) -> None:
    """Sleeves that hang beside the body, with a gap or seam between."""
    width, end = rng.uniform(0.14, 0.28), bottom - rng.uniform(-0.02, 0.25)
    spread = rng.uniform(0.0, 0.08) if _chance(rng, 0.7) else rng.uniform(0.08, 0.3)
    outer = min(0.99, half_width + spread + width)
    sleeve = [
        (half_width * 0.8, top + 0.02),
        (half_width + 0.7 * width, top + rng.uniform(0.12, 0.3)),
        (outer, end - 0.05),
        (outer - width * rng.uniform(0.6, 0.9), end),
        (half_width * 0.95, top + rng.uniform(0.4, 0.6)),
    ]
    sheet.mirrored(*sleeve, tone=FABRIC if _chance(rng, 0.6) else _other(rng))
    seam = NOTHING if _chance(rng, 0.4) else _other(rng)
    for side in (-1, 1):
        inner = [(side * half_width, top + 0.3), (side * (half_width + 0.5 * spread), end)]
        sheet.line(*inner, width=rng.uniform(0.02, 0.06), tone=seam)


def _short_sleeves(rng: RandomState, sheet: Sheet, half_width: float, top: float, longest: float = 0.75) -> None:
    length, drop = rng.uniform(0.35, longest), rng.uniform(0.1, 0.3)
    outer = min(0.99, half_width + rng.uniform(0.15, 0.42))
    sleeve = [
        (half_width * 0.75, top + 0.02),
        (half_width + 0.05, top + 0.12),
        (outer, top + length),
        (outer - rng.uniform(0.15, 0.28), top + length + 0.4 * drop),
        (half_width * 0.95, top + 0.35 + drop),
    ]
    sheet.mirrored(*sleeve, tone=FABRIC if _chance(rng, 0.85) else _other(rng))
    if _chance(rng, 0.5):
        for side in (-1, 1):
            sheet.line((side * half_width, top + 0.15), (side * half_width * 0.97, top + 0.5), tone=_dark(rng))


def _print(rng: RandomState, sheet: Sheet, half_width: float, top: float) -> None:
    """A motif on the chest: a disc, a bar, lines of writing, or bands across."""
    tone, middle = _other(rng), top + rng.uniform(0.45, 0.8)
    kind = rng.randint(4)
    if kind == 0:
        radius = half_width * rng.uniform(0.2, 0.6)
        sheet.ellipse((0, middle), (radius, radius), tone=tone)
    elif kind == 1:
        across, down = half_width * rng.uniform(0.2, 0.7), rng.uniform(0.04, 0.25)
        sheet.polygon((-across, middle), (across, middle), (across, middle + down), (-across, middle + down), tone=tone)
    elif kind == 2:
        for row in range(rng.randint(1, 4)):
            across = half_width * rng.uniform(0.3, 0.7)
            sheet.line((-across, middle + 0.12 * row), (across, middle + 0.12 * row), width=0.05, tone=tone)
    else:
        for row in range(rng.randint(1, 4)):
            y = middle - 0.2 + 0.25 * row
            sheet.line((-half_width * 0.95, y), (half_width * 0.95, y), width=rng.uniform(0.06, 0.16), tone=tone)


def _t_shirt(rng: RandomState, sheet: Sheet) -> None:
    top, bottom = -0.95, rng.uniform(0.8, 0.98)
    if _chance(rng, 0.25):  # a tank top
        half_width, strap = rng.uniform(0.34, 0.52), rng.uniform(0.06, 0.16)
        chest, outer = top + rng.uniform(0.4, 0.6), half_width * rng.uniform(0.6, 0.75)
        sheet.symmetric(
            (outer - strap, top), (outer, top), (outer - 0.02, chest - 0.15), (half_width, chest), (half_width, bottom)
        )
        sheet.ellipse((0, top), (outer - strap, rng.uniform(0.2, 0.5)), tone=NOTHING)
    else:
        half_width = rng.uniform(0.42, 0.6)
        _short_sleeves(rng, sheet, half_width, top)
        _neck(rng, sheet, _torso(rng, sheet, half_width, top, bottom), top)
    if _chance(rng, 0.5):
        _print(rng, sheet, half_width, top)


def _pullover(rng: RandomState, sheet: Sheet) -> None:
    top, bottom, half_width = -0.93, rng.uniform(0.82, 0.99), rng.uniform(0.38, 0.58)
    _long_sleeves(rng, sheet, half_width, top, bottom)
    neck = _torso(rng, sheet, half_width, top, bottom)
    kind = rng.randint(4)
    if kind == 0:  # a rolled collar
        sheet.symmetric((neck * 0.8, top - 0.07), (neck, top + 0.08))
        sheet.line((-neck, top + 0.08), (neck, top + 0.08), tone=_dark(rng))
    elif kind == 1:  # a hood and a pocket
        sheet.ellipse((0, top + 0.08), (neck * 1.3, 0.17))
        sheet.ellipse((0, top + 0.1), (neck * 0.8, 0.12), tone=_dark(rng))
        pocket = [(-0.3, 0.7), (-0.2, 0.4), (0.2, 0.4), (0.3, 0.7)]
        sheet.line(*pocket, width=0.03, tone=_dark(rng))
    else:
        _neck(rng, sheet, neck, top)
    if _chance(rng, 0.4):
        _print(rng, sheet, half_width, top)
    if _chance(rng, 0.4):
        sheet.line((-half_width, bottom - 0.1), (half_width, bottom - 0.1), width=0.02, tone=_dark(rng))


def _coat(rng: RandomState, sheet: Sheet) -> None:
    top, bottom, half_width = -0.93, rng.uniform(0.82, 0.99), rng.uniform(0.38, 0.58)
    _long_sleeves(rng, sheet, half_width, top, bottom)
    neck = _torso(rng, sheet, half_width, top, bottom, flare=rng.uniform(0, 0.08))
    dark, off = rng.randint(5, 100), rng.uniform(-0.08, 0.08)
    if _chance(rng, 0.35):  # open, with another thing or nothing below
        sheet.polygon((-0.05, top), (0.05, top), (off + 0.2, bottom), (off - 0.12, bottom), tone=dark)
    else:
        sheet.line((off, top + 0.1), (off, bottom), width=rng.uniform(0.035, 0.08), tone=dark)
    kind = rng.randint(3)
    if kind == 0:  # lapels
        depth = rng.uniform(0.4, 0.75)
        sheet.polygon((-neck, top), (neck, top), (off, top + depth), tone=dark)
        lapel = [(neck, top), (neck + 0.1, top + 0.25), (off, top + depth)]
        sheet.line(*lapel, width=0.035, tone=dark)
        sheet.line(*((2 * off - x, y) for x, y in lapel), width=0.035, tone=dark)
    elif kind == 1:  # a hood
        sheet.ellipse((0, top + 0.1), (neck * 1.4, 0.2))
        sheet.ellipse((0, top + 0.13), (neck * 0.9, 0.13), tone=dark)
    else:  # a standing collar
        sheet.symmetric((neck * 0.9, top - 0.05), (neck * 1.1, top + 0.14))
        sheet.line((off, top - 0.05), (off, top + 0.2), width=0.06, tone=dark)
    if _chance(rng, 0.7):  # pockets
        level, tilt = rng.uniform(0.15, 0.5), rng.uniform(-0.15, 0.15)
        for side in (-1, 1):
            sheet.line((side * 0.18, level), (side * 0.38, level + tilt), width=rng.uniform(0.03, 0.06), tone=dark)
    if _chance(rng, 0.3):
        for row in range(rng.randint(2, 5)):
            sheet.ellipse((off + 0.1, -0.1 + 0.25 * row), (0.03, 0.03), tone=_other(rng))
    if _chance(rng, 0.25):  # a belt
        level = rng.uniform(0.0, 0.2)
        sheet.line((-half_width, level), (half_width, level), width=0.07, tone=_other(rng))


def _shirt(rng: RandomState, sheet: Sheet) -> None:
    top, bottom, half_width = -0.93, rng.uniform(0.82, 0.99), rng.uniform(0.38, 0.58)
    if _chance(rng, 0.65):
        _long_sleeves(rng, sheet, half_width, top, bottom)
    else:
        _short_sleeves(rng, sheet, half_width, top, longest=1.1)
    neck = _torso(rng, sheet, half_width, top, bottom)
    if _chance(rng, 0.4):  # a rounded hem
        sheet.ellipse((0, bottom - 0.1), (half_width * 0.95, 0.12))
    if _chance(rng, 0.5):  # a blouse, or a shirt seen from too far for collar and buttons
        _neck(rng, sheet, neck, top)
        return
    seam, depth = rng.randint(90, 155), rng.uniform(0.05, 0.3)
    sheet.polygon((-neck * 0.8, top), (neck * 0.8, top), (0, top + depth), tone=_dark(rng))
    collar = [(neck * 0.8, top - 0.04), (neck * 1.2, top + 0.18), (neck * 0.5, top + 0.28), (0.02, top + depth)]
    sheet.mirrored(*collar, tone=rng.randint(170, 256))
    sheet.mirrored(collar[1], collar[2], (neck * 0.55, top + 0.33), (neck * 1.2, top + 0.24), tone=seam)
    end = bottom if _chance(rng, 0.8) else rng.uniform(-0.4, 0.0)
    sheet.line((0, top + depth), (0, end), width=0.02, tone=seam)
    for y in np.arange(top + depth + 0.1, end, rng.uniform(0.15, 0.3)):
        sheet.ellipse((0.03, y), (0.022, 0.022), tone=seam)
    if _chance(rng, 0.4):  # a pocket on the chest
        sheet.line((0.15, -0.4), (0.4, -0.4), (0.4, -0.1), (0.15, -0.1), (0.15, -0.4), width=0.02, tone=seam)


def _dress(rng: RandomState, sheet: Sheet) -> None:
    top, bottom = -0.97, 0.97
    chest = rng.uniform(0.2, 0.4)
    hem = chest * rng.uniform(0.75, 1.4) if _chance(rng, 0.7) else rng.uniform(0.4, 0.6)
    waist, level = chest * rng.uniform(0.7, 1.0), rng.uniform(-0.35, 0.05)
    neck = chest * rng.uniform(0.35, 0.65)
    kind = rng.randint(4)
    if kind == 0:  # straps
        chest_top = top + rng.uniform(0.25, 0.45)
        sheet.mirrored((chest * 0.6, top), (chest * 0.75, top), (chest * 0.85, chest_top), (chest * 0.65, chest_top))
        sheet.symmetric((chest * 0.85, chest_top), (chest, chest_top + 0.1), (waist, level), (hem, bottom))
    else:
        if kind == 1:
            _short_sleeves(rng, sheet, chest, top)
        elif kind == 2:
            width, end = rng.uniform(0.09, 0.16), rng.uniform(0.0, 0.4)
            outer = chest + width + rng.uniform(0.02, 0.15)
            sheet.mirrored((chest * 0.8, top + 0.03), (chest + 0.06, top + 0.15), (outer, end), (outer - width, end))
            for side in (-1, 1):
                sheet.line((side * chest, top + 0.3), (side * (chest + 0.03), end), width=0.03, tone=NOTHING)
        shoulder = chest * (rng.uniform(0.75, 0.95) if kind == 3 else 1.0)
        sheet.symmetric(
            (neck, top),
            (shoulder, top + 0.08),
            (chest, top + 0.4),
            (waist, level),
            ((waist + hem) / 2, 0.4),
            (hem, bottom),
        )
        _neck(rng, sheet, neck, top)
    if _chance(rng, 0.5):
        sheet.line((-waist, level), (waist, level), width=rng.uniform(0.02, 0.09), tone=_other(rng))
    if _chance(rng, 0.4):  # folds of the skirt
        for part in rng.uniform(-0.7, 0.7, rng.randint(1, 4)):
            sheet.line((part * waist, level + 0.2), (part * hem, bottom), width=0.02, tone=_dark(rng))
    if _chance(rng, 0.2):  # another skirt
        sheet.symmetric((waist, level), (hem, bottom), tone=_other(rng))


def _trouser(rng: RandomState, sheet: Sheet) -> None:
    top, bottom = -0.97, 0.97 if _chance(rng, 0.92) else rng.uniform(0.2, 0.6)
    waist, hip = rng.uniform(0.2, 0.32), rng.uniform(0.26, 0.42)
    crotch = rng.uniform(-0.5, -0.2)
    ankle, width = rng.uniform(0.1, 0.38), rng.uniform(0.12, 0.22)
    knee = (hip + ankle + width / 2) / 2 * rng.uniform(0.85, 1.05)
    sheet.mirrored(
        (0, top),
        (waist, top),
        (hip, crotch),
        (knee, 0.3),
        (ankle + width / 2, bottom),
        (ankle - width / 2, bottom),
        (0, crotch),
    )
    if _chance(rng, 0.4):  # the legs touch
        sheet.line((0, crotch), (0, bottom), width=rng.uniform(0.02, 0.05), tone=_dark(rng))
    if _chance(rng, 0.5):
        sheet.line((-waist, top + 0.1), (waist, top + 0.1), width=0.02, tone=_dark(rng))
    if _chance(rng, 0.4):
        sheet.mirrored((waist * 0.5, top + 0.1), (waist, top + 0.3), (waist * 0.9, top + 0.33), tone=_dark(rng))
    if _chance(rng, 0.3):  # worn thighs
        sheet.mirrored((hip * 0.4, -0.2), (hip * 0.7, -0.2), (knee * 0.8, 0.3), (knee * 0.6, 0.3), tone=_other(rng))


# Bags


def _bag(rng: RandomState, sheet: Sheet) -> None:
    kind = rng.randint(4)
    width = rng.uniform(0.7, 0.98)
    dark = _dark(rng)
    if kind == 0:  # clutch or wallet
        height = rng.uniform(0.4, 0.7)
        top, bottom = -height, height
        sheet.symmetric((width * rng.uniform(0.9, 1), top), (width, bottom))
        flap = top + (bottom - top) * rng.uniform(0.3, 0.7)
        if _chance(rng, 0.5):
            sheet.line((-width, top), (0, flap), (width, top), width=0.04, tone=dark)
        else:
            sheet.line((-width, flap), (width, flap), width=0.04, tone=dark)
        sheet.ellipse((0, flap), (0.08, 0.06), tone=_other(rng))
        return
    top, bottom = rng.uniform(-0.55, 0.1), rng.uniform(0.75, 0.97)
    if kind == 1:  # a shoulder bag: a long strap
        width = rng.uniform(0.4, 0.9)
        across, thick = width * rng.uniform(0.6, 1.0), rng.uniform(0.03, 0.09)
        sheet.arc((0, top + 0.1), (across, top + 0.1 + rng.uniform(0.8, 1.0)), 180, 360, thick)
        sheet.line((-across, top), (-across, top + 0.3), width=thick)
        sheet.line((across, top), (across, top + 0.3), width=thick)
    else:  # two handles, the one behind darker
        across = width * rng.uniform(0.3, 0.6)
        rise, thick = rng.uniform(0.4, 0.9) + top, rng.uniform(0.05, 0.12)
        for shift, tone in ((0.06, _dark(rng)), (0, FABRIC)):
            sheet.arc((shift, top + 0.05), (across, max(0.3, min(rise + 0.55, top + 1.0))), 180, 360, thick, tone=tone)
    upper, lower = sorted((width, width * rng.uniform(0.75, 1.0)), reverse=_chance(rng, 0.5))
    if _chance(rng, 0.3):
        sheet.ellipse((0, (top + bottom) / 2), (width, (bottom - top) / 2))
        sheet.symmetric((upper * 0.9, (top + bottom) / 2), (lower * 0.95, bottom))
    else:
        sheet.symmetric((upper, top), (lower, bottom - 0.06), (lower * 0.94, bottom))
    level = top + (bottom - top) * rng.uniform(0.15, 0.6)
    if _chance(rng, 0.6):
        sheet.line((-upper * 0.95, level), (upper * 0.95, level), width=rng.uniform(0.02, 0.06), tone=dark)
    if _chance(rng, 0.4):
        sheet.symmetric((upper, top), (upper, level), (upper * 0.8, level + 0.1), tone=_other(rng))
    if _chance(rng, 0.5):
        sheet.ellipse((0, level), (rng.uniform(0.04, 0.12), rng.uniform(0.04, 0.1)), tone=_other(rng))


# Shoes


def _sneaker(rng: RandomState, sheet: Sheet) -> None:
    bottom = rng.uniform(0.38, 0.5)
    sole = rng.uniform(0.07, 0.16)
    upper, toe = bottom - rng.uniform(0.62, 0.9), bottom - rng.uniform(0.22, 0.34)
    if _chance(rng, 0.15):  # high at the ankle
        upper -= 0.25
    tongue = rng.uniform(0.05, 0.35)
    sheet.polygon(
        (-0.93, bottom - 0.1),
        (-0.85, toe),
        (-0.45, toe - 0.1),
        (tongue - 0.3, (upper + toe) / 2 - 0.05),
        (tongue, upper + 0.02),
        (tongue + 0.12, upper + 0.06),
        (0.6, upper + rng.uniform(0.12, 0.2)),
        (0.86, upper + rng.uniform(-0.02, 0.08)),
        (0.93, upper + 0.2),
        (0.97, bottom),
    )
    sheet.polygon(  # the opening
        (tongue + 0.1, upper + 0.1), (0.6, upper + 0.2), (0.84, upper + 0.08), (0.6, upper + 0.14), tone=_dark(rng)
    )
    tone = rng.randint(200, 256) if _chance(rng, 0.6) else _dark(rng)
    sheet.polygon((-0.97, bottom - sole * 0.9), (0.98, bottom - sole * 1.1), (0.96, bottom), (-0.85, bottom), tone=tone)
    mark = _other(rng)
    kind = rng.randint(4)
    if kind == 0:  # slanting stripes
        for shift in np.arange(rng.randint(1, 4)) * 0.14:
            sheet.line((0.0 + shift, bottom - sole), (0.2 + shift, upper + 0.3), width=0.06, tone=mark)
    elif kind == 1:  # a swung line
        sheet.line((-0.35, toe + 0.05), (0.0, bottom - sole - 0.05), (0.7, upper + 0.3), width=0.07, tone=mark)
    elif kind == 2:  # toe cap and heel
        sheet.polygon((-0.93, bottom - sole), (-0.85, toe), (-0.5, toe - 0.06), (-0.55, bottom - sole), tone=mark)
        sheet.polygon((0.7, bottom - sole), (0.72, upper + 0.2), (0.92, upper + 0.15), (0.95, bottom - sole), tone=mark)
    for step in np.arange(rng.randint(0, 5)) * 0.12:  # laces
        x, y = tongue - 0.35 + step, (upper + toe) / 2 - step * 0.6
        sheet.line((x, y), (x + 0.1, y + 0.12), width=0.03, tone=mark)


def _sandal(rng: RandomState, sheet: Sheet) -> None:
    kind = rng.randint(3)
    strap = rng.uniform(0.035, 0.16)
    if kind == 0:  # flat
        bottom = rng.uniform(0.25, 0.45)
        thick = rng.uniform(0.06, 0.18)
        toe, heel, top = bottom - thick, bottom - thick, bottom - rng.uniform(0.45, 0.75)
        sheet.polygon((-0.95, toe), (0.95, heel), (0.93, bottom), (-0.9, bottom), tone=_sole(rng))
    elif kind == 1:  # a wedge or a platform
        bottom = rng.uniform(0.5, 0.75)
        toe, heel = bottom - rng.uniform(0.1, 0.3), bottom - rng.uniform(0.45, 0.8)
        top = heel - rng.uniform(0.4, 0.7)
        sheet.polygon((-0.95, toe), (-0.3, toe), (0.9, heel), (0.85, bottom), (-0.9, bottom), tone=_sole(rng))
    else:  # a high heel
        bottom, width = 0.95, rng.uniform(0.04, 0.2)
        toe, heel = bottom - rng.uniform(0.06, 0.2), bottom - rng.uniform(0.8, 1.15)
        top = max(-0.97, heel - rng.uniform(0.4, 0.8))
        thick = rng.uniform(0.08, 0.14)
        tone = _sole(rng)
        arch = [(-0.95, toe), (-0.45, toe), (0.35, heel), (0.85, heel)]
        sheet.polygon(*arch, (0.85, heel + thick), (0.35, heel + thick), (-0.4, bottom), (-0.95, bottom), tone=tone)
        sheet.polygon((0.6, heel + 0.05), (0.88, heel), (0.84, bottom), (0.84 - width, bottom), tone=tone)

    def surface(x: float) -> float:
        return toe if x < -0.4 else toe + (heel - toe) * min(1.0, (x + 0.4) / 0.8)

    for x in rng.uniform(-0.85, -0.1, rng.randint(1, 5)):  # over the toes
        rise = rng.uniform(0.15, 0.4)
        sheet.line((x - 0.1, surface(x)), (x + 0.1, surface(x) - rise), (x + 0.35, surface(x + 0.35)), width=strap)
    if _chance(rng, 0.8):  # around the ankle
        level = max(-0.95, top)
        sheet.line((0.82, heel), (0.78, level), width=strap)
        sheet.line((0.78, level + 0.1), (0.3, level + rng.uniform(0.0, 0.2)), (0.2, surface(0.2)), width=strap)
        if _chance(rng, 0.5):
            sheet.line((0.3, level + 0.1), (-0.3, surface(-0.3) - 0.1), width=strap)
        if _chance(rng, 0.3):
            sheet.polygon((0.55, heel), (0.62, level + 0.3), (0.9, level + 0.25), (0.88, heel))


def _sole(rng: RandomState) -> int:
    return rng.randint(90, 256)


def _ankle_boot(rng: RandomState, sheet: Sheet) -> None:
    top, bottom = rng.uniform(-0.95, -0.3), rng.uniform(0.75, 0.95)
    front, instep = rng.uniform(-0.25, 0.2), bottom - rng.uniform(0.5, 0.75)
    toe = bottom - rng.uniform(0.25, 0.4)
    back = rng.uniform(0.75, 0.95)
    heel = rng.uniform(0.3, 0.7) if _chance(rng, 0.3) else rng.uniform(0.06, 0.22)
    ground = bottom - heel * 0.2
    sheet.polygon(
        (front, top + rng.uniform(-0.05, 0.1)),
        (back, top + rng.uniform(-0.03, 0.05)),
        (back - rng.uniform(0.0, 0.12), instep),
        (back, bottom - heel),
        (back - 0.3, bottom - heel),
        (0.15, bottom - heel * 0.8),
        (-0.35, ground),
        (-0.9, ground),
        (-0.96, toe + 0.12),
        (-0.8, toe),
        (-0.45, toe - 0.08),
        (front - rng.uniform(0.0, 0.12), instep),
    )
    tone = _sole(rng) if _chance(rng, 0.6) else _dark(rng)
    sheet.polygon((-0.95, ground - 0.06), (-0.35, ground - 0.06), (-0.3, bottom), (-0.9, bottom), tone=tone)
    width = rng.uniform(0.08, 0.4) if heel > 0.25 else rng.uniform(0.35, 0.6)
    sheet.polygon(
        (back - width - 0.05, bottom - heel), (back, bottom - heel), (back, bottom), (back - width, bottom), tone=tone
    )
    if heel < 0.2:
        sheet.line((-0.35, ground - 0.03), (back, bottom - heel), width=0.06, tone=tone)
    dark = _dark(rng)
    kind = rng.randint(4)
    if kind == 0:  # laces
        for y in np.arange(top + 0.15, instep + 0.15, 0.17):
            sheet.line((front, y), (front + 0.22, y + 0.06), width=0.05, tone=dark)
    elif kind == 1:  # elastic at the side
        middle = (front + back) / 2
        sheet.polygon(
            (middle - 0.12, top + 0.02), (middle + 0.15, top + 0.02), (middle + 0.05, instep + 0.1), tone=dark
        )
    elif kind == 2:  # a strap with a buckle
        level = instep - rng.uniform(-0.05, 0.2)
        sheet.line((front - 0.05, level), (back, level - 0.05), width=0.08, tone=_other(rng))
    if _chance(rng, 0.3):
        sheet.line((front, top + 0.08), (back, top + 0.08), width=rng.uniform(0.05, 0.2), tone=_other(rng))


GARMENTS: dict[str, Callable[[RandomState, Sheet], None]] = {
    "t-shirt": _t_shirt,
    "trouser": _trouser,
    "pullover": _pullover,
    "dress": _dress,
    "coat": _coat,
    "sandal": _sandal,
    "shirt": _shirt,
    "sneaker": _sneaker,
    "bag": _bag,
    "ankle boot": _ankle_boot,
}


def garment(rng: RandomState, name: str) -> np.ndarray:
    """One garment, (PIXELS, PIXELS) tones in 0..255: 0 where there is none, `FABRIC` where there is plain fabric."""
    sheet = Sheet()
    GARMENTS[name](rng, sheet)
    return sheet.tones()
