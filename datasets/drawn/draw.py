"""One drawn image from one description: subject, colours, texture, deformation and degradation.

Everything random comes from a `numpy.random.RandomState`, whose streams are the same in every NumPy version.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import ndimage

from datasets.drawn.description import COLOURS, GLYPHS, Deformation, Degradation, Description, RandomState
from datasets.drawn.garments import FABRIC, NOTHING, garment
from datasets.drawn.shapes import PATTERNS, SHAPES

SIDE = 32  # pixels
SUPERSAMPLE = 2  # samples per pixel and direction


@lru_cache(maxsize=1)
def glyph_atlas() -> np.ndarray:
    """(fonts, glyphs, 32, 32) coverage in 0..1."""
    with np.load(Path(__file__).with_name("atlas.npz"), allow_pickle=False) as stored:
        return stored["atlas"].astype(np.float32) / 255


@lru_cache(maxsize=1)
def _sample_points() -> tuple[np.ndarray, np.ndarray]:
    """Coordinates in [-1, 1] of all samples: x to the right, y downwards."""
    samples = SIDE * SUPERSAMPLE
    axis = (np.arange(samples) + 0.5) / samples * 2 - 1
    return np.meshgrid(axis, axis)


def draw(rng: RandomState, what: Description, shape: Deformation, finish: Degradation) -> np.ndarray:
    """Draw one image.

    Returns:
        (SIDE, SIDE, 3) uint8 RGB.
    """
    x, y = _deform(rng, what.size, shape)
    if what.kind == "garment":
        return _finished(rng, _garment(rng, what, x, y), finish)
    cover = _coverage(rng, what, shape, x, y)  # (samples, samples) in 0..1
    if what.sketched:
        picture = _sketch(rng, cover)
    else:
        ink, ground = (_jitter(rng, COLOURS[name]) for name in (what.colour, what.background))
        if what.kind != "pattern" and what.texture != "plain":
            turned = _turn(x, y, rng.uniform(0, np.pi))
            cells = PATTERNS[what.texture](*(t * rng.uniform(1.6, 2.6) + rng.uniform(0, 5) for t in turned))
            accent = 0.35 * ink if ink.mean() > 0.4 else 0.45 + 0.55 * ink
            ink = ink + cells[..., None] * (accent - ink)
        picture = ground + cover[..., None] * (ink - ground)  # (samples, samples, 3)
    return _finished(rng, picture, finish)


def _finished(rng: RandomState, picture: np.ndarray, finish: Degradation) -> np.ndarray:
    """(samples, samples, 3) in 0..1 -> (SIDE, SIDE, 3) uint8, degraded."""
    picture = picture.reshape(SIDE, SUPERSAMPLE, SIDE, SUPERSAMPLE, 3).mean(axis=(1, 3))
    return (255 * np.clip(_degrade(rng, picture, finish), 0, 1) + 0.5).astype(np.uint8)


def _turn(x: np.ndarray, y: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    return x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)


def _deform(rng: RandomState, size: float, shape: Deformation) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of the samples in the subject's own frame, where it fills [-1, 1]."""
    x, y = _sample_points()
    if shape.wobble:
        for _ in range(2):
            (fx, fy), phase = rng.uniform(-1.6, 1.6, 2), rng.uniform(0, 2 * np.pi)
            wave = shape.wobble * np.sin(np.pi * (fx * x + fy * y) + phase)
            turn = rng.uniform(0, 2 * np.pi)
            x, y = x + wave * np.cos(turn), y + wave * np.sin(turn)
    x, y = x - rng.uniform(-1, 1) * shape.shift, y - rng.uniform(-1, 1) * shape.shift
    x, y = _turn(x, y, np.deg2rad(rng.uniform(-1, 1) * shape.rotation))
    x = x + rng.uniform(-1, 1) * shape.shear * y
    stretch = rng.uniform(1 - shape.stretch, 1 + shape.stretch)
    return x / (size * stretch), y * stretch / size


def _coverage(rng: RandomState, what: Description, shape: Deformation, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    if what.kind == "shape":
        return SHAPES[what.name](x, y).astype(np.float64)
    if what.kind == "glyph":
        coverage = _sample(glyph_atlas()[what.font, GLYPHS.index(what.name)], x, y)
        threshold = 0.5 + rng.uniform(-1, 1) * shape.weight
        return np.clip(2.5 * (coverage - threshold) + 0.5, 0, 1)
    periods = rng.uniform(1.6, 2.6)
    x, y = x * periods * what.size + rng.uniform(0, 9), y * periods * what.size + rng.uniform(0, 9)
    if what.name in ("striped", "gradient"):
        x, y = _turn(x, y, rng.uniform(0, np.pi))
    return PATTERNS[what.name](x, y)


def _sample(bitmap: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Values of a square bitmap, which fills [-1, 1], at x and y."""
    rows_and_columns = [(t + 1) / 2 * len(bitmap) - 0.5 for t in (y, x)]
    return ndimage.map_coordinates(bitmap, rows_and_columns, order=1)


def _garment(rng: RandomState, what: Description, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A garment with its fabric's print, shaded as a body that light falls on, (samples, samples, 3)."""
    tones = garment(rng, what.name)
    cover = _sample((tones != NOTHING).astype(np.float32), x, y)
    tone = _sample(tones, x, y) / (FABRIC * np.maximum(cover, 1e-3))
    if what.texture != "plain":
        turned = _turn(x, y, rng.uniform(0, np.pi) if rng.uniform() < 0.3 else 0.0)
        cells = PATTERNS[what.texture](*(t * rng.uniform(1.2, 3.5) + rng.uniform(0, 5) for t in turned))
        tone = tone * (1 - rng.uniform(0.2, 0.8) * cells)
    along, across, phase = rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.2), rng.uniform(0, 2 * np.pi)
    folds = rng.uniform(0, 0.25) * np.sin(rng.uniform(3, 12) * x + rng.uniform(-2, 2) * y + phase)
    light = 1 + along * y + across * x - rng.uniform(0, 0.5) * x**2 + folds
    ink, ground = _jitter(rng, COLOURS[what.colour]) * rng.uniform(0.7, 1.5), COLOURS[what.background]
    ground = np.array(ground) * rng.uniform(0, 1)
    fabric = np.clip((tone * light)[..., None] * ink, 0, 1)
    return ground + cover[..., None] * (fabric - ground)


def _sketch(rng: RandomState, cover: np.ndarray) -> np.ndarray:
    """A pencil outline of the subject on paper, (samples, samples, 3)."""
    width = rng.choice([3, 5])
    line = ndimage.maximum_filter(cover, width) - ndimage.minimum_filter(cover, width)
    paper, pencil = rng.uniform(0.82, 1.0), rng.uniform(0.05, 0.4)
    return np.repeat((paper + line * (pencil - paper))[..., None], 3, axis=2)


def _jitter(rng: RandomState, colour: tuple[float, float, float]) -> np.ndarray:
    return np.clip(np.array(colour) + rng.uniform(-0.07, 0.07, 3), 0, 1)


def _degrade(rng: RandomState, picture: np.ndarray, finish: Degradation) -> np.ndarray:
    """Apply the changes of the finished picture, (SIDE, SIDE, 3) in 0..1."""
    if finish.process:
        picture = PROCESSES[finish.process](picture)
    if finish.coarse and rng.uniform() < finish.coarse:
        side = rng.randint(8, 15)
        rows = (np.arange(SIDE) * side // SIDE).astype(int)
        blocks = ndimage.zoom(
            ndimage.uniform_filter(picture, (SIDE / side, SIDE / side, 0)), (side / SIDE,) * 2 + (1,), order=1
        )
        picture = ndimage.uniform_filter(blocks[rows][:, rows], (3, 3, 0))
    if finish.blur:
        picture = ndimage.gaussian_filter(picture, (*[rng.uniform(0, finish.blur)] * 2, 0))
    if finish.contrast:
        picture = picture.mean() + (1 - rng.uniform(0, finish.contrast)) * (picture - picture.mean())
    if finish.cast:
        picture = picture * (1 - rng.uniform(0, finish.cast, 3))
    if finish.noise:
        picture = picture + rng.normal(0, 1, picture.shape) * rng.uniform(0, finish.noise)
    return picture


def _blueprint(picture: np.ndarray) -> np.ndarray:
    return (1 - picture.mean(axis=2, keepdims=True)) * np.array([0.35, 0.6, 0.95])


def _neon(picture: np.ndarray) -> np.ndarray:
    grey = picture.mean(axis=2)
    contour = np.hypot(ndimage.sobel(grey, axis=0), ndimage.sobel(grey, axis=1))
    contour = contour[..., None] / (contour.max() + 1e-6)
    return np.array([0.08, 0.08, 0.12]) + contour * np.array([0.16, 0.86, 0.47])


def _lamplight(picture: np.ndarray) -> np.ndarray:
    return picture * np.array([1.0, 0.6, 0.2])


PROCESSES = {"blueprint": _blueprint, "lamplight": _lamplight, "neon": _neon}
