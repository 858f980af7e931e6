from . import efficientnet, resnet, vgg
from .alexnet import alexnet
from .backbone import Backbone
from .build import BACKBONE_REGISTRY, build_backbone

__all__ = ["BACKBONE_REGISTRY", "Backbone", "alexnet", "build_backbone", "efficientnet", "resnet", "vgg"]


def __getattr__(name: str):
    """Every registered backbone is a name of this package, too."""
    if name in BACKBONE_REGISTRY.registered_names():
        return BACKBONE_REGISTRY.get(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
