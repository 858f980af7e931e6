"""Steps and evaluations at ViT-B/16: the authors' way (clip/reference.py) against the product, kernels, memory, rates."""

from __future__ import annotations

import functools
import gc
import os
import statistics
import subprocess
import sys
import time
from collections import Counter

import torch
import torch.nn.functional as F
from common import CHECKOUT, attempt, emit, left

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
BACKBONE = "ViT-B/16" if CUDA else "tiny"
# "bench" is this file: the product's package of that name has to be found first
sys.path = [
    CHECKOUT,
    *[path for path in sys.path if os.path.abspath(path or ".") != os.path.dirname(os.path.abspath(__file__))],
]
sys.modules.pop("bench", None)
from bench import flops, sides  # noqa: E402
from clip import reference as plain_clip  # noqa: E402
from dassl.metrics import compute_accuracy  # noqa: E402

sides.random_state = functools.cache(sides.random_state)
RATES: dict[str, float] = {}


def synchronize() -> None:
    if CUDA:
        torch.cuda.synchronize()


def matrix_rate(precision: str) -> float:
    """Operations a second of a large square product on random data: the best of ten, by events."""
    n = 8192 if CUDA else 512
    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}[precision]
    a, b = (torch.randn(n, n, device=DEVICE, dtype=dtype) for _ in range(2))
    for _ in range(3):
        a @ b
    best = float("inf")
    for _ in range(10 if precision != "fp32" else 4):
        if CUDA:
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            a @ b
            end.record()
            torch.cuda.synchronize()
            best = min(best, begin.elapsed_time(end) / 1e3)
        else:
            began = time.perf_counter()
            a @ b
            best = min(best, time.perf_counter() - began)
    return 2 * n**3 / best


def copy_rate() -> float:
    """Bytes a second of a copy within the device, read and written."""
    a = torch.empty(2**31 if CUDA else 2**26, dtype=torch.uint8, device=DEVICE).random_()
    b = torch.empty_like(a)
    times = []
    for _ in range(8):
        synchronize()
        began = time.perf_counter()
        b.copy_(a)
        synchronize()
        times.append(time.perf_counter() - began)
    return 2 * a.numel() / min(times)


def timed(step, seconds: float, least: int = 5) -> dict:
    """Milliseconds of a step waited for each time (median), and of steps one after the other (mean)."""
    step(), synchronize(), step(), synchronize()
    alone = []
    until = time.perf_counter() + seconds / 2
    while len(alone) < least or (time.perf_counter() < until and len(alone) < 100):
        began = time.perf_counter()
        step()
        synchronize()
        alone.append(time.perf_counter() - began)
    count = max(least, min(200, int(seconds / 2 / statistics.median(alone))))
    began = time.perf_counter()
    for _ in range(count):
        step()
    issued = (time.perf_counter() - began) / count
    synchronize()
    return {
        "ms": 1e3 * statistics.median(alone),
        "ms_fastest": 1e3 * min(alone),
        "ms_streamed": 1e3 * (time.perf_counter() - began) / count,
        "ms_host": 1e3 * issued,
        "repetitions": len(alone) + count,
    }


def kernels(step) -> dict:
    """Number and total time of the kernels of a step, and the names that take most."""
    if not CUDA:
        return {}
    from torch.profiler import ProfilerActivity, profile

    step(), synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        step()
        synchronize()
    events = [event for event in found.events() if "CUDA" in str(event.device_type)]
    total = Counter()
    for event in events:
        total[event.name[:60]] += event.time_range.elapsed_us()
    return {
        "kernels": len(events),
        "kernel_ms": sum(total.values()) / 1e3,
        "most": [[name, us / 1e3] for name, us in total.most_common(6)],
    }


def attention_choices(model_step) -> list[str]:
    """Which kernels the attentions of a step get."""
    names, found, real = (
        {-1: "error", 0: "math", 1: "flash", 2: "efficient", 3: "cudnn"},
        Counter(),
        F.scaled_dot_product_attention,
    )

    def spy(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, **more):
        choice = names.get(int(torch._fused_sdp_choice(q, k, v, attn_mask, dropout_p, is_causal)), "?")
        found[
            f"{choice} q{tuple(q.shape)} k{tuple(k.shape)} {str(q.dtype)[6:]}{' mask' if attn_mask is not None else ''}"
        ] += 1
        return real(q, k, v, attn_mask=attn_mask, dropout_p=dropout_p, is_causal=is_causal, **more)

    F.scaled_dot_product_attention = spy
    try:
        model_step()
    finally:
        F.scaled_dot_product_attention = real
    return [f"{count} x {name}" for name, count in found.most_common()]


def layer_norm_as_released(x, shape, weight=None, bias=None, eps=1e-5):
    """In float32 around half precision, as the released codes' LayerNorm."""
    return _layer_norm(x.float(), shape, weight.float(), bias.float(), eps).to(x.dtype)


_layer_norm = F.layer_norm


class Step:
    """One training step as `CLIPTrainer` takes it: forward, backward, scaler, optimiser."""

    def __init__(self, both, model, batch: int, precision: str):
        self.model, self.learner = model, both.learner
        self.images = both.images(batch)
        self.labels = torch.arange(batch, device=self.images.device) % len(both.names)
        self.optim = torch.optim.SGD(self.learner.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)
        self.scaler = torch.amp.GradScaler(DEVICE, enabled=precision == "fp16" and CUDA)
        self.graph = None

    def forward_backward(self) -> None:
        self.logits = self.model(self.images)
        self.loss = F.cross_entropy(self.logits.float(), self.labels)
        self.scaler.scale(self.loss).backward()

    def update(self) -> None:
        self.scaler.step(self.optim)
        self.scaler.update()
        self.accuracy = compute_accuracy(self.logits, self.labels)[0]

    def __call__(self) -> None:
        self.optim.zero_grad()
        self.forward_backward()
        self.update()

    def capture(self) -> None:
        """Forward and backward pass as one CUDA graph."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.optim.zero_grad()
                self.forward_backward()
        torch.cuda.current_stream().wait_stream(stream)
        self.optim.zero_grad()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.forward_backward()

    def replay(self) -> None:
        self.graph.replay()
        self.update()


def build(method: str, classes: int, precision: str):
    return sides.build(method, classes, BACKBONE, DEVICE, precision)


def training(method: str, classes: int, batch: int, precision: str, seconds: float, detail: bool) -> dict:
    both = build(method, classes, precision)
    needed = flops.train_step(both.state, both.text, batch, method, both.deep_layers).total
    found: dict = {"needed_gflop": needed / 1e9}
    for side, model in (("ours", both.ours), ("reference", both.reference)):
        step = Step(both, model, batch, precision)
        if CUDA:
            gc.collect(), torch.cuda.empty_cache(), torch.cuda.reset_peak_memory_stats()
            allocated = torch.cuda.memory_allocated() / 2**30  # weights of both sides
        try:
            step()
            if detail:
                found[f"{side}_attention"] = attention_choices(step)
            figures = timed(step, seconds)
        except torch.OutOfMemoryError as error:
            found[side] = {"failed": str(error)[:120]}
            continue
        if CUDA:
            figures |= {"peak_gib": torch.cuda.max_memory_allocated() / 2**30, "before_gib": allocated}
            figures |= kernels(step)
            try:
                step.capture()
                figures["graph_ms"] = timed(step.replay, seconds / 2)["ms"]
            except Exception as error:
                figures["graph_error"] = f"{type(error).__name__}: {str(error)[:200]}"
        figures["tflops_needed"] = needed / figures["ms"] / 1e9
        figures["share_of_matrix_rate"] = needed / figures["ms"] * 1e3 / RATES[precision]
        found[side] = figures
        del step
        gc.collect()
        if CUDA:
            torch.cuda.empty_cache()
    if detail and CUDA:  # the released codes' LayerNorm casts; F is shared, so only while the reference runs
        plain_clip.F.layer_norm = layer_norm_as_released
        try:
            found["reference_with_released_layer_norm_ms"] = timed(
                Step(both, both.reference, batch, precision), seconds / 2
            )["ms"]
        finally:
            plain_clip.F.layer_norm = _layer_norm
    ours, reference = found["ours"], found["reference"]
    if "ms" in ours and "ms" in reference:
        found["ratio"] = reference["ms"] / ours["ms"]
        found["ratio_streamed"] = reference["ms_streamed"] / ours["ms_streamed"]
        if "graph_ms" in ours:
            found["ratio_ours_as_graph"] = reference["ms"] / ours["graph_ms"]
        if "peak_gib" in ours:
            found["peak_ratio"] = reference["peak_gib"] / ours["peak_gib"]
        results = []
        for model in (both.reference, both.ours):
            results.append(both.train_step(model, batch)())
        for key in ("logits", "gradients"):
            a, b = (result[key].float() for result in results)
            found[f"{key}_apart"] = ((a - b).norm() / a.norm()).item()
        limit = {"fp32": 1e-3, "fp16": 0.05, "bf16": 0.3}[precision]
        found["ok"] = found["logits_apart"] < limit and found["gradients_apart"] < 3 * limit
    return found


def evaluation(method: str, classes: int, images: int, reference_images: int, precision: str) -> dict:
    both = build(method, classes, precision)
    batch, few = both.images(images), both.images(reference_images)

    def whole():
        with torch.no_grad():
            next(both.learner.parameters()).mul_(1)  # as after training: the class names are encoded anew
        return both.evaluate(both.ours, batch)

    found = {"images": images, "reference_images": reference_images}
    first = timed(whole, 2, 3)["ms"]
    again = timed(lambda: both.evaluate(both.ours, batch), 2, 3)["ms"]
    encoder = timed(lambda: both.evaluate(both.encode_image, batch), 2, 3)["ms"] if method == "mudpt" else None
    reference = timed(lambda: both.evaluate(both.reference, few), 2, 2)["ms"]
    found |= {
        "ours_first_batch_ms": first,
        "ours_batch_ms": again,
        "image_encoder_ms": encoder,
        "reference_batch_ms": reference,
        "ours_images_per_s": images / again * 1e3,
        "reference_images_per_s": reference_images / reference * 1e3,
    }
    found["ratio_per_image"] = (reference / reference_images) / (again / images)
    a, b = both.evaluate(both.reference, few)["logits"].float(), both.evaluate(both.ours, few)["logits"].float()
    found["logits_apart"] = ((a - b).norm() / a.norm()).item()
    found["ok"] = found["logits_apart"] < 0.1
    if CUDA:
        found |= kernels(lambda: both.evaluate(both.ours, batch))
    return found


def shipped(*arguments: str) -> dict:
    """A script of the product's bench/, as README.md there tells to run it."""
    ended = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=CHECKOUT, capture_output=True, text=True, timeout=max(10, left())
    )
    return {"ok": ended.returncode == 0, "output": (ended.stdout or ended.stderr)[-900:].splitlines()}


def compiled(classes: int, precision: str) -> dict:
    both = build("mudpt", classes, precision)
    eager = timed(Step(both, both.ours, 4, precision), 1)["ms"]
    began = time.perf_counter()
    step = Step(both, torch.compile(both.ours), 4, precision)
    step()
    synchronize()
    built = time.perf_counter() - began
    return {"eager_ms": eager, "compiled_ms": timed(step, 1)["ms"], "compile_seconds": built}


def main() -> None:
    torch.set_num_threads(1)
    for precision in ("fp16", "bf16", "fp32") if CUDA else ("fp32",):
        RATES[precision] = matrix_rate(precision)
    emit(
        "bench",
        case="rates",
        tflops={key: rate / 1e12 for key, rate in RATES.items()},
        copy_tb_per_s=copy_rate() / 1e12,
    )
    if not CUDA:
        attempt(
            "bench",
            {"case": "step", "method": "mudpt", "classes": 5, "precision": "fp32"},
            lambda: training("mudpt", 5, 2, "fp32", 0.5, True),
        )
        attempt(
            "bench",
            {"case": "step", "method": "coop", "classes": 5, "precision": "fp32"},
            lambda: training("coop", 5, 2, "fp32", 0.5, False),
        )
        attempt(
            "bench",
            {"case": "evaluation", "method": "mudpt", "classes": 20},
            lambda: evaluation("mudpt", 20, 8, 4, "fp32"),
        )
        attempt(
            "bench",
            {"case": "evaluation", "method": "cocoop", "classes": 5},
            lambda: evaluation("cocoop", 5, 4, 2, "fp32"),
        )
        attempt(
            "bench",
            {"case": "shipped", "script": "mudpt_step"},
            lambda: shipped("bench.mudpt_step", "--backbone", "tiny", "--classes", "5", "--pairs", "1"),
        )
        return
    for method, classes, batch, precision, detail in (
        ("mudpt", 100, 4, "fp16", True),
        ("mudpt", 1000, 4, "fp16", True),
        ("coop", 100, 32, "fp16", False),
        ("cocoop", 100, 1, "fp16", False),
        ("coop", 1000, 32, "fp16", False),
        ("mudpt", 100, 4, "bf16", False),
    ):
        attempt(
            "bench",
            {"case": "step", "method": method, "classes": classes, "batch": batch, "precision": precision},
            lambda: training(method, classes, batch, precision, 1.0, detail),
        )
    attempt(
        "bench",
        {"case": "evaluation", "method": "mudpt", "classes": 1000, "precision": "fp16"},
        lambda: evaluation("mudpt", 1000, 100, 100, "fp16"),
    )
    attempt(
        "bench",
        {"case": "evaluation", "method": "cocoop", "classes": 100, "precision": "fp16"},
        lambda: evaluation("cocoop", 100, 100, 10, "fp16"),
    )
    attempt(
        "bench",
        {"case": "shipped", "script": "mudpt_step"},
        lambda: shipped(
            "bench.mudpt_step", "--device", "cuda", "--precision", "fp16", "--classes", "100", "--pairs", "5"
        ),
    )
    attempt(
        "bench",
        {"case": "step", "method": "mudpt", "classes": 1000, "batch": 4, "precision": "fp32"},
        lambda: training("mudpt", 1000, 4, "fp32", 1.0, False),
    )
    if left() > 90:
        attempt("bench", {"case": "torch.compile", "classes": 100, "precision": "fp16"}, lambda: compiled(100, "fp16"))
    emit("bench", case="time left", seconds_left=left())


main()
