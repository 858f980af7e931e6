"""Training steps on a CUDA device that computes nothing: dtypes, devices, launches, waits and capture as a CUDA graph.

python tests/null_cuda/test_null_cuda.py writes launches.json anew.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
TABLE = FOLDER / "launches.json"
STEPS = {"mudpt": (100, 4), "coop": (100, 32), "cocoop": (100, 1)}  # classes, images
FEWER_THAN = {"mudpt": 1405, "coop": 950, "cocoop": 870}  # the plain reference's 1,481, 932 and 860, or near them
EAGER = {"CLIP_LoRA"}  # its dropout draws random numbers


def missing() -> str:
    """Why the device cannot be built here; "": it can."""
    if shutil.which("g++") is None:
        return "there is no g++"
    if torch.version.cuda is None:
        return "torch is no CUDA build"
    return "" if torch.__version__.partition("+")[0] == table()["torch"] else "launches.json is of another torch"


def table() -> dict:
    return json.loads(TABLE.read_text(encoding="utf-8"))


pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "-")


def lines_of(folder: Path, *words: str) -> list[dict]:
    """What Python printed on the device, given these words."""
    environment = {**os.environ, "NULLCUDA": str(folder / "device")}
    command = ["bash", str(FOLDER / "run"), sys.executable, *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def runs_of_every_trainer(folder: Path) -> dict[tuple[str, str], dict]:
    from tests.small_data import draw_few

    draw_few(folder / "data", "letters")
    lines = lines_of(folder, "-m", "tests.null_cuda.every_trainer", str(folder / "data"), str(folder / "output"))
    return {(line["trainer"], str(line["precision"])): line for line in lines}


def steps(folder: Path) -> dict[str, dict]:
    points = [",".join([method, *map(str, sizes), "fp16"]) for method, sizes in STEPS.items()]
    lines = lines_of(folder, "-m", "tests.null_cuda.step", *points, "--sides", "ours", "captured")
    return {method: {line["side"]: line for line in lines if line["method"] == method} for method in STEPS}


def launches_and_waits(run: dict) -> list[int]:
    return [run["launches"], run["waits"]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return runs_of_every_trainer(tmp_path_factory.mktemp("null_cuda"))


def test_every_trainer_runs_in_every_precision_without_a_device_or_dtype_error(runs):
    assert len(runs) > 60
    assert [(key, run["failure"]) for key, run in runs.items() if run["failure"]] == []
    assert {score for run in runs.values() for score in run["scores"]} == {"scores cuda torch.float32"}


def test_steps_are_captured_and_what_cannot_be_says_why(runs):
    stepping = {key: run for key, run in runs.items() if "launches" in run}
    assert {name for (name, _), run in stepping.items() if not run["replays"]} == EAGER
    for (name, _), run in stepping.items():
        told = ["Steps are no CUDA graph: it draws random numbers, as dropout does"] if name in EAGER else []
        assert run["told"] == told


RANDOM = """
import json, torch
from tests.null_cuda import counting
from trainers.cuda_graph import CapturedStep, CaptureError

weight = torch.ones(8, device="cuda", requires_grad=True)

def compute(x):
    weight.grad = None
    loss = torch.nn.functional.dropout(x * weight, 0.5).sum()
    loss.backward()
    return {"loss": loss.detach()}

torch.rand(4, device="cuda")
generator = torch.cuda.default_generators[0]
offsets, told = [generator.get_offset()], ""
try:
    CapturedStep(compute, [weight])(torch.ones(8, device="cuda"))
except CaptureError as error:
    told = str(error)
print(json.dumps({"offsets": [*offsets, generator.get_offset()], "told": told}))
"""


def test_a_pass_that_draws_random_numbers_is_refused_and_has_drawn_none(tmp_path):
    (found,) = lines_of(tmp_path, "-c", RANDOM)
    assert found["told"] == "it draws random numbers, as dropout does"
    assert found["offsets"][0] == found["offsets"][1] > 0


def test_no_pass_waits_and_none_has_other_launches_than_the_table(runs):
    found = {"/".join(key): launches_and_waits(run) for key, run in runs.items() if "launches" in run}
    assert found == table()["every_trainer"]
    assert {waits for _, waits in found.values()} == {0}


def test_a_step_of_vit_b16_has_fewer_launches_than_the_plain_reference_and_one_as_a_graph(tmp_path):
    for method, sides in steps(tmp_path).items():
        assert launches_and_waits(sides["ours"]) == table()["vit_b16_fp16_step"][method]
        assert sides["ours"]["launches"] <= FEWER_THAN[method]
        assert sides["captured"]["replays"] == 1
        assert sides["captured"]["waits"] <= 1  # whether float16 overflowed


def write_table() -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        every = runs_of_every_trainer(Path(folder))
        found = {
            "torch": torch.__version__.partition("+")[0],
            "every_trainer": {
                "/".join(key): launches_and_waits(run) for key, run in every.items() if "launches" in run
            },
            "vit_b16_fp16_step": {
                method: launches_and_waits(sides["ours"]) for method, sides in steps(Path(folder)).items()
            },
        }
    text = json.dumps(found, indent=1).replace("[\n   ", "[").replace("\n  ]", "]").replace(",\n   ", ", ")
    TABLE.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    write_table()
