"""Commands whose console lacks letters, or whose reader goes away."""

import errno
import os
import subprocess
import sys

import pytest

from tests.fake_runs import FakeRuns

OTHER_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
COMMAND = """\
import os, sys
from support import standard_streams

def main():
    {}

if __name__ == "__main__":
    sys.exit(standard_streams.run(main))
"""


@pytest.fixture
def command(tmp_path, root, monkeypatch):
    """Writes a command with this body; returns its words."""
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.chdir(tmp_path)

    def write(body: str) -> list[str]:
        (tmp_path / "command.py").write_text(COMMAND.format(body.replace("\n", "\n    ")), encoding="utf-8")
        return [sys.executable, "command.py"]

    return write


@pytest.mark.parametrize(
    ("environment", "shown"),
    [
        ({"PYTHONIOENCODING": "ascii:strict"}, rb"caf\xe9 \u4e2d 1 \xb1 2"),
        ({"PYTHONIOENCODING": "latin-1"}, b"caf\xe9 \\u4e2d 1 \xb1 2"),
        ({"PYTHONIOENCODING": "cp1252:strict"}, b"caf\xe9 \\u4e2d 1 \xb1 2"),
        ({"PYTHONIOENCODING": "utf-8"}, "café 中 1 ± 2".encode()),
        (OTHER_LOCALE, rb"caf\xe9 \u4e2d 1 \xb1 2"),
    ],
)
def test_a_letter_that_the_console_lacks_is_escaped(environment, shown, command):
    words = command('print("café 中 1 ± 2"); print("café", file=sys.stderr); return 3')
    done = subprocess.run(words, env={**os.environ, **environment}, capture_output=True)
    assert (done.stdout.rstrip(), done.returncode) == (shown, 3)
    assert done.stderr.startswith(b"caf")


def test_names_of_files_are_utf8_in_every_locale(command, tmp_path):
    (tmp_path / "中").mkdir()
    words = command('print([ascii(n) for n in sorted(os.listdir()) + sys.argv[1:]]); open("é", "w").write("é")')
    done = subprocess.run([*words, "né"], env={**os.environ, **OTHER_LOCALE}, capture_output=True, text=True)
    assert eval(done.stdout) == [ascii(name) for name in ("command.py", "中", "né")], done.stderr
    assert (tmp_path / "é").read_bytes() == "é".encode()


def with_closed_pipe(words: list, **options) -> subprocess.CompletedProcess:
    """Run a command whose output goes into a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return subprocess.run(list(map(str, words)), stdout=writer, stderr=subprocess.PIPE, text=True, **options)
    finally:
        os.close(writer)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_command_outlives_the_reader_of_its_output(unbuffered, command, tmp_path):
    words = command('for _ in range(9999): print("many lines")\nopen("end", "w").close(); return 4')
    done = with_closed_pipe(words, env={**os.environ, "PYTHONUNBUFFERED": unbuffered})
    assert (done.returncode, done.stderr) == (4, "")
    assert (tmp_path / "end").exists()


def test_a_command_outlives_its_terminal(command, tmp_path):
    own, terminal = os.openpty()
    words = command('sys.stdin.read(); print("seen", flush=True); open("end", "w").close()')
    running = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=terminal, stderr=subprocess.PIPE)
    os.close(terminal)
    os.close(own)
    assert running.communicate()[1] == b"" and running.returncode == 0
    assert (tmp_path / "end").exists()


def test_without_any_output(command, tmp_path):
    words = command('print("nobody"); print("nobody", file=sys.stderr); open("end", "w").close()')
    subprocess.run(["sh", "-c", '"$0" "$@" >&- 2>&-', *words], check=True)
    assert (tmp_path / "end").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_stays_an_error(command):
    words = command('from support.user_error import exit_code\nreturn exit_code(lambda: print("lost", flush=True))')
    with open("/dev/full", "w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and done.stderr.startswith(f"error: {os.strerror(errno.ENOSPC)}: free some space")


@pytest.mark.parametrize(
    "words",
    [
        "train.py --help",
        "parse_test_res.py {runs}/digits/CoOp/tiny_4shots",
        "benchmark.py report {runs} --html {runs}/page.html",
        "draw_curves.py {runs} --save-dir {runs}/curves",
        "-m datasets.check digits --root {runs}",
    ],
)
def test_commands_end_quietly_where_nobody_reads(words, root, tmp_path):
    FakeRuns(tmp_path).add_few_shot("digits", "CoOp/tiny", 4, 1, 60.0)
    done = with_closed_pipe([sys.executable, *words.format(runs=tmp_path).split()], cwd=root)
    assert done.returncode == 0
    assert done.stderr in ("", f"report page: {tmp_path}/page.html\n")
    assert ("page.html" in words) == (tmp_path / "page.html").exists()


def test_a_sweep_goes_on_with_its_runs_where_nobody_reads(recorder, root, tmp_path):
    words = "few_shot --trainers CoOp --datasets digits --shots 1 --seeds 1 2 3 --jobs 1 --output"
    done = with_closed_pipe([sys.executable, root / "benchmark.py", *words.split(), tmp_path / "output"], cwd=root)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list(tmp_path.glob("output/digits/CoOp/*/seed*/results.json"))) == len(recorder()) == 3


def test_a_run_and_its_report_in_a_locale_without_its_letters_and_without_a_reader(root, tmp_path):
    """From the class's folder to log.txt, results.json and the report, whose names and texts are UTF-8 everywhere."""
    from PIL import Image

    for name in ("café", "tea", "中"):
        (tmp_path / "data" / "mine" / name).mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (8, 8), (60 * number, len(name), 0)).save(
                tmp_path / "data" / "mine" / name / f"{number}.png"
            )
    run = tmp_path / "output" / "mine" / "CoOp" / "tiny_1shots" / "seed1"
    configured = root / "configs"
    environment = {**os.environ, **OTHER_LOCALE, "PYTHONWARNDEFAULTENCODING": "1", "OMP_NUM_THREADS": "1"}
    done = with_closed_pipe(
        [
            *(sys.executable, "train.py", f"--root={tmp_path / 'data'}", "--seed", 1, "--trainer", "CoOp"),
            *("--config-file", configured / "trainers/CoOp/tiny.yaml", "--output-dir", run),
            *("--dataset-config-file", configured / "datasets/image_folder.yaml", "DATASET.DIR", "mine"),
            *("DATASET.NUM_SHOTS", 1, "OPTIM.MAX_EPOCH", 1, "DATALOADER.NUM_WORKERS", 1),
            *("TEST.PER_CLASS_RESULT", True, "TEST.COMPUTE_CMAT", True),
        ],
        cwd=root,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if "EncodingWarning" in line and "site-packages" not in line]
    log = (run / "log.txt").read_text(encoding="utf-8")
    assert "* class: 0 (café)" in log and "* class: 2 (中)" in log and "\nElapsed: " in log
    assert (run / "cmat.csv").read_text(encoding="utf-8").startswith("true class,café,tea,中\ncafé,")
    report = subprocess.run(
        [sys.executable, "benchmark.py", "report", str(tmp_path / "output")],
        **{"cwd": root, "env": environment, "capture_output": True},
    )
    assert report.returncode == 0, report.stderr
    assert b"CoOp" in report.stdout
