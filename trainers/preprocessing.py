"""From an image to the network's input, as in the test of the run that trained the model."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from functools import cached_property

import torch
from PIL import Image, ImageOps
from torch import Tensor

from dassl.config import get_cfg_default
from dassl.data.data_manager import available_cores
from dassl.data.datasets.build import images_as_shown
from dassl.data.epoch_loader import EpochLoader
from dassl.data.transforms import build_transform
from dassl.data.transforms.image_ops import suffices
from dassl.data.transforms.transforms import AT_TEST
from dassl.utils import read_image
from dassl.utils.pixels import to_rgb
from support.user_error import DataError


@dataclass(frozen=True)
class Preprocessing:
    """The shorter side is resized to the longer of ``size``, a crop of ``size`` taken from the middle and normalised.

    Attributes:
        size: height and width.
        interpolation: INPUT.INTERPOLATION.
        mean, std: of each channel in 0..1.
        transforms: those of INPUT.TRANSFORMS that a test applies.
        as_shown: whether files are read as a viewer shows them: turned as EXIF says, transparent parts on white.
        exact_decoding: whether JPEGs with many more pixels than needed are decoded in full.
    """

    size: tuple[int, int]
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    transforms: tuple[str, ...]
    as_shown: bool
    exact_decoding: bool

    @classmethod
    def from_cfg(cls, cfg) -> Preprocessing:
        """What a configuration's test does with an image."""
        inp = cfg.INPUT
        transforms = tuple(name for name in AT_TEST if name in inp.TRANSFORMS)
        mean, std = tuple(inp.PIXEL_MEAN), tuple(inp.PIXEL_STD)
        reading = images_as_shown(cfg), bool(cfg.DATALOADER.EXACT_DECODING)
        return cls(tuple(inp.SIZE), inp.INTERPOLATION, mean, std, transforms, *reading)

    @classmethod
    def from_dict(cls, values: dict) -> Preprocessing:
        """The inverse of `to_dict`. Raises TypeError where a value is missing or unknown."""
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})

    def to_dict(self) -> dict:
        return asdict(self)

    @cached_property
    def transform(self):
        """Pillow image, RGB -> tensor (3, H, W)."""
        cfg = get_cfg_default()
        inp = cfg.INPUT
        inp.SIZE, inp.INTERPOLATION, inp.TRANSFORMS = self.size, self.interpolation, self.transforms
        inp.PIXEL_MEAN, inp.PIXEL_STD = list(self.mean), list(self.std)
        with redirect_stdout(io.StringIO()):  # it tells its steps
            return build_transform(cfg, is_train=False)

    def read(self, path: str) -> Tensor:
        """The file of an image -> (3, H, W).

        Raises:
            DataError: it is missing, damaged or no image.
        """
        enough = None if self.exact_decoding else lambda width, height: suffices(self.transform, width, height)
        return self.transform(read_image(path, enough, self.as_shown))

    def of_image(self, image: Image.Image) -> Tensor:
        """A Pillow image of any mode -> (3, H, W)."""
        upright = ImageOps.exif_transpose(image) if self.as_shown else image
        return self.transform(to_rgb(upright, getattr(image, "fp", None), self.as_shown))


class Images(torch.utils.data.Dataset):
    """Preprocessed images: (image, ""), or (zeros, the line that says why the file cannot be read).

    Args:
        images: paths or Pillow images.
    """

    def __init__(self, images: Sequence[str | os.PathLike | Image.Image], preprocessing: Preprocessing):
        self.images = images
        self.preprocessing = preprocessing

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[Tensor, str]:
        image = self.images[i]
        if isinstance(image, Image.Image):
            return self.preprocessing.of_image(image), ""
        try:
            return self.preprocessing.read(os.path.expanduser(image)), ""
        except DataError as error:
            return torch.zeros(3, *self.preprocessing.size), str(error)

    def loader(self, batch_size: int, workers: int, device: torch.device) -> torch.utils.data.DataLoader:
        """Batches ((B, 3, H, W), B lines), in order; with worker processes in shared memory, as those of a test."""
        options = {"batch_size": batch_size, "pin_memory": device.type == "cuda"}
        workers = min(workers, available_cores())  # more would only wait for each other
        if not workers:
            return torch.utils.data.DataLoader(self, **options)
        image_bytes = 3 * math.prod(self.preprocessing.size) * torch.get_default_dtype().itemsize
        return EpochLoader(self, tensors=1, tensor_bytes=batch_size * image_bytes, num_workers=workers, **options)
