import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import datasets
from dassl.config import get_cfg_default
from dassl.data.datasets import DATASET_REGISTRY

ROOT = Path(__file__).parents[2]
NAMES = {
    "caltech101": "Caltech101",
    "digits": "Digits",
    "dtd": "DescribableTextures",
    "eurosat": "EuroSAT",
    "fashion": "Fashion",
    "fashion_mnist": "FashionMNIST",
    "fgvc_aircraft": "FGVCAircraft",
    "food101": "Food101",
    "image_folder": "ImageFolder",
    "imagenet": "ImageNet",
    "imagenet_a": "ImageNetA",
    "imagenet_r": "ImageNetR",
    "imagenet_sketch": "ImageNetSketch",
    "imagenetv2": "ImageNetV2",
    "oxford_flowers": "OxfordFlowers",
    "oxford_pets": "OxfordPets",
    "stanford_cars": "StanfordCars",
    "sun397": "SUN397",
    "ucf101": "UCF101",
}
SCRIPT = """
import sys
import dassl.data.datasets
before = set(sys.modules)
import datasets
assert not {"sklearn", "scipy.io"} & (set(sys.modules) - before)
from dassl.data.datasets import DATASET_REGISTRY
DATASET_REGISTRY.get("DroppedIn")
"""
NEW_FILE = """
from dassl.data.datasets import DATASET_REGISTRY, DatasetBase

@DATASET_REGISTRY.register()
class DroppedIn(DatasetBase):
    pass
"""


def test_a_new_file_is_registered_by_importing_and_importing_is_cheap(tmp_path):
    shutil.copytree(datasets.__path__[0], tmp_path / "datasets", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "datasets" / "dropped_in.py").write_text(NEW_FILE)
    path = os.pathsep.join([str(tmp_path), *sys.path])
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], env={**os.environ, "PYTHONPATH": path}, cwd=tmp_path, capture_output=True
    )
    assert run.returncode == 0, run.stderr.decode()


def test_add_config_sets_the_defaults():
    cfg = get_cfg_default()
    datasets.add_config(cfg)
    assert (cfg.DATASET.SUBSAMPLE_CLASSES, cfg.DATASET.DIR) == ("all", "")


@pytest.mark.parametrize("file, name", NAMES.items())
def test_each_dataset_has_a_config_file_that_names_it(file, name):
    cfg = get_cfg_default()
    datasets.add_config(cfg)
    cfg.merge_from_file(ROOT / "configs/datasets" / f"{file}.yaml")
    assert cfg.DATASET.NAME == name
    assert DATASET_REGISTRY.get(name).__name__ == name
