import os

import pytest
import torch
from PIL import Image

from dassl.data import DataManager, DatasetWrapper, build_data_loader
from dassl.data.datasets import Datum, build_dataset
from dassl.utils import UserError, set_random_seed


def epoch(loader, seed):
    set_random_seed(seed)
    return [(batch["index"].tolist(), batch["img"]) for batch in loader]


def equal(first, second):
    return all(a[0] == b[0] and torch.equal(a[1], b[1]) for a, b in zip(first, second, strict=True))


def test_manager_offers_upstreams_attributes(cfg, capsys):
    manager = DataManager(cfg)
    assert manager.num_classes == 3
    assert manager.lab2cname == {0: "red", 1: "green", 2: "blue"}
    assert manager.num_source_domains == 0
    assert manager.dataset.classnames == ["red", "green", "blue"]
    assert manager.train_loader_u is None
    assert (len(manager.train_loader_x), len(manager.val_loader), len(manager.test_loader)) == (5, 1, 1)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["Dataset", "Squares"] in rows
    assert ["#", "train_x", "21"] in rows and ["#", "val", "6"] in rows and ["#", "test", "12"] in rows


def test_batch_has_upstreams_keys(cfg):
    batch = next(iter(DataManager(cfg).test_loader))
    assert set(batch) == {"label", "domain", "impath", "index", "img"}
    assert batch["img"].shape == (12, 3, 8, 8) and batch["img"].dtype == torch.float32
    assert batch["label"].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert batch["index"].tolist() == list(range(12))
    assert batch["impath"][0].endswith("red_0.png")


def test_k_transforms_and_img0(cfg):
    cfg.DATALOADER.K_TRANSFORMS = 2
    cfg.DATALOADER.RETURN_IMG0 = True
    manager = DataManager(cfg)
    batch = next(iter(manager.train_loader_x))
    assert [view.shape for view in batch["img"]] == [(4, 3, 8, 8)] * 2
    assert not torch.equal(*batch["img"])
    assert batch["img0"].shape == (4, 3, 8, 8)
    assert torch.is_tensor(next(iter(manager.test_loader))["img"])


def test_list_of_transforms_gives_numbered_images(cfg):
    double = [lambda image: torch.zeros(1), lambda image: torch.ones(1)]
    batch = next(iter(DataManager(cfg, custom_tfm_train=double).train_loader_x))
    assert batch["img"].sum() == 0 and batch["img2"].sum() == 4


def test_wrapper_without_transform_gives_the_image(cfg):
    data = build_dataset(cfg)
    assert DatasetWrapper(cfg, data.train_x)[0]["img"].size == (12, 10)
    cfg.DATALOADER.K_TRANSFORMS = 2
    with pytest.raises(UserError, match="K_TRANSFORMS"):
        DatasetWrapper(cfg, data.train_x, is_train=True)


def test_custom_wrapper_is_used(cfg):
    class Wrapper(DatasetWrapper):
        def __getitem__(self, idx):
            return {"mine": idx}

    assert set(next(iter(DataManager(cfg, dataset_wrapper=Wrapper).train_loader_x))) == {"mine"}


def test_incomplete_training_batch_is_left_out_unless_it_is_the_only_one(cfg):
    data = build_dataset(cfg)

    def sizes(batch_size, is_train):
        loader = build_data_loader(
            cfg, data_source=data.train_x, batch_size=batch_size, tfm=lambda image: 0, is_train=is_train
        )
        return [len(batch["label"]) for batch in loader]

    assert sizes(4, is_train=True) == [4] * 5
    assert sizes(4, is_train=False) == [4] * 5 + [1]
    assert sizes(32, is_train=True) == [21]


@pytest.mark.parametrize("workers", [0, 2])
def test_same_seed_gives_the_same_batches(cfg, workers):
    cfg.DATALOADER.NUM_WORKERS = workers
    loaders = [DataManager(cfg).train_loader_x for _ in range(2)]
    first = epoch(loaders[0], seed=1)
    assert equal(first, epoch(loaders[1], seed=1))
    assert equal(first, epoch(loaders[0], seed=1))  # from the decoded images
    assert not equal(first, epoch(loaders[1], seed=2))


def test_training_images_are_decoded_once_within_the_budget(cfg, tmp_path, monkeypatch):
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path in paths:
        Image.new("RGB", (10, 10)).save(path)
    items = [Datum(str(path)) for path in paths]
    monkeypatch.setattr("dassl.data.data_manager.CACHE_BYTES", 2 * 4 * 10 * 10)
    train = DatasetWrapper(cfg, items, is_train=True)
    test = DatasetWrapper(cfg, items, is_train=False)
    for index in range(3):
        train[index], test[index]
    for path in paths:
        os.remove(path)
    train[0]["img"].putpixel((0, 0), (1, 2, 3))
    assert train[0]["img"].getpixel((0, 0)) == (0, 0, 0)
    assert train[1]["img"].size == (10, 10)
    with pytest.raises(UserError):
        train[2]
    with pytest.raises(UserError):
        test[0]


@pytest.mark.parametrize("workers", [0, 1])
def test_truncated_image_is_named_in_one_line(cfg, tmp_path, workers):
    path = tmp_path / "half.jpg"
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:-400])
    cfg.DATALOADER.NUM_WORKERS = workers
    loader = build_data_loader(cfg, data_source=[Datum(str(path))], tfm=lambda image: 0, is_train=False)
    try:
        list(loader)
        message = ""
    except UserError as error:
        message = str(error)
        error.__traceback__ = None  # holds the loader, which would wait 5 s for its worker when collected as garbage
    assert message.startswith(f"cannot read the image {path}: ") and "\n" not in message


def test_empty_split_and_batch_are_errors(cfg):
    with pytest.raises(UserError, match="Squares: a test split has no images"):
        build_data_loader(cfg, data_source=[], is_train=False)
    cfg.DATALOADER.TRAIN_X.BATCH_SIZE = 0
    with pytest.raises(UserError, match="BATCH_SIZE"):
        DataManager(cfg)
