"""Each row of docs/errors.md, triggered by what a person would type: one line, exit code 2, nothing overwritten."""

import importlib

import pytest

from tests.errors.cases import CASES
from tests.errors.sites import ROOT, fixed_text, sites
from tests.errors.table import rows

for file in sorted((ROOT / "tests" / "errors").glob("*_cases.py")):
    importlib.import_module(f"tests.errors.{file.stem}")

SITES = sites()
ALL = [pytest.param(row, case, id=row.message[:80]) for row in rows() for case in CASES.get(row.message, ())]


@pytest.mark.parametrize("row, case", ALL)
def test_a_mistake_is_one_line_exit_code_2_and_leaves_everything_as_it_was(row, case, person):
    case(person)
    assert person.errors.startswith("error: ") and person.errors.count("\n") == 1, person.errors
    assert row.matches(person.errors.rstrip("\n")), person.errors
    assert person.code == person.expected_code
    assert not person.changed
    if person.made is not None and row.kind != "Any command":
        meant = [site.where for site in SITES if (site.kind, site.text) == (row.kind, fixed_text(row.message))]
        assert set(person.made) & set(meant), "another error with a similar message"


def test_every_row_has_a_case_in_one_of_the_cases_files_and_every_case_is_of_a_row():
    assert CASES.keys() == {row.message for row in rows()}
