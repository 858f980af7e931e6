"""The transforms nearly every run uses, equal to torchvision's of the same name, pixel for pixel and draw for draw.

They are here because importing torchvision takes longer than many a run on small images. Images are Pillow's, RGB;
tensors are (3, H, W) float. Randomness comes from torch's global generator.
"""

import math
from enum import Enum

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

Size = tuple[int, int]  # height, width


class FastResampling(Enum):
    """Pillow's filters of these names by torch's vectorized kernel. Some values differ from Pillow's, by 1 or 2."""

    FAST_BILINEAR = "bilinear"
    FAST_BICUBIC = "bicubic"


Resampling = Image.Resampling | FastResampling


def suffices(transform, width: int, height: int) -> bool:
    """Whether ``transform`` loses nothing to speak of if an image has been reduced to this size.

    That is, where the whole image is resized, it still has twice the pixels per side that are asked for (what Pillow
    recommends as reducing gap); and the smallest random crop has as many as it is resized to. Transforms that do not
    begin by resizing, and those of others, which have no method ``suffices``, want the image as it is.
    """
    rule = getattr(transform, "suffices", None)
    return rule is not None and rule(width, height)


def _resize(image: Image.Image, width: int, height: int, interpolation: Resampling) -> Image.Image:
    if image.size == (width, height):
        return image
    if not isinstance(interpolation, FastResampling):
        return image.resize((width, height), interpolation)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).unsqueeze(0)  # (1, 3, H, W), channels last
    resized = F.interpolate(pixels, size=(height, width), mode=interpolation.value, antialias=True)
    return Image.fromarray(resized[0].permute(1, 2, 0).contiguous().numpy())


def _uniform(low: float, high: float) -> float:
    return torch.empty(1).uniform_(low, high).item()


def _randint(high: int) -> int:
    return int(torch.randint(0, high, (1,)))


class _Transform:
    """A transform that prints as its settings."""

    def __repr__(self) -> str:
        public = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        settings = (f"{name}={getattr(value, 'name', value)}" for name, value in public.items())
        return f"{type(self).__name__}({', '.join(settings)})"


class Compose(_Transform):
    def __init__(self, transforms: list):
        self.transforms = transforms

    def __call__(self, image):
        for transform in self.transforms:
            image = transform(image)
        return image

    def suffices(self, width: int, height: int) -> bool:
        return suffices(self.transforms[0], width, height)


class Resize(_Transform):
    """To ``size`` (height, width); a single number is the length of the shorter side."""

    def __init__(self, size: int | Size, interpolation: Resampling):
        self.size = size
        self.interpolation = interpolation

    def __call__(self, image: Image.Image) -> Image.Image:
        return _resize(image, *self._target(*image.size), self.interpolation)

    def suffices(self, width: int, height: int) -> bool:
        new_width, new_height = self._target(width, height)
        return width >= 2 * new_width and height >= 2 * new_height

    def _target(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the result."""
        if not isinstance(self.size, int):
            return self.size[1], self.size[0]
        if width <= height:
            return self.size, int(self.size * height / width)
        return int(self.size * width / height), self.size


class CenterCrop(_Transform):
    def __init__(self, size: Size):
        self.size = size

    def __call__(self, image: Image.Image) -> Image.Image:
        (width, height), (new_height, new_width) = image.size, self.size
        top, left = round((height - new_height) / 2), round((width - new_width) / 2)
        return image.crop((left, top, left + new_width, top + new_height))


class RandomResizedCrop(_Transform):
    """A random part of ``scale`` of the area, 3:4 to 4:3 in shape, resized to ``size``.

    Szegedy et al., "Going deeper with convolutions", CVPR 2015, section 6.
    """

    def __init__(self, size: Size, scale: tuple[float, float], interpolation: Resampling):
        self.size = size
        self.scale = scale
        self.interpolation = interpolation

    def __call__(self, image: Image.Image) -> Image.Image:
        left, top, width, height = self._choose(*image.size)
        part = image.crop((left, top, left + width, top + height))
        return _resize(part, self.size[1], self.size[0], self.interpolation)

    def suffices(self, width: int, height: int) -> bool:
        smallest = math.sqrt(width * height * self.scale[0] * 3 / 4)  # shorter side of a crop
        return Resize(self.size, self.interpolation).suffices(width, height) and smallest >= max(self.size)

    def _choose(self, width: int, height: int) -> tuple[int, int, int, int]:
        log_ratio = torch.tensor((3 / 4, 4 / 3)).log()
        for _ in range(10):
            area = width * height * _uniform(*self.scale)
            ratio = torch.empty(1).uniform_(log_ratio[0], log_ratio[1]).exp().item()
            new_width, new_height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < new_width <= width and 0 < new_height <= height:
                top = _randint(height - new_height + 1)
                return _randint(width - new_width + 1), top, new_width, new_height
        # no such part fits into this image: the middle of it, as near to the allowed shapes as can be
        new_width = min(width, round(height * 4 / 3))
        new_height = min(height, round(width / (3 / 4)))
        return (width - new_width) // 2, (height - new_height) // 2, new_width, new_height


class RandomHorizontalFlip(_Transform):
    def __init__(self, p: float = 0.5):
        self.p = p

    def __call__(self, image: Image.Image) -> Image.Image:
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if torch.rand(1) < self.p else image


class RandomTranslation(_Transform):
    """To ``size``; half of the images are enlarged by an eighth first and cropped at random."""

    def __init__(self, size: Size, interpolation: Resampling, p: float = 0.5):
        self.size = size
        self.interpolation = interpolation
        self.p = p
        self._larger = (round(size[0] * 1.125), round(size[1] * 1.125))

    def __call__(self, image: Image.Image) -> Image.Image:
        if torch.rand(1) >= self.p:
            return Resize(self.size, self.interpolation)(image)
        height, width = self.size
        image = Resize(self._larger, self.interpolation)(image)
        top, left = _randint(self._larger[0] - height + 1), _randint(self._larger[1] - width + 1)
        return image.crop((left, top, left + width, top + height))

    def suffices(self, width: int, height: int) -> bool:
        return Resize(self._larger, self.interpolation).suffices(width, height)


class ToTensor(_Transform):
    """Pillow image to tensor in [0, 1]."""

    def __call__(self, image: Image.Image) -> Tensor:
        planes = bytearray().join([image.tobytes("raw", band) for band in "RGB"])
        tensor = torch.frombuffer(planes, dtype=torch.uint8).view(3, image.height, image.width)
        return tensor.to(torch.get_default_dtype()).div_(255)


class Normalize(_Transform):
    """Changes the tensor it is given, if that has room for the result."""

    def __init__(self, mean: list[float], std: list[float]):
        self.mean = mean
        self.std = std
        self._mean, self._std = (torch.tensor(values).view(-1, 1, 1) for values in (mean, std))

    def __call__(self, image: Tensor) -> Tensor:
        fits = torch.result_type(image, self._mean) == image.dtype
        return (image.sub_ if fits else image.sub)(self._mean).div_(self._std)


class Cutout(_Transform):
    """Sets ``n_holes`` squares with sides of ``length`` pixels to 0. DeVries & Taylor, arXiv 1708.04552."""

    def __init__(self, n_holes: int = 1, length: int = 16):
        self.n_holes = n_holes
        self.length = length

    def __call__(self, image: Tensor) -> Tensor:
        image, half = image.clone(), self.length // 2
        for _ in range(self.n_holes):
            y, x = _randint(image.shape[1]), _randint(image.shape[2])
            image[:, max(y - half, 0) : y + half, max(x - half, 0) : x + half] = 0
        return image


class GaussianNoise(_Transform):
    """Adds N(mean, std²) to each value, to a share ``p`` of the images."""

    def __init__(self, mean: float = 0, std: float = 0.15, p: float = 0.5):
        self.mean = mean
        self.std = std
        self.p = p

    def __call__(self, image: Tensor) -> Tensor:
        return image + torch.randn_like(image) * self.std + self.mean if torch.rand(1) < self.p else image


class InstanceNormalization(_Transform):
    """Gives each channel of the image mean 0 and standard deviation 1."""

    def __init__(self, eps: float = 1e-8):
        self.eps = eps

    def __call__(self, image: Tensor) -> Tensor:
        return (image - image.mean((1, 2), keepdim=True)) / (image.std((1, 2), keepdim=True) + self.eps)
