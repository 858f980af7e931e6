"""What a run declares to draw on beyond the labelled images of its shots, for results.json."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

from comparison.methods import Method, methods_here
from comparison.run_spec import RESULTS, RunSpec
from support.json_file import json_if_readable
from support.user_error import UserError
from support.uses import SETTINGS, in_order, is_list_of_uses


def uses_of_run(trainer, spec: RunSpec, model_run: str = "") -> list[str]:
    """What a run draws on, words of `support.uses`.

    A model that is only tested draws on what its training recorded, if it did. Else it is what the method says
    (`trainers.method.Method.uses`), and its settings where its configuration is the paper's for this dataset by name.

    Args:
        model_run: folder of the run whose model is tested, "" for none.
    """
    if model_run and (recorded := recorded_uses(Path(model_run) / RESULTS)) is not None:
        return recorded
    trained = spec.model or spec
    declared = list(getattr(getattr(trainer, "method", trainer), "uses", ()))
    return in_order(declared + [SETTINGS] * is_chosen_by_dataset(trained))


def recorded_uses(file: Path) -> list[str] | None:
    """What a results.json says, None where it does not."""
    results = json_if_readable(file)
    recorded = results.get("uses") if isinstance(results, dict) else None
    return in_order(recorded) if is_list_of_uses(recorded) else None


def is_chosen_by_dataset(spec: RunSpec) -> bool:
    """Whether the paper's configuration of a run's method is this one for its dataset by name, not for any dataset."""
    try:
        method = next((method for method in methods_here() if method.trainer == spec.trainer), None)
    except UserError:  # a wrong file of another method costs no run its results
        return False
    return method is not None and not spec.variant and names_dataset(method, spec)


def names_dataset(method: Method, spec: RunSpec) -> bool:
    """Whether all patterns of a method's paper_config that give a run's configuration name datasets."""
    named = [
        "*" not in dataset
        for pattern, config in method.paper_config.items()
        for _, dataset, shots in [[*pattern.split("/"), "*", "*"][:3]]
        if config == spec.config and fnmatchcase(spec.dataset, dataset) and fnmatchcase(str(spec.shots), shots)
    ]
    return bool(named) and all(named)
