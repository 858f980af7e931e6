"""Other people's trainer files for CoOp's API, unmodified beside ours or in their place, train and test.

Their code is not part of this repository: a test runs where an environment variable names a clone of its repository,

    COOP_REPOSITORY     KaiyangZhou/CoOp
    KGCOOP_REPOSITORY   htyao89/KgCoOp
    PROGRAD_REPOSITORY  BeierZhu/Prompt-align

or the folder in the clone that holds trainers/.
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
FILES = {
    "COOP_REPOSITORY": ("coop", "cocoop", "zsclip", "imagenet_templates"),
    "KGCOOP_REPOSITORY": ("kgcoop",),
    "PROGRAD_REPOSITORY": ("prograd",),
}
# Two of them call .cuda(), which on a machine without a GPU has to do nothing.
WITHOUT_GPU = """\
import torch
if not torch.cuda.is_available():
    torch.Tensor.cuda = torch.nn.Module.cuda = lambda self, *args, **kwargs: self
"""
SHORT = ["DATASET.NUM_SHOTS", "2", "OPTIM.MAX_EPOCH", "2", "DATALOADER.TRAIN_X.BATCH_SIZE", "2"]
# What the scripts and YAML files of the other repositories give, in the words of their own train.py.
COOP_KEYS = ["TRAINER.COOP.CTX_INIT", "True", "TRAINER.COOP.CSC", "False", "TRAINER.COOP.CLASS_TOKEN_POSITION", "end"]
KEYS = {
    "KgCoOp": [*COOP_KEYS, "TRAINER.COOP.N_CTX", "4", "TRAINER.COOP.W", "8.0"],
    "ProGrad": [*COOP_KEYS, "TRAINER.COOP.N_CTX", "16", "LOSS.NAME", "prograd", "LOSS.T", "1.0", "LOSS.LAMBDA", "1.0"],
}


def trainers_of(variable: str) -> Path:
    """The folder with the trainer files of a repository; skips the test where its variable is not set."""
    if not os.environ.get(variable):
        pytest.skip(f"{variable} is not set to a clone of the repository")
    clone = Path(os.environ[variable])
    file = f"trainers/{FILES[variable][0]}.py"
    return next(folder / "trainers" for folder in (clone, *sorted(clone.iterdir())) if (folder / file).is_file())


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A function that copies the tree, puts a repository's trainers into it, and makes a small EuroSAT."""

    def copy(variable: str) -> Path:
        trainers = trainers_of(variable)
        tree = tmp_path_factory.mktemp("tree")
        for name in ("clip", "dassl", "datasets", "trainers", "configs"):
            shutil.copytree(ROOT / name, tree / name)
        for file in ROOT.glob("*.py"):
            shutil.copy(file, tree)
        for name in FILES[variable]:
            shutil.copy(trainers / f"{name}.py", tree / "trainers")
        (tree / "without_gpu").mkdir()
        (tree / "without_gpu" / "sitecustomize.py").write_text(WITHOUT_GPU)
        random = np.random.RandomState(0)
        for name in ("AnnualCrop", "Forest", "River", "SeaLake"):
            folder = tree / "data" / "eurosat" / "2750" / name
            folder.mkdir(parents=True)
            for index in range(10):
                image = Image.fromarray(random.randint(0, 256, (32, 32, 3), dtype=np.uint8))
                image.save(folder / f"{name}_{index}.jpg")
        return tree

    return copy


@pytest.fixture(scope="module")
def coop_tree(copied):
    return copied("COOP_REPOSITORY")


def run(tree, trainer, *arguments, config=None, returns=0):
    command = [sys.executable, "train.py", "--root", "data", "--seed", "1", "--trainer", trainer]
    command += ["--dataset-config-file", "configs/datasets/eurosat.yaml"]
    command += ["--config-file", f"configs/trainers/{config or trainer}/tiny.yaml", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(tree / "without_gpu")}
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, env=environment)
    assert done.returncode == returns, done.stdout + done.stderr
    return done.stdout + done.stderr


def accuracy(output):
    return [line for line in output.splitlines() if line.startswith("* accuracy")]


@pytest.mark.parametrize("trainer", ["CoOp", "CoCoOp"])
def test_coops_train_and_test_and_our_trainer_loads_their_checkpoints(coop_tree, trainer):
    output = str(coop_tree / "output" / trainer)
    assert "Finish training" in run(coop_tree, trainer, "--output-dir", output, *SHORT)
    evaluation = ["--eval-only", "--model-dir", output, "--load-epoch", "2"]
    theirs = run(coop_tree, trainer, "--output-dir", f"{output}-test", *evaluation)
    ours = run(ROOT, trainer, "--output-dir", f"{output}-ours", *evaluation, "--root", str(coop_tree / "data"))
    assert accuracy(theirs) and accuracy(theirs) == accuracy(ours)


def test_zero_shot(coop_tree):
    output = str(coop_tree / "output" / "zero")
    assert accuracy(run(coop_tree, "ZeroshotCLIP", "--eval-only", "--output-dir", output))


@pytest.mark.parametrize("trainer", ["KgCoOp", "ProGrad"])
def test_files_with_keys_of_their_own_train_and_test_and_our_trainer_loads_their_checkpoints(copied, trainer):
    """They are run with CoOp's configuration and the keys that their own train.py, YAML files and scripts add."""
    tree = copied(f"{trainer.upper()}_REPOSITORY")
    output = str(tree / "output" / trainer)
    trained = run(tree, trainer, "--output-dir", output, *SHORT, *KEYS[trainer], config="CoOp")
    assert "Finish training" in trained
    (notice,) = [line for line in trained.splitlines() if line.startswith("Keys that are not known here")]
    assert ("TRAINER.COOP.W" if trainer == "KgCoOp" else "LOSS.NAME, LOSS.T, LOSS.LAMBDA") in notice
    evaluation = ["--eval-only", "--model-dir", output, "--load-epoch", "2"]
    theirs = run(tree, trainer, "--output-dir", f"{output}-test", *evaluation, *KEYS[trainer], config="CoOp")
    ours = run(ROOT, trainer, "--output-dir", f"{output}-ours", *evaluation, "--root", str(tree / "data"))
    assert accuracy(theirs) and accuracy(theirs) == accuracy(ours)

    keys = KEYS[trainer][:-2]  # without the last of them
    error = run(tree, trainer, "--output-dir", f"{output}-short", *SHORT, *keys, config="CoOp", returns=2)
    assert f"error: {trainer} reads the config key {KEYS[trainer][-2]}, which nothing sets" in error
