"""Runs the parts, those without timings side by side, and gathers their JSON lines: run.py CHECKOUT DEADLINE [PART ...]."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
checkout, deadline = sys.argv[1], float(sys.argv[2])
parts = sys.argv[3:] or ["correctness", "endtoend", "processes", "bench"]
out = os.path.join(os.environ.get("OUT", "."), "gpu.json")
lines: list[dict] = []
lock = threading.Lock()


def add(line: dict) -> None:
    with lock:
        lines.append(line)
        print(json.dumps(line), flush=True)
        with open(out + ".new", "w") as file:
            json.dump(lines, file, indent=1)
        os.replace(out + ".new", out)


def run(part: str, until: float) -> None:
    began = time.time()
    environment = {**os.environ, "GPU_CHECK_CHECKOUT": checkout, "GPU_CHECK_DEADLINE": str(until)}
    with open(os.path.join(os.path.dirname(out), f"{part}.log"), "w") as log:
        process = subprocess.Popen(
            [sys.executable, os.path.join(HERE, f"{part}.py")],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
            start_new_session=True,
        )
        killer = threading.Timer(max(1.0, until + 5 - time.time()), lambda: os.killpg(process.pid, 9))
        killer.start()
        for line in process.stdout:
            try:
                add(json.loads(line))
            except ValueError:
                log.write(line)
        code = process.wait()
        killer.cancel()
    line = {"part": part, "finished": code == 0, "exit": code, "seconds": round(time.time() - began, 1)}
    if code:
        with open(log.name) as file:
            line["error"] = "".join(file.readlines()[-8:])[-900:]
    add(line)


def about_the_machine() -> dict:
    import importlib.metadata as metadata
    import shutil

    import torch

    versions = {}
    for name in ("torch", "torchvision", "numpy", "triton", "nvidia-cudnn-cu13", "open_clip_torch", "yacs"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    gpu = torch.cuda.is_available()
    return {
        "part": "machine",
        "python": sys.version.split()[0],
        **versions,
        "cpus": len(os.sched_getaffinity(0)),
        "gpu": torch.cuda.get_device_name() if gpu else None,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if gpu else None,
        "compiler": shutil.which("gcc") or shutil.which("cc"),
        "processor": next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), ""),
    }


add(about_the_machine())
if not lines[0]["gpu"]:
    add({"part": "machine", "note": "no GPU: everything runs on the CPU with small sizes"})
together = [part for part in parts if part != "bench"]
share = 0.5 if "bench" in parts else 1.0
until = time.time() + share * (deadline - time.time())
threads = [threading.Thread(target=run, args=(part, until)) for part in together]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if "bench" in parts:
    run("bench", deadline - 8)
bad = [line for line in lines if line.get("ok") is False or line.get("finished") is False]
add(
    {
        "part": "summary",
        "lines": len(lines),
        "not_ok": len(bad),
        "which": [
            " ".join(
                str(line.get(key)) for key in ("part", "case", "trainer", "precision", "kind", "node") if line.get(key)
            )
            for line in bad
        ][:40],
    }
)
sys.exit(1 if bad else 0)
