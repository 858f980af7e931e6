"""A picture of the embedded datasets: `python -m datasets.drawn.gallery docs/embedded.png --root data`."""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from yacs.config import CfgNode

import datasets
from dassl.config import get_cfg_default
from dassl.data.datasets import build_dataset

CONFIGS = Path(__file__).parents[2] / "configs" / "datasets"
REAL = ("fashion", "digits")  # photographs and handwriting: first, and larger
DRAWN = ("lamplight", "letters", "patterns", "shapes", "shapes_sketch", "shapes_blur", "shapes_noise")
COLUMNS = {**dict.fromkeys(REAL, 10), **dict.fromkeys(DRAWN, 15)}
WIDTH, LABEL_WIDTH, GAP = 900, 124, 2  # pixels


def sample(name: str, root: str, columns: int) -> list[str]:
    """Paths of one test image for each of ``columns`` classes, spread over all classes."""
    cfg: CfgNode = get_cfg_default()
    datasets.add_config(cfg)
    cfg.merge_from_file(str(CONFIGS / f"{name}.yaml"))
    cfg.DATASET.ROOT = root
    first = {}
    for item in build_dataset(cfg).test:
        first.setdefault(item.label, item.impath)
    return [first[i * len(first) // columns] for i in range(columns)]


def gallery(root: str) -> Image.Image:
    """One row of test images for each embedded dataset, named as commands take it."""
    height = sum(WIDTH // columns for columns in COLUMNS.values())
    sheet = Image.new("RGB", (LABEL_WIDTH + WIDTH, height), "white")
    pen, font, top = ImageDraw.Draw(sheet), ImageFont.load_default(16), 0
    for name, columns in COLUMNS.items():
        side = WIDTH // columns
        pen.text((6, top + side // 2), name, fill="black", font=font, anchor="lm")
        for column, path in enumerate(sample(name, root, columns)):
            with Image.open(path) as image:
                picture = image.convert("RGB").resize((side - GAP, side - GAP), Image.Resampling.BICUBIC)
            sheet.paste(picture, (LABEL_WIDTH + column * side, top))
        top += side
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw a picture of the embedded datasets.")
    parser.add_argument("output")
    parser.add_argument("--root", default="data")
    args = parser.parse_args()
    gallery(args.root).quantize(256).save(args.output, optimize=True)


if __name__ == "__main__":
    main()
