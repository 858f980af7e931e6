from torch import nn

from dassl.utils import Registry, check_availability

__all__ = ["BACKBONE_REGISTRY", "Registry", "build_backbone", "check_availability"]

BACKBONE_REGISTRY = Registry("BACKBONE")


def build_backbone(name: str, verbose: bool = True, **kwargs) -> nn.Module:
    """Build the backbone that is registered as ``name``, with the options ``kwargs``."""
    backbone = BACKBONE_REGISTRY.get(name)
    if verbose:
        print(f"Backbone: {name}")
    return backbone(**kwargs)
