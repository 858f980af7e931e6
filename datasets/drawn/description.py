"""What a drawn image shows and how it is changed: descriptions only, quick to import; `draw` makes the pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.drawn.shapes import SHAPES

RandomState = np.random.RandomState  # its streams are the same in every NumPy version

GLYPHS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
FONTS = 62  # rows of the glyph atlas
HELD_OUT_FONTS = 12  # its last rows, never seen in pre-training
TEXTURES = ("plain", "striped", "dotted", "checkered", "speckled")
COLOURS = {
    "red": (0.85, 0.12, 0.12),
    "orange": (0.95, 0.55, 0.1),
    "yellow": (0.95, 0.88, 0.15),
    "green": (0.15, 0.62, 0.2),
    "cyan": (0.2, 0.8, 0.85),
    "blue": (0.15, 0.25, 0.85),
    "purple": (0.5, 0.15, 0.65),
    "pink": (0.97, 0.6, 0.75),
    "brown": (0.45, 0.27, 0.12),
    "white": (0.96, 0.96, 0.96),
    "gray": (0.5, 0.5, 0.5),
    "black": (0.06, 0.06, 0.06),
}


@dataclass(frozen=True)
class Description:
    """What an image shows.

    ``kind`` is "shape", "glyph", "pattern" or "garment"; ``name`` is a key of the table of that kind.
    """

    kind: str
    name: str
    colour: str
    background: str
    texture: str = "plain"
    size: float = 0.8  # half width of the subject as a part of half the image
    font: int = 0  # row of the glyph atlas
    sketched: bool = False  # a pencil outline on paper, without colours


@dataclass(frozen=True)
class Deformation:
    """Largest values of the random geometric changes."""

    rotation: float = 10.0  # degrees
    shear: float = 0.12
    shift: float = 0.12  # part of half the image
    stretch: float = 0.12
    wobble: float = 0.04  # amplitude of a smooth distortion, as a part of half the image
    weight: float = 0.15  # change of a glyph's stroke weight, as coverage


@dataclass(frozen=True)
class Degradation:
    """Strengths of the random changes of the finished picture; each image draws between zero and these."""

    noise: float = 0.03  # standard deviation, of the value range 0..1
    blur: float = 0.0  # pixels
    cast: float = 0.0  # part by which each colour channel may be dimmed
    contrast: float = 0.0  # part of the contrast that may be lost
    coarse: float = 0.0  # probability of passing through a resolution of 8 to 14 pixels
    # a change of medium: "blueprint" (a blue negative), "lamplight" (orange light), "neon" (glowing contours)
    process: str = ""


def held_out(shape: str, colour: str, texture: str) -> bool:
    """Whether a composition is kept from pre-training: every fifth, spread over all shapes, colours and textures."""
    return (list(SHAPES).index(shape) + 2 * list(COLOURS).index(colour) + 3 * TEXTURES.index(texture)) % 5 == 0
