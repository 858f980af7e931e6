"""Upstream CoOp's own trainer files, unmodified in place of ours, train and test.

Their code is not part of this repository: the test runs where COOP_REPOSITORY names a clone of KaiyangZhou/CoOp.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
UPSTREAM = os.environ.get("COOP_REPOSITORY")
pytestmark = pytest.mark.skipif(not UPSTREAM, reason="COOP_REPOSITORY is not set to a clone of KaiyangZhou/CoOp")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the tree with upstream's trainers in the place of ours, and a small EuroSAT."""
    tree = tmp_path_factory.mktemp("tree")
    files = [file.name for file in ROOT.glob("*.py")]
    for name in ("clip", "dassl", "datasets", "trainers", "configs", *files):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name)
        else:
            shutil.copy(source, tree / name)
    for name in ("coop", "cocoop", "zsclip", "imagenet_templates"):
        shutil.copy(Path(UPSTREAM) / "trainers" / f"{name}.py", tree / "trainers")
    random = np.random.RandomState(0)
    for name in ("AnnualCrop", "Forest", "River", "SeaLake"):
        folder = tree / "data" / "eurosat" / "2750" / name
        folder.mkdir(parents=True)
        for index in range(10):
            Image.fromarray(random.randint(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / f"{name}_{index}.jpg")
    return tree


def run(tree, trainer, *arguments):
    command = [sys.executable, "train.py", "--root", "data", "--seed", "1", "--trainer", trainer]
    command += ["--dataset-config-file", "configs/datasets/eurosat.yaml"]
    command += ["--config-file", f"configs/trainers/{trainer}/tiny.yaml", *arguments]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("trainer", ["CoOp", "CoCoOp"])
def test_trains_and_tests_and_our_trainer_loads_its_checkpoint(tree, trainer):
    shots = ["DATASET.NUM_SHOTS", "2", "OPTIM.MAX_EPOCH", "2", "DATALOADER.TRAIN_X.BATCH_SIZE", "2"]
    output = str(tree / "output" / trainer)
    assert "Finish training" in run(tree, trainer, "--output-dir", output, *shots)
    evaluation = ["--eval-only", "--model-dir", output, "--load-epoch", "2"]
    upstreams = run(tree, trainer, "--output-dir", f"{output}-test", *evaluation)
    ours = run(ROOT, trainer, "--output-dir", f"{output}-ours", *evaluation, "--root", str(tree / "data"))
    accuracy = [line for line in upstreams.splitlines() if line.startswith("* accuracy")]
    assert accuracy and accuracy == [line for line in ours.splitlines() if line.startswith("* accuracy")]


def test_zero_shot(tree):
    assert "* accuracy" in run(tree, "ZeroshotCLIP", "--eval-only", "--output-dir", str(tree / "output" / "zero"))
