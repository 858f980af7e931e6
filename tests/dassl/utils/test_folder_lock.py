import os
import platform
import signal
import subprocess
import sys

import pytest

from dassl.utils import OutputError
from dassl.utils.folder_lock import LOCK, locked

HOLDER = """
import os, sys, time
from dassl.utils.folder_lock import locked
with locked(sys.argv[1]):
    if len(sys.argv) > 2 and os.fork() == 0:  # as the processes that load images
        time.sleep(60)
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(folder, root, *more):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), *more],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert holder.stdout.readline() == "held\n"
    return holder


def test_a_folder_in_use_is_refused_naming_process_and_machine(tmp_path, root):
    holder = hold(tmp_path, root)
    with pytest.raises(OutputError) as caught, locked(str(tmp_path)):
        pass
    holder_named = f"process {holder.pid} on {platform.node()}"
    assert str(caught.value) == (
        f"{tmp_path} is in use by {holder_named}: wait until that has ended, or choose another --output-dir"
    )
    holder.communicate("")
    assert not os.listdir(tmp_path)
    with locked(str(tmp_path)):
        assert os.listdir(tmp_path) == [LOCK]


def test_a_killed_process_holds_nothing_though_its_children_live(tmp_path, root):
    holder = hold(tmp_path, root, "with a child")
    holder.kill()
    holder.wait()
    try:
        with locked(str(tmp_path)):
            assert f"process {os.getpid()}" in (tmp_path / LOCK).read_text()
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
        holder.stdout.close()
        holder.stdin.close()


def test_what_killed_processes_had_begun_to_write_is_removed_and_nothing_else(tmp_path):
    (tmp_path / "learner").mkdir()
    for name in ("learner/model.pth.tar-2.tmp-123", "results.json.tmp-9", "results.json", "notes.tmp", "a.tmp-b"):
        (tmp_path / name).write_text("")
    with locked(str(tmp_path)):
        pass
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.tmp-b", "learner", "notes.tmp", "results.json"]


def test_what_another_run_is_writing_in_a_folder_below_stays(tmp_path, root):
    (tmp_path / "other/learner").mkdir(parents=True)
    for name in ("other/results.json.tmp-7", "other/learner/model.pth.tar-2.tmp-7", "results.json.tmp-8"):
        (tmp_path / name).write_text("")
    holder = hold(tmp_path / "other", root)
    (tmp_path / "other/results.json.tmp-7").write_text("")
    (tmp_path / "other/learner/model.pth.tar-2.tmp-7").write_text("")
    with locked(str(tmp_path)):
        pass
    holder.communicate("")
    left = sorted(path.name for path in tmp_path.rglob("*.tmp-*"))
    assert left == ["model.pth.tar-2.tmp-7", "results.json.tmp-7"]


def test_a_folder_that_cannot_be_written_in_is_one_line(tmp_path):
    (tmp_path / LOCK).mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*/\.lock: Is a directory; .* choose another folder"):
        with locked(str(tmp_path)):
            pass


def test_a_file_system_without_locks_is_told_and_used(tmp_path, monkeypatch, capsys):
    def no_locks(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.lockf", no_locks)
    with locked(str(tmp_path)):
        assert "this file system has no locks (No locks available)" in capsys.readouterr().out
