"""Reading an image from a file: the one place that all of the program reads images by."""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Callable

from PIL import ExifTags, Image, UnidentifiedImageError

from support.regular_file import regular_only

from .errors import DataError
from .image_formats import formats_to_try, identify
from .pixels import to_rgb

MOST_PIXELS = 2**27  # which take half a gigabyte; cameras of phones have 108 million
MOST_ELONGATED = 500  # length through breadth: a resized image keeps it, and its shorter side is as long as all others'
Image.MAX_IMAGE_PIXELS = MOST_PIXELS  # above which Pillow warns, of what is refused here
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # of damaged EXIF data and the like
logging.getLogger("PIL").addHandler(logging.NullHandler())  # it else prints what is told here

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # keys: EXIF's orientations


def read_image(path: str, suffices: Callable[[int, int], bool] | None = None, as_shown: bool = False) -> Image.Image:
    """Return the image, or the first of several in the file, as RGB; see `pixels` for what becomes of other pixels.

    Args:
        suffices: whether an image of this width and height is large enough. A JPEG is decoded at 1/8, 1/4 or 1/2 of
            its size, rounded up, if that is; this takes a fraction of the time.
        as_shown: read it as a viewer shows it: turned as its EXIF data say, transparent parts on white. Otherwise it is
            read as upstream Dassl reads it. ``DatasetBase.images_as_shown`` decides for the images of a dataset.

    Raises:
        UserError: the file is missing, truncated, no image of a format that is read, or has more than MOST_PIXELS.
    """
    try:
        with open(path, "rb", opener=regular_only) as file:
            try:
                return _read(file, suffices, as_shown)
            except (UnidentifiedImageError, KeyError) as error:  # KeyError: a format that Pillow was built without
                raise ValueError(identify(file)) from error
    except FileNotFoundError as error:
        raise DataError(f"image not found: {path}: put it there, or take it out of the dataset") from error
    except Exception as error:  # Pillow's decoders fail in many ways
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot read the image {path}: {reason}; replace the file or take it out") from error


def _read(file, suffices: Callable[[int, int], bool] | None, as_shown: bool) -> Image.Image:
    head = file.read(32)
    file.seek(0)
    with Image.open(file, formats=formats_to_try(head)) as image:
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise ValueError(f"it has {width} x {height} pixels, more than {MOST_PIXELS:,}")
        if max(width, height) > MOST_ELONGATED * min(width, height):
            raise ValueError(f"it has {width} x {height} pixels, which is no shape of an image")
        if image.format == "PPM" and image.tile[0].codec_name != "ppm_plain":  # its pixels lie there as they are
            needed = width * height * len(image.getbands()) // (8 if image.mode == "1" else 1)
            if os.fstat(file.fileno()).st_size < needed:  # before Pillow takes memory for them
                raise ValueError("the file is truncated")
        if suffices and image.format in ("JPEG", "MPO"):
            lies = as_shown and _orientation(image) > 4  # width and height change places
            _reduce(image, (lambda across, down: suffices(down, across)) if lies else suffices)
        picture = to_rgb(image, file, as_shown)
        if not as_shown:
            return picture
        turn = _TURNS.get(_orientation(image))  # TIFF is turned as it is loaded, and then has no orientation left
    picture.info = {}  # no transform shall turn it again
    return picture if turn is None else picture.transpose(turn)


def _reduce(image: Image.Image, suffices: Callable[[int, int], bool]) -> None:
    width, height = image.size
    for divisor in (8, 4, 2):
        if suffices(math.ceil(width / divisor), math.ceil(height / divisor)):
            image.draft(None, (width // divisor, height // divisor))
            return


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, from 1 to 8; 1, upright, where it is damaged or says nothing."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # an image is none the worse for damaged EXIF data, of which there are many kinds
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1
