"""The drawn data sets: what is drawn, that it is the same everywhere, and that it is kept from pre-training."""

import numpy as np
import pytest
from PIL import Image

from datasets.drawn.dataset import IMAGES_PER_CLASS
from datasets.drawn.description import (
    COLOURS,
    FONTS,
    GLYPHS,
    HELD_OUT_FONTS,
    TEXTURES,
    Description,
    RandomState,
    held_out,
)
from datasets.drawn.description import Deformation as Still
from datasets.drawn.description import Degradation as Clean
from datasets.drawn.draw import draw, glyph_atlas
from datasets.drawn.garments import GARMENTS, NOTHING, garment
from datasets.drawn.shapes import PATTERNS, SHAPES
from datasets.lamplight import Lamplight
from datasets.letters import Letters
from datasets.patterns import Patterns
from datasets.shapes import Shapes, ShapesBlur, ShapesNoise, ShapesSketch

DRAWN = [Shapes, ShapesSketch, ShapesBlur, ShapesNoise, Lamplight, Letters, Patterns]
STILL = Still(rotation=0, shear=0, shift=0, stretch=0, wobble=0, weight=0)
CLEAN = Clean(noise=0)


def picture(kind, name, seed=0, **options):
    options = {"colour": "white", "background": "black", "size": 0.9, **options}
    return draw(RandomState(seed), Description(kind, name, **options), STILL, CLEAN)


def test_the_atlas_holds_every_glyph_of_every_font():
    assert glyph_atlas().shape == (FONTS, len(GLYPHS), 32, 32)
    assert (glyph_atlas().reshape(FONTS * len(GLYPHS), -1).sum(axis=1) > 10).all()


SUBJECTS = {"shape": SHAPES, "pattern": PATTERNS, "glyph": GLYPHS, "garment": GARMENTS}


@pytest.mark.parametrize(("kind", "names"), SUBJECTS.items())
def test_every_subject_differs_from_every_other(kind, names):
    pictures = np.stack([picture(kind, name).astype(float) for name in names])
    assert pictures.shape[1:] == (32, 32, 3)
    for i, one in enumerate(pictures):
        others = np.delete(pictures, i, axis=0)
        assert np.abs(others - one).mean(axis=(1, 2, 3)).min() > 4, list(names)[i]


@pytest.mark.parametrize("name", GARMENTS)
def test_a_garment_fills_its_sheet_differently_with_every_seed(name):
    sheets = np.stack([garment(RandomState(seed), name) for seed in range(40)]) != NOTHING
    covered = sheets.mean(axis=(1, 2))
    assert 0.05 < covered.min() and covered.max() < 0.9
    assert len({sheet.tobytes() for sheet in sheets}) == 40
    for sheet in sheets:  # as large as the sheet, one way or the other
        assert max(np.ptp(places) for places in np.nonzero(sheet)) > 0.6 * len(sheet)


@pytest.mark.parametrize("name", ["sandal", "sneaker", "ankle boot"])
def test_toes_are_on_the_left(name):
    mean = np.mean([garment(RandomState(seed), name) != NOTHING for seed in range(40)], axis=0)
    height = mean.sum(axis=0)  # of each column
    assert height[: len(height) // 4].sum() < 0.7 * height[-len(height) // 4 :].sum()


def test_clothes_hang_upright_and_are_about_symmetric():
    for name in ("t-shirt", "trouser", "pullover", "dress", "coat", "shirt", "bag"):
        mean = np.mean([garment(RandomState(seed), name) != NOTHING for seed in range(40)], axis=0)
        assert np.abs(mean - mean[:, ::-1]).mean() < 0.03, name


def test_a_circle_is_round_and_centred():
    ys, xs = np.nonzero(picture("shape", "circle")[..., 0] > 128)
    assert abs(ys.mean() - 15.5) < 0.5 and abs(xs.mean() - 15.5) < 0.5
    radius = 16 * 0.9 * 0.82
    assert abs(len(ys) - np.pi * radius**2) < 0.05 * np.pi * radius**2


def test_colours_are_those_named():
    image = picture("shape", "square", colour="red", background="blue").astype(float) / 255
    assert np.abs(image[16, 16] - COLOURS["red"]).max() < 0.1
    assert np.abs(image[0, 0] - COLOURS["blue"]).max() < 0.1


def test_a_sketch_has_no_colour_and_an_empty_inside():
    image = picture("shape", "square", colour="red", sketched=True)
    assert (np.ptp(image.astype(int), axis=2) == 0).all()
    assert image[16, 16, 0] > 200 and image.min() < 130


def test_the_same_seed_draws_the_same_picture_and_another_does_not():
    what = Description("shape", "star", "red", "blue", "striped")
    one, again, other = (draw(RandomState(seed), what, Still(), Clean(blur=1, coarse=0.5)) for seed in (3, 3, 4))
    assert (one == again).all() and (one != other).any()


def test_a_fifth_of_the_compositions_is_held_out_of_every_shape():
    for shape in SHAPES:
        share = np.mean([held_out(shape, colour, texture) for colour in COLOURS for texture in TEXTURES])
        assert 0.15 < share < 0.25


@pytest.mark.parametrize("dataset", DRAWN, ids=lambda dataset: dataset.__name__)
def test_subjects_are_kept_from_pre_training(dataset):
    random = RandomState(0)
    for name in dataset.names:
        what = dataset.describe(dataset.__new__(dataset), random, name)
        if what.kind == "shape":
            assert held_out(what.name, what.colour, what.texture)
        if what.kind == "glyph":
            assert FONTS - HELD_OUT_FONTS <= what.font < FONTS


def test_a_data_set_is_written_once_with_its_split(build, monkeypatch):
    monkeypatch.setitem(IMAGES_PER_CLASS, "train", 3)
    monkeypatch.setitem(IMAGES_PER_CLASS, "val", 2)
    monkeypatch.setitem(IMAGES_PER_CLASS, "test", 4)
    dataset = build("Letters", shots=2)
    assert [len(part) for part in (dataset.train_x, dataset.val, dataset.test)] == [24 * 2, 24 * 2, 24 * 4]
    assert dataset.classnames[:2] == ["letter b", "letter c"]
    with Image.open(dataset.test[0].impath) as image:
        assert image.size == (32, 32) and image.mode == "RGB"
    assert build("Letters", shots=2).split_hash == dataset.split_hash


def test_targets_have_the_classes_of_their_source():
    assert ShapesSketch.names == ShapesBlur.names == ShapesNoise.names == Shapes.names
    assert len({dataset.seed for dataset in DRAWN}) == len(DRAWN)
