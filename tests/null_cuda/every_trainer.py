"""Every trainer in every precision through train.py on the null device; a line of JSON for each run.

run PYTHON -m tests.null_cuda.every_trainer DATA OUTPUT [TRAINER ...]

Dispatch, dtype and device checks, allocator, autograd and capture are PyTorch's own; kernels do nothing, so whatever
would depend on a value is replaced here.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import json
import traceback
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import torch

import train
from comparison import code_version
from dassl.data.datasets import DATASET_REGISTRY
from dassl.engine import TRAINER_REGISTRY, TrainerX
from dassl.evaluation import Classification
from dassl.evaluation.predictions import Predictions
from tests.null_cuda import counting
from trainers import checkpoints, gda, linear_probe
from trainers import trainer as trainer_module
from trainers.trainer import MethodTrainer

PRECISIONS = ("fp32", "fp16", "amp", "bf16")
DATASET = "letters"
SHORT = ("DATASET.NUM_SHOTS", "2", "OPTIM.MAX_EPOCH", "1", "DATALOADER.NUM_WORKERS", "0")
SHORT_SEARCH = ("TRAINER.TIP_ADAPTER.SEARCH_STEP", "[3, 2]", "TRAINER.TIP_ADAPTER.AUGMENT_EPOCH", "1")

seen = Counter()  # what the run in progress has shown
passes: list[dict[str, int]] = []  # counts of each forward and backward pass


def ignore_values() -> None:
    """Replace what depends on values, which are garbage here."""
    TrainerX.detect_anomaly = lambda self, loss: None
    TrainerX.overflowed = lambda self, steps: False
    TrainerX._check_finite = lambda self, summary: None
    Classification.process = process
    Predictions.metrics = lambda self: {}
    Predictions.write_csv = lambda self, *arguments: None
    trainer_module.collapse_warning = lambda *arguments: ""
    checkpoints.check_finite = lambda *arguments, **options: None
    arrays = linear_probe._arrays
    linear_probe._arrays = lambda *encoded: (np.ones(encoded[0].shape), arrays(*encoded)[1])
    gda.discriminant = lambda features, labels, classes: (
        features.new_zeros(classes, features.shape[1]),
        torch.zeros(classes),
    )
    MethodTrainer.backward = counted(MethodTrainer.backward)
    code_version.code_version = lambda: {}  # asks git, in each run


def process(self, scores, labels) -> None:
    """Classification.process, with the labels as answers."""
    seen[f"scores {scores.device.type} {scores.dtype}"] += 1
    self._y_true.append(labels.cpu())
    self._y_pred.append(labels.cpu())


def counted(backward):
    """MethodTrainer.backward, with its counts in `passes`."""

    def backward_and_count(self, images, labels):
        counting.reset()
        numbers = backward(self, images, labels)
        passes.append(counting.counts())
        counting.reset()
        return numbers

    return backward_and_count


def run(name: str, precision: str | None, data: Path, output: Path) -> dict:
    """One run: how it ended, and of its second pass (the first fills caches) the launches and waits."""
    node = getattr(TRAINER_REGISTRY.get(name), "config_node", "")
    config = "ZeroshotCLIP" if name == "ZeroshotCLIP2" else name
    command = ["--root", str(data), "--seed", "1", "--trainer", name, "--output-dir", str(output)]
    command += ["--dataset-config-file", f"configs/datasets/{DATASET}.yaml"]
    command += ["--config-file", f"configs/trainers/{config}/tiny.yaml"]
    command += [] if precision else ["--eval-only"]
    command += [*SHORT, *(SHORT_SEARCH if name.startswith("TipAdapter") else ())]
    command += [f"TRAINER.{node}.PREC", precision] if precision else []
    if getattr(getattr(TRAINER_REGISTRY.get(name), "Method", None), "needs_descriptions", False):
        names = DATASET_REGISTRY.get(DATASET.capitalize()).names
        (data / "texts.json").write_text(json.dumps({name: [f"the {name}", f"one {name}"] for name in names}))
        command += ["DATASET.DESCRIPTIONS", "texts.json"]
    seen.clear()
    passes.clear()
    counting.reset()
    log, failure = io.StringIO(), ""
    with warnings.catch_warnings(), contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step", UserWarning)  # a garbage overflow
        warnings.filterwarnings("ignore", "CUDA initialization|pin_memory", UserWarning)
        try:
            failure = "" if train.run(command) == 0 else log.getvalue()[-2000:]
        except Exception:
            failure = traceback.format_exc()
    gc.collect()
    told = [line for line in log.getvalue().splitlines() if "CUDA graph" in line]
    found = {"trainer": name, "precision": precision, "failure": failure, "scores": sorted(seen), "told": told}
    if len(passes) > 1:
        found |= {"launches": passes[1].get("launches", 0), "waits": counting.waits(passes[1])}
        found["replays"] = counting.counts().get("graph launch", 0)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("trainers", nargs="*")
    args = parser.parse_args()
    train.setup_cfg(train.parse_args([]))  # registers the trainers
    ignore_values()
    gc.freeze()  # `run` collects what it has left alone
    for name in args.trainers or TRAINER_REGISTRY.registered_names():
        trains = bool(getattr(TRAINER_REGISTRY.get(name), "config_node", ""))
        for precision in PRECISIONS if trains else (None,):
            print(json.dumps(run(name, precision, args.data, args.output / f"{name}-{precision}")), flush=True)


if __name__ == "__main__":
    main()
