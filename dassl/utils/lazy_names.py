"""Names that upstream's modules have by import, and that files written for upstream import from there.

They are imported when they are asked for, because torchvision and tensorboard take seconds.
"""

import importlib
from collections.abc import Callable


def lazy_names(module: str, **sources: str) -> Callable[[str], object]:
    """The ``__getattr__`` of a module (PEP 562).

    Args:
        module: its ``__name__``.
        sources: for each name the module that has it; "package:" stands for the package itself.
    """

    def find(name: str) -> object:
        if name not in sources:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        source = sources[name]
        found = importlib.import_module(source.removesuffix(":"))
        return found if source.endswith(":") else getattr(found, name)

    return find
