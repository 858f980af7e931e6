"""docs/errors.md has a row for every place in the code that makes an error for the user, and no other rows.

A new error needs a row there and a case of the same message in the *_cases.py here.
"""

from __future__ import annotations

import re

from tests.errors.sites import ROOT, fixed_text, shell_sites, sites
from tests.errors.table import rows

BY_ARGPARSE_AND_PYTHON, OF_SCRIPTS = "Any command", "scripts/"
PASSED_ON = {  # files with an error that has no words of its own, and whose words it has
    "comparison/plan.py": "a script's line",
    "datasets/prepare/layout.py": "the operating system's",
    "trainers/clip_trainer.py": "those of another error, behind the name of the checkpoint",
}


def test_every_error_in_python_has_a_row_under_its_kind():
    known = {(row.kind, fixed_text(row.message)) for row in rows()}
    missing = [site for site in sites() if not site.passes_on and (site.kind, site.text) not in known]
    assert not missing, "add rows to docs/errors.md, under the heading of the kind"


def test_errors_without_words_of_their_own_are_those_known():
    assert [site.where.partition(":")[0] for site in sites() if site.passes_on] == list(PASSED_ON)


def test_every_row_is_of_an_error_in_the_code():
    known = {(site.kind, site.text) for site in sites()} | {(OF_SCRIPTS, text) for text in shell_sites()}
    stale = [row for row in rows() if row.kind != BY_ARGPARSE_AND_PYTHON]
    stale = [row for row in stale if (row.kind, fixed_text(row.message)) not in known]
    assert not stale, "remove them from docs/errors.md, or correct their words"


def test_every_error_of_the_scripts_has_a_row():
    known = {fixed_text(row.message) for row in rows() if row.kind == OF_SCRIPTS}
    assert set(shell_sites()) <= known


def test_no_row_is_there_twice_and_every_line_of_a_table_is_read():
    found = [(row.kind, fixed_text(row.message)) for row in rows()]
    assert len(found) == len(set(found))
    lines = re.findall(r"^\| (?!line \|).*", (ROOT / "docs/errors.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(lines) == len(found)


def test_every_error_is_of_a_kind():
    assert [site for site in sites() if site.kind == "UserError"] == []
