"""Every comparison at its smallest size, by its command line: both sides agree, and the table is whole."""

import contextlib
import io
import json
import re
import runpy
import subprocess
import sys

import pytest
import torch

from bench import measure, single_step, startup
from bench.single_step import Growth

SMALL = "--backbone tiny --classes 3 --pairs 1"
COMPARISONS = {
    "mudpt_step": f"{SMALL} --batch 2",
    "coop_step": f"{SMALL} --batch 2",
    "cocoop_step": f"{SMALL} --batch 2",
    "cocoop_evaluation": f"{SMALL} --images 3 --reference-images 2",
    "mudpt_evaluation": f"{SMALL} --images 3 --batch 2",
    "memory": "--backbone tiny --classes 50 --chunk 2 --chunked-classes 3 --batch 1",
    "growth": "--backbone tiny --axes classes --classes-sizes 3 --chunk 2 --batch 1 --steps 1 --json {}/growth.json",
}
ROWS = [
    "reference, s",
    "this project, s",
    "ratio (median of pairs)",
    "operations needed, GFLOP",
    "matrix rate, GFLOP/s",
    "floor (operations / rate), s",
    "this project / floor",
    "difference of the logits, relative",
]


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What each script prints, and where it may write; in this process, since most of their time is importing torch."""
    folder, outputs, threads = tmp_path_factory.mktemp("growth"), {}, torch.get_num_threads()
    for name, options in COMPARISONS.items():
        output = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(output):
            patch.setattr(sys, "argv", [name, *options.format(folder).split()])
            patch.setattr(measure, "MATRIX", {"cpu": (256, 256, 256)})
            if name == "growth":  # that a point has a process of its own is seen with memory
                patch.setattr(single_step, "measure_point", lambda point, limit=None: single_step.step(point))
            runpy.run_module(f"bench.{name}", run_name="__main__")
        outputs[name] = output.getvalue()
    torch.set_num_threads(threads)
    return outputs, folder


def figures(table: str) -> dict[str, float]:
    return {label: float(figure) for label, figure in re.findall(r"^(\w.*?) {2,}(\S+)$", table, re.MULTILINE)}


@pytest.mark.parametrize("name", [name for name in COMPARISONS if "step" in name or "evaluation" in name])
def test_both_sides_agree_and_the_floor_stands_beside_the_ratio(printed, name):
    found = figures(printed[0][name])
    rows = ROWS + (["difference of the gradients, relative"] if "step" in name else [])
    assert list(found)[: len(rows)] == rows
    assert all(figure < 3e-5 for row, figure in found.items() if row.startswith("difference"))
    assert found["this project / floor"] > 1
    assert found["ratio (median of pairs)"] == pytest.approx(found["reference, s"] / found["this project, s"], rel=0.02)


def test_an_evaluation_is_compared_with_its_image_encoder_alone(printed):
    found = figures(printed[0]["mudpt_evaluation"])
    assert found["this project / its image encoder alone"] > 0 and found["the same of the operations needed"] > 1


def test_the_memory_of_both_sides_is_measured(printed):
    (reference, ours) = re.findall(r"^(reference|this project) +50 +(\S+) +(\S+)", printed[0]["memory"], re.MULTILINE)
    assert (reference[0], ours[0]) == ("reference", "this project")
    assert float(reference[1]) > float(reference[2]) > 0 and float(ours[1]) > 0
    assert re.search(r"^this project, 2 classes at a time +3 +\d", printed[0]["memory"], re.MULTILINE)


def test_growth_is_written_and_drawn(printed):
    outputs, folder = printed
    measured = json.loads((folder / "growth.json").read_text())
    assert [(point["line"], point["classes"]) for point in measured["points"]] == [
        ("reference", 3),
        ("this project", 3),
        ("this project, 2 classes at a time", 3),
    ]
    assert all(point["seconds"] > 0 and point["gib"] > 0 for point in measured["points"])
    assert (folder / "growth.png").stat().st_size < 200_000


def test_what_would_not_fit_is_told_by_linear_growth():
    growth = Growth(limit=10)
    growth.add(100, 2)
    assert growth.fits(10_000) and growth.largest() is None  # growth is not known yet
    growth.add(200, 3)
    assert growth.fits(900) and not growth.fits(901)
    growth.add(300, 3.5)
    assert growth.largest() == 1600


def test_released_codes_are_looked_for_where_the_user_says(root, tmp_path):
    command = [sys.executable, "-m", "bench.originals", tmp_path]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr == f"error: {tmp_path} is neither a clone with the folder trainers nor a git directory\n"


def test_the_time_until_a_line_does_not_wait_for_the_end():
    script = "import time; print('first', flush=True); print('epoch [1/2]', flush=True); time.sleep(600)"
    assert 0 < startup.seconds_until([sys.executable, "-c", script], startup.FIRST_STEP) < 300
