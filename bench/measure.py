"""What all comparisons share: two sides in turns, medians, the machine's matrix rate, peak memory, one table."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
import torch.nn.functional as F
from tabulate import tabulate
from torch import Tensor

from clip.linear import linear
from support.user_error import UserError, print_error

Result = TypeVar("Result")
# Rows, inputs and outputs of the product whose rate is the machine's: on a GPU it has to last for a millisecond.
MATRIX = {"cpu": (2048, 1024, 1024), "cuda": (8192, 8192, 8192)}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def argument_parser(
    description: str,
    classes: int | None = 100,
    batch: int | None = 4,
    pairs: int | None = 3,
    backbone: str | None = "ViT-B/16",
    gpu: bool = True,
) -> argparse.ArgumentParser:
    """The options of every comparison; None leaves one out, without ``gpu`` those that only a GPU gives sense."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    if classes is not None:
        parser.add_argument("--classes", type=positive, default=classes)
    if batch is not None:
        parser.add_argument("--batch", type=positive, default=batch)
    if pairs is not None:
        parser.add_argument("--pairs", type=positive, default=pairs, help="repetitions of (reference, ours)")
    parser.add_argument("--threads", type=positive, default=1)
    if backbone is not None:
        parser.add_argument("--backbone", default=backbone, help='"ViT-B/16" or, to try the script, "tiny"')
    if gpu:
        parser.add_argument("--device", type=device, default="cpu")
        parser.add_argument("--precision", choices=DTYPES, default="fp32", help="of both sides")
    return parser


def positive(text: str) -> int:
    """An argument that counts something."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 up")
    return int(text)


def device(text: str) -> torch.device:
    """An argument that names a device this machine has."""
    if text not in ("cpu", "cuda"):
        raise argparse.ArgumentTypeError(f"{text} is neither cpu nor cuda")
    if text == "cuda" and not torch.cuda.is_available():
        raise argparse.ArgumentTypeError("there is no GPU here that torch can use")
    return torch.device(text)


def run(main: Callable[[], None]) -> None:
    """Run a script; a mistake of its user ends in one line."""
    try:
        main()
    except UserError as error:
        sys.exit(print_error(error))


def timed(function: Callable[[], Result]) -> tuple[float, Result]:
    """Seconds and result of one call, a GPU's work included."""
    _synchronize()
    started = time.perf_counter()
    result = function()
    _synchronize()
    return time.perf_counter() - started, result


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@dataclass(frozen=True)
class Pairs:
    """Seconds of (reference, ours), one pair a repetition, and what both computed in the last."""

    seconds: list[tuple[float, float]]
    expected: dict[str, Tensor]
    found: dict[str, Tensor]

    @property
    def reference(self) -> float:
        return statistics.median(reference for reference, _ in self.seconds)

    @property
    def ours(self) -> float:
        return statistics.median(ours for _, ours in self.seconds)

    @property
    def ratio(self) -> float:
        """The median of the pairs' ratios, which a change of the machine's speed between pairs leaves alone."""
        return statistics.median(reference / ours for reference, ours in self.seconds)

    def per_image(self, reference: int, ours: int) -> Pairs:
        """The same with seconds per image, where the sides had so many; results of those that both had."""
        seconds = [(a / reference, b / ours) for a, b in self.seconds]
        return Pairs(seconds, self.expected, {name: tensor[:reference] for name, tensor in self.found.items()})

    def differences(self) -> list[list]:
        """A row for each tensor: the norm of the difference over the norm of the reference's."""
        rows = []
        for name, expected in self.expected.items():
            apart = (self.found[name].float() - expected.float()).norm() / expected.float().norm()
            rows.append([f"difference of the {name}, relative", apart.item()])
        return rows


def in_turns(
    reference: Callable[[], dict[str, Tensor]], ours: Callable[[], dict[str, Tensor]], repetitions: int
) -> Pairs:
    """Time (reference, ours) in turns, after one call of each that warms up."""
    reference()
    ours()
    seconds = []
    for _ in range(repetitions):
        reference_seconds, expected = timed(reference)
        our_seconds, found = timed(ours)
        seconds.append((reference_seconds, our_seconds))
    return Pairs(seconds, expected, found)


def matrix_rate(on: torch.device | str = "cpu", precision: str = "fp32", repetitions: int = 5) -> float:
    """Operations a second of a large matrix product: the best of ``repetitions`` and, on a CPU, of MKL and oneDNN.

    A shared machine's rate changes: measured before and after the rest, the higher is nearer to what it can do.
    """
    dtype = DTYPES[precision]
    rows, inputs, outputs = MATRIX[torch.device(on).type]
    x = torch.randn(rows, inputs, device=on, dtype=dtype)
    weight = torch.randn(outputs, inputs, device=on, dtype=dtype)
    with torch.no_grad():
        seconds = [timed(partial(product, x, weight))[0] for product in (F.linear, linear) for _ in range(repetitions)]
    return 2 * rows * inputs * outputs / min(seconds)


def floor_rows(operations: float, rate: float, ours: float) -> list[list]:
    """How far ``ours`` seconds are from the least that ``operations`` can take at ``rate`` operations a second."""
    return [
        ["operations needed, GFLOP", operations / 1e9],
        ["matrix rate, GFLOP/s", rate / 1e9],
        ["floor (operations / rate), s", operations / rate],
        ["this project / floor", ours * rate / operations],
    ]


def comparison_rows(pairs: Pairs, operations: float, rate: float) -> list[list]:
    """The rows of an ordinary comparison: both sides, their ratio, the floor, how far the results are apart."""
    return [
        ["reference, s", pairs.reference],
        ["this project, s", pairs.ours],
        ["ratio (median of pairs)", pairs.ratio],
        *floor_rows(operations, rate, pairs.ours),
        *pairs.differences(),
    ]


def peak_memory(on: torch.device | str = "cpu") -> float:
    """GiB of memory that this process has had resident at most; on a GPU, GiB that its tensors took."""
    if torch.device(on).type == "cuda":
        return torch.cuda.max_memory_allocated(on) / 2**30
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="utf-8") as file:
        # unlike ru_maxrss it does not count what the process that started this one had
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


def available_memory(on: torch.device | str = "cpu") -> float:
    """GiB that a new process can have without swapping; on a GPU, that are free there."""
    if torch.device(on).type == "cuda":
        return torch.cuda.mem_get_info(on)[0] / 2**30
    with contextlib.suppress(OSError), open("/proc/meminfo", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("MemAvailable")) / 2**20
    raise UserError("this system has no /proc/meminfo: give the memory that may be used as --memory-limit")


def processor() -> str:
    """The name of the CPU's model."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        return next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "")
    return platform.processor() or platform.machine()


def machine(threads: int, on: torch.device | str = "cpu") -> str:
    """What the figures were measured with, and when."""
    name = torch.cuda.get_device_name() if torch.device(on).type == "cuda" else processor()
    return f"{name}, {threads} thread(s), torch {torch.__version__.partition('+')[0]}, {datetime.date.today()}"


def print_table(title: str, rows: Sequence[Sequence], headers: Sequence[str] = ()) -> None:
    """The title, then the rows with three digits of each figure."""
    print(title)
    print(tabulate(rows, headers, floatfmt=".3g"), flush=True)
