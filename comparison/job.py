"""A job: one run of train.py, what it is to write, and whether that is there already."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from comparison.results_file import read_results
from comparison.runs import LOG, RESULTS, in_words, model_name, placed, result_settings
from comparison.settings import Settings, describe, differing, digest, settings_of
from user_error import ResultsError, UserError

PHASES = {  # protocol of a run's folder -> what it does, in words
    "base": "base classes",
    "new": "new classes",
    "few-shot": "all classes",
    "cross-dataset": "other data set",
    "domain generalization": "shifted data set",
}


PROMPT = "\n$ "  # before the command line, with which each attempt begins in the log


@dataclass(frozen=True)
class Job:
    """One run, told by the arguments of train.py.

    Attributes:
        folder: where it writes.
        model: the folder of the run whose model it tests, or None.
        output: the folder of all results.
    """

    arguments: tuple[str, ...]
    folder: Path
    model: Path | None
    place: tuple  # protocol, dataset, trainer, config, shots and seed of the folder
    output: Path

    @classmethod
    def of(cls, arguments: Sequence[str], output: Path) -> Job:
        """A job of train.py's arguments, as scripts/run.sh gives them, that writes below the folder ``output``."""
        folder = Path(arguments[arguments.index("--output-dir") + 1])
        model = Path(arguments[arguments.index("--model-dir") + 1]) if "--model-dir" in arguments else None
        place = placed(folder.relative_to(output).as_posix())
        return cls(tuple(arguments), folder, model, tuple(place.values()), output)

    def __str__(self) -> str:
        protocol, dataset, trainer, config, shots, seed = self.place
        return f"{trainer} {config}, {dataset}, {in_words(shots)}, seed {seed}, {PHASES[protocol]}"

    @property
    def kind(self) -> tuple:
        """Jobs of one kind take about as long: protocol, trainer and config."""
        protocol, _, trainer, config, *_ = self.place
        return protocol, trainer, config

    @property
    def trainer(self) -> str:
        return self.place[2]

    @property
    def config(self) -> str:
        return self.place[3]

    @property
    def dataset(self) -> str:
        return self.place[1]

    @property
    def key(self) -> str:
        """The hash of its full configuration, the model that it tests included."""
        return digest(self.settings)

    @cached_property
    def settings(self) -> Settings:
        """What its result depends on. Raises UserError where the configuration is wrong."""
        import train

        settings = settings_of(train.setup_cfg(train.parse_args(list(self.arguments))))
        return {**settings, "model": model_name(str(self.model))} if self.model else settings

    def check(self) -> None:
        """UserError where train.py would refuse the configuration."""
        _ = self.settings

    @property
    def log(self) -> Path:
        """What its processes print, errors too; beside the results of all."""
        return self.output / "logs" / f"{self.folder.relative_to(self.output).as_posix().replace('/', '-')}.log"

    def is_complete(self) -> bool:
        """Whether its results.json is there and of this configuration.

        Raises:
            UserError: the file is damaged, or of a run with other settings.
        """
        file = self.folder / RESULTS
        if not file.exists():
            return False
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
