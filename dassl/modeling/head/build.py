from torch import nn

from dassl.utils import Registry, check_availability

__all__ = ["HEAD_REGISTRY", "Registry", "build_head", "check_availability"]

HEAD_REGISTRY = Registry("HEAD")


def build_head(name: str, verbose: bool = True, **kwargs) -> nn.Module:
    """Build the head that is registered as ``name``, with the options ``kwargs``."""
    head = HEAD_REGISTRY.get(name)
    if verbose:
        print(f"Head: {name}")
    return head(**kwargs)
