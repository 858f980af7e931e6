"""Where a checkpoint file has its state dict, and the names in it without what wrappers of modules put there."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

KEYS = ("state_dict", "model_state_dict", "model_state", "model", "module", "net", "network", "weights", "params")
WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}  # DataParallel, compile, FSDP
DEEPEST = 5  # of state dicts within dicts


def find_state_dict(content: object, depth: int = 0) -> dict[str, Tensor] | None:
    """The tensors of a file by name: of the content itself, of its entry that `KEYS` name, or of the only one with any.

    Plain values beside the tensors are left out, and wrappers' parts of the names. None where there is no state dict,
    or more than one that may be meant.
    """
    if not isinstance(content, Mapping) or depth > DEEPEST or not all(isinstance(name, str) for name in content):
        return None
    for key in KEYS:
        if isinstance(content.get(key), Mapping):
            return find_state_dict(content[key], depth + 1)
    tensors = {without_wrappers(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if tensors:
        return tensors
    inside = [found for value in content.values() if (found := find_state_dict(value, depth + 1))]
    return inside[0] if len(inside) == 1 else None


def without_wrappers(name: str) -> str:
    """As "model.visual.proj" of "model._orig_mod.module.visual.proj"."""
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)
