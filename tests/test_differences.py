"""docs/differences.md: what the methods' docstrings say, complete and as printed."""

import pytest

from scripts.differences import ROOT, document, entries, told

ENTRIES = entries()


def test_the_document_is_what_the_docstrings_say():
    written = (ROOT / "docs" / "differences.md").read_text(encoding="utf-8")
    assert written == document(), "print it anew: .venv/bin/python scripts/differences.py >docs/differences.md"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.module)
def test_every_method_says_how_it_differs_and_from_what(entry):
    assert entry.release.endswith(".") and entry.paper.endswith("."), (
        f'{entry.module}: its docstring needs "Differs from the release: ..." and "Differs from the paper: ..."'
    )
    assert "(" in entry.code


def test_mudpt_comes_first_and_every_trainer_is_there():
    from dassl.engine import TRAINER_REGISTRY

    assert ENTRIES[0].trainers == ["MuDPT"]
    listed = {name for entry in ENTRIES for name in entry.trainers}
    here = {
        name
        for name in TRAINER_REGISTRY.registered_names()
        if TRAINER_REGISTRY.get(name).__module__.startswith("trainers.")
    }
    assert listed == here


def test_a_paragraph_ends_at_the_next_or_at_an_empty_line():
    docstring = "A.\n\nDiffers from the release: b\nc.\nDiffers from the paper: d.\n\nMore."
    assert told(docstring, r"Differs from the release: (.*?)\s*(?=Differs from the |\n\n|\Z)") == "b c."
    assert told(docstring, r"Differs from the paper: (.*?)\s*(?=Differs from the |\n\n|\Z)") == "d."
