"""Numbers beyond 8 bits, colours of 16 bits, transparent parts: what becomes of them when an image is read."""

import numpy as np
import pytest
from PIL import Image

from dassl.utils import DataError, read_image
from dassl.utils.pixels import shades
from tests.dassl.utils.raw_images import png_of_16_bits, tiff

RAMP = np.linspace(0, 1, 24 * 31).reshape(24, 31, 1)
COLOURS = np.concatenate([RAMP, RAMP[::-1], RAMP * 0 + 0.5], axis=2)


@pytest.fixture
def read(tmp_path):
    """Read an image from the content of its file; returns its pixels."""

    def read(content: bytes, as_shown: bool = False) -> np.ndarray:
        (tmp_path / "a.png").write_bytes(content)
        return np.asarray(read_image(str(tmp_path / "a.png"), as_shown=as_shown)).astype(int)

    return read


def of_bits(bits: int, values: np.ndarray = RAMP) -> np.ndarray:
    return (values * (2**bits - 1)).astype(np.uint16)


def eight_bits(values: np.ndarray = RAMP) -> np.ndarray:
    return np.broadcast_to((values * 255).astype(int), (24, 31, 3))


# Grey ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [png_of_16_bits, tiff, lambda values: tiff(values, ">")], ids=["png", "II", "MM"])
@pytest.mark.parametrize("bits", range(1, 17))
def test_a_ramp_of_any_bits_in_16_goes_from_black_to_white(bits, write, read):
    assert abs(read(write(of_bits(bits))) - eight_bits(of_bits(bits) / (2**bits - 1))).max() <= 1


@pytest.mark.parametrize("write", [png_of_16_bits, tiff])
def test_eight_bits_in_16_are_what_they_are_in_eight(write, read, tmp_path):
    values = (40 + RAMP * 150).astype(np.uint16)
    Image.fromarray(values[..., 0].astype(np.uint8)).save(tmp_path / "eight.png")
    assert (read(write(values)) == read((tmp_path / "eight.png").read_bytes())).all()


@pytest.mark.parametrize("end", ["<", ">"])
@pytest.mark.parametrize(
    "values",
    [
        (RAMP * 200).astype(np.int32),
        (RAMP * 2_000_000_000).astype(np.int32),
        (RAMP * 3000 - 1000).astype(np.int16),  # of a CT scan
        (27_315 + RAMP * 3000).astype(np.uint16),  # hundredths of a kelvin
        (40_000 + RAMP * 3000).astype(np.uint16),
    ],
    ids=["int32", "large int32", "negative", "temperatures", "high temperatures"],
)
def test_other_ranges_are_neither_black_nor_white_nor_flat(values, end, read):
    found = read(tiff(values, end))
    assert found.min() == 0 and found.max() >= 200
    assert (np.diff(found[..., 0].ravel()) >= 0).all()


def test_unsigned_numbers_of_32_bits_do_not_turn_negative(read):
    assert abs(read(tiff((RAMP * (2**32 - 1)).astype(np.uint32))) - eight_bits()).max() <= 1


@pytest.mark.parametrize("value", [0, 1, 30_000, 65_535])
def test_an_image_of_one_value_is_read(value, read):
    found = read(tiff(np.full((3, 3, 1), value, np.uint16)))
    assert found.min() == found.max() and (found.max() >= 128) == bool(value)


def test_white_at_0_is_heeded_beyond_eight_bits(read):
    assert abs(read(tiff(of_bits(12), photometric=0)) - (255 - eight_bits())).max() <= 1


@pytest.mark.parametrize(("maxval", "brightest"), [(4095, 62), (65_535, 250)])
def test_a_range_that_the_file_states_is_used(maxval, brightest, read):
    dark = (RAMP * 1000).astype(">u2")
    assert read(b"P5 31 24 %d\n" % maxval + dark.tobytes()).max() == brightest


def test_no_other_image_and_no_other_reading_makes_a_difference(read):
    first, second = png_of_16_bits(of_bits(12)), png_of_16_bits(of_bits(16))
    assert (read(first) == read(first, as_shown=True)).all()
    assert (read(second) == read(second, as_shown=True)).all()


def test_shades_of_16_full_bits_are_the_upper_eight():
    assert shades(np.arange(65_536)).tolist() == (np.arange(65_536) >> 8).tolist()


# Colours -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "write",
    [
        *(png_of_16_bits, tiff, lambda values: tiff(values, ">")),
        lambda values: b"P6 31 24 65535\n" + values.astype(">u2").tobytes(),
    ],
    ids=["png", "II", "MM", "ppm"],
)
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_colours_of_16_bits_are_scaled_by_their_range(bits, write, read):
    assert abs(read(write(of_bits(bits, COLOURS))) - eight_bits(COLOURS)).max() <= 1


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("write", [png_of_16_bits, lambda values: tiff(values, extra=[2])], ids=["png", "tiff"])
def test_their_alpha_has_a_range_of_its_own(write, bits, read):
    alpha = of_bits(bits, RAMP * 0 + 1)
    alpha[:5] = 0
    found = read(write(np.concatenate([of_bits(12, COLOURS), alpha], axis=2)), as_shown=True)
    assert (found[:5] == 255).all() and abs(found[5:] - eight_bits(COLOURS)[5:]).max() <= 1


@pytest.mark.parametrize("bits", [12, 16])
def test_a_transparent_colour_of_16_bits_is_white(bits, read):
    values = of_bits(bits, COLOURS)
    values[0] = (1, 2, 3)
    found = read(png_of_16_bits(values, transparent=(1, 2, 3)), as_shown=True)
    assert (found[0] == 255).all() and abs(found[1:] - eight_bits(COLOURS)[1:]).max() <= 1


def test_a_transparent_grey_of_16_bits_is_white_and_no_part_of_the_range(read):
    values = of_bits(12)
    values[0] = 65_535
    found = read(png_of_16_bits(values, transparent=(65_535,)), as_shown=True)
    assert (found[0] == 255).all() and abs(found[1:] - eight_bits()[1:]).max() <= 1


@pytest.mark.parametrize(
    "content",
    [
        png_of_16_bits(np.concatenate([of_bits(12), of_bits(16)], axis=2)),
        tiff(np.concatenate([of_bits(12, COLOURS), of_bits(12)], axis=2), extra=[1]),
        tiff(of_bits(12, COLOURS), planar=True),
        b"P3 1 1 65535\n4095 4095 4095\n",
    ],
    ids=["grey with alpha", "premultiplied", "planar", "plain PPM"],
)
def test_what_pillow_gives_too_little_of_is_refused(content, read):
    with pytest.raises(DataError, match="16 bits.* save it (with|as RGB of) 8 bits"):
        read(content)


# Transparent parts ---------------------------------------------------------------------------------------------------

HIDDEN, SEEN = (200, 0, 100), (10, 20, 30)


def half_transparent() -> Image.Image:
    """Left half transparent, over a colour that is not to be seen; right half opaque."""
    image = Image.new("RGBA", (8, 4), (*HIDDEN, 0))
    image.paste((*SEEN, 255), (4, 0, 8, 4))
    return image


def palette(transparency: int | bytes, name: str) -> tuple[Image.Image, str, dict]:
    image = Image.new("P", (8, 4), 0)
    image.putpalette([*HIDDEN, *SEEN])
    image.paste(1, (4, 0, 8, 4))
    return image, name, {"transparency": transparency}


TRANSPARENT = {
    "png": (half_transparent(), "a.png", {}),
    "grey": (half_transparent().convert("LA"), "a.png", {}),
    "webp": (half_transparent(), "a.webp", {"lossless": True, "exact": True}),
    "tiff": (half_transparent(), "a.tif", {}),
    "gif": palette(0, "a.gif"),
    "palette": palette(0, "a.png"),
    "palette with alphas": palette(bytes([0, 255]), "a.png"),
    "one colour": (half_transparent().convert("RGB"), "a.png", {"transparency": HIDDEN}),
    "one grey": (half_transparent().convert("RGB").convert("L"), "a.png", {"transparency": 71}),
    "black in black and white": (half_transparent().split()[3].convert("1"), "a.png", {"transparency": 0}),
}


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_transparent_parts_are_white_in_an_image_as_shown_alone(kind, tmp_path):
    image, name, options = TRANSPARENT[kind]
    path = str(tmp_path / name)
    image.save(path, **options)
    shown, raw = read_image(path, as_shown=True), read_image(path)
    with Image.open(path) as original:
        assert raw == original.convert("RGB")
    assert shown.mode == "RGB" and shown.getpixel((0, 0)) == (255, 255, 255) != raw.getpixel((0, 0))
    assert shown.getpixel((7, 0)) == raw.getpixel((7, 0))


@pytest.mark.parametrize("bands", [2, 4], ids=["grey", "colour"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_premultiplied_alpha_is_not_multiplied_again(bands, kind, read):
    if (bands, kind) == (2, np.uint16):
        pytest.skip("Pillow does not read it")
    half = np.iinfo(kind).max // 2 + 1
    values = np.full((3, 3, bands), half, kind)  # half transparent white
    assert read(tiff(values, extra=[1]), as_shown=True).min() >= 253


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
@pytest.mark.parametrize(
    ("mode", "red"), [("CMYK", (0, 255, 255, 0)), ("YCbCr", (76, 85, 255)), ("LAB", (135, 208, 195))]
)
def test_other_colours_become_red_green_and_blue(mode, red, form, tmp_path):
    if (mode, form) == ("LAB", "JPEG"):
        pytest.skip("no such JPEG")
    Image.new(mode, (8, 8), red).save(tmp_path / "a", form)
    for as_shown in (False, True):
        found = np.asarray(read_image(str(tmp_path / "a"), as_shown=as_shown)).astype(int)
        assert abs(found - (255, 0, 0)).max() <= 12
