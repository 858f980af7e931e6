"""What a machine has run out of is one line that names the remedy."""

import errno
import multiprocessing
import os

import pytest
import torch

from dassl.utils import DataError
from support.user_error import user_message

WORKER = "Caught {0} in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  ...\n{0}: {1}"
BATCHES = ("DATALOADER.TRAIN_X.BATCH_SIZE", "DATALOADER.TEST.BATCH_SIZE", "TRAIN.CHUNK_CLASSES")
WITHOUT_WORKERS = ("DATALOADER.NUM_WORKERS 0",)
FILES, SHARED, DISK = (*WITHOUT_WORKERS, "ulimit -n"), (*WITHOUT_WORKERS, "/dev/shm"), ("free some space",)


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


ERRORS = [
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ..."), ("2.00 GiB", *BATCHES)),
    (RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; ...)"), ("GPU", "20.00 MiB", *BATCHES)),
    (torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be asynchronous"), ("GPU", *BATCHES)),
    (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), ("GPU", *BATCHES)),
    (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), ("GPU", *BATCHES)),
    (RuntimeError("HIP out of memory. Tried to allocate 1.00 GiB"), ("GPU", *BATCHES)),
    (RuntimeError("MPS backend out of memory (MPS allocated: 5 GB)"), ("GPU", *BATCHES)),
    (RuntimeError("ncclUnhandledCudaError: ...\nLast error:\nCuda failure 2 'out of memory'"), ("GPU", *BATCHES)),
    (MemoryError(), ("machine", *BATCHES)),
    (MemoryError("Unable to allocate 7.11 PiB for an array with shape (1000000,)"), ("7.11 PiB", *BATCHES)),
    (RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried "
                  "to allocate 4000 bytes. Error code 12 (Cannot allocate memory)"), ("4000 bytes", *BATCHES)),
    (OSError(errno.ENOMEM, "Cannot allocate memory"), BATCHES),
    (RuntimeError("std::bad_alloc"), BATCHES),
    (ImportError("libtorch_cpu.so: failed to map segment from shared object"), BATCHES),
    (RuntimeError("DataLoader worker (pid 42) is killed by signal: Killed. "), ("NUM_WORKERS", *BATCHES)),
    (RuntimeError("DataLoader worker (pid 42) is killed by signal: Bus error. It is possible that dataloader's workers "
                  "are out of shared memory. Please try to raise your shared memory limit."), SHARED),
    (caused(RuntimeError("DataLoader worker (pid(s) 42) exited unexpectedly"),
            RuntimeError("DataLoader worker (pid 42) is killed by signal: Bus error. ")), SHARED),
    (RuntimeError("DataLoader worker (pid(s) 42, 43) exited unexpectedly"), WITHOUT_WORKERS),
    (RuntimeError("DataLoader worker (pid 42) is killed by signal: Segmentation fault. "), WITHOUT_WORKERS),
    (RuntimeError("unable to write to file </torch_42_7>: No space left on device (28)"), SHARED),
    (RuntimeError(WORKER.format("RuntimeError", "unable to mmap 64 bytes from file </torch_4_7>: Cannot allocate "
                                "memory (12)")), SHARED),
    (RuntimeError("unable to allocate shared memory(shm) for file </torch_4_7>: No space left on device (28)"), SHARED),
    (RuntimeError("unable to open shared memory object </torch_4_7> in read-write mode: Too many open files (24)"),
     FILES),
    (RuntimeError("received 0 items of ancdata"), FILES),
    (OSError(errno.EMFILE, "Too many open files"), FILES),
    (OSError(errno.EMFILE, "Too many open files", "a.jpg"), ("a.jpg", *FILES)),
    (OSError(WORKER.format("OSError", "[Errno 24] Too many open files: 'a.jpg'")), FILES),
    (caused(DataError("cannot read the image a.jpg: Too many open files; replace the file or take it out"),
            OSError(errno.EMFILE, "Too many open files", "a.jpg")), FILES),
    (RuntimeError("can't start new thread"), ("ulimit -u", *WITHOUT_WORKERS)),
    (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), ("ulimit -u", *WITHOUT_WORKERS)),
    (FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"), ("TMPDIR",)),
    (OSError(errno.ENOSPC, "No space left on device"), DISK),
    (OSError(errno.ENOSPC, "No space left on device", "log.txt"), ("log.txt", *DISK)),
    (OSError(errno.EDQUOT, "Disk quota exceeded"), DISK),
    (OSError(errno.EFBIG, "File too large"), DISK),
    (RuntimeError("[enforce fail at inline_container.cc:672] . PytorchStreamWriter failed writing file data/1"), DISK),
]  # fmt: skip


@pytest.mark.parametrize(("error", "parts"), ERRORS, ids=lambda value: str(value)[:60] if str(value) else "empty")
def test_the_remedy_is_named(error, parts):
    message = user_message(error)
    assert "\n" not in message
    for part in parts:
        assert part in message, message


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("shape mismatch"),
        ImportError("libcudart.so.12: cannot open shared object file: No such file or directory"),
        ValueError("Cannot allocate memory"),
    ],
    ids=str,
)
def test_another_fault_keeps_its_traceback(error):
    assert user_message(error) is None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.ENOENT, errno.ENOSYS])
def test_a_semaphore_that_the_system_refuses_names_shared_memory(number, monkeypatch):
    def refuse(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("multiprocessing.synchronize._multiprocessing.SemLock", refuse)
    with pytest.raises(OSError) as raised:
        multiprocessing.Lock()
    assert "/dev/shm" in user_message(raised.value)
