"""Short runs of many kinds that are killed, stopped and denied space, and then have to end as if nothing had been."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from tests import warm_command
from tests.warm_command import WarmCommand

ROOT = Path(__file__).parents[2]
MEASURED = ("seconds", "peak_memory_mb", "environment")  # in results.json, what no two runs share


@dataclass(frozen=True)
class Kind:
    """What one run is: a trainer with its tiny configuration, and settings beside it."""

    trainer: str
    pairs: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return " ".join([self.trainer, *(f"{key} {value}" for key, value in self.pairs.items())])

    def arguments(self, data: Path, folder: Path) -> list[str]:
        pairs = {"DATASET.NUM_SHOTS": "4", "OPTIM.MAX_EPOCH": "3", "TRAIN.CHECKPOINT_STEPS": "2"}
        pairs["DATALOADER.TRAIN_X.BATCH_SIZE"] = "4"
        if self.trainer in ("LinearProbe", "TipAdapter", "GDA"):
            pairs["OPTIM.MAX_EPOCH"] = "1"
        return [
            *("--root", str(data), "--seed", "1", "--trainer", self.trainer, "--output-dir", str(folder)),
            *("--dataset-config-file", str(ROOT / "configs/datasets/digits.yaml")),
            *("--config-file", str(ROOT / f"configs/trainers/{self.trainer}/tiny.yaml")),
            *(word for pair in (pairs | self.pairs).items() for word in pair),
        ]


KINDS = [
    Kind("MuDPT"),
    Kind("CoOp", {"TRAIN.CHECKPOINT_STEPS": "1"}),
    Kind("CLIP_LoRA"),  # draws random numbers in every step
    Kind("PromptSRC"),  # averages over epochs
    Kind("TipAdapterF"),  # fills a cache first
    Kind("MuDPT", {"TEST.FINAL_MODEL": "best_val", "TRAIN.CHECKPOINT_STEPS": "3"}),
    Kind("CoOp", {"DATALOADER.NUM_WORKERS": "2"}),
    Kind("CoOp", {"INPUT.TRANSFORMS": '["normalize"]'}),  # images are encoded once
    Kind("ProGrad"),
    Kind("KgCoOp", {"TRAIN.CHECKPOINT_STEPS": "0"}),
    Kind("MaPLe", {"DATALOADER.NUM_WORKERS": "1", "TRAIN.CHECKPOINT_STEPS": "1"}),
    Kind("VPT", {"TRAIN.CHECKPOINT_FREQ": "1"}),
    Kind("IVLP", {"OPTIM.NAME": "adam"}),
    Kind("TCP"),
    Kind("CLIP_Adapter"),
    Kind("CoCoOp", {"DATASET.NUM_SHOTS": "1"}),
    Kind("MuDPT", {"TRAIN.CHUNK_CLASSES": "2"}),
    Kind("CoOp", {"DATALOADER.TRAIN_X.SAMPLER": "RandomClassSampler", "DATALOADER.TRAIN_X.N_INS": "2"}),
    Kind("LinearProbe"),
    Kind("CLIP_LoRA", {"DATALOADER.NUM_WORKERS": "2", "TEST.FINAL_MODEL": "best_val"}),
]


@dataclass
class Outcome:
    """What befell a run, and whether it ended as the undisturbed one.

    Attributes:
        kills, stops, full_disks, short_writes: how often it was disturbed so.
        resumed, within_epoch: of its starts, how many went on from a checkpoint, and from one within an epoch.
        faults: in words, what was not as it has to be; empty where all was.
    """

    kind: Kind
    kills: int = 0
    stops: int = 0
    full_disks: int = 0
    short_writes: int = 0
    resumed: int = 0
    within_epoch: int = 0
    faults: list[str] = field(default_factory=list)


def start(arguments: list[str], script: tuple[str, ...] = ("train.py",)) -> WarmCommand | subprocess.Popen:
    return warm_command.start([*script, *arguments], ROOT, {**os.environ, "OMP_NUM_THREADS": "1"})


def faulty(kind: str, number: int) -> tuple[str, ...]:
    return "tests/torture/faulty.py", kind, str(number)


class Undisturbed:
    """A run that nothing befell: how it ends, its seconds from the first line on, the file operations it needs."""

    def __init__(self, kind: Kind, data: Path, folder: Path):
        os.environ["COUNT"] = str(folder.parent / "count")
        process = start(kind.arguments(data, folder), faulty("kill", sys.maxsize))
        del os.environ["COUNT"]
        _wait_for_log(process, folder)
        begun = time.monotonic()
        self.printed, errors = process.communicate()
        if process.returncode:
            raise RuntimeError(f"{kind}: {errors}")
        self.seconds = time.monotonic() - begun
        self.operations = int((folder.parent / "count").read_text())
        self.end = end_of(folder)


def disturb(kind: Kind, data: Path, folder: Path, kills: int, others: bool, chance: random.Random) -> Outcome:
    """Kill a run ``kills`` times, then let it end; it begins anew where it ended before that.

    Half of the kills come at a moment, half at a file operation.

    Args:
        folder: for the runs.
        others: also stop it by Ctrl-C and SIGTERM, deny it space, and shorten its writes, once each.
    """
    undisturbed = Undisturbed(kind, data, folder / "undisturbed")
    outcome, disturbed = Outcome(kind), folder / "disturbed"
    arguments = kind.arguments(data, disturbed)
    plan = ["moment", "operation"] * (kills // 2) + ["moment"] * (kills % 2)
    plan += ["SIGINT", "SIGTERM", "full"] * others
    chance.shuffle(plan)
    while plan:
        how = plan[-1]
        if how in ("operation", "full"):
            # an operation that the rest of the run may still come to
            number = chance.randrange(1, max(2, undisturbed.operations // 2))
            process = start(arguments, faulty("kill" if how == "operation" else "full", number))
        else:
            process = start(arguments)
            if _wait_for_log(process, disturbed):
                time.sleep(chance.uniform(0, 0.8 * undisturbed.seconds))
                sent = {"moment": signal.SIGKILL, "SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM}[how]
                process.send_signal(sent)
        printed, errors = process.communicate()
        _count_start(outcome, printed)
        ended = process.returncode
        if (disturbed / "results.json").exists():  # it was faster: it has to be right, and the next begins anew
            _compare(outcome, undisturbed.end, disturbed, "before it was disturbed")
            shutil.rmtree(disturbed)
            continue
        plan.pop()
        if how in ("moment", "operation"):
            outcome.kills += 1
            _expect(outcome, how, ended == -signal.SIGKILL, f"exit code {ended}: {errors}")
        elif how == "full":
            outcome.full_disks += 1
            told = errors.startswith("error: ") and "No space left on device" in errors
            _expect(outcome, how, ended == 2 and told and errors.count("\n") == 1, f"exit code {ended}: {errors}")
        else:
            outcome.stops += 1
            code, word = (130, "interrupted") if how == "SIGINT" else (143, "terminated")
            _expect(outcome, how, ended == code and errors.startswith(word), f"exit code {ended}: {errors}")
    process = start(arguments, faulty("short", 1) if others else ("train.py",))
    outcome.short_writes += others
    printed, errors = process.communicate()
    _count_start(outcome, printed)
    _expect(outcome, "the end", process.returncode == 0, f"exit code {process.returncode}: {errors}")
    if process.returncode == 0:
        _compare(outcome, undisturbed.end, disturbed, "after all")
    return outcome


def end_of(folder: Path) -> dict:
    """What a finished run leaves, by file: its results without what was measured, and every tensor and number."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or path.name.startswith("log.txt"):
            continue
        if path.suffix == ".json":
            content = json.loads(path.read_text().replace(str(folder), "FOLDER"))
            found[name] = {key: value for key, value in content.items() if key not in MEASURED}
        elif ".pth.tar" in path.name:
            found[name] = torch.load(path, weights_only=True)
            found[name]["run"]["train_seconds"] = 0
        else:
            # the name of the checkpoint before the last, which is gone, depends on where a run was stopped
            found[name] = path.read_text().splitlines()[:1]
    return found


def differences(first, second, where: str = "") -> list[str]:
    """Where two structures of tensors and plain values differ, in any bit."""
    if type(first) is not type(second):
        return [f"{where}: {type(first).__name__} and {type(second).__name__}"]
    if isinstance(first, dict):
        if first.keys() != second.keys():
            return [f"{where}: {sorted(map(str, first.keys() ^ second.keys()))} only in one"]
        return [line for key in first for line in differences(first[key], second[key], f"{where}/{key}")]
    if isinstance(first, (list, tuple)):
        if len(first) != len(second):
            return [f"{where}: {len(first)} and {len(second)} entries"]
        return [
            line
            for i, pair in enumerate(zip(first, second, strict=True))
            for line in differences(*pair, f"{where}/{i}")
        ]
    equal = torch.equal(first, second) if isinstance(first, torch.Tensor) else first == second
    return [] if equal else [where]


def _wait_for_log(process: WarmCommand | subprocess.Popen, folder: Path) -> bool:
    """Whether the process came to writing a log of its own before it ended."""
    log = folder / "log.txt"
    before = log.stat().st_ino if log.exists() else None
    while process.poll() is None:
        if log.exists() and log.stat().st_ino != before:
            return True
        time.sleep(0.01)
    return False


def _count_start(outcome: Outcome, printed: str) -> None:
    loaded = [line for line in printed.splitlines() if line.startswith("Loaded ") and "prompt_learner/model" in line]
    outcome.resumed += bool(loaded)
    outcome.within_epoch += any("+" in line.rpartition("tar-")[2] for line in loaded)


def _expect(outcome: Outcome, how: str, holds: bool, seen: str) -> None:
    if not holds:
        outcome.faults.append(f"{how}: {seen.strip()[-500:]}")


def _compare(outcome: Outcome, wanted: dict, folder: Path, when: str) -> None:
    outcome.faults += [f"{when}: {line}" for line in differences(wanted, end_of(folder))]
