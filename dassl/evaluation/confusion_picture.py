"""A confusion matrix as a picture that can be read for five classes and for a hundred."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dassl.utils.atomic import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_WITH_VALUES, MOST_WITH_NAMES = 20, 150  # classes; of more, the picture would have to be too large
INCHES_WITH_VALUES, INCHES_WITH_NAMES = 0.45, 0.16  # of a class
SMALLEST, LARGEST_WITHOUT_NAMES = 3.0, 12.0  # inches of the matrix
LONGEST_NAME = 30  # characters
FONT_SIZE = 7  # points
DOTS = 100  # per inch


def confusion_figure(shares: np.ndarray, names: Sequence[str]) -> Figure:
    """Draw a confusion matrix.

    Args:
        shares: (C, C), 0 to 1; row: true class, column: predicted one.
        names: of the classes.
    """
    # slow to import, and only wanted where TEST.COMPUTE_CMAT asks for it
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator
    from sklearn.metrics import ConfusionMatrixDisplay

    count = len(names)
    side = max(SMALLEST, count * (INCHES_WITH_VALUES if count <= MOST_WITH_VALUES else INCHES_WITH_NAMES))
    if count > MOST_WITH_NAMES:
        side = LARGEST_WITHOUT_NAMES
    with matplotlib.rc_context({"text.parse_math": False, "font.size": FONT_SIZE}):  # a dollar sign in a name is one
        figure = Figure((side, side), dpi=DOTS)
        display = ConfusionMatrixDisplay(100 * shares, display_labels=list(map(_shown, names)))
        display.plot(
            include_values=count <= MOST_WITH_VALUES,
            cmap="Blues",
            xticks_rotation="vertical",
            values_format=".0f",
            ax=figure.add_axes((0, 0, 1, 1)),
            colorbar=False,
            im_kw={"vmin": 0, "vmax": 100},
        )
    axes = display.ax_
    axes.set(xlabel="predicted class", ylabel="true class", title="% of the true class's images")
    axes.tick_params(labelsize=FONT_SIZE)
    if display.text_ is not None:
        for text in display.text_[shares == 0]:
            text.set_visible(False)
    if count > MOST_WITH_NAMES:
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(20, integer=True))
            axis.set_major_formatter("{x:.0f}")
    return figure


def save_confusion_picture(shares: np.ndarray, names: Sequence[str], path: str) -> None:
    """Write `confusion_figure` as PNG. Raises UserError where the file cannot be written."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # names in letters that the font lacks
        confusion_figure(shares, names).savefig(buffer, format="png", bbox_inches="tight")
    with atomic_write(path, "wb") as file:
        file.write(buffer.getbuffer())


def _shown(name: str) -> str:
    """A name in one short line, of characters that can be encoded."""
    line = " ".join(name.encode("utf-8", "replace").decode().split())
    return line if len(line) <= LONGEST_NAME else f"{line[: LONGEST_NAME - 1]}…"
