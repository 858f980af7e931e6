"""Twenty-four shapes as masks over local coordinates, and twenty surface patterns as fields over them.

A shape is a function of x and y (arrays of equal shape; x grows to the right, y downwards, the shape lies within
about [-0.9, 0.9]) to a boolean mask. A pattern is a function of x and y, in periods, to values in [0, 1].
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def _polygon(*points: tuple[float, float]):
    """Mask function of the polygon with these corners (even-odd rule)."""

    def mask(x: Array, y: Array) -> Array:
        inside = np.zeros(x.shape, bool)
        for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
            if y0 != y1:
                crosses = (y0 > y) != (y1 > y)
                inside ^= crosses & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
        return inside

    return mask


def _star_points(tips: int, outer: float, inner: float) -> list[tuple[float, float]]:
    angles = np.arange(2 * tips) * np.pi / tips - np.pi / 2
    radii = np.where(np.arange(2 * tips) % 2 == 0, outer, inner)
    return [(r * np.cos(a), r * np.sin(a)) for r, a in zip(radii, angles, strict=True)]


def _disc(x: Array, y: Array, centre_x: float, centre_y: float, radius: float) -> Array:
    return (x - centre_x) ** 2 + (y - centre_y) ** 2 < radius**2


def _heart(x: Array, y: Array) -> Array:
    x, y = 1.35 * x, 0.15 - 1.35 * y
    return (x**2 + y**2 - 1) ** 3 < x**2 * y**3


def _spiral(x: Array, y: Array) -> Array:
    radius, angle = np.hypot(x, y), np.arctan2(y, x) / (2 * np.pi)
    return (radius < 0.9) & ((2.3 * radius - angle) % 1 < 0.48)


def _gear(x: Array, y: Array) -> Array:
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    return (radius > 0.28) & (radius < 0.7 + 0.17 * np.sign(np.cos(8 * angle)))


_trunk = _polygon((-0.14, 0.5), (0.14, 0.5), (0.14, 0.9), (-0.14, 0.9))
_crown_of_tree = _polygon(
    (0, -0.9), (0.42, -0.2), (0.25, -0.2), (0.65, 0.5), (-0.65, 0.5), (-0.25, -0.2), (-0.42, -0.2)
)
_tail = _polygon((0.3, 0), (0.9, -0.5), (0.9, 0.5))
_tip_of_drop = _polygon((0, -0.9), (0.5, 0.1), (-0.5, 0.1))

SHAPES = {
    "circle": lambda x, y: _disc(x, y, 0, 0, 0.82),
    "square": _polygon((-0.7, -0.7), (0.7, -0.7), (0.7, 0.7), (-0.7, 0.7)),
    "triangle": _polygon((0, -0.85), (0.85, 0.7), (-0.85, 0.7)),
    "star": _polygon(*_star_points(5, 0.92, 0.38)),
    "heart": _heart,
    "cross": lambda x, y: (np.minimum(np.abs(x), np.abs(y)) < 0.25) & (np.maximum(np.abs(x), np.abs(y)) < 0.85),
    "diamond": _polygon((0, -0.92), (0.6, 0), (0, 0.92), (-0.6, 0)),
    "crescent": lambda x, y: _disc(x, y, 0, 0, 0.85) & ~_disc(x, y, 0.42, -0.1, 0.7),
    "ring": lambda x, y: _disc(x, y, 0, 0, 0.85) & ~_disc(x, y, 0, 0, 0.5),
    "arrow": _polygon((-0.9, -0.2), (0.1, -0.2), (0.1, -0.6), (0.9, 0), (0.1, 0.6), (0.1, 0.2), (-0.9, 0.2)),
    "hexagon": _polygon(*[(0.85 * np.cos(a), 0.85 * np.sin(a)) for a in np.arange(6) * np.pi / 3]),
    "oval": lambda x, y: (x / 0.92) ** 2 + (y / 0.5) ** 2 < 1,
    "trapezoid": _polygon((-0.4, -0.55), (0.4, -0.55), (0.9, 0.55), (-0.9, 0.55)),
    "drop": lambda x, y: _tip_of_drop(x, y) | _disc(x, y, 0, 0.32, 0.54),
    "flower": lambda x, y: np.hypot(x, y) < 0.58 + 0.3 * np.cos(5 * np.arctan2(y, x)),
    "spiral": _spiral,
    "bolt": _polygon((0.25, -0.9), (-0.5, 0.15), (-0.05, 0.15), (-0.3, 0.9), (0.5, -0.2), (0.05, -0.2)),
    "house": _polygon((0, -0.85), (0.8, -0.1), (0.6, -0.1), (0.6, 0.8), (-0.6, 0.8), (-0.6, -0.1), (-0.8, -0.1)),
    "tree": lambda x, y: _crown_of_tree(x, y) | _trunk(x, y),
    "fish": lambda x, y: ((x + 0.2) ** 2 / 0.45 + y**2 / 0.2 < 1) | _tail(x, y),
    "cloud": lambda x, y: (
        _disc(x, y, -0.45, 0.2, 0.42)
        | _disc(x, y, 0.45, 0.2, 0.42)
        | _disc(x, y, -0.1, -0.2, 0.48)
        | _disc(x, y, 0.3, -0.1, 0.38)
        | ((np.abs(x) < 0.45) & (y > 0) & (y < 0.62))
    ),
    "hourglass": _polygon((-0.65, -0.85), (0.65, -0.85), (0.08, 0), (0.65, 0.85), (-0.65, 0.85), (-0.08, 0)),
    "gear": _gear,
    "crown": _polygon((-0.8, 0.6), (-0.85, -0.6), (-0.4, 0), (0, -0.75), (0.4, 0), (0.85, -0.6), (0.8, 0.6)),
}


def _hexagonal_distance(x: Array, y: Array) -> Array:
    """Distance to the nearest centre of a hexagonal lattice of unit spacing, scaled so that 1 is half way."""
    height = np.sqrt(3)
    distances = []
    for shift_x, shift_y in ((0.0, 0.0), (0.5, height / 2)):
        nearest_x = (x - shift_x + 0.5) % 1 - 0.5
        nearest_y = (y - shift_y + height / 2) % height - height / 2
        distances.append(np.hypot(nearest_x, nearest_y))
    return 2 * np.minimum(*distances)


def _band(t: Array, duty: float = 0.5) -> Array:
    """1 on the first ``duty`` part of each period."""
    return (t % 1 < duty).astype(float)


def _brick(x: Array, y: Array) -> Array:
    row = np.floor(2 * y)
    joint = ((2 * y) % 1 < 0.24) | ((x + 0.5 * (row % 2)) % 1 < 0.13)
    return (~joint).astype(float)


def _woven(x: Array, y: Array) -> Array:
    over = (np.floor(x) + np.floor(y)) % 2 == 0
    return np.where(over, np.abs(x % 1 - 0.5) < 0.32, np.abs(y % 1 - 0.5) < 0.32) * np.where(over, 1.0, 0.6)


def _scaly(x: Array, y: Array) -> Array:
    row = np.floor(2 * y)
    along = (x + 0.5 * (row % 2)) % 1 - 0.5
    return np.clip(2.4 * np.hypot(along, (2 * y) % 1 / 2), 0, 1) ** 2


def _from_centre(x: Array, y: Array) -> tuple[Array, Array]:
    """Polar coordinates around the middle of the field."""
    x, y = x - x.mean(), y - y.mean()
    return np.hypot(x, y), np.arctan2(y, x) / (2 * np.pi)


def _scattered(x: Array, y: Array, radius: float, stretch: float = 1.0) -> Array:
    """Blots at pseudo-random places, one per unit cell."""
    cell_x, cell_y = np.floor(x), np.floor(y)
    hashed = np.sin(cell_x * 127.1 + cell_y * 311.7) * 43758.5453
    hashed2 = np.sin(cell_x * 269.5 + cell_y * 183.3) * 43758.5453
    size = radius * (0.6 + 0.8 * ((hashed * 7) % 1))
    off_x, off_y = x % 1 - (0.3 + 0.4 * (hashed % 1)), y % 1 - (0.3 + 0.4 * (hashed2 % 1))
    return (np.hypot(off_x * stretch, off_y) < size).astype(float)


PATTERNS = {
    "striped": lambda x, y: _band(x),
    "dotted": lambda x, y: (np.hypot(x % 1 - 0.5, y % 1 - 0.5) < 0.3).astype(float),
    "checkered": lambda x, y: (np.floor(x) + np.floor(y)) % 2,
    "speckled": lambda x, y: _scattered(2.2 * x, 2.2 * y, 0.3),
    "gridded": lambda x, y: np.maximum(_band(x, 0.22), _band(y, 0.22)),
    "zigzag": lambda x, y: _band(y + np.abs(x % 1 - 0.5)),
    "wavy": lambda x, y: _band(y + 0.22 * np.sin(2 * np.pi * x)),
    "ringed": lambda x, y: _band(_from_centre(x, y)[0]),
    "radial": lambda x, y: _band(8 * _from_centre(x, y)[1]),
    "twirled": lambda x, y: _band(0.8 * _from_centre(x, y)[0] + 2 * _from_centre(x, y)[1]),
    "bricked": _brick,
    "woven": _woven,
    "honeycomb": lambda x, y: (_hexagonal_distance(x, y) > 0.8).astype(float),
    "scaly": _scaly,
    "crosshatched": lambda x, y: np.maximum(_band(0.8 * (x + y), 0.2), _band(0.8 * (x - y), 0.2)),
    "plaid": lambda x, y: 0.5 * _band(0.7 * x, 0.45) + 0.5 * _band(0.7 * y, 0.45),
    "argyle": lambda x, y: (np.abs(x % 1 - 0.5) + 0.6 * np.abs(y % 1 - 0.5) < 0.34).astype(float),
    "marbled": lambda x, y: 0.5 + 0.5 * np.sin(3 * x + 2.5 * np.sin(1.7 * y + 1.3 * np.sin(2.1 * x))),
    "blotchy": lambda x, y: _scattered(0.7 * x, 0.7 * y, 0.42, 0.8),
    "gradient": lambda x, y: (x - x.min()) / (np.ptp(x) + 1e-9),
}
