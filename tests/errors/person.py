"""A person at the command line, for the cases of the errors."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from PIL import Image

from comparison import dataset_files, job, methods, slurm

ROOT = Path(__file__).resolve().parents[2]


class Person:
    """Works in an empty folder; all that a command writes beside the data goes to output/ there.

    Attributes:
        folder: where the person is.
        data: the data root for what a case makes itself.
        output: what a run would write.
        embedded: a data root with the handwritten digits, shared by all cases.
        patch: pytest's monkeypatch.
        code, errors: exit code and standard error of the last command.
        changed: whether that command, which failed, changed what is in ``output``.
        expected_code: of that command.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, embedded: Path, trained: Path):
        self.folder, self.patch, self.embedded, self._trained = folder, patch, embedded, trained
        self.data, self.output = folder / "data", folder / "output"
        self.code, self.errors, self.changed = 0, "", False
        self.expected_code = 2
        patch.chdir(folder)
        for module in (dataset_files, job, methods, slurm):
            patch.setattr(module, "ROOT", ROOT)  # is relative to where the person was when it was imported

    # what is there

    def write(self, path: str, content: str | bytes = "") -> Path:
        """A file in the person's folder."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            file.write_text(content, encoding="utf-8")
        return file

    def images(self, *paths: str) -> None:
        """Images under the data root; "cat/{4}.png" stands for four of them."""
        for path in paths:
            start, brace, rest = path.partition("{")
            count, _, end = rest.partition("}")
            for file in [f"{start}{number}{end}" for number in range(int(count))] if brace else [path]:
                Path(self.data, file).parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (8, 8)).save(self.data / file)

    def has_trained(self, folder: str = "output") -> Path:
        """A finished run of CoOp, of two epochs, in the person's folder; returns its checkpoint's folder."""
        shutil.copytree(self._trained, self.folder / folder)
        return self.folder / folder / "prompt_learner"

    # commands

    def train(self, words: str = "", trainer: str = "CoOp", dataset: str = "digits", flags: str = "--no-train") -> None:
        """train.py with the tiny configuration; only builds the trainer, unless ``flags`` say otherwise."""
        import train

        configured = ROOT / "configs" / "trainers" / trainer / "tiny.yaml"
        root = self.embedded if dataset == "digits" else self.data
        self.type(
            train.run,
            *("--root", str(root), "--output-dir", "output", "--seed", "1", "--trainer", trainer),
            *("--config-file", str(configured if configured.exists() else ROOT / "configs/trainers/CoOp/tiny.yaml")),
            *("--dataset-config-file", str(ROOT / "configs" / "datasets" / f"{dataset}.yaml")),
            *shlex.split(flags),
            *shlex.split(words),
        )

    def really_train(self, words: str = "", trainer: str = "CoOp", flags: str = "") -> None:
        """Train on one image per class for two epochs."""
        self.train(f"DATASET.NUM_SHOTS 1 OPTIM.MAX_EPOCH 2 TEST.NO_TEST True {words}", trainer, flags=flags)

    def test(self, words: str = "", trainer: str = "CoOp", flags: str = "--model-dir model") -> None:
        """Test the model of the run in the folder model/."""
        self.train(f"DATASET.NUM_SHOTS 1 {words}", trainer, flags=f"--eval-only {flags}")

    def benchmark(self, words: str) -> None:
        import benchmark

        self.type(benchmark.main, *shlex.split(words))

    def sweep(self, words: str = "", protocol: str = "base2new --datasets digits") -> None:
        """benchmark.py with one small run, which is not started."""
        self.benchmark(f"{protocol} --trainers CoOp --seeds 1 --output output --data {self.embedded} --dry-run {words}")

    def prepare(self, words: str) -> None:
        from datasets.prepare.__main__ import main

        self.type(main, *shlex.split(words), "--root", str(self.data))

    def check(self, words: str) -> None:
        from datasets.check.__main__ import main

        self.type(main, *shlex.split(words), "--root", str(self.data))

    def type(self, main: Callable[[list[str]], int], *words: str) -> None:
        """Call a command's own function with its arguments, and keep what came of it."""
        before, errors = _content(self.output), io.StringIO()
        with redirect_stderr(errors), redirect_stdout(io.StringIO()):
            try:
                self.code = main(list(words))
            except SystemExit as stopped:
                self.code = stopped.code
        self.errors, self.changed = errors.getvalue(), _content(self.output) != before

    def shell(self, *words: str, **environment: str) -> None:
        """A command in a shell of its own, in which ``environment`` is set, too."""
        before = _content(self.output)
        done = subprocess.run(
            words,
            cwd=self.folder,
            env={**os.environ, "PYTHON": sys.executable, "OUTPUT": str(self.output), **environment},
            capture_output=True,
            text=True,
        )
        self.code, self.errors, self.changed = done.returncode, done.stderr, _content(self.output) != before


def _content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }
