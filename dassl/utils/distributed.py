"""The processes of a run that torchrun started, ``torchrun --nproc_per_node=N train.py ...``; without it there is one.

Every process holds all that is trained. It takes its share of every global batch in training and of the images in a
test; gradients and what is reported of a step are averaged, predictions gathered. Rank 0 alone prints and writes. The
functions here do nothing, or return what they are given, where there is one process.
"""

import datetime
import itertools
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .errors import ProcessError

PATIENCE = 5  # seconds that a process which fails gives the others to clean up, before torchrun ends them
TIMEOUT = datetime.timedelta(minutes=30)  # for one exchange, such as the wait until rank 0 has written a dataset

_store: dist.Store | None = None  # what all processes can write into and read, from before they are connected
_runs = itertools.count()


class ExchangeError(ProcessError):
    """Another process has ended, or cannot be reached."""


def world_size() -> int:
    """Number of processes of the run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0 to `world_size` - 1."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def is_main() -> bool:
    """Whether this is the process that prints and writes."""
    return rank() == 0


def processes_on_machine() -> int:
    """Number of the run's processes on this machine."""
    return int(os.environ["LOCAL_WORLD_SIZE"]) if world_size() > 1 else 1


# beginning and end


def start() -> None:
    """Reach the processes that torchrun has started; all but rank 0 print nothing to standard output from now on."""
    global _store
    if _store is not None:
        return
    from torch.distributed.rendezvous import rendezvous

    _store = dist.PrefixStore(f"run {next(_runs)}", next(rendezvous("env://", timeout=TIMEOUT))[0])
    if os.environ["RANK"] != "0":
        sys.stdout = open(os.devnull, "w", encoding="utf-8", errors="backslashreplace")


def connect(use_cuda: bool) -> None:
    """Connect the processes that `start` has reached: nccl between GPUs, gloo between CPUs.

    Each process sees one GPU only, its own, so that trainers which look for several do not divide their batch again.
    It must not have used a GPU yet.

    Raises:
        UserError: there are fewer GPUs than processes on this machine.
    """
    if _store is None or dist.is_initialized():
        return
    # Its functions keep the group that there is when it is first imported, and would keep its connections open.
    import torch.distributed.nn.functional

    gpus = torch.cuda.device_count() if use_cuda else 0
    if gpus:
        count, own = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["LOCAL_RANK"])
        if count > gpus:
            raise ProcessError(
                f"torchrun --nproc_per_node={count} on a machine with {gpus} GPU(s): start one process per GPU, or "
                "set USE_CUDA False"
            )
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[own].strip() if visible else str(own)
        # Without NVML it was CUDA that counted the GPUs, and it keeps to those that it then saw.
        torch.cuda.set_device(0 if torch.cuda.device_count() == 1 else own)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if gpus else "gloo",
        store=dist.PrefixStore("group", _store),
        rank=int(os.environ["RANK"]),
        world_size=int(os.environ["WORLD_SIZE"]),
        timeout=TIMEOUT,
    )


def first_to_fail() -> bool:
    """Called once with an error that ends this process: whether no other process has failed before.

    The first error is the one to show: others are the same one in the other processes, or follow from it.
    """
    if _store is None:
        return True
    try:
        return _store.add("failed", 1) == 1
    except RuntimeError:  # torchrun, which holds the store, has ended
        return os.environ["RANK"] == "0"


def stop(failed: bool) -> None:
    """Leave the other processes; after an error those that wait for this one get an `ExchangeError`."""
    global _store
    if _store is None:
        return
    if failed:
        _end_loader_processes()
    # nccl could wait for the others here; without it, their waiting ends as torchrun ends them
    if dist.is_initialized() and not (failed and torch.cuda.is_initialized()):
        dist.destroy_process_group()
    try:
        ended, deadline = _store.add("ended", 1), time.monotonic() + PATIENCE
        while failed and ended < int(os.environ["WORLD_SIZE"]) and time.monotonic() < deadline:
            time.sleep(0.05)
            ended = _store.add("ended", 0)
    except RuntimeError:  # torchrun has ended
        pass
    _store = None


def _end_loader_processes() -> None:
    """They were forked with the connections to the other processes, which stay open as long as one of them lives."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler raises an error where one of them is killed
    workers = multiprocessing.active_children()
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.join()


# exchange


@contextmanager
def _exchange() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ExchangeError(
            f"the exchange with the other processes failed ({reason}): run the same command again"
        ) from error


def average(tensor: Tensor) -> Tensor:
    """The mean over the processes of a tensor that all of them have, in one shape."""
    if world_size() == 1:
        return tensor
    mean = (tensor / world_size()).contiguous()  # divided first: a sum of float16 could overflow
    with _exchange():
        dist.all_reduce(mean)
    return mean


def average_summary(summary: dict | None) -> dict | None:
    """The mean over the processes of each of the numbers that a step reports."""
    if world_size() == 1 or not summary:
        return summary
    values = torch.tensor([float(value) for value in summary.values()], dtype=torch.float64)
    return dict(zip(summary, average(values).tolist(), strict=True))


def gather(value) -> list:
    """The ``value`` of every process, in the order of their ranks. It is pickled on the way."""
    values = [value] * world_size()
    if world_size() > 1:
        with _exchange():
            dist.all_gather_object(values, value)
    return values


def barrier() -> None:
    """Wait until every process is here."""
    average(torch.zeros(()))


@contextmanager
def main_first() -> Iterator[None]:
    """Rank 0 carries out the block before the others, which find what it has written."""
    if not is_main():
        barrier()
    yield
    if is_main():
        barrier()


# training


def share(length: int) -> slice:
    """Which of ``length`` images of a global batch are this process's.

    Raises:
        UserError: ``length`` is no multiple of the number of processes.
    """
    if length % world_size():
        raise ProcessError(
            f"a batch of {length} images cannot be shared by {world_size()} processes: choose a multiple of "
            f"{world_size()} for DATALOADER.TRAIN_X.BATCH_SIZE, not above the number of training images, or another "
            "--nproc_per_node"
        )
    size = length // world_size()
    return slice(rank() * size, (rank() + 1) * size)


def broadcast(model: nn.Module) -> None:
    """Give all processes rank 0's parameters and buffers."""
    for tensor in model.state_dict().values() if world_size() > 1 else ():
        sent = tensor.contiguous()
        with _exchange():
            dist.broadcast(sent, src=0)
        tensor.copy_(sent)


def average_gradients(model: nn.Module) -> None:
    """From now on, whenever a parameter's gradient was computed by a backward pass, average it over the processes.

    This holds for any ``backward()`` on a loss that is a mean over images, but not for ``torch.autograd.grad``. Every
    process must compute gradients of the same parameters.
    """
    for parameter in model.parameters() if world_size() > 1 else ():
        if parameter.is_floating_point():
            trained = parameter.requires_grad
            parameter.requires_grad_(True)  # a trainer may train it later, but the hook has to be there before
            parameter.register_post_accumulate_grad_hook(_average_gradient)
            parameter.requires_grad_(trained)


def _average_gradient(parameter: Tensor) -> None:
    parameter.grad.copy_(average(parameter.grad))
