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
from dassl.utils import UserError

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
        "import sys, dassl.engine, dassl.data, dassl.utils, dassl.config\n"
        "from dassl.data.transforms import build_transform\n"
        "build_transform(dassl.config.get_cfg_default(), choices=['random_resized_crop', 'random_flip', 'normalize'])\n"
        "slow = {'torchvision', 'sklearn', 'scipy', 'matplotlib', 'tensorboard', 'torch._dynamo'}\n"
        "sys.exit(', '.join(slow & set(sys.modules)) or 0)\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
