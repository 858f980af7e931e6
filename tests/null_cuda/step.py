"""Launches, waits, peak memory and host time of a ViT-B/16 step on the null device, as lines of JSON.

run PYTHON -m tests.null_cuda.step METHOD,CLASSES,BATCH,PRECISION ... [--sides reference ours captured] [--kernels]

The step is forward and backward pass, loss scale, SGD and accuracy, as a trainer takes it; `captured`: as a CUDA graph.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from bench import sides
from dassl.metrics import compute_accuracy
from tests.null_cuda import counting
from trainers.cuda_graph import CapturedStep

REPEATED = 8  # steps whose median time counts


class Scaler(torch.amp.GradScaler):
    """Takes every step: whether float16 overflowed is read, but is garbage here."""

    def _maybe_opt_step(self, optimizer, optimizer_state, *arguments, **options):
        for overflowed in optimizer_state["found_inf_per_device"].values():
            overflowed.item()
        return optimizer.step(*arguments, **options)


def step_of(both: sides.Sides, side: str, batch: int, precision: str) -> Callable[[], dict]:
    """One training step of a side: "reference", "ours", or "captured" for ours as a CUDA graph."""
    model = both.reference if side == "reference" else both.ours
    images = both.images(batch)
    labels = torch.arange(batch, device="cuda") % len(both.names)
    optimizer = torch.optim.SGD(both.learner.parameters(), lr=0.002, momentum=0.9, weight_decay=5e-4)
    scaler = Scaler("cuda", enabled=precision in ("fp16", "amp"))

    def backward(images, labels):
        with torch.autocast("cuda", enabled=precision == "amp"):
            logits = model(images)
        loss = F.cross_entropy(logits.float(), labels)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        return {"loss": loss.detach(), "acc": compute_accuracy(logits, labels)[0]}

    compute = CapturedStep(backward, both.learner.parameters()) if side == "captured" else backward

    def step():
        numbers = compute(images, labels)
        scaler.step(optimizer)
        scaler.update()
        return numbers

    return step


def measure(step: Callable[[], dict], lists_kernels: bool) -> dict:
    """Counts of one step after two others, its peak memory, and the median host time of `REPEATED` steps."""
    step(), step()
    torch.cuda.reset_peak_memory_stats()
    counting.reset()
    step()
    counted = counting.counts()
    found = {
        "launches": counted.get("launches", 0),
        "replays": counted.get("graph launch", 0),
        "waits": counting.waits(counted),
        "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 3),
    }
    seconds = []
    for _ in range(REPEATED):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    kernels = {name: number for name, number in counted.items() if name.startswith("kernel:")} if lists_kernels else {}
    return {**found, "host_ms": round(1000 * statistics.median(seconds), 1), **kernels}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("points", nargs="+", help="as mudpt,100,4,fp16")
    parser.add_argument("--sides", nargs="+", default=["reference", "ours", "captured"])
    parser.add_argument("--kernels", action="store_true", help="list the launches by kernel")
    args = parser.parse_args()
    sides.random_state = functools.cache(sides.random_state)
    for point in args.points:
        method, classes, batch, precision = point.split(",")
        both = sides.build(method, int(classes), "ViT-B/16", "cuda", "fp32" if precision == "amp" else precision)
        for side in args.sides:
            found = measure(step_of(both, side, int(batch), precision), args.kernels)
            print(json.dumps({"method": method, "point": point, "side": side, **found}), flush=True)


if __name__ == "__main__":
    main()
