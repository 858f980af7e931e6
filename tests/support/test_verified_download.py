import hashlib
import random
import shutil
import threading
from collections import namedtuple

import pytest

from support import verified_download
from support.user_error import UserError
from support.verified_download import alone, checksum, fetch
from tests.file_server import FileServer

CONTENT = random.Random(1).randbytes(100_000)
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(verified_download, "_PAUSES", (0, 0, 0, 0))
    with FileServer() as server:
        server.files["file"] = CONTENT
        yield server


@pytest.fixture
def get(server, tmp_path):
    """Fetch the server's file into `tmp_path/cache` and return its path."""

    def get(digest=SHA256, **options):
        path = tmp_path / "cache" / "file"
        fetch(server.url("file"), str(path), digest, **{"scheme": "http", **options})
        return path

    return get


def failure(call, *args, **kwargs):
    with pytest.raises(UserError) as caught:
        call(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def left_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("digest", [SHA256, MD5])
@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_the_file_comes_whole_and_alone(get, digest, size):
    path = get(digest, size=size)
    assert path.read_bytes() == CONTENT and left_in(path.parent) == ["file"]


def test_a_dropped_connection_goes_on_where_it_was(get, server):
    server.drops = [30_000, 20_000]
    assert get().read_bytes() == CONTENT
    assert server.requests == [("file", None), ("file", "bytes=30000-"), ("file", "bytes=50000-")]


def test_a_server_that_cannot_continue_starts_over(get, server):
    server.drops, server.honours_ranges = [30_000], False
    assert get().read_bytes() == CONTENT
    assert server.requests == [("file", None), ("file", "bytes=30000-")]


def test_a_server_that_always_breaks_at_the_same_byte_is_given_up(get, server):
    server.drops, server.honours_ranges = [30_000] * 100, False
    assert "30000" not in failure(get)
    assert 2 < len(server.requests) < 10


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_the_next_call_goes_on_where_the_last_one_ended(get, server, size, tmp_path):
    server.drops = [30_000] + [0] * 10  # after the first bytes nothing comes
    message = failure(get, size=size)
    assert server.url("file") in message and "goes on" in message
    assert left_in(tmp_path / "cache") == ["file.part"]
    server.drops, server.requests = [], []
    assert get(size=size).read_bytes() == CONTENT
    assert server.requests == [("file", "bytes=30000-")]


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_a_complete_part_needs_verifying_only(get, server, size, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/file.part").write_bytes(CONTENT)
    assert get(size=size).read_bytes() == CONTENT
    assert server.requests == ([("file", f"bytes={len(CONTENT)}-")] if size is None else [])


@pytest.mark.parametrize("part", [b"of another version", bytes(len(CONTENT)), bytes(2 * len(CONTENT))])
def test_a_part_of_another_version_is_dropped_once(get, server, part, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/file.part").write_bytes(part)
    assert get().read_bytes() == CONTENT
    assert server.requests[-1] == ("file", None)


@pytest.mark.parametrize("drops", [0, 1])
def test_a_wrong_hash_names_both_hashes_and_leaves_nothing(get, server, drops, tmp_path):
    server.files["file"], server.drops = bytes(100_000), [30_000] * drops
    message = failure(get)
    assert server.url("file") in message
    assert SHA256.removeprefix("sha256:") in message and hashlib.sha256(bytes(100_000)).hexdigest() in message
    assert left_in(tmp_path / "cache") == []
    assert [wanted for _, wanted in server.requests].count(None) == 1 + drops  # a spliced file gets a second chance


def test_another_size_is_noticed_before_the_download(get, server, tmp_path):
    assert "100,000" in failure(get, size=99_999)
    assert left_in(tmp_path / "cache") == []


def test_a_server_that_does_not_tell_the_size(get, server, tmp_path):
    server.tells_size = False
    assert get().read_bytes() == CONTENT
    server.files["file"] = CONTENT + bytes(5_000_000)
    (tmp_path / "cache/file").unlink()
    assert "altered" in failure(get, size=len(CONTENT))
    assert left_in(tmp_path / "cache") == []


@pytest.mark.parametrize("errors", [[503], [429, 500, 502]])
def test_a_busy_server_is_asked_again(get, server, errors):
    server.errors = errors
    assert get().read_bytes() == CONTENT


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_is_final(get, server, status, tmp_path):
    server.errors = [status]
    assert server.url("file") in failure(get)
    assert len(server.requests) == 1 and left_in(tmp_path / "cache") == []


def test_no_connection_is_told_at_once(tmp_path):
    url = "https://127.0.0.1:9/file"
    assert url in failure(fetch, url, str(tmp_path / "file"), SHA256)
    assert left_in(tmp_path) == []


def test_only_https_is_fetched(get, server):
    assert "not https" in failure(get, scheme="https")
    assert server.requests == []


@pytest.mark.parametrize("target", ["https://127.0.0.1:9/file", "ftp://127.0.0.1:9/file", "file:///etc/hostname"])
def test_a_redirection_to_another_scheme_is_refused(get, server, target, tmp_path):
    server.redirections["file"] = target
    failure(get)
    assert left_in(tmp_path / "cache") == []


def test_a_redirection_keeps_asking_for_the_rest(get, server):
    server.files["moved"], server.redirections["file"] = CONTENT, server.url("moved")
    server.drops = [30_000]
    assert get().read_bytes() == CONTENT
    assert server.requests[-1] == ("moved", "bytes=30000-")


def test_a_full_disk_is_told_before_the_download(get, monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: namedtuple("usage", "free")(99_999))
    assert "free" in failure(get)
    assert left_in(tmp_path / "cache") == []


def test_a_disk_that_runs_full_keeps_what_came(get, monkeypatch, tmp_path):
    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(verified_download.os, "fsync", full)
    message = failure(get)
    assert "No space left on device" in message and "file" in message


def test_a_folder_that_cannot_be_made_is_named(server, tmp_path):
    (tmp_path / "in_the_way").touch()
    path = tmp_path / "in_the_way" / "folder" / "file"
    assert str(tmp_path / "in_the_way") in failure(fetch, server.url("file"), str(path), SHA256, scheme="http")
    assert "in_the_way" in failure(alone(str(path)).__enter__)


def test_one_run_at_a_time_holds_the_lock_and_nothing_stays(tmp_path, capsys):
    lock, log = str(tmp_path / "new" / "lock"), []
    inside, leave = threading.Event(), threading.Event()

    def first():
        with alone(lock):
            inside.set()
            leave.wait(10)
            log.append("first")

    def second():
        with alone(lock):
            log.append("second")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert inside.wait(10)
    threads[1].start()
    threads[1].join(0.2)
    assert log == []
    leave.set()
    for thread in threads:
        thread.join(10)
    assert log == ["first", "second"]
    assert "waiting" in capsys.readouterr().out
    assert left_in(tmp_path / "new") == []


def test_checksum_has_the_kind_of_the_digest_it_is_compared_with(tmp_path):
    (tmp_path / "file").write_bytes(CONTENT)
    assert checksum(str(tmp_path / "file"), "sha256:x") == SHA256
    assert checksum(str(tmp_path / "file"), "md5:x") == MD5
