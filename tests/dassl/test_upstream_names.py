"""What a file written for upstream Dassl imports from it is here, and can be called the same way.

tests/golden/upstream_names.json is made from upstream's source by tests/golden/make_upstream_names.py, which says what
it leaves out and why.
"""

import importlib
import inspect
import json
import os
from pathlib import Path

import pytest

from tests.golden.make_upstream_names import FILE, upstream_names

UPSTREAM = json.loads(FILE.read_text(encoding="utf-8"))


def refusals(function, parameters: list[str]) -> list[str]:
    """Calls that upstream's parameters allow, and ``function`` does not."""
    signature = inspect.signature(function)
    ours = signature.parameters.values()
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in ours)
    positional = [p.name for p in ours if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    names = [parameter.rstrip("=") for parameter in parameters if not parameter.startswith("*")]
    found = [f"by name: {name}" for name in names if name not in signature.parameters and not takes_any]
    plain = next((index for index, parameter in enumerate(parameters) if parameter.startswith("*")), len(parameters))
    pairs = zip(names[:plain], positional, strict=False)
    found += [f"by position: {ours} for {name}" for name, ours in pairs if ours != name]
    required = [parameter for parameter in parameters if not parameter.endswith("=") and not parameter.startswith("*")]
    try:
        signature.bind(*([None] * len(required)))
    except TypeError as error:
        found.append(f"with {required} alone: {error}")
    return found


@pytest.mark.parametrize("module", UPSTREAM)
def test_module_has_upstreams_names_and_takes_its_calls(module):
    found = importlib.import_module(module)
    wrong = []
    for name, entry in UPSTREAM[module].items():
        if not hasattr(found, name):
            wrong.append(f"{name} is missing")
        elif isinstance(entry, list):
            wrong += [f"{name}: {refusal}" for refusal in refusals(getattr(found, name), entry)]
        for method, parameters in entry.items() if isinstance(entry, dict) else ():
            function = inspect.getattr_static(getattr(found, name), method, None)
            if function is None and f"self.{method}" in inspect.getsource(getattr(found, name)):
                continue  # upstream's property is an attribute
            if function is None:
                wrong.append(f"{name}.{method} is missing")
            elif not isinstance(function, property):
                bound = [] if isinstance(function, staticmethod) else ["self"]
                function = getattr(function, "__func__", function)
                wrong += [f"{name}.{method}: {refusal}" for refusal in refusals(function, bound + parameters)]
    assert wrong == []


def test_what_is_not_there_is_an_attribute_error():
    module = importlib.import_module("dassl.engine.trainer")
    with pytest.raises(AttributeError, match="'dassl.engine.trainer' has no attribute 'TrainerXY'"):
        _ = module.TrainerXY


def test_the_list_is_what_the_script_makes():
    clone = os.environ.get("DASSL_REPOSITORY")
    if not clone:
        pytest.skip("DASSL_REPOSITORY is not set to a clone of KaiyangZhou/Dassl.pytorch")
    assert upstream_names(Path(clone)) == UPSTREAM
