"""The transforms against torchvision's own."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as tv
from torchvision.transforms import InterpolationMode

from dassl.config import get_cfg_default
from dassl.data.transforms import AVAI_CHOICES, INTERPOLATION_MODES, build_transform
from dassl.data.transforms.image_ops import suffices
from dassl.utils import UserError, read_image

MEAN, STD = [0.48, 0.45, 0.40], [0.26, 0.27, 0.28]
SHAPES = [(50, 40), (33, 64), (32, 32), (24, 24), (7, 90)]  # height, width


def image(height, width):
    pixels = np.random.RandomState(height * width).randint(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def cfg():
    cfg = get_cfg_default()
    cfg.INPUT.SIZE = (24, 32)
    cfg.INPUT.INTERPOLATION = "bicubic"
    cfg.INPUT.PIXEL_MEAN, cfg.INPUT.PIXEL_STD = MEAN, STD
    return cfg


def assert_equal_in_a_sequence(ours, theirs, repeats):
    """Equal outputs and equally many random numbers used, image after image."""
    for shape in SHAPES:
        torch.manual_seed(3)
        found = [ours(image(*shape)) for _ in range(repeats)]
        torch.manual_seed(3)
        for result in found:
            assert torch.equal(result, theirs(image(*shape)))


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "nearest"])
@pytest.mark.parametrize("size", [(24, 32), (32, 32)])
def test_test_transform_resizes_crops_the_middle_and_normalizes(cfg, interpolation, size):
    cfg.INPUT.INTERPOLATION, cfg.INPUT.SIZE = interpolation, size
    theirs = tv.Compose(
        [
            tv.Resize(max(size), interpolation=InterpolationMode(interpolation)),
            tv.CenterCrop(size),
            tv.ToTensor(),
            tv.Normalize(MEAN, STD),
        ]
    )
    ours = build_transform(cfg, is_train=False, choices=["random_resized_crop", "random_flip", "normalize"])
    assert_equal_in_a_sequence(ours, theirs, repeats=1)


@pytest.mark.parametrize("scale", [(0.08, 1.0), (0.7, 1.0), (1.0, 1.0)])
def test_usual_training_transform_equals_torchvisions_draw_for_draw(cfg, scale):
    cfg.INPUT.RRCROP_SCALE = scale
    theirs = tv.Compose(
        [
            tv.RandomResizedCrop((24, 32), scale=scale, interpolation=InterpolationMode.BICUBIC),
            tv.RandomHorizontalFlip(),
            tv.ToTensor(),
            tv.Normalize(MEAN, STD),
        ]
    )
    ours = build_transform(cfg, choices=["normalize", "random_flip", "random_resized_crop"])
    assert_equal_in_a_sequence(ours, theirs, repeats=10)


def test_without_a_crop_training_resizes_to_the_exact_size(cfg):
    theirs = tv.Compose([tv.Resize((24, 32), interpolation=InterpolationMode.BICUBIC), tv.ToTensor()])
    assert_equal_in_a_sequence(build_transform(cfg, choices=[]), theirs, repeats=1)


def test_random_crop_and_color_jitter_are_torchvisions(cfg):
    theirs = tv.Compose([tv.RandomCrop((24, 32), padding=4), tv.ColorJitter(0.4, 0.4, 0.4, 0.1), tv.ToTensor()])
    ours = build_transform(cfg, choices=["random_crop", "colorjitter"])
    torch.manual_seed(5)
    found = ours(image(24, 32))
    torch.manual_seed(5)
    torch.testing.assert_close(found, theirs(image(24, 32)))


@pytest.mark.parametrize("choice", AVAI_CHOICES)
def test_every_choice_gives_a_tensor_of_the_input_size(cfg, choice):
    cfg.INPUT.GB_K = 3
    transform = build_transform(cfg, choices=[choice])
    changed = False
    plain = build_transform(cfg, choices=[])(image(24, 32))
    for seed in range(8):
        torch.manual_seed(seed)
        result = transform(image(24, 32))
        assert result.shape == (3, 24, 32) and result.isfinite().all()
        changed |= not torch.equal(result, plain)
    assert changed or choice == "center_crop"


def test_cutout_zeroes_a_square_within_the_image(cfg):
    cfg.INPUT.CUTOUT_LEN = 8
    white = Image.new("RGB", (32, 24), (255, 255, 255))
    zeros = [int((build_transform(cfg, choices=["cutout"])(white) == 0).sum()) / 3 for _ in range(40)]
    assert max(zeros) == 64 and min(zeros) >= 16


def test_instance_norm_gives_zero_mean_and_unit_deviation(cfg):
    result = build_transform(cfg, is_train=False, choices=["instance_norm"])(image(24, 32))
    torch.testing.assert_close(result.mean((1, 2)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(result.std((1, 2)), torch.ones(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_tensors_have_the_default_dtype(cfg, dtype):
    cfg.INPUT.SIZE = (32, 32)
    torch.set_default_dtype(dtype)
    try:
        ours, theirs = build_transform(cfg, is_train=False, choices=["normalize"]), tv.ToTensor()
        result = ours(image(32, 32))
        expected = theirs(image(32, 32)).sub(torch.tensor(MEAN).view(3, 1, 1)).div(torch.tensor(STD).view(3, 1, 1))
    finally:
        torch.set_default_dtype(torch.float32)
    assert result.dtype == expected.dtype and torch.equal(result, expected)


def test_normalizing_leaves_a_tensor_of_another_dtype_alone(cfg):
    normalize = build_transform(cfg, is_train=False, choices=["normalize"]).transforms[-1]
    half = torch.full((3, 2, 2), 0.5, dtype=torch.float16)
    assert normalize(half).dtype == torch.float32 and (half == 0.5).all()


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_fast_resampling_differs_from_pillows_by_next_to_nothing(cfg, mode):
    for shape in [(500, 375), (333, 500), (20, 30), (24, 32)]:
        smooth = image(8, 8).resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
        found = []
        for name in (mode, f"fast_{mode}"):
            cfg.INPUT.INTERPOLATION = name
            found.append(255 * build_transform(cfg, choices=[])(smooth))
        difference = (found[0] - found[1]).abs().round()
        assert difference.max() <= 2 and (difference > 0).float().mean() < 0.02


@pytest.mark.parametrize(
    ("choices", "size", "enough", "too_small"),
    [
        (None, (224, 224), (597, 448), (596, 447)),  # test: twice the target
        ([], (200, 300), (600, 400), (600, 399)),
        (["random_resized_crop"], (224, 224), (914, 915), (914, 913)),  # 224 / sqrt(0.08 * 3/4), twice the target
        (["random_resized_crop"], (10, 10), (40, 42), (40, 41)),
        (["random_translation"], (160, 160), (320, 320), (319, 320)),  # after a resize
        (["random_crop"], (8, 8), None, (4000, 4000)),  # cuts pixels as they are
        (["random_crop", "random_resized_crop"], (8, 8), None, (4000, 4000)),
    ],
)
def test_how_small_an_image_suffices(cfg, choices, size, enough, too_small):
    cfg.INPUT.SIZE = size
    transform = build_transform(cfg, is_train=choices is not None, choices=choices)
    assert enough is None or suffices(transform, *enough)
    assert not suffices(transform, *too_small)


def test_other_transforms_want_every_pixel():
    assert not suffices(tv.Resize(8), 4000, 4000) and not suffices(lambda image: image, 4000, 4000)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1800, 1300), (225, 163)), ((1001, 700), (251, 175)), ((319, 319), (160, 160)), ((318, 318), (318, 318))],
)
def test_jpegs_are_decoded_at_the_smallest_size_that_suffices(tmp_path, size, expected):
    path = str(tmp_path / "picture.jpg")
    image(40, 40).resize(size).save(path, quality=95)
    assert read_image(path, lambda width, height: min(width, height) >= 160).size == expected
    assert read_image(path).size == size
    with Image.open(path) as original:
        if size == expected:
            assert read_image(path, lambda width, height: min(width, height) >= 160) == original.convert("RGB")


def test_a_reduced_jpeg_shows_the_same(cfg, tmp_path):
    cfg.INPUT.SIZE = (100, 100)
    path = str(tmp_path / "photo.jpg")
    image(60, 80).resize((1600, 1200), Image.Resampling.BICUBIC).save(path, quality=95)
    transform = build_transform(cfg, is_train=False)
    assert read_image(path, lambda *size: suffices(transform, *size)).size == (400, 300)
    reduced, full = (255 * transform(read_image(path, rule)) for rule in (lambda *s: suffices(transform, *s), None))
    assert 0 < (reduced - full).abs().mean() < 1 and (reduced - full).abs().max() < 10


@pytest.mark.parametrize(
    ("mode", "ending"),
    [
        *[(mode, "png") for mode in ("1", "L", "LA", "P", "RGBA")],
        ("L", "jpg"),
        ("CMYK", "jpg"),
        ("RGB", "webp"),
    ],
)
def test_every_kind_of_file_comes_as_rgb_as_pillow_has_it(tmp_path, mode, ending):
    path = tmp_path / f"image.{ending}"
    image(40, 30).convert(mode).save(path)
    with Image.open(path) as original:
        assert original.mode == mode
        assert read_image(str(path), lambda width, height: False) == original.convert("RGB")
        if ending != "jpg":
            assert read_image(str(path), lambda width, height: True) == original.convert("RGB")


def test_no_transform(cfg):
    cfg.INPUT.NO_TRANSFORM = True
    assert build_transform(cfg) is None


def test_interpolation_modes_suit_torchvision():
    for name, mode in INTERPOLATION_MODES.items():
        assert tv.Resize(8, interpolation=mode).interpolation == InterpolationMode(name)


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("TRANSFORMS", ("random_flp",), 'did you mean "random_flip"'),
        ("INTERPOLATION", "bicubik", 'INPUT.INTERPOLATION "bicubik" .did you mean "bicubic"'),
        ("SIZE", (224,), "INPUT.SIZE"),
    ],
)
def test_bad_settings_are_named(cfg, key, value, named):
    cfg.INPUT[key] = value
    with pytest.raises(UserError, match=named):
        build_transform(cfg)


def test_the_usual_run_does_not_import_what_is_slow():
    code = (
        "import sys, dassl.engine, dassl.data, dassl.utils, dassl.config, trainers\n"
        "from dassl.data.transforms import build_transform\n"
        "build_transform(dassl.config.get_cfg_default(), choices=['random_resized_crop', 'random_flip', 'normalize'])\n"
        "slow = {'torchvision', 'sklearn', 'scipy', 'matplotlib', 'tensorboard', 'torch._dynamo', 'sympy'}\n"
        "sys.exit(', '.join(slow & set(sys.modules)) or 0)\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
