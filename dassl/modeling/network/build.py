from torch import nn

from dassl.utils import Registry, check_availability

__all__ = ["NETWORK_REGISTRY", "Registry", "build_network", "check_availability"]

NETWORK_REGISTRY = Registry("NETWORK")


def build_network(name: str, verbose: bool = True, **kwargs) -> nn.Module:
    """Build the network that is registered as ``name``, with the options ``kwargs``."""
    network = NETWORK_REGISTRY.get(name)
    if verbose:
        print(f"Network: {name}")
    return network(**kwargs)
