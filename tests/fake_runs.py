"""Output folders of finished runs for tests: results.json with its configuration, and log.txt."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

VERSIONS = {"python": "3.11.2", "torch": "2.14.1", "torchvision": "0.29.1", "numpy": "2.4.6", "device": "cpu"}
COST = {"ZeroshotCLIP": (0, None), "CoOp": (2048, 10.0), "MuDPT": (345678, 20.5)}  # learned, train s


class FakeRuns:
    """Makes an output folder of finished runs, ours (`add`) and upstream's (`add_log`)."""

    def __init__(self, folder: Path):
        self.folder = folder

    def add(self, run: str, accuracy: float, trainer: str, dataset: str, seed: int, **changes) -> Path:
        """results.json and log.txt in the folder ``run``; returns it. ``changes`` are of the keys of results.json."""
        config = {
            "DATASET": {"NAME": dataset, "NUM_SHOTS": 16},
            "OPTIM": {"LR": 0.002, "MAX_EPOCH": 5},
            "OUTPUT_DIR": f"output/{run}",
            "SEED": seed,
            "TRAINER": {"NAME": trainer},
        }
        learned, train_seconds = COST.get(trainer, (1024, 5.0))
        results = {
            "version": "1.1.0",
            "backbone": "tiny",
            "metrics": {"accuracy": accuracy, "total": 400},
            "sampling_error": 100 * (accuracy / 100 * (1 - accuracy / 100) / 400) ** 0.5,
            "learned_parameters": learned,
            "checkpoint_bytes": 4 * learned or None,
            "peak_memory_mb": 812.5,
            "seconds": {"train": train_seconds, "test": 1.0, "total": 5.0},
            "environment": VERSIONS,
            "config": config,
            **changes,
        }
        folder = self.folder / run
        folder.mkdir(parents=True)
        (folder / "results.json").write_text(json.dumps(results))
        (folder / "log.txt").write_text(log(config, accuracy))
        return folder

    def add_log(self, run: str, accuracy: float, config: dict | None = None) -> Path:
        """log.txt alone in the folder ``run``, as upstream's code leaves it."""
        folder = self.folder / run
        folder.mkdir(parents=True)
        (folder / "log.txt").write_text(log(config or {"SEED": 1}, accuracy))
        return folder

    def add_base_to_new(self, dataset: str, method: str, seed: int, base: float, new: float, **changes) -> None:
        """Both halves of ``method``, TRAINER/CONFIG, with 16 shots."""
        for half, accuracy in (("train_base", base), ("test_new", new)):
            run = f"base2new/{half}/{dataset}/shots_16/{method}/seed{seed}"
            untrained = {"seconds": {"train": None, "test": 1.0, "total": 5.0}} if half == "test_new" else {}
            self.add(run, accuracy, method.partition("/")[0], dataset, seed, **untrained, **changes)

    def add_few_shot(self, dataset: str, method: str, shots: int, seed: int, accuracy: float, **changes) -> Path:
        run = f"{dataset}/{method}_{shots}shots/seed{seed}"
        return self.add(run, accuracy, method.partition("/")[0], dataset, seed, **changes)

    def add_zero_shot(self, dataset: str, accuracy: float, **changes) -> Path:
        """Zero-shot CLIP on all classes, as CoOp's zeroshot.sh stores it."""
        run, untrained = f"ZeroshotCLIP/tiny/{dataset}", {"train": None, "test": 1.0, "total": 2.0}
        return self.add(run, accuracy, "ZeroshotCLIP", dataset, 1, seconds=untrained, **changes)


def log(config: dict, accuracy: float) -> str:
    """What a run prints, shortened."""
    return (
        f"Setting fixed seed: {config['SEED']}\n"
        f"************\n** Config **\n************\n{yaml.safe_dump(config)}\nCollecting env info ...\n"
        "epoch [5/5] batch [1/1] time 0.1 (0.1) data 0.0 (0.0) loss 1.0 (1.0)\n"
        f"Finish training\n=> result\n* total: 400\n* accuracy: {accuracy:.1f}%\n"
    )


def add_comparison(runs: FakeRuns) -> None:
    """Three methods on two datasets in base-to-new and few-shot, seeds 1 and 2."""
    for place, dataset in enumerate(("digits", "letters")):
        runs.add_zero_shot(dataset, 60 + place)
        for seed in (1, 2):
            runs.add_base_to_new(dataset, "ZeroshotCLIP/tiny", seed, 70, 68 + place)
            runs.add_base_to_new(dataset, "CoOp/tiny", seed, 80 + seed, 60 + place)
            runs.add_base_to_new(dataset, "MuDPT/tiny", seed, 84 + seed, 75 - seed)
            for shots in (1, 4):
                runs.add_few_shot(dataset, "CoOp/tiny", shots, seed, 60 + 2 * shots + seed)
                runs.add_few_shot(dataset, "MuDPT/tiny", shots, seed, 58 + 3 * shots + 2 * seed)
