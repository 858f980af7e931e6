"""Twenty-four letters in fonts that pre-training never showed, deformed and in grainy colours."""

from dassl.data.datasets import DATASET_REGISTRY

from .drawn.dataset import DrawnDataset
from .drawn.description import (
    COLOURS,
    FONTS,
    HELD_OUT_FONTS,
    TEXTURES,
    Deformation,
    Degradation,
    Description,
    RandomState,
)

LETTERS = "BCDEFGHJKLMNOPQRSTUVWXYZ"  # without A and I, which are English words as well


@DATASET_REGISTRY.register()
class Letters(DrawnDataset):
    """Letters as on worn signs."""

    dataset_dir = "letters"
    names = tuple(f"letter {letter.lower()}" for letter in LETTERS)
    seed = 21
    deformation = Deformation(rotation=22, shear=0.35, shift=0.2, stretch=0.25, wobble=0.1, weight=0.3)
    degradation = Degradation(noise=0.25, blur=0.8, contrast=0.4)

    def describe(self, rng: RandomState, name: str) -> Description:
        colour, background = rng.choice(list(COLOURS), 2, replace=False)
        font = FONTS - 1 - rng.randint(HELD_OUT_FONTS)
        texture = TEXTURES[rng.randint(len(TEXTURES))]
        return Description("glyph", name[-1].upper(), colour, background, texture, rng.uniform(0.55, 0.9), font)
