"""Image loading against upstream's way: `python -m bench.loader [--images 2000] [--epochs 10] [--workers 2]`.

Both sides read the same generated JPEGs with as many worker processes, in turns. The reference is upstream's pattern,
written from its description: a Dataset that opens each file with Pillow and applies torchvision's transforms, in a
plain DataLoader. Ours is what `build_data_loader` makes of `configs/trainers/CoOp/vit_b16.yaml`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import platform
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image, ImageDraw
from tabulate import tabulate
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as tv
from torchvision.transforms import InterpolationMode

from dassl.config import get_cfg_default
from dassl.data import build_data_loader
from dassl.data.data_manager import available_cores
from dassl.data.datasets import Datum
from dassl.data.transforms import build_transform

CONFIG = Path(__file__).parents[1] / "configs/trainers/CoOp/vit_b16.yaml"
SMALL, LARGE = (500, 375), (4000, 3000)


def noise(width: int, height: int) -> np.ndarray:
    """(H, W, 3) uint8 with the 1/f amplitudes of natural images."""
    spectrum = np.fft.rfft2(np.random.default_rng(0).standard_normal((3, height, width), dtype=np.float32))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    spectrum /= np.maximum(frequency, 1 / max(width, height))
    values = np.fft.irfft2(spectrum, s=(height, width))
    return (127 + 50 * values / values.std()).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)


def write_image(folder: str, texture: np.ndarray, number: int) -> str:
    """A JPEG of quality 90: the texture, shifted, and some shapes in front of it. Returns its path."""
    random = np.random.default_rng(number)
    height, width, _ = texture.shape
    image = Image.fromarray(np.roll(texture, random.integers((height, width)), (0, 1)))
    draw = ImageDraw.Draw(image)
    for shape in (draw.ellipse, draw.rectangle) * 3:
        x, y, w, h = random.integers((width, height, width // 3, height // 3)).tolist()
        shape((x, y, x + w, y + h), fill=tuple(random.integers(256, size=3).tolist()))
    path = os.path.join(folder, f"{width}x{height}_{number}.jpg")
    image.save(path, quality=90)
    return path


def write_images(folder: str, size: tuple[int, int], count: int) -> list[Datum]:
    with ProcessPoolExecutor(available_cores()) as pool:
        return [Datum(path) for path in pool.map(partial(write_image, folder, noise(*size)), range(count))]


class PlainDataset(Dataset):
    """The reference side."""

    def __init__(self, items: list[Datum], transform):
        self.items = items
        self.transform = transform

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict:
        item = self.items[index]
        image = self.transform(Image.open(item.impath).convert("RGB"))
        return {"img": image, "label": item.label, "domain": item.domain, "impath": item.impath, "index": index}


def plain_loader(cfg, items: list[Datum], is_train: bool) -> DataLoader:
    bicubic, size = InterpolationMode.BICUBIC, cfg.INPUT.SIZE
    if is_train:
        steps = [tv.RandomResizedCrop(size, (0.08, 1.0), interpolation=bicubic), tv.RandomHorizontalFlip()]
    else:
        steps = [tv.Resize(max(size), interpolation=bicubic), tv.CenterCrop(size)]
    steps += [tv.ToTensor(), tv.Normalize(cfg.INPUT.PIXEL_MEAN, cfg.INPUT.PIXEL_STD)]
    return DataLoader(
        PlainDataset(items, tv.Compose(steps)),
        batch_size=(cfg.DATALOADER.TRAIN_X if is_train else cfg.DATALOADER.TEST).BATCH_SIZE,
        shuffle=is_train,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        drop_last=is_train,
    )


def our_loader(cfg, items: list[Datum], is_train: bool) -> DataLoader:
    with contextlib.redirect_stdout(io.StringIO()):
        transform = build_transform(cfg, is_train)
    return build_data_loader(
        cfg,
        sampler_type="RandomSampler" if is_train else "SequentialSampler",
        data_source=items,
        batch_size=(cfg.DATALOADER.TRAIN_X if is_train else cfg.DATALOADER.TEST).BATCH_SIZE,
        tfm=transform,
        is_train=is_train,
    )


def config(workers: int, *options) -> object:
    cfg = get_cfg_default()
    cfg.merge_from_file(CONFIG)
    cfg.merge_from_list(["DATALOADER.NUM_WORKERS", workers, *options])
    return cfg


def epoch_seconds(loader: DataLoader) -> float:
    started = time.perf_counter()
    for _ in loader:
        pass
    return time.perf_counter() - started


def compare(cfg, items: list[Datum], is_train: bool, epochs: int, repetitions: int) -> tuple[np.ndarray, int]:
    """Seconds (repetitions, epochs, 2) of the plain loader and ours, in turns, and how many images ours kept."""
    seconds = np.zeros((repetitions, epochs, 2))
    for repetition in range(repetitions):
        loaders = plain_loader(cfg, items, is_train), our_loader(cfg, items, is_train)
        for epoch in range(epochs):
            seconds[repetition, epoch] = [epoch_seconds(loader) for loader in loaders]
    return seconds, len(loaders[1].dataset.cache)


def row(label: str, images: int, pairs: np.ndarray) -> list:
    """Median rates of pairs (N, 2) of seconds, and the median of their ratios."""
    plain, ours = (images / np.median(pairs, axis=0)).round().astype(int).tolist()
    return [label, plain, ours, round(statistics.median(pairs[:, 0] / pairs[:, 1]), 2)]


def rows_of(label: str, cfg, items: list[Datum], epochs: int, repetitions: int) -> list[list]:
    used = len(items) // cfg.DATALOADER.TRAIN_X.BATCH_SIZE * cfg.DATALOADER.TRAIN_X.BATCH_SIZE
    seconds, kept = compare(cfg, items, True, epochs, repetitions)
    test, _ = compare(cfg, items, False, 1, repetitions)
    print(f"{label}: {kept / len(items):.0%} of the training images kept in memory", flush=True)
    return [
        row(f"{label}, first epoch", used, seconds[:, 0]),
        row(f"{label}, later epochs", used, seconds[:, 1:].reshape(-1, 2)),
        row(f"{label}, run of {epochs} epochs", used * epochs, seconds.sum(1)),
        row(f"{label}, test", len(items), test[:, 0]),
    ]


def pixel_difference(items: list[Datum], *options) -> list:
    """Largest and mean difference, of 255, that ``options`` make to images after the test transform."""
    differences = []
    std = torch.tensor(config(0).INPUT.PIXEL_STD).view(3, 1, 1)
    exact = our_loader(config(0, "DATALOADER.EXACT_DECODING", True), items, False).dataset
    changed = our_loader(config(0, *options), items, False).dataset
    for index in range(len(items)):
        differences.append((255 * std * (exact[index]["img"] - changed[index]["img"])).abs())
    together = torch.stack(differences)
    return [f"{together.max():.0f}", f"{together.mean():.2f}"]


def processor() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        return next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "")
    return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000, help="images of 500x375")
    parser.add_argument("--photos", type=int, default=100, help="images of 4000x3000")
    parser.add_argument("--epochs", type=int, default=10, help="of a training run")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=3, help="of every (reference, ours)")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        images, photos = write_images(folder, SMALL, args.images), write_images(folder, LARGE, args.photos)
        screens = write_images(folder, (1024, 768), 10)
        print(f"images written in {time.perf_counter() - started:.0f} s", flush=True)
        cfg = config(args.workers)
        fast = config(args.workers, "INPUT.INTERPOLATION", "fast_bicubic")
        rows = rows_of("500x375", cfg, images, args.epochs, args.repetitions)
        rows += rows_of("500x375, fast_bicubic", fast, images, args.epochs, args.repetitions)
        rows += rows_of("4000x3000", cfg, photos, min(2, args.epochs), args.repetitions)
        differences = [
            ["4000x3000, decoded at 1/4", *pixel_difference(photos[:10])],
            ["1024x768, decoded in full", *pixel_difference(screens)],
            ["500x375, fast_bicubic", *pixel_difference(images[:100], "INPUT.INTERPOLATION", "fast_bicubic")],
        ]
    print(
        f"{args.images} images of 500x375, {args.photos} of 4000x3000, {args.workers} workers; {processor()}, "
        f"{available_cores()} cores, torch {torch.__version__}, torchvision {torchvision.__version__}, "
        f"Pillow {PIL.__version__}"
    )
    print(tabulate(rows, ["images/s", "plain loader", "this project", "ratio"]))
    print()
    print(tabulate(differences, ["pixels after the test transform, of 255", "largest difference", "mean"]))


if __name__ == "__main__":
    main()
