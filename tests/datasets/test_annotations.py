import os

import numpy as np
import pytest
from scipy.io import savemat

from datasets import annotations
from support.user_error import DataError


def test_lines_are_numbered_and_empty_ones_and_marks_of_editors_dropped(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes(b"\xef\xbb\xbffirst\r\n\r\n  third \r\n")
    assert list(annotations.read_lines(str(path))) == [(1, "first"), (3, "third")]


def test_json_with_a_mark_of_an_editor_is_read(tmp_path):
    path = tmp_path / "names.json"
    path.write_bytes(b'\xef\xbb\xbf{"1": "caf\xc3\xa9"}')
    assert annotations.read_json(str(path)) == {"1": "café"}


@pytest.mark.parametrize("read", [annotations.read_json, lambda path: list(annotations.read_lines(path))])
def test_a_file_that_cannot_be_read_is_named(read, tmp_path, user_error):
    path = tmp_path / "file"
    assert user_error(read, str(path)) == f"{path} cannot be read (No such file or directory): get the file again"
    assert user_error(read, str(tmp_path)) == f"{tmp_path} cannot be read (Is a directory): get the file again"
    path.write_bytes(b"caf\xe9")
    assert user_error(read, str(path)) == f"{path} cannot be read (it is not UTF-8 text): get the file again"


def test_json_that_is_nested_without_end_is_named(tmp_path, user_error):
    path = tmp_path / "deep.json"
    path.write_text("[" * 100000)
    assert user_error(annotations.read_json, str(path)).startswith(f"{path} cannot be read (RecursionError")


@pytest.mark.parametrize("rows", [True, False])
def test_matlab_variables_are_vectors_however_they_lie(rows, tmp_path):
    path = str(tmp_path / "file.mat")
    names = np.empty((1, 2), dtype=object)
    names[0] = ["one", "two words"]
    numbers = np.array([[3, 1]], dtype=np.uint8)
    savemat(path, {"names": names if rows else names.T, "numbers": numbers if rows else numbers.T, "single": 7})
    assert [str(name) for name in annotations.read_mat(path, "names")] == ["one", "two words"]
    assert annotations.read_mat(path, "numbers").tolist() == [3, 1]
    assert annotations.read_mat(path, "single").tolist() == [7]


def test_a_matlab_file_without_the_variable_is_named(tmp_path, user_error):
    path = str(tmp_path / "file.mat")
    assert user_error(annotations.read_mat, path, "labels").startswith(f"{path} cannot be read (")
    savemat(path, {"other": 1})
    assert f"{path} cannot be read (KeyError: 'labels')" in user_error(annotations.read_mat, path, "labels")


def test_a_matlab_file_that_unpacks_to_more_than_memory_is_refused(tmp_path, user_error, monkeypatch):
    path = str(tmp_path / "file.mat")
    savemat(path, {"labels": np.zeros(10**6)}, do_compression=True)
    assert len(annotations.read_mat(path, "labels")) == 10**6
    monkeypatch.setattr(annotations, "MOST_UNPACKED", 10**6)
    assert "unpacks to more than 1,000,000 bytes" in user_error(annotations.read_mat, path, "labels")


@pytest.mark.parametrize("value", [np.inf, np.nan, 1e300, "x"])
def test_a_matlab_value_that_is_no_class_is_numbered(value, tmp_path, user_error):
    path = str(tmp_path / "file.mat")
    savemat(path, {"labels": [1.0, value]} if value != "x" else {"labels": np.array([1, "x"], dtype=object)})
    parse = lambda number: annotations.label_of(int(number)) if float(number) < 100 else int("x")  # noqa: E731
    assert f"{path}, labels 2" in user_error(annotations.parse_mat, path, "labels", parse, "<class>")


@pytest.mark.parametrize("read", [annotations.read_json, lambda path: annotations.read_mat(path, "labels")])
def test_a_pipe_is_refused_at_once(read, tmp_path, user_error):
    os.mkfifo(tmp_path / "pipe")
    assert "no regular file" in user_error(read, str(tmp_path / "pipe"))


def test_a_file_that_cannot_be_understood_is_an_error_of_the_data(tmp_path):
    with pytest.raises(DataError):
        annotations.read_json(str(tmp_path / "missing"))


def test_an_entry_that_does_not_parse_is_numbered(tmp_path, user_error):
    path = tmp_path / "list.txt"
    path.write_text("1\n\n2\nthree\x07\n")
    message = user_error(annotations.parse_lines, str(path), int, "<number>")
    assert message == f'{path}, line 4: expected "<number>", found "three\\u0007": mend it or get the file again'
    path.write_text("1\n2\n")
    assert annotations.parse_lines(str(path), int, "<number>") == [1, 2]

    def look_up(_):
        raise LookupError("nothing is known of it")

    message = user_error(annotations.parse_lines, str(path), look_up, "")
    assert message == f"{path}, line 1: nothing is known of it: get both files again"


@pytest.mark.parametrize("text, label", [("1", 0), ("196", 195)])
def test_classes_are_numbered_from_one(text, label):
    assert annotations.label_of(text) == label


@pytest.mark.parametrize("text", ["0", "-3", "two", ""])
def test_no_class_number(text):
    with pytest.raises(ValueError):
        annotations.label_of(text)
