"""Twenty-four coloured shapes under an orange street lamp, which shifts every colour in the same way.

A systematic shift leaves the classes separable while the words for the colours no longer fit, also those of classes
that training never showed.
"""

from dassl.data.datasets import DATASET_REGISTRY

from .drawn.dataset import DrawnDataset
from .drawn.description import COLOURS, TEXTURES, Deformation, Degradation, Description, RandomState, held_out

SUBJECTS = ("circle", "star", "heart", "cross", "drop", "tree", "crescent", "house")


@DATASET_REGISTRY.register()
class Lamplight(DrawnDataset):
    """Two shapes of each of the twelve colours; the base classes are the first six colours."""

    dataset_dir = "lamplight"
    names = tuple(f"{colour} {SUBJECTS[(6 * i + 3 * j) % 8]}" for i, colour in enumerate(COLOURS) for j in range(2))
    seed = 41
    deformation = Deformation(rotation=15, shear=0.2, shift=0.15, stretch=0.15, wobble=0.07)
    degradation = Degradation(noise=0.15, blur=0.8, process="lamplight")

    def describe(self, rng: RandomState, name: str) -> Description:
        colour, shape = name.split()
        texture = rng.choice([texture for texture in TEXTURES if held_out(shape, colour, texture)])
        background = rng.choice([other for other in COLOURS if other != colour])
        return Description("shape", shape, colour, background, texture, rng.uniform(0.5, 0.9))
