from pathlib import Path

import pytest

import datasets
from dassl.config import get_cfg_default
from dassl.data.datasets import build_dataset
from dassl.utils import UserError


@pytest.fixture
def build(tmp_path):
    """Build a dataset by name with `tmp_path` as data root; `keys` are further keys of `cfg.DATASET`.

    `model` is TEST.FINAL_MODEL; `only_tested` is what --eval-only sets.
    """

    def build(
        name,
        shots=-1,
        seed=1,
        subsample="all",
        directory="",
        root=tmp_path,
        model="last_step",
        only_tested=False,
        **keys,
    ):
        cfg = get_cfg_default()
        datasets.add_config(cfg)
        cfg.VERBOSE = False
        cfg.SEED = seed
        cfg.DATASET.ROOT = str(root)
        cfg.DATASET.NAME = name
        cfg.DATASET.NUM_SHOTS = shots
        cfg.DATASET.SUBSAMPLE_CLASSES = subsample
        cfg.DATASET.DIR = str(directory)
        cfg.DATASET.ONLY_TESTED = only_tested
        cfg.TEST.FINAL_MODEL = model
        for key, value in keys.items():
            cfg.DATASET[key] = str(value)
        return build_dataset(cfg)

    return build


@pytest.fixture
def make_images(tmp_path):
    """Make `{class folder: number of images}` under `folder` of the data root; the files are empty."""

    def make_images(folder, classes, suffix=".jpg"):
        for name, images in classes.items():
            names = images if isinstance(images, list) else [f"image_{n:04d}{suffix}" for n in range(1, images + 1)]
            class_dir = Path(tmp_path, folder, name)
            class_dir.mkdir(parents=True, exist_ok=True)
            for image in names:
                class_dir.joinpath(image).touch()
        return Path(tmp_path, folder)

    return make_images


@pytest.fixture
def user_error():
    """Return the message of the UserError that `call` raises, after checking that it is one line."""

    def user_error(call, *args, **kwargs):
        with pytest.raises(UserError) as caught:
            call(*args, **kwargs)
        message = str(caught.value)
        assert message and "\n" not in message
        return message

    return user_error


@pytest.fixture
def as_lists():
    """Return a dataset's parts as [path relative to the image folder, label, class name] lists."""

    def as_lists(dataset):
        return [
            [[Path(item.impath).relative_to(dataset.image_dir).as_posix(), item.label, item.classname] for item in part]
            for part in (dataset.train_x, dataset.val, dataset.test)
        ]

    return as_lists
