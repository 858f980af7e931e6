"""From the names in INPUT.TRANSFORMS to a transform."""

from collections.abc import Callable, Iterable

from PIL import Image

from dassl.utils import ConfigError, check_availability
from dassl.utils.lazy_names import lazy_names

from . import image_ops as ops
from .image_ops import Cutout, GaussianNoise, InstanceNormalization

__all__ = [
    "AVAI_CHOICES",
    "INTERPOLATION_MODES",
    "Cutout",
    "GaussianNoise",
    "InstanceNormalization",
    "Random2DTranslation",
    "build_img0_transform",
    "build_transform",
    "three",
]

# Pillow's numbers, which torchvision's transforms take too.
INTERPOLATION_MODES = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
}
_ALL_MODES = INTERPOLATION_MODES | {mode.name.lower(): mode for mode in ops.FastResampling}


def _torchvision():
    """torchvision's transforms, imported only by a run that uses one that is not in ``image_ops``."""
    from torchvision.transforms import v2

    return v2


def _mode(inp) -> ops.Resampling:
    check_availability(inp.INTERPOLATION, _ALL_MODES, "INPUT.INTERPOLATION")
    return _ALL_MODES[inp.INTERPOLATION]


def _autoaugment():
    from . import autoaugment

    return autoaugment


def _randaugment():
    from . import randaugment

    return randaugment


class Random2DTranslation(ops.RandomTranslation):
    """RandomTranslation with upstream's arguments."""

    def __init__(self, height: int, width: int, p: float = 0.5, interpolation=Image.Resampling.BILINEAR):
        name = getattr(interpolation, "value", None)  # of torchvision's modes
        super().__init__((height, width), INTERPOLATION_MODES.get(name, interpolation), p)


# Name to transform, given the INPUT node; in the order in which they are applied, whatever the order in the config.
_ON_IMAGES: dict[str, Callable] = {
    "random_translation": lambda inp: ops.RandomTranslation(inp.SIZE, Image.Resampling.BILINEAR),
    "random_crop": lambda inp: _torchvision().RandomCrop(inp.SIZE, padding=_padding(inp)),
    "random_resized_crop": lambda inp: ops.RandomResizedCrop(inp.SIZE, _shares(inp), _mode(inp)),
    "random_flip": lambda inp: ops.RandomHorizontalFlip(),
    "imagenet_policy": lambda inp: _autoaugment().ImageNetPolicy(),
    "cifar10_policy": lambda inp: _autoaugment().CIFAR10Policy(),
    "svhn_policy": lambda inp: _autoaugment().SVHNPolicy(),
    "randaugment": lambda inp: _randaugment().RandAugment(inp.RANDAUGMENT_N, _strength(inp)),
    "randaugment_fixmatch": lambda inp: _randaugment().RandAugmentFixMatch(inp.RANDAUGMENT_N),
    "randaugment2": lambda inp: _randaugment().RandAugment2(inp.RANDAUGMENT_N),
    "colorjitter": lambda inp: _torchvision().ColorJitter(
        inp.COLORJITTER_B, inp.COLORJITTER_C, inp.COLORJITTER_S, inp.COLORJITTER_H
    ),
    "randomgrayscale": lambda inp: _torchvision().RandomGrayscale(inp.RGS_P),
    "gaussian_blur": lambda inp: _torchvision().RandomApply([_torchvision().GaussianBlur(inp.GB_K)], p=inp.GB_P),
}
_ON_TENSORS: dict[str, Callable] = {
    "cutout": lambda inp: ops.Cutout(inp.CUTOUT_N, inp.CUTOUT_LEN),
    "normalize": lambda inp: ops.Normalize(three(inp, "PIXEL_MEAN"), three(inp, "PIXEL_STD")),
    "gaussian_noise": lambda inp: ops.GaussianNoise(inp.GN_MEAN, inp.GN_STD),
    "instance_norm": lambda inp: ops.InstanceNormalization(),
}
AT_TEST = ("normalize", "instance_norm")  # those that a test applies


def three(inp, key: str) -> list[float]:
    """``INPUT.<key>``, one value for each colour channel, or a UserError."""
    values = getattr(inp, key)
    if len(values) != 3:
        raise ConfigError(f"INPUT.{key} is {values}: give three values, for red, green and blue")
    return values


def _padding(inp) -> int:
    """``INPUT.CROP_PADDING``, or a UserError where it is negative."""
    if inp.CROP_PADDING < 0:
        raise ConfigError(f"INPUT.CROP_PADDING must be at least 0, got {inp.CROP_PADDING}")
    return inp.CROP_PADDING


def _strength(inp) -> int:
    """``INPUT.RANDAUGMENT_M``, or a UserError where torchvision has no such strength."""
    if not 0 <= inp.RANDAUGMENT_M <= 30:
        raise ConfigError(f"INPUT.RANDAUGMENT_M must be from 0 to 30, got {inp.RANDAUGMENT_M}")
    return inp.RANDAUGMENT_M


def _shares(inp) -> tuple[float, float]:
    """``INPUT.RRCROP_SCALE``, the smallest and largest share of an image that a crop may be, or a UserError."""
    shares = inp.RRCROP_SCALE
    if len(shares) != 2 or not 0 < shares[0] <= shares[1] <= 1:
        raise ConfigError(f"INPUT.RRCROP_SCALE is {shares}: give two shares of the image, as in (0.08, 1.0)")
    return shares


def _made(makers: dict[str, Callable], name: str, inp) -> Callable:
    """The transform of that name, or a UserError where torchvision does not take its options."""
    try:
        return makers[name](inp)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"INPUT.TRANSFORMS {name}: {error}: correct its options in INPUT") from error


AVAI_CHOICES = [*_ON_IMAGES, *_ON_TENSORS, "center_crop"]  # center_crop: part of the test transform anyway


def build_transform(cfg, is_train: bool = True, choices: Iterable[str] | None = None) -> ops.Compose | None:
    """Build the transform from Pillow image to tensor (3, H, W) that ``cfg.INPUT`` describes.

    For testing: the shorter side resized to the longer of INPUT.SIZE, a crop of that size from the middle, and the
    normalisations among the choices.

    Args:
        is_train: for training, with augmentation.
        choices: names instead of those in INPUT.TRANSFORMS.

    Returns:
        None with INPUT.NO_TRANSFORM.
    """
    inp = cfg.INPUT
    if inp.NO_TRANSFORM:
        print("Note: no transform is applied!")
        return None
    choices = inp.TRANSFORMS if choices is None else choices
    for choice in choices:
        check_availability(choice, AVAI_CHOICES, "transform in INPUT.TRANSFORMS")
    if len(inp.SIZE) != 2 or min(inp.SIZE) < 1:
        raise ConfigError(f"INPUT.SIZE must be height and width in pixels, got {inp.SIZE}")

    if is_train:
        crops = {"random_crop", "random_resized_crop"}.intersection(choices)
        steps = [] if crops else [ops.Resize(inp.SIZE, _mode(inp))]
        steps += [_made(_ON_IMAGES, name, inp) for name in _ON_IMAGES if name in choices]
        after = [_made(_ON_TENSORS, name, inp) for name in _ON_TENSORS if name in choices]
    else:
        steps = [ops.Resize(max(inp.SIZE), _mode(inp)), ops.CenterCrop(inp.SIZE)]
        after = [_ON_TENSORS[name](inp) for name in AT_TEST if name in choices]
    steps += [ops.ToTensor(), *after]

    print(f"Building transform_{'train' if is_train else 'test'}")
    for step in steps:
        print(f"+ {step}")
    return ops.Compose(steps)


def build_img0_transform(cfg) -> ops.Compose:
    """Build the transform for "img0": resized to INPUT.SIZE, without augmentation."""
    inp = cfg.INPUT
    steps = [ops.Resize(inp.SIZE, _mode(inp)), ops.ToTensor()]
    if "normalize" in inp.TRANSFORMS:
        steps.append(_ON_TENSORS["normalize"](inp))
    return ops.Compose(steps)


__getattr__ = lazy_names(
    __name__,
    F="torchvision.transforms.functional:",
    InterpolationMode="torchvision.transforms.functional",
    **dict.fromkeys(["CIFAR10Policy", "ImageNetPolicy", "SVHNPolicy"], "dassl.data.transforms.autoaugment"),
    **dict.fromkeys(["RandAugment", "RandAugment2", "RandAugmentFixMatch"], "dassl.data.transforms.randaugment"),
    **dict.fromkeys(
        [
            *["CenterCrop", "ColorJitter", "Compose", "GaussianBlur", "Normalize", "RandomApply", "RandomCrop"],
            *["RandomGrayscale", "RandomHorizontalFlip", "RandomResizedCrop", "Resize", "ToTensor"],
        ],
        "torchvision.transforms",
    ),
)
