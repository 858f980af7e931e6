"""train.py on the embedded CLIP: the same bits twice and after an interruption, the CPU's accuracy, every trainer."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import time

import torch
from common import CHECKOUT, HERE, WORK, attempt, emit, left

CUDA = torch.cuda.is_available()
DATA = os.path.join(WORK, "data")


def arguments(name: str, out: str, *pairs: str, deterministic: bool = True, shots: int = 4) -> list[str]:
    return [
        *(["--deterministic"] if deterministic else []),
        "--root",
        DATA,
        "--seed",
        "1",
        "--trainer",
        name,
        "--dataset-config-file",
        "configs/datasets/digits.yaml",
        "--config-file",
        f"configs/trainers/{name}/tiny.yaml",
        "--output-dir",
        os.path.join(WORK, out),
        "DATASET.NUM_SHOTS",
        str(shots),
        "TRAIN.PRINT_FREQ",
        "1000",
        "USE_CUDA",
        str(CUDA),
        "DATALOADER.NUM_WORKERS",
        "2",
        *pairs,
    ]


def start(argv: list[str], **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, os.path.join(HERE, "train_wrapper.py"), *argv],
        cwd=CHECKOUT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end(process: subprocess.Popen, expected: int = 0) -> None:
    output, _ = process.communicate(timeout=max(10, left()))
    if process.returncode != expected:
        raise RuntimeError(f"exit code {process.returncode} instead of {expected}: {output[-700:]}")


def results(out: str) -> dict:
    with open(os.path.join(WORK, out, "results.json")) as file:
        return json.load(file)


def learned(out: str, folder: str = "prompt_learner", epoch: int = 2) -> dict:
    path = os.path.join(WORK, out, folder, f"model.pth.tar-{epoch}")
    return torch.load(path, map_location="cpu", weights_only=True)["state_dict"]


def same_bits(one: str, other: str) -> bool:
    a, b = learned(one), learned(other)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def repeated(name: str, node: str, precision: str) -> dict:
    """Two deterministic runs at once, and one that is stopped in its first epoch and goes on."""
    pairs = ["OPTIM.MAX_EPOCH", "2", f"TRAINER.{node}.PREC", precision, "DATALOADER.TRAIN_X.BATCH_SIZE", "4"]
    outs = [f"{name}_{precision}_{which}" for which in "abc"]
    processes = [start(arguments(name, out, *pairs), **({"STOP_AFTER": "5"} if out == outs[2] else {})) for out in outs]
    for process, expected in zip(processes, (0, 0, 143), strict=True):
        end(process, expected)
    end(start(arguments(name, outs[2], *pairs)))
    found = [results(out) for out in outs]
    same, resumed = same_bits(outs[0], outs[1]), same_bits(outs[0], outs[2])
    accuracies = [run["metrics"]["accuracy"] for run in found]
    return {
        "same_bits": same,
        "same_bits_after_resuming": resumed,
        "accuracy": accuracies,
        "device": found[0]["environment"]["device"],
        "skipped": found[0]["skipped_batches"],
        "peak_memory_mb": found[0]["peak_memory_mb"],
        "train_seconds": found[0]["seconds"]["train"],
        "ok": same and resumed and len(set(accuracies)) == 1,
    }


def as_on_the_cpu(name: str, node: str) -> dict:
    """fp32 on the device and on the CPU: accuracy and what was learned."""
    pairs = ["OPTIM.MAX_EPOCH", "2", f"TRAINER.{node}.PREC", "fp32"]
    processes = [
        start(arguments(name, f"{name}_device", *pairs)),
        start(arguments(name, f"{name}_cpu", *pairs, "USE_CUDA", "False")),
    ]
    for process in processes:
        end(process)
    a, b = results(f"{name}_device"), results(f"{name}_cpu")
    flat = [
        torch.cat([tensor.flatten() for tensor in learned(out).values()]) for out in (f"{name}_device", f"{name}_cpu")
    ]
    difference = ((flat[0] - flat[1]).norm() / flat[1].norm()).item()
    accuracies = a["metrics"]["accuracy"], b["metrics"]["accuracy"]
    return {
        "accuracy": accuracies,
        "learned_apart": difference,
        "train_seconds": [a["seconds"]["train"], b["seconds"]["train"]],
        "ok": abs(accuracies[0] - accuracies[1]) <= 2 and difference < 0.05,
    }


def every_trainer() -> None:
    """Each once through train.py in this process, in its precision for a GPU."""
    import train
    from dassl.engine import TRAINER_REGISTRY

    train.setup_cfg(train.parse_args([]))
    names = TRAINER_REGISTRY.registered_names()
    for name in names if CUDA else ["MuDPT", "ZeroshotCLIP"]:
        node = getattr(TRAINER_REGISTRY.get(name), "config_node", "")
        for precision in ("fp16",) if node and CUDA else ("fp32",):

            def run() -> dict:
                out = f"all_{name}_{precision}"
                argv = arguments(name, out, "OPTIM.MAX_EPOCH", "1", deterministic=False, shots=2)
                argv[argv.index("--config-file") + 1] = (
                    f"configs/trainers/{'ZeroshotCLIP' if name.startswith('Zero') else name}/tiny.yaml"
                )
                if node:
                    argv += [f"TRAINER.{node}.PREC", precision]
                else:
                    argv.insert(0, "--eval-only")
                if name.startswith("Tip"):
                    argv += ["TRAINER.TIP_ADAPTER.SEARCH_STEP", "[20, 5]", "TRAINER.TIP_ADAPTER.AUGMENT_EPOCH", "2"]
                if CUDA:
                    torch.cuda.reset_peak_memory_stats()
                log = io.StringIO()
                with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                    code = train.run(argv)
                if code:
                    raise RuntimeError(f"exit code {code}: {log.getvalue()[-500:]}")
                found = results(out)
                return {
                    "accuracy": found["metrics"]["accuracy"],
                    "train_seconds": found["seconds"]["train"],
                    "skipped": found["skipped_batches"],
                    "peak_memory_mb": found["peak_memory_mb"],
                    "device": found["environment"]["device"],
                    "ok": found["metrics"]["accuracy"] > 50,
                }

            attempt("endtoend", {"case": "train.py", "trainer": name, "precision": precision}, run)


def main() -> None:
    os.makedirs(WORK, exist_ok=True)
    began = time.time()
    end(start(["--no-train", *arguments("MuDPT", "first")]))  # writes the dataset
    emit("endtoend", case="first start", seconds=time.time() - began)
    attempt(
        "endtoend",
        {"case": "deterministic, resumed", "trainer": "MuDPT", "precision": "fp16" if CUDA else "fp32"},
        lambda: repeated("MuDPT", "MUDPT", "fp16" if CUDA else "fp32"),
    )
    attempt(
        "endtoend",
        {"case": "as on the CPU", "trainer": "MuDPT", "precision": "fp32"},
        lambda: as_on_the_cpu("MuDPT", "MUDPT"),
    )
    every_trainer()
    if CUDA:
        attempt(
            "endtoend",
            {"case": "deterministic, resumed", "trainer": "CLIP_LoRA", "precision": "amp"},
            lambda: repeated("CLIP_LoRA", "CLIP_LORA", "amp"),
        )
    emit("endtoend", case="time left", seconds_left=left())


main()
