"""Processes forked from a warm server are like those of a fresh interpreter."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from comparison.workers import stop_process
from support.warm_python import ServerLost, WarmPython

pytestmark = pytest.mark.skipif(not WarmPython.is_possible(), reason="no fork here")

WHAT_IT_FINDS = """
import json, os, signal, sys, threading
streams = [sys.stdin, sys.stdout, sys.stderr]
print(json.dumps({
    "argv": sys.argv, "orig_argv": sys.orig_argv, "path": sys.path[0], "main": __name__, "file": __file__,
    "main module": sys.modules["__main__"].__dict__ is globals(),
    "folder": os.getcwd(), "environment": dict(os.environ), "leads its session": os.getsid(0) == os.getpid(),
    "handlers": [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "streams": [[s.encoding, s.errors, s.line_buffering, s.write_through, s.fileno(), s.isatty()] for s in streams],
    "input": sys.stdin.read(), "threads": threading.active_count(), "umask": os.umask(0), "flags": str(sys.flags),
    "descriptors": sorted(os.listdir("/proc/self/fd")),
}))
print("an error", file=sys.stderr)
"""
ENDS = {
    "returns": ("print('done')", 0),
    "exit code": ("import sys; sys.exit(3)", 3),
    "text": ("import sys; sys.exit('no')", 1),
    "exception": ("def f():\n    raise ValueError('wrong')\nf()", 1),
    "killed": ("import os; print('lost'); os.kill(os.getpid(), 15)", -15),
    "interrupted": ("raise KeyboardInterrupt", -2),
    "atexit": ("import atexit; atexit.register(print, 'at the end'); print('before')", 0),
    "thread": (
        "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.2), print('thread'))).start()",
        0,
    ),
    "child": (
        "import multiprocessing\nif __name__ == '__main__':\n"
        "    process = multiprocessing.Process(target=print, args=('child',)); process.start(); process.join()",
        0,
    ),
    "daemon": (
        "import multiprocessing, time\nif __name__ == '__main__':\n"
        "    multiprocessing.Process(target=time.sleep, args=(60,), daemon=True).start()",
        0,
    ),
}


@pytest.fixture(scope="module")
def server():
    server = WarmPython(["numpy"], environment())
    yield server
    server.close()


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONIOENCODING": "utf-8", **more}


def warm(server: WarmPython, folder: Path, *arguments: str, **more: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a process of the server."""
    out, errors = folder / "warm.out", folder / "warm.err"
    process = server.start(arguments, environment(**more), folder, out, errors)
    return process.wait(20), out.read_text(), errors.read_text()


def cold(folder: Path, *arguments: str, **more: str) -> tuple[int, str, str]:
    """The same of a fresh interpreter."""
    with (folder / "cold.out").open("w+") as out, (folder / "cold.err").open("w+") as errors:
        done = subprocess.run(
            [sys.executable, *arguments],
            **{"cwd": folder, "env": environment(**more), "stdout": out, "stderr": errors},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            timeout=20,
        )
    return done.returncode, (folder / "cold.out").read_text(), (folder / "cold.err").read_text()


def test_a_program_finds_what_it_finds_in_a_fresh_interpreter(server, tmp_path, monkeypatch):
    monkeypatch.setenv("OF_THE_CALLER", "ä")
    monkeypatch.delenv("HOME")
    script = str(tmp_path / "script.py")
    Path(script).write_text(WHAT_IT_FINDS)
    code, out, errors = warm(server, tmp_path, script, "a", "b c", OF_THE_RUN="1")
    expected_code, expected_out, expected_errors = cold(tmp_path, script, "a", "b c", OF_THE_RUN="1")
    assert json.loads(out) == json.loads(expected_out)
    assert (code, errors) == (expected_code, expected_errors)


def test_a_module_is_run_as_python_m_does(server, tmp_path):
    (tmp_path / "module.py").write_text("import sys; print(__name__, __spec__.name, sys.argv, sys.path[0])")
    assert warm(server, tmp_path, "-m", "module", "a") == cold(tmp_path, "-m", "module", "a")


@pytest.mark.parametrize("end", ENDS)
def test_a_program_ends_as_in_a_fresh_interpreter(end, server, tmp_path):
    script, expected = ENDS[end]
    (tmp_path / "script.py").write_text(script)
    code, out, errors = warm(server, tmp_path, "script.py")
    expected_code, expected_out, expected_errors = cold(tmp_path, "script.py")
    assert code == expected_code == expected
    assert out == expected_out
    assert errors.splitlines()[-2:] == expected_errors.splitlines()[-2:]
    assert errors.count("\n") < expected_errors.count("\n") + 12  # its traceback begins in the server


def test_neighbours_have_random_numbers_of_their_own(server, tmp_path):
    (tmp_path / "script.py").write_text("import numpy, random; print(numpy.random.rand(), random.random())")
    for _ in range(2):
        assert warm(server, tmp_path, "script.py")[0] == 0
    first, second = (line.split() for line in (tmp_path / "warm.out").read_text().splitlines())
    assert first[0] != second[0] and first[1] != second[1]


def test_a_process_can_be_ended_as_soon_as_it_is_started(server, tmp_path):
    (tmp_path / "script.py").write_text("import time; time.sleep(60)")
    for _ in range(5):
        process = server.start(["script.py"], environment(), tmp_path, tmp_path / "log", tmp_path / "log")
        stop_process(process)
        assert process.poll() == -signal.SIGTERM


def test_a_lost_server_is_told_and_its_process_can_be_ended(tmp_path):
    server = WarmPython([], environment())
    (tmp_path / "script.py").write_text("import time; time.sleep(60)")
    process = server.start(["script.py"], environment(), tmp_path, tmp_path / "log", tmp_path / "log")
    server._server.kill()
    with pytest.raises(ServerLost):
        process.wait(20)
    assert server.is_lost
    stop_process(process)
    assert has_ended(process.pid)
    with pytest.raises(ServerLost):
        server.start(["script.py"], environment(), tmp_path, tmp_path / "log", tmp_path / "log")


def test_the_server_ends_with_a_killed_caller_and_its_process_goes_on(root, tmp_path):
    (tmp_path / "script.py").write_text("import time; time.sleep(1); print('done', flush=True); time.sleep(60)")
    (tmp_path / "caller.py").write_text(
        "import os, sys\nfrom pathlib import Path\nfrom support.warm_python import WarmPython\n"
        "server, folder = WarmPython([], os.environ), Path(__file__).parent\n"
        "process = server.start(['script.py'], os.environ, folder, folder / 'log', folder / 'log')\n"
        "print(server._server.pid, process.pid, flush=True)\nos.kill(os.getpid(), 9)\n"
    )
    caller = subprocess.run(  # it ends as its pipe is closed, which the others must not keep open
        [sys.executable, "caller.py"],
        **{"cwd": tmp_path, "env": environment(PYTHONPATH=str(root)), "capture_output": True, "timeout": 20},
    )
    server, process = map(int, caller.stdout.split())
    try:
        assert has_ended(server)
        deadline = time.monotonic() + 20
        while (tmp_path / "log").read_text() != "done\n" and time.monotonic() < deadline:
            time.sleep(0.05)
        assert (tmp_path / "log").read_text() == "done\n"
    finally:
        os.killpg(process, signal.SIGKILL)


def has_ended(pid: int) -> bool:
    """Whether it ends soon, a zombie included."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False
