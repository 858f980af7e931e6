"""train.py in a process of its own. STOP_AFTER=n: SIGTERM to itself after n steps. SHARED_GPU=1: several processes of a
torchrun on one GPU, with gloo in the place of nccl, which refuses that."""

from __future__ import annotations

import os
import signal
import sys

sys.path.insert(0, os.getcwd())
import train

if os.environ.get("STOP_AFTER"):
    from dassl.engine import TrainerX

    taken, step = [], TrainerX._step

    def stopping_step(self, *arguments):
        result = step(self, *arguments)
        taken.append(None)
        if len(taken) == int(os.environ["STOP_AFTER"]):
            os.kill(os.getpid(), signal.SIGTERM)
        return result

    TrainerX._step = stopping_step
if os.environ.get("SHARED_GPU"):
    import torch
    import torch.distributed as dist

    init, count = dist.init_process_group, torch.cuda.device_count
    os.environ["CUDA_VISIBLE_DEVICES"] = "0,0"
    torch.cuda.device_count = lambda: 2
    dist.init_process_group = lambda backend, **options: (
        setattr(torch.cuda, "device_count", count),
        init("cpu:gloo,cuda:gloo", **options),
    )
sys.exit(train.run(sys.argv[1:]))
