"""Twenty-four letters in fonts that pre-training never showed, as neon contours in the dark."""

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
    """Letters as on neon signs."""

    dataset_dir = "letters"
    names = tuple(f"letter {letter.lower()}" for letter in LETTERS)
    seed = 21
    deformation = Deformation(rotation=15, shear=0.25, shift=0.15, stretch=0.2, wobble=0.08, weight=0.25)
    degradation = Degradation(noise=0.15, blur=0.6, process="neon")

    def describe(self, rng: RandomState, name: str) -> Description:
        colour, background = rng.choice(list(COLOURS), 2, replace=False)
        font = FONTS - 1 - rng.randint(HELD_OUT_FONTS)
        texture = TEXTURES[rng.randint(len(TEXTURES))]
        return Description("glyph", name[-1].upper(), colour, background, texture, rng.uniform(0.55, 0.9), font)
