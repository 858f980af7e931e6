"""What the cases share: the digits, and one finished run."""

import shutil

import pytest

from datasets.check.__main__ import main
from tests.errors.person import Person
from tests.small_data import few_digits


@pytest.fixture(scope="session")
def embedded(tmp_path_factory):
    """A data root with the handwritten digits and their split."""
    root = tmp_path_factory.mktemp("embedded")
    few_digits(root)
    assert main(["digits", "--root", str(root)]) == 0
    return root


@pytest.fixture(scope="session")
def trained(tmp_path_factory, embedded):
    """The folder of a run of CoOp on one image per class, two epochs."""
    with pytest.MonkeyPatch.context() as patch:
        person = Person(tmp_path_factory.mktemp("trained"), patch, embedded, None)
        person.really_train("TRAIN.CHECKPOINT_FREQ 1")
        assert person.code == 0, person.errors
    return person.output


@pytest.fixture
def person(tmp_path, monkeypatch, embedded, trained):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield Person(tmp_path, monkeypatch, embedded, trained)
    shutil.rmtree(tmp_path, ignore_errors=True)
