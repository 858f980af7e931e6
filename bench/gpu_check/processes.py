"""Two processes of one run: gloo between CPUs, and on one GPU with gloo in nccl's place; nccl itself with one."""

from __future__ import annotations

import os
import subprocess
import sys

import torch
from common import CHECKOUT, HERE, WORK, attempt, left

CUDA = torch.cuda.is_available()
DATA = os.path.join(WORK, "data_of_processes")
os.makedirs(WORK, exist_ok=True)
os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # the machine may have no other network


def torchrun(processes: int, out: str, *pairs: str, **environment: str) -> tuple[int, str]:
    argv = [
        "--root",
        DATA,
        "--seed",
        "1",
        "--trainer",
        "MuDPT",
        "--dataset-config-file",
        "configs/datasets/digits.yaml",
        "--config-file",
        "configs/trainers/MuDPT/tiny.yaml",
        "--output-dir",
        os.path.join(WORK, out),
        "DATASET.NUM_SHOTS",
        "4",
        "OPTIM.MAX_EPOCH",
        "1",
        "DATALOADER.NUM_WORKERS",
        "2",
        *pairs,
    ]
    command = (
        [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
        if processes > 1
        else [sys.executable]
    )
    ended = subprocess.run(
        [*command, os.path.join(HERE, "train_wrapper.py"), *argv],
        cwd=CHECKOUT,
        env={**os.environ, "OMP_NUM_THREADS": "2", **environment},
        capture_output=True,
        text=True,
        timeout=max(10, left()),
    )
    return ended.returncode, ended.stdout + ended.stderr


def learned(out: str) -> torch.Tensor:
    path = os.path.join(WORK, out, "prompt_learner", "model.pth.tar-1")
    return torch.cat(
        [t.flatten() for t in torch.load(path, map_location="cpu", weights_only=True)["state_dict"].values()]
    )


def as_one(out: str, alone: str, use_cuda: bool, **environment: str) -> dict:
    pairs = ["USE_CUDA", str(use_cuda), "TRAINER.MUDPT.PREC", "fp32"]
    for processes, folder, more in ((1, alone, {}), (2, out, environment)):
        code, output = torchrun(processes, folder, *pairs, **more)
        if code:
            raise RuntimeError(f"{processes} process(es), exit code {code}: {output[-900:]}")
    difference = ((learned(out) - learned(alone)).norm() / learned(alone).norm()).item()
    return {"learned_apart": difference, "ok": difference < 1e-3}


def refused() -> dict:
    """Two processes for one GPU are told so, in one line."""
    code, output = torchrun(2, "refused", "USE_CUDA", "True")
    line = next((line for line in output.splitlines() if line.startswith("error:")), "")
    return {
        "exit": code,
        "line": line,
        "ok": code != 0 and "one process per GPU" in line or torch.cuda.device_count() > 1,
    }


def nccl() -> dict:
    """nccl starts and exchanges, as far as one GPU can show."""
    import torch.distributed as dist

    dist.init_process_group("cpu:gloo,cuda:nccl", init_method=f"file://{WORK}/nccl", rank=0, world_size=1)
    tensor = torch.ones(4, device="cuda")
    dist.all_reduce(tensor)
    gathered = [None]
    dist.all_gather_object(gathered, "x")
    torch.cuda.synchronize()
    dist.destroy_process_group()
    return {
        "nccl": ".".join(map(str, torch.cuda.nccl.version())),
        "ok": bool((tensor == 1).all()) and gathered == ["x"],
    }


attempt("processes", {"case": "two on the CPU as one"}, lambda: as_one("two_cpu", "one_cpu", False))
if CUDA:
    attempt(
        "processes",
        {"case": "two on one GPU (gloo) as one"},
        lambda: as_one("two_gpu", "one_gpu", True, SHARED_GPU="1"),
    )
    attempt("processes", {"case": "two are refused on one GPU"}, refused)
    attempt("processes", {"case": "nccl with one process"}, nccl)
