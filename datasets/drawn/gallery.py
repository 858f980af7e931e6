"""A picture of the embedded data sets: `python -m datasets.drawn.gallery docs/embedded.png --root data`."""

from __future__ import annotations

import argparse

from PIL import Image, ImageDraw
from yacs.config import CfgNode

import datasets
from dassl.config import get_cfg_default
from dassl.data.datasets import build_dataset

EMBEDDED = ("Digits", "Lamplight", "Letters", "Patterns", "Shapes", "ShapesSketch", "ShapesBlur", "ShapesNoise")
COLUMNS, SIDE, LABEL_WIDTH = 12, 64, 110  # pictures a row, pixels


def sample(name: str, root: str) -> list[str]:
    """Paths of one test image for each of `COLUMNS` classes, spread over all classes."""
    cfg: CfgNode = get_cfg_default()
    datasets.add_config(cfg)
    cfg.merge_from_list(["DATASET.NAME", name, "DATASET.ROOT", root])
    first = {}
    for item in build_dataset(cfg).test:
        first.setdefault(item.label, item.impath)
    return [first[i * len(first) // COLUMNS] for i in range(COLUMNS)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw a picture of the embedded data sets.")
    parser.add_argument("output")
    parser.add_argument("--root", default="data")
    args = parser.parse_args()
    sheet = Image.new("RGB", (LABEL_WIDTH + COLUMNS * SIDE, len(EMBEDDED) * SIDE), "white")
    pen = ImageDraw.Draw(sheet)
    for row, name in enumerate(EMBEDDED):
        pen.text((6, row * SIDE + SIDE // 2 - 6), name, fill="black")
        for column, path in enumerate(sample(name, args.root)):
            with Image.open(path) as image:
                picture = image.convert("RGB").resize((SIDE - 2, SIDE - 2), Image.Resampling.NEAREST)
            sheet.paste(picture, (LABEL_WIDTH + column * SIDE, row * SIDE))
    sheet.save(args.output)


if __name__ == "__main__":
    main()
