"""Images with damaged bytes, in all formats that are read."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from PIL import ExifTags, Image, PngImagePlugin

from dassl.utils import read_image
from tests.dassl.utils.raw_images import png_of_16_bits, tiff
from tests.hostile.attempts import Kind
from tests.hostile.mutations import damaged


def originals() -> list[bytes]:
    noise = Image.effect_noise((37, 23), 80)
    colours = Image.merge("RGB", [noise, noise.rotate(90), noise.rotate(180)])
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    turned[ExifTags.Base.Artist] = "x" * 50
    comment = PngImagePlugin.PngInfo()
    comment.add_text("comment", "x" * 500, zip=True)
    made = [
        *((noise, "PNG", {}), (colours, "PNG", {"pnginfo": comment, "icc_profile": b"x" * 300})),
        *((colours.convert("P"), "PNG", {"transparency": 3}), (noise.convert("1"), "PNG", {})),
        *((noise.convert("I;16"), "PNG", {}), (noise.convert("I"), "TIFF", {}), (noise.convert("F"), "TIFF", {})),
        *((colours, "JPEG", {}), (colours, "JPEG", {"progressive": True}), (colours.convert("CMYK"), "JPEG", {})),
        *((colours, "JPEG", {"exif": b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x00"}), (noise, "JPEG", {})),
        *((colours, form, {"exif": turned}) for form in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")),
        *((colours.convert("RGBA"), "TIFF", {}), (colours.convert("LAB"), "TIFF", {}), (noise, "AVIF", {})),
        *((colours, "WEBP", {}), (colours.convert("RGBA"), "WEBP", {"lossless": True}), (colours, "BMP", {})),
        *((colours, "GIF", {"save_all": True, "append_images": [noise]}), (colours, "PPM", {}), (noise, "PPM", {})),
        *((colours, "TIFF", {"compression": packing}) for packing in ("tiff_lzw", "jpeg", "packbits", "tiff_deflate")),
    ]
    files = []
    for image, form, options in made:
        buffer = io.BytesIO()
        image.save(buffer, form, **options)
        files.append(buffer.getvalue())
    twelve_of_16 = np.full((23, 37, 3), 4000, np.uint16)
    sixteen_bits = [png_of_16_bits(twelve_of_16), tiff(twelve_of_16)]
    wide = b"P6 9 9 65535\n" + bytes(range(243)) * 2
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
    return [*files, b"P3\n2 2\n255\n" + b"12 " * 12, b"P6 11000 11000 255\n", postscript, wide, *sixteen_bits]


def load(content: tuple[bytes, int, bool], folder: Path) -> None:
    image, side, as_shown = content
    file = folder / "image.png"
    file.write_bytes(image)
    suffices = (lambda width, height: min(width, height) >= side) if side else None
    read_image(str(file), suffices, as_shown)


IMAGES = Kind("images", st.tuples(damaged(originals()), st.sampled_from([0, 0, 1, 8, 224]), st.booleans()), load, 15)
