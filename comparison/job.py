"""A job: one run of train.py, what it writes, and whether that is there already."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from comparison.logs import LOG
from comparison.methods import ROOT
from comparison.run_spec import RESULTS, RunSpec
from support.user_error import ResultsError, UserError

if TYPE_CHECKING:
    from comparison.settings import Settings
    from dassl.config import CfgNode

# What needs PyTorch is imported where it is used, so that the scripts start at once.

PROMPT = "\n$ "  # before the command line, with which each attempt begins in the log


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        spec: what it is.
        arguments: of train.py.
        folder: where it writes.
        model: the folder of the run whose model it tests, or None.
        output: the folder of all results.
    """

    spec: RunSpec
    arguments: tuple[str, ...]
    folder: Path
    model: Path | None
    output: Path

    @classmethod
    def of(
        cls, spec: RunSpec, dataset_file: str, data: str, output: Path, pairs: Sequence[str] = (), trains: bool = True
    ) -> Job:
        """The run that ``spec`` tells.

        Args:
            dataset_file: name of the dataset's file in configs/datasets/.
            data: folder of the datasets; output: folder of all results.
            pairs: KEY VALUE pairs for train.py.
            trains: whether the method has anything to train or to load.
        """
        folder = output / spec.folder
        model = output / spec.model.folder if spec.model else None
        configs = ROOT / "configs"
        arguments = ["--root", data]
        arguments += ["--seed", str(spec.seed)] if spec.seed is not None else []
        arguments += ["--trainer", spec.trainer]
        arguments += ["--dataset-config-file", str(configs / "datasets" / f"{dataset_file}.yaml")]
        arguments += ["--config-file", str(configs / "trainers" / spec.trainer / f"{spec.config}.yaml")]
        arguments += ["--output-dir", str(folder)]
        arguments += ["--variant", spec.variant] if spec.variant else []
        arguments += ["--eval-only"] if model or not trains else []
        arguments += ["--model-dir", str(model)] if model else []
        if spec.shots and spec.protocol in ("few_shot", "base2new"):
            arguments += ["DATASET.NUM_SHOTS", str(spec.shots)]
        arguments += ["DATASET.SUBSAMPLE_CLASSES", spec.classes] if spec.classes != "all" else []
        return cls(spec, (*arguments, *pairs), folder, model, output)

    def __str__(self) -> str:
        return str(self.spec)

    @property
    def kind(self) -> tuple:
        """Jobs of one kind take about as long."""
        return self.spec.protocol, self.spec.classes, self.spec.method

    @property
    def command(self) -> list[str]:
        """With the interpreter that the scripts take."""
        return [os.environ.get("PYTHON") or sys.executable, str(ROOT / "train.py"), *self.arguments]

    @property
    def key(self) -> str:
        """The hash of its full configuration, the model that it tests included."""
        from comparison.settings import digest

        return digest(self.settings)

    @cached_property
    def settings(self) -> Settings:
        """What its result depends on. Raises UserError where the configuration is wrong."""
        from comparison.settings import settings_of

        settings = settings_of(self.configuration)
        return {**settings, "model": self.spec.model.trained} if self.spec.model else settings

    @cached_property
    def configuration(self) -> CfgNode:
        """The configuration that train.py makes of its arguments. Raises UserError where it would refuse them."""
        import train

        return train.setup_cfg(train.parse_args(list(self.arguments)))

    def is_in_vain(self) -> bool:
        """Whether it would test on new classes a model that serves those of its training alone."""
        from dassl.engine import TRAINER_REGISTRY

        if self.model is None or self.spec.classes != "new":
            return False
        cfg = self.configuration  # which imports the trainers
        trainer = TRAINER_REGISTRY.get(self.spec.trainer)
        return not getattr(trainer, "knows_new_classes", lambda cfg: True)(cfg)

    def check(self) -> None:
        """UserError where train.py would refuse the configuration."""
        _ = self.settings

    @property
    def log(self) -> Path:
        """What its processes print, errors too; beside the results of all."""
        return self.output / "logs" / f"{self.folder.relative_to(self.output).as_posix().replace('/', '-')}.log"

    def is_finished(self) -> bool:
        """Whether its results.json is there."""
        return (self.folder / RESULTS).is_file()

    def is_complete(self) -> bool:
        """Whether its results.json is there and of this configuration.

        Raises:
            UserError: the file is damaged, or of a run with other settings.
        """
        from comparison.results_file import read_results
        from comparison.runs import result_settings
        from comparison.settings import describe, differing

        if not self.is_finished():
            return False
        file = self.folder / RESULTS
        results = read_results(file)
        found = result_settings(results)
        if keys := differing(found, self.settings):
            raise ResultsError(
                f"{file} is of other settings (there, now: {describe(found, self.settings, keys)}): delete it, or give "
                "these runs a folder of their own with --variant NAME"
            )
        return True

    def seconds_taken(self) -> float | None:
        """How long it took, by its results.json; without a wait for a machine."""
        from comparison.results_file import read_results

        try:
            return read_results(self.folder / RESULTS)["seconds"].get("total")
        except UserError:
            return None

    def progress(self) -> tuple[float, str]:
        """The share that its log shows as done, and in words what it is doing."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(file.seek(0, 2) - 20_000, 0))
                text = file.read().decode(errors="replace").rpartition(PROMPT)[2]  # without earlier attempts
        except OSError:
            return 0.0, "starting"
        if "Evaluate on the *test* set" in text:
            return 1.0, "testing"
        found = re.findall(r"epoch \[(\d+)/(\d+)\] batch \[(\d+)/(\d+)\]", text)
        if not found:
            return 0.0, "starting"
        epoch, epochs, batch, batches = map(int, found[-1])
        return (epoch - 1 + batch / batches) / epochs, f"epoch {epoch}/{epochs}, batch {batch}/{batches}"

    def last_lines(self, count: int = 10) -> list[str]:
        """The end of what its processes printed."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return [f"(no {LOG})"]
        return [line for line in lines if line.strip()][-count:]
