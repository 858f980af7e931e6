"""A data set that is drawn by code, once, from a seed."""

from __future__ import annotations

import os
from abc import abstractmethod

from dassl.data.datasets import Datum
from datasets.drawn.description import Deformation, Degradation, Description, RandomState
from datasets.generated_dataset import GeneratedDataset
from datasets.splits import Split

IMAGES_PER_CLASS = {"train": 30, "val": 30, "test": 150}


class DrawnDataset(GeneratedDataset):
    """A subclass gives the classes, what an image of each shows, and how it is deformed and degraded.

    The pre-training of the embedded CLIP draws with the same code but never these images: it keeps out a fifth of the
    compositions and the last fonts of the atlas, from which the subjects here are taken, and the degradations differ.
    """

    split_file = "split.json"
    names: tuple[str, ...] = ()
    seed = 0
    deformation = Deformation()
    degradation = Degradation()

    @abstractmethod
    def describe(self, rng: RandomState, name: str) -> Description:
        """What one image of the class shows."""

    def generate(self, image_dir: str) -> Split:
        from PIL import Image  # drawing is slow to import, and needed once in the life of a data folder

        from datasets.drawn.draw import draw

        rng = RandomState(self.seed)
        parts = {part: [] for part in IMAGES_PER_CLASS}
        for label, name in enumerate(self.names):
            folder = os.path.join(image_dir, name.replace(" ", "_"))
            os.mkdir(folder)
            for part, count in IMAGES_PER_CLASS.items():
                for index in range(count):
                    path = os.path.join(folder, f"{part}_{index:03d}.png")
                    pixels = draw(rng, self.describe(rng, name), self.deformation, self.degradation)
                    Image.fromarray(pixels).save(path)
                    parts[part].append(Datum(impath=path, label=label, classname=name))
        return parts["train"], parts["val"], parts["test"]
