from .backbone import Backbone
from .build import BACKBONE_REGISTRY
from .torchvision_features import register_features

__all__ = ["BACKBONE_REGISTRY", "Backbone", "alexnet"]

alexnet = register_features("alexnet")
