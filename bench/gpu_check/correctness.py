"""Every trainer on small seeded weights: the device in four precisions against the CPU in float32, graphs against eager."""

from __future__ import annotations

import torch
from common import attempt, emit, left

import train
from bench.precision import CASES, NAMES, Case, apart, batch_of, build, numbers
from bench.sides import class_names
from dassl.config import get_cfg_default

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
CPU = torch.device("cpu")
PRECISIONS = ("fp32", "fp16", "amp", "bf16") if CUDA else ("fp32", "bf16")
# relative norm of the difference: logits, gradients
LIMITS = {"fp32": (1e-4, 1e-3), "fp16": (0.02, 0.06), "amp": (0.02, 0.06), "bf16": (0.08, 0.35)}
GRAPH_LIMIT = {"fp32": 1e-5, "fp16": 0.01, "amp": 0.01, "bf16": 0.08}  # kernels may be chosen anew in a graph
TRIED = 40  # steps until one is taken


def compare(case: Case, precision: str, wanted: dict, names=NAMES, chunk_classes: int = 0) -> dict:
    """The device against ``wanted``, numbers of the CPU; without chunks also steps, and a graph against eager."""
    trainer = build(case, DEVICE, precision, names)
    trainer.model.chunk_classes = chunk_classes
    found = numbers(trainer, case.kind)
    limit, gradient_limit = LIMITS[precision]
    result = {"test_logits": apart(found["test logits"], wanted["test logits"])}
    ok = result["test_logits"] <= (LIMITS["fp32"][0] if precision == "amp" else limit)
    if "logits" in wanted:
        result |= {"logits": apart(found["logits"], wanted["logits"]), "logits_dtype": found["dtype"]}
        ok = ok and result["logits"] <= limit and found["dtype"] == "float32"
    if "gradients" in wanted:
        if "gradients" not in found:
            return {**result, "ok": False, "error": "gradients are not finite at any loss scale"}
        result |= {"gradients": apart(found["gradients"], wanted["gradients"]), "loss_scale": found["scale"]}
        ok = ok and result["gradients"] <= gradient_limit
        if not chunk_classes:
            result |= steps(trainer, case, precision)
            ok = ok and result["steps_until_one_was_taken"] == 1 and result.get("graph", 0) <= GRAPH_LIMIT[precision]
    return {**result, "ok": bool(ok)}


def learned(trainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.method.parameters() if p.requires_grad])


def gradients(trainer) -> torch.Tensor:
    given = (p.grad for p in trainer.method.parameters() if p.requires_grad)
    return torch.cat([gradient.float().flatten() for gradient in given if gradient is not None])


def steps(trainer, case: Case, precision: str) -> dict:
    """Steps until one is taken, with the trainer's own scaler; then on other images a replay against an eager pass."""
    images, labels = batch_of(trainer, case.kind)
    before = learned(trainer).clone()
    for tried in range(1, TRIED + 1):
        trainer.forward_backward({"img": images.cpu(), "label": labels.cpu()})
        if not torch.equal(before, learned(trainer)):
            break
    found = {"steps_until_one_was_taken": tried, "finite": bool(torch.isfinite(learned(trainer)).all())}
    if not CUDA or trainer.reason_against_a_graph():
        return found
    images, labels = batch_of(trainer, case.kind, seed=1)
    replayed = trainer._backward(images, labels)["loss"].item(), gradients(trainer).clone()
    eager = trainer.backward(images, labels)["loss"].item(), gradients(trainer).clone()
    is_graph = trainer._captured != trainer.backward
    return {
        **found,
        "is_graph": is_graph,
        "graph": apart(replayed[1], eager[1]),
        "graph_losses": [replayed[0], eager[0]],
    }


def numbers_on_cpu(case: Case, names=NAMES) -> dict:
    return numbers(build(case, CPU, "fp32", names), case.kind)


def main() -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.set_num_threads(4)
    train.extend_cfg(get_cfg_default())  # registers the trainers
    for case in CASES if CUDA else CASES[:6]:
        wanted = {}
        label = {"trainer": str(case)}
        attempt("correctness", {**label, "precision": "CPU float32"}, lambda: wanted.update(numbers_on_cpu(case)) or {})
        for precision in PRECISIONS:
            attempt("correctness", {**label, "precision": precision}, lambda: compare(case, precision, wanted))
    if CUDA:
        names = class_names(1000)
        for case in (Case("TCP"), Case("MuDPT")):
            wanted = {}
            label = {"trainer": f"{case}, 1000 classes"}
            attempt(
                "correctness",
                {**label, "precision": "CPU float32"},
                lambda: wanted.update(numbers_on_cpu(case, names)) or {},
            )
            for precision in PRECISIONS:
                attempt(
                    "correctness", {**label, "precision": precision}, lambda: compare(case, precision, wanted, names)
                )
            label = {"trainer": f"{case}, 1000 classes, TRAIN.CHUNK_CLASSES 100"}
            attempt("correctness", {**label, "precision": "fp32"}, lambda: compare(case, "fp32", wanted, names, 100))

        def zero_shot(half_checkpoint: bool) -> dict:
            case = Case("ZeroshotCLIP")
            wanted = numbers(build(case, CPU, None, half_checkpoint=half_checkpoint), "vit")
            found = numbers(build(case, DEVICE, None, half_checkpoint=half_checkpoint), "vit")
            difference = apart(found["test logits"], wanted["test logits"])
            return {"test_logits": difference, "ok": difference < (0.02 if half_checkpoint else LIMITS["fp32"][0])}

        for half in (False, True):
            label = {"trainer": "ZeroshotCLIP", "precision": "float16 checkpoint" if half else "fp32"}
            attempt("correctness", label, lambda: zero_shot(half))
    emit("correctness", case="time left", seconds_left=left())


main()
