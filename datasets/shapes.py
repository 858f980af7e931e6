"""Twenty-four shapes in colour-texture compositions that pre-training never showed, and three shifted domains of them.

`Shapes` is the clean source of the embedded cross-domain protocol; the others are its targets, with its classes.
"""

from dataclasses import replace

from dassl.data.datasets import DATASET_REGISTRY

from .drawn.dataset import DrawnDataset
from .drawn.description import COLOURS, TEXTURES, Deformation, Degradation, Description, RandomState, held_out
from .drawn.shapes import SHAPES


@DATASET_REGISTRY.register()
class Shapes(DrawnDataset):
    """Coloured, textured shapes."""

    dataset_dir = "shapes"
    names = tuple(SHAPES)
    seed = 11

    def describe(self, rng: RandomState, name: str) -> Description:
        compositions = [(c, t) for c in COLOURS for t in TEXTURES if held_out(name, c, t)]
        colour, texture = compositions[rng.randint(len(compositions))]
        background = rng.choice([other for other in COLOURS if other != colour])
        return Description("shape", name, colour, background, texture, rng.uniform(0.5, 0.9))


@DATASET_REGISTRY.register()
class ShapesSketch(Shapes):
    """Pencil outlines."""

    dataset_dir = "shapes_sketch"
    seed = 12
    deformation = Deformation(rotation=15, shear=0.25, shift=0.2, stretch=0.2, wobble=0.1)
    degradation = Degradation(noise=0.3, blur=0.8)

    def describe(self, rng: RandomState, name: str) -> Description:
        return replace(super().describe(rng, name), sketched=True)


@DATASET_REGISTRY.register()
class ShapesBlur(Shapes):
    """Out of focus, under coloured light."""

    dataset_dir = "shapes_blur"
    seed = 13
    degradation = Degradation(blur=2.5, cast=0.7, contrast=0.6)


@DATASET_REGISTRY.register()
class ShapesNoise(Shapes):
    """Grainy pictures."""

    dataset_dir = "shapes_noise"
    seed = 14
    degradation = Degradation(noise=0.45)
