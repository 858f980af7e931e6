"""Images with damaged bytes, in all formats that are read."""

from __future__ import annotations

import io
from pathlib import Path

from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from dassl.utils import read_image
from tests.hostile.attempts import Kind
from tests.hostile.mutations import damaged


def originals() -> list[bytes]:
    noise = Image.effect_noise((37, 23), 80)
    colours = Image.merge("RGB", [noise, noise.rotate(90), noise.rotate(180)])
    comment = PngImagePlugin.PngInfo()
    comment.add_text("comment", "x" * 500, zip=True)
    made = [
        *((noise, "PNG", {}), (colours, "PNG", {"pnginfo": comment, "icc_profile": b"x" * 300})),
        *((colours.convert("P"), "PNG", {"transparency": 3}), (noise.convert("1"), "PNG", {})),
        *((noise.convert("I;16"), "PNG", {}), (noise.convert("I"), "TIFF", {}), (noise.convert("F"), "TIFF", {})),
        *((colours, "JPEG", {}), (colours, "JPEG", {"progressive": True}), (colours.convert("CMYK"), "JPEG", {})),
        *((colours, "JPEG", {"exif": b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x00"}), (noise, "JPEG", {})),
        *((colours, "WEBP", {}), (colours.convert("RGBA"), "WEBP", {"lossless": True}), (colours, "BMP", {})),
        *((colours, "GIF", {"save_all": True, "append_images": [noise]}), (colours, "PPM", {}), (noise, "PPM", {})),
        *((colours, "TIFF", {"compression": packing}) for packing in ("tiff_lzw", "jpeg", "packbits", "tiff_deflate")),
    ]
    files = []
    for image, form, options in made:
        buffer = io.BytesIO()
        image.save(buffer, form, **options)
        files.append(buffer.getvalue())
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
    return [*files, b"P3\n2 2\n255\n" + b"12 " * 12, b"P6 11000 11000 255\n", postscript]


def load(content: tuple[bytes, int], folder: Path) -> None:
    image, side = content
    file = folder / "image.png"
    file.write_bytes(image)
    read_image(str(file), (lambda width, height: min(width, height) >= side) if side else None)


IMAGES = Kind("images", st.tuples(damaged(originals()), st.sampled_from([0, 0, 1, 8, 224])), load, 15)
