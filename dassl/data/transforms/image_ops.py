"""The transforms nearly every run uses, equal to torchvision's of the same name, pixel for pixel and draw for draw.

They are here because importing torchvision takes longer than many a run on small images. Images are Pillow's, RGB;
tensors are (3, H, W) float. Randomness comes from torch's global generator.
"""

import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor

Size = tuple[int, int]  # height, width


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


class Resize(_Transform):
    """To ``size`` (height, width); a single number is the length of the shorter side."""

    def __init__(self, size: int | Size, interpolation: Image.Resampling):
        self.size = size
        self.interpolation = interpolation

    def __call__(self, image: Image.Image) -> Image.Image:
        width, height = image.size
        if not isinstance(self.size, int):
            target = (self.size[1], self.size[0])
        elif width <= height:
            target = (self.size, int(self.size * height / width))
        else:
            target = (int(self.size * width / height), self.size)
        return image if target == image.size else image.resize(target, self.interpolation)


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

    def __init__(self, size: Size, scale: tuple[float, float], interpolation: Image.Resampling):
        self.size = size
        self.scale = scale
        self.interpolation = interpolation

    def __call__(self, image: Image.Image) -> Image.Image:
        left, top, width, height = self._choose(*image.size)
        part = image.crop((left, top, left + width, top + height))
        return Resize(self.size, self.interpolation)(part)

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

    def __init__(self, size: Size, interpolation: Image.Resampling, p: float = 0.5):
        self.size = size
        self.interpolation = interpolation
        self.p = p

    def __call__(self, image: Image.Image) -> Image.Image:
        if torch.rand(1) >= self.p:
            return Resize(self.size, self.interpolation)(image)
        height, width = self.size
        larger = (round(height * 1.125), round(width * 1.125))
        image = Resize(larger, self.interpolation)(image)
        top, left = _randint(larger[0] - height + 1), _randint(larger[1] - width + 1)
        return image.crop((left, top, left + width, top + height))


class ToTensor(_Transform):
    """Pillow image to tensor in [0, 1]."""

    def __call__(self, image: Image.Image) -> Tensor:
        pixels = torch.from_numpy(np.array(image))  # (H, W, 3) uint8
        return pixels.permute(2, 0, 1).contiguous().to(torch.get_default_dtype()).div(255)


class Normalize(_Transform):
    def __init__(self, mean: list[float], std: list[float]):
        self.mean = mean
        self.std = std
        self._mean, self._std = (torch.tensor(values).view(-1, 1, 1) for values in (mean, std))

    def __call__(self, image: Tensor) -> Tensor:
        return image.sub(self._mean).div_(self._std)


class Cutout(_Transform):
    """Sets ``n_holes`` squares with sides of ``length`` pixels to 0. DeVries & Taylor, arXiv 1708.04552."""

    def __init__(self, n_holes: int, length: int):
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

    def __init__(self, mean: float, std: float, p: float = 0.5):
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
