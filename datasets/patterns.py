"""Twenty surface patterns as blueprints; the classes are adjectives, as in the textures of DTD."""

from dassl.data.datasets import DATASET_REGISTRY

from .drawn.dataset import DrawnDataset
from .drawn.description import COLOURS, Deformation, Degradation, Description, RandomState
from .drawn.shapes import PATTERNS


@DATASET_REGISTRY.register()
class Patterns(DrawnDataset):
    """Full-frame patterns in one blue."""

    dataset_dir = "patterns"
    template = "a photo of a {} pattern."
    names = tuple(PATTERNS)
    seed = 31
    deformation = Deformation(rotation=25, shear=0.25, stretch=0.25, wobble=0.1)
    degradation = Degradation(noise=0.15, blur=0.4, contrast=0.3, process="blueprint")

    def describe(self, rng: RandomState, name: str) -> Description:
        colour, background = rng.choice(list(COLOURS), 2, replace=False)
        return Description("pattern", name, colour, background, size=rng.uniform(0.5, 1.0))
