"""Walking a person's folder: links followed but not twice, what systems put there passed over, one order."""

import os

import pytest

from support.folders import walk
from support.user_error import DataError


@pytest.fixture
def make(tmp_path):
    """Make empty files under tmp_path/top; returns that folder."""

    def make(*paths):
        for path in paths:
            file = tmp_path / "top" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        return tmp_path / "top"

    return make


def below(top, paths):
    return [os.path.relpath(path, top) for path in paths]


def test_files_are_sorted_and_those_of_systems_passed_over(make):
    top = make("b/2.jpg", "b/1.jpg", "a.jpg", ".hidden.jpg", "@eaDir/a.jpg", ".cache/x.jpg", "Thumbs.db", "c.txt")
    assert below(top, walk(str(top)).files) == ["a.jpg", "b/1.jpg", "b/2.jpg", "c.txt"]


def test_links_are_followed_and_dead_ones_told(make, tmp_path):
    top = make("a.jpg")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/b.jpg").touch()
    (top / "linked").symlink_to(tmp_path / "elsewhere")
    (top / "gone.jpg").symlink_to("nowhere.jpg")
    found = walk(str(top))
    assert below(top, found.files) == ["a.jpg", "linked/b.jpg"] and below(top, found.dead) == ["gone.jpg"]
    assert not found.repeated


@pytest.mark.parametrize("target", [".", "..", "../..", "/"])
def test_a_link_to_a_folder_that_it_lies_in_is_not_followed(make, target):
    top = make("a/1.jpg")
    (top / "a/again").symlink_to(target)
    found = walk(str(top))
    assert below(top, found.files) == ["a/1.jpg"]
    assert found.repeated == [
        f"the link {top}/a/again leads back to {os.path.realpath(top / 'a' / target)}, which it lies in"
    ]


def test_no_folder_is_read_twice(make):
    top = make("a/1.jpg", "z/2.jpg")
    (top / "b").symlink_to("a")
    (top / "a/z").symlink_to(top / "z")
    (top / "z/a").symlink_to(top / "a")
    found = walk(str(top))
    assert below(top, found.files) == ["a/1.jpg", "a/z/2.jpg"]
    assert len(found.repeated) == 3 and f"{top}/b and {top}/a are one folder through a link" in found.repeated[1]


def test_the_folder_may_be_a_link_and_relative(make, monkeypatch):
    top = make("a/1.jpg")
    (top / "link").symlink_to("a")
    monkeypatch.chdir(top)
    assert walk("link").files == ["link/1.jpg"] and walk(".").files == ["./a/1.jpg"]


def test_a_folder_that_cannot_be_listed_is_named(make):
    with pytest.raises(DataError, match="nowhere cannot be listed"):
        walk(str(make("a.jpg") / "nowhere"))
