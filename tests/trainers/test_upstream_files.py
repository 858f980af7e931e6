"""Other people's trainer files for CoOp's API, unmodified beside ours or in their place, train and test.

Their code is not part of this repository: a test runs where an environment variable names a clone of its repository,

    COOP_REPOSITORY     KaiyangZhou/CoOp
    KGCOOP_REPOSITORY   htyao89/KgCoOp
    PROGRAD_REPOSITORY  BeierZhu/Prompt-align
    MAPLE_REPOSITORY    muzairkhattak/multimodal-prompt-learning or muzairkhattak/PromptSRC
    CLAP_REPOSITORY     jusiro/CLAP
    DEKG_REPOSITORY     cnunlp/DeKg
    DEPT_REPOSITORY     Koorye/DePT
    TASKRES_REPOSITORY  geekyutao/TaskRes
    ATPROMPT_REPOSITORY zhengli97/ATPrompt

or the folder in the clone that holds trainers/.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tree import copy_tree

ROOT = Path(__file__).parents[2]
COOP_FILES = ("trainers/coop.py", "trainers/cocoop.py", "trainers/zsclip.py", "trainers/imagenet_templates.py")
DEPT_NAMES = ("base", "optim", "coop", "cocoop", "kgcoop", "elp_coop", "elp_cocoop", "elp_kgcoop", "elp_maple", "maple")
FILES = {
    "COOP_REPOSITORY": COOP_FILES,
    "KGCOOP_REPOSITORY": ("trainers/kgcoop.py",),
    "PROGRAD_REPOSITORY": ("trainers/prograd.py",),
    "MAPLE_REPOSITORY": COOP_FILES,
    "CLAP_REPOSITORY": ("trainers/adapters.py", "datasets/imagenet_templates.py"),
    "DEKG_REPOSITORY": ("trainers/DeKg.py", "trainers/loss.py"),
    "DEPT_REPOSITORY": (*(f"trainers/{name}.py" for name in DEPT_NAMES), "utils", "clip_maple"),
    "TASKRES_REPOSITORY": ("trainers/taskres.py", "trainers/imagenet_a_r_indexes_v2.py"),
    "ATPROMPT_REPOSITORY": ("trainers/coop_atp.py", "trainers/cocoop_atp.py"),
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


def clone_of(variable: str) -> Path:
    """The folder with the files of a repository; skips the test where its variable is not set."""
    if not os.environ.get(variable):
        pytest.skip(f"{variable} is not set to a clone of the repository")
    clone = Path(os.environ[variable])
    first = FILES[variable][0]
    found = [folder for folder in (clone, *sorted(clone.iterdir())) if (folder / first).exists()]
    assert found, f"{variable}: {clone} has no {first}, so it is no whole clone"
    return found[0]


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A function that copies the tree, puts a repository's trainers into it, and makes a small EuroSAT."""

    def copy(variable: str) -> Path:
        clone = clone_of(variable)
        tree = copy_tree(tmp_path_factory.mktemp("tree"))
        for name in FILES[variable]:
            (shutil.copytree if (clone / name).is_dir() else shutil.copy)(clone / name, tree / name)
        (tree / "stand_ins").mkdir()
        (tree / "stand_ins" / "sitecustomize.py").write_text(WITHOUT_GPU)
        (tree / "stand_ins" / "plotnine.py").write_text("")  # DePT imports it, and uses nothing of it
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
    environment = {**os.environ, "PYTHONPATH": str(tree / "stand_ins")}
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


DEPT = (
    "OPTIM.LR_EXP 6.5 OPTIM.STAGED_LR True OPTIM.NEW_LAYERS ['linear_probe','film'] OPTIM.BASE_LR_MULT 1.0 "
    "TRAINER.NAMES_TO_UPDATE ['prompt_learner','linear_probe','film'] TRAINER.LINEAR_PROBE.TYPE linear "
    "TRAINER.LINEAR_PROBE.WEIGHT 0.7 TRAINER.LINEAR_PROBE.TEST_TIME_FUSION True TRAINER.FILM.LINEAR_PROBE True "
    "TRAINER.COOP.W 8.0 TRAINER.COOP.ALPHA 1.0 DATASET.SUBSAMPLE_CLASSES base"
)
ATPROMPT = (
    "TRAINER.ATPROMPT.USE_ATPROMPT True TRAINER.ATPROMPT.N_ATT1 4 TRAINER.ATPROMPT.N_ATT2 4 TRAINER.ATPROMPT.N_ATT3 4 "
    "TRAINER.ATPROMPT.ATT_NUM 2 TRAINER.ATPROMPT.ATT1_TEXT habitat TRAINER.ATPROMPT.ATT2_TEXT color "
    "TRAINER.ATPROMPT.ATT3_TEXT none"
)
TASKRES = "TRAINER.TaskRes.PREC fp32 TRAINER.TaskRes.ENHANCED_BASE none TRAINER.TaskRes.RESIDUAL_SCALE 1.0"
CLAP = (
    "TRAINER.ADAPTER.INIT ZS TRAINER.ADAPTER.CONSTRAINT l2 TRAINER.ADAPTER.PREC fp32 TRAINER.ADAPTER.ENHANCED_BASE none"
)
RELEASED = [  # repository, trainer, whose configuration, the keys that its own train.py declares
    ("MAPLE", "CoOp", "CoOp", ""),
    ("MAPLE", "CoCoOp", "CoCoOp", ""),
    ("CLAP", "ADAPTER", "CoOp", CLAP),
    ("DEKG", "DeKg", "CoOp", "TRAINER.COOP.W 8.0 LOSS.WEIGHT 1.0 TRAINER.COOP.PREC fp16"),
    ("DEPT", "CoOp", "CoOp", DEPT),
    ("DEPT", "ExtrasLinearProbeCoOp", "CoOp", DEPT),
    ("DEPT", "ExtrasLinearProbeCoCoOp", "CoCoOp", DEPT),
    ("DEPT", "ExtrasLinearProbeKgCoOp", "CoOp", DEPT),
    ("TASKRES", "TaskRes", "CoOp", TASKRES),
    ("ATPROMPT", "CoOp_ATP", "CoOp", ATPROMPT),
    ("ATPROMPT", "CoCoOp_ATP", "CoCoOp", ATPROMPT),
]


@pytest.mark.parametrize(("repository", "trainer", "config", "keys"), RELEASED)
def test_released_trainers_train_and_leave_their_accuracy(copied, repository, trainer, config, keys):
    tree = copied(f"{repository}_REPOSITORY")
    assert "Finish training" in run(tree, trainer, "--output-dir", "output", *SHORT, *keys.split(), config=config)
    results = json.loads((tree / "output" / "results.json").read_text())
    assert results["trainer"] == trainer and 0 <= results["metrics"]["accuracy"] <= 100
