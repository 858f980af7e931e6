"""Each mistake in the *_cases.py here, as a person would type it: one line, exit code 2, nothing overwritten."""

import importlib

import pytest

from tests.errors.cases import CASES, matches
from tests.errors.person import ROOT

for file in sorted((ROOT / "tests" / "errors").glob("*_cases.py")):
    importlib.import_module(f"tests.errors.{file.stem}")


@pytest.mark.parametrize("message, case", [pytest.param(*both, id=both[0][:80]) for both in CASES])
def test_a_mistake_is_one_line_exit_code_2_and_leaves_everything_as_it_was(message, case, person):
    case(person)
    assert person.errors.startswith("error: ") and person.errors.count("\n") == 1, person.errors
    assert matches(message, person.errors.rstrip("\n")), person.errors
    assert person.code == person.expected_code
    assert not person.changed
