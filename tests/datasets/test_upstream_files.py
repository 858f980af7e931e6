"""Upstream CoOp's own dataset files, unmodified beside or in place of ours, list the same images here.

Their code is not part of this repository: the test runs where COOP_REPOSITORY names a clone of KaiyangZhou/CoOp.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import datasets
from tests.datasets.fake_trees import KEYS, TREES, make_tree

ROOT = Path(__file__).parents[2]
GOLDEN = json.loads((ROOT / "tests/golden/dataset_lists.json").read_text())["datasets"]
UPSTREAM = os.environ.get("COOP_REPOSITORY")
TEN = ["fgvc_aircraft", "food101", "imagenet_a", "imagenet_r", "imagenet_sketch", "imagenetv2"]
TEN += ["oxford_flowers", "stanford_cars", "sun397", "ucf101"]
FIFTEEN = [*TEN, "caltech101", "dtd", "eurosat", "imagenet", "oxford_pets"]
SCRIPT = """
import json
import os
import sys
from pathlib import Path

listdir = os.listdir
os.listdir = lambda path=".": sorted(listdir(path))  # in the golden lists, too, upstream's order is this one

import datasets

assert datasets.__path__ == [os.path.abspath("datasets")], "these are not the copied files"
from dassl.config import get_cfg_default
from dassl.data.datasets import DATASET_REGISTRY, build_dataset
from dassl.utils import set_random_seed
from fake_trees import arguments_of, as_lists, digest_of

cfg = get_cfg_default()
datasets.add_config(cfg)
digests = {}
for tree in json.loads(sys.argv[1]):
    cfg.DATASET.NAME, cfg.DATASET.ROOT = tree.split()[0], os.path.abspath(tree)
    for key in json.loads(sys.argv[2]):
        cfg.DATASET.NUM_SHOTS, cfg.SEED, cfg.DATASET.SUBSAMPLE_CLASSES = arguments_of(key)
        set_random_seed(cfg.SEED)
        digests[f"{tree} {key}"] = digest_of(as_lists(build_dataset(cfg), Path(cfg.DATASET.ROOT)))
Path("answers.json").write_text(json.dumps(digests))
"""
FIRST = "-1 1 all"


@pytest.mark.skipif(not UPSTREAM, reason="COOP_REPOSITORY is not set to a clone of KaiyangZhou/CoOp")
@pytest.mark.parametrize("files", [TEN, FIFTEEN], ids=["the ten that need ours", "all fifteen"])
def test_upstreams_dataset_files_list_the_same_images(files, tmp_path):
    shutil.copytree(datasets.__path__[0], tmp_path / "datasets", ignore=shutil.ignore_patterns("__pycache__"))
    for name in files:
        shutil.copy(Path(UPSTREAM, "datasets", f"{name}.py"), tmp_path / "datasets")
    for tree in TREES:
        make_tree(tree, tmp_path / tree)
    path = os.pathsep.join([str(tmp_path), str(ROOT), str(Path(__file__).parent)])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(list(TREES)), json.dumps([FIRST, *KEYS])],
        env={**os.environ, "PYTHONPATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answers = json.loads((tmp_path / "answers.json").read_text())
    for tree, golden in GOLDEN.items():
        expected = {FIRST: golden["split"], **golden["subsets"]}
        assert {key: answers[f"{tree} {key}"] for key in expected} == expected, tree
