"""A share of the inputs of ``python -m tests.hostile``, every kind, in seconds; HOSTILE_INPUTS sets how many in all."""

import os

import pytest

from support.user_error import DataError, UserError
from tests.hostile.attempts import Hang, Kind, attempt, limited_time, try_all
from tests.hostile.kinds import by_name

INPUTS = int(os.environ.get("HOSTILE_INPUTS", 500))


@pytest.mark.parametrize("name", by_name())
def test_an_input_loads_or_is_refused_in_one_line(name, tmp_path):
    kind = by_name()[name]
    outcomes = try_all(kind, INPUTS * kind.share // 100, tmp_path)
    assert outcomes.keys() <= {"loaded", "refused"} and outcomes["refused"], outcomes


def test_the_shares_are_the_whole():
    assert sum(kind.share for kind in by_name().values()) == 100


# That the harness would notice -------------------------------------------------------------------------------------


def tried(load, tmp_path) -> str:
    folder = tmp_path / "files"
    folder.mkdir()
    (tmp_path / "beside.txt").write_text("stays")
    return attempt(Kind("made up", None, load, 0), b"", folder)


def test_a_refusal_is_of_a_kind_and_one_line(tmp_path):
    def refuse(content, folder):
        raise DataError("a.txt is damaged: get it again")

    assert tried(refuse, tmp_path) == "refused"


@pytest.mark.parametrize("error", [UserError("of no kind"), DataError(""), ValueError("of no user")])
def test_another_error_is_a_crash(error, tmp_path):
    def fail(content, folder):
        raise error

    with pytest.raises((AssertionError, ValueError)):
        tried(fail, tmp_path)


def test_a_file_written_beside_the_folder_is_a_crash(tmp_path):
    with pytest.raises(AssertionError, match="beside"):
        tried(lambda content, folder: (folder.parent / "new.txt").touch(), tmp_path)


def test_an_endless_input_is_a_hang(monkeypatch):
    monkeypatch.setattr("tests.hostile.attempts.SECONDS", 0.05)
    with pytest.raises(Hang), limited_time():
        while True:
            pass
