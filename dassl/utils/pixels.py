"""From the pixels of any image file to red, green and blue of 8 bits.

Two questions have no answer in the file, so they are answered here, for all of the program:

- **What is white**, where numbers are larger than 8 bits? A file of 16 bits may hold the 12 of a camera, or 8. The
  image itself says: white is the largest number of as many bits as its largest value needs, so 4095 for an image of 12
  bits, and the shades of an image of 8 bits stay what they were. No other image makes a difference. Where a grey image
  spans less than an eighth of that, as temperatures and heights do, or has negative numbers, its smallest value is
  black and its largest white. A range that the file states is used as it is: the maxval of a PGM, the 12 bits of a
  TIFF. Floating-point numbers are refused, as is colour of which Pillow gives the upper 8 bits alone.
- **What is behind transparent parts?** White, as in most viewers, if the image is to be read as it is shown; else the
  colours that lie hidden there, as in upstream Dassl, which reads `Image.open(path).convert("RGB")`.
"""

from __future__ import annotations

import sys
from typing import IO

import numpy as np
from PIL import Image

from .image_formats import ALWAYS_READ

WHITE = (255, 255, 255)
_PHOTOMETRIC, _BITS, _PLANAR, _SAMPLE_FORMAT = 262, 258, 284, 339  # tags of TIFF
_OTHER_END = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}


def to_rgb(image: Image.Image, file: IO[bytes], as_shown: bool) -> Image.Image:
    """Return the first frame of an image, just opened, as RGB.

    Args:
        file: what the image was opened from; read anew where Pillow gives less than there is.
        as_shown: whether transparent parts are white.

    Raises:
        ValueError: the range of its values is not known.
    """
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers, whose range is not known: save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        return _grey(image, as_shown)
    raw = _raw_mode(image)
    if ";16" in raw or _is_wide_ppm(image):
        image = _wide_colours(image, file, raw, as_shown)
    if image.mode == "La":
        image = image.convert("LA")  # Pillow converts it to nothing else
    if not (as_shown and image.has_transparency_data):
        return image.convert("RGB")
    image = image.convert("RGBA")
    background = Image.new("RGB", image.size, WHITE)
    background.paste(image, mask=image)
    return background


def shades(values: np.ndarray, bits: int = 0) -> np.ndarray:
    """Return whole numbers as shades from 0 to 255.

    Args:
        bits: of the range of the values; 0: as many as the largest of them needs.
    """
    low, high = int(values.min()), int(values.max())
    needed = bits or max(high, 1).bit_length()
    is_offset = not bits and needed > 8 and 0 < high - low < 2**needed // 8
    if low < 0 or is_offset:
        return ((values.astype(np.int64) - low) * 255 // max(high - low, 1)).astype(np.uint8)
    if needed < 8:
        return (values.astype(np.uint16) * 255 // (2**needed - 1)).astype(np.uint8)
    return (values >> (needed - 8)).astype(np.uint8)


def _grey(image: Image.Image, as_shown: bool) -> Image.Image:
    """The image of a mode of whole numbers, "I" or "I;16"."""
    bits, tags = _stated_bits(image), getattr(image, "tag_v2", {})
    values = np.asarray(image)
    if image.mode == "I" and tags.get(_SAMPLE_FORMAT, (2,))[0] == 1:
        values = values.view(np.uint32)  # which Pillow has no mode for
    transparent = image.info.get("transparency") if as_shown else None
    seen = np.ones(values.shape, bool) if transparent is None else values != transparent
    if not seen.any():
        return Image.new("RGB", image.size, WHITE)
    shown = shades(values[seen], bits)
    if tags.get(_PHOTOMETRIC) == 0:  # 0 is white, which Pillow heeds in images of up to 8 bits alone
        shown = 255 - shown
    grey = np.full(values.shape, 255, np.uint8)
    grey[seen] = shown
    return Image.fromarray(grey).convert("RGB")


def _stated_bits(image: Image.Image) -> int:
    """Bits of the range that the file itself gives; 0 where it gives none. The image is not loaded yet."""
    if image.format == "PPM":  # of whose values Pillow makes 16 bits
        maxval = image.tile[0].args[1] if image.tile[0].codec_name in ("ppm", "ppm_plain") else 65535
        return 16 if maxval < 65535 else 0
    stated = getattr(image, "tag_v2", {}).get(_BITS, (0,))[0]
    return stated if 8 < stated < 16 else 0


def _raw_mode(image: Image.Image) -> str:
    """How the pixels lie in the file, in Pillow's words, such as "RGB;16B"; the image is not loaded yet."""
    args = image.tile[0].args if getattr(image, "tile", None) else ""
    raw = args if isinstance(args, str) else str(args[0]) if args else ""
    if _is_planar(image) and max(image.tag_v2.get(_BITS, (8,))) > 8 and ";16" not in raw:
        raise ValueError(
            "its bands of 16 bits lie one after the other, which Pillow misreads: save it as RGB of 8 bits"
        )
    return raw


def _is_planar(image: Image.Image) -> bool:
    return getattr(image, "tag_v2", {}).get(_PLANAR) == 2


def _is_wide_ppm(image: Image.Image) -> bool:
    return image.format == "PPM" and image.mode == "RGB" and image.tile[0].args[-1] == 65535


def _wide_colours(image: Image.Image, file: IO[bytes], raw: str, as_shown: bool) -> Image.Image:
    """An image of 16 bits a band, of which Pillow keeps the upper 8, with the range of its values as above."""
    if image.mode == "CMYK":
        return image  # pale inks are no sign of a smaller range
    tile, transparent = image.tile[0], image.info.get("transparency") if as_shown else None
    upper = np.asarray(image)
    colours_fill, alpha_fills = upper[..., :3].max() > 127, upper[..., 3:].max(initial=0) > 127
    if colours_fill and (alpha_fills or upper.shape[2] == 3) and transparent is None:
        return image
    bands, _, end = raw.partition(";16")
    if tile.codec_name == "ppm":
        file.seek(tile.offset)
        values = np.frombuffer(file.read(2 * upper.size), ">u2").reshape(upper.shape)
    elif end and bands in ("RGB", "RGBA", "RGBX") and not _is_planar(image):
        values = upper.astype(np.uint16) << 8 | _decode(file, f"{bands};16{_OTHER_END[end]}")
    else:
        raise ValueError("its values do not fill their 16 bits, of which Pillow reads the upper 8: save it with 8 bits")
    parts = [shades(values[..., :3], 16 * colours_fill)]
    if upper.shape[2] == 4:
        parts.append(shades(values[..., 3:], 16 * alpha_fills))
    elif transparent is not None:
        parts.append(np.where((values == transparent).all(axis=2, keepdims=True), 0, 255).astype(np.uint8))
    return Image.fromarray(np.concatenate(parts, axis=2))


def _decode(file: IO[bytes], raw: str) -> np.ndarray:
    """The pixels of a file, taken as if they lay there as ``raw`` says."""
    file.seek(0)
    with Image.open(file, formats=ALWAYS_READ) as image:
        image.tile = [
            tile._replace(args=raw if isinstance(tile.args, str) else (raw, *tile.args[1:])) for tile in image.tile
        ]
        return np.asarray(image)
