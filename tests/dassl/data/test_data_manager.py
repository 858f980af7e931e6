import os

import pytest
import torch
from PIL import ExifTags, Image
from torchvision import transforms as tv

from dassl.data import DataManager, DatasetWrapper, build_data_loader
from dassl.data.datasets import Datum, build_dataset
from dassl.data.transforms import build_transform
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


def test_without_workers_order_and_augmentation_come_from_the_global_generator(cfg):
    found = epoch(DataManager(cfg).train_loader_x, seed=5)

    set_random_seed(5)
    items = build_dataset(cfg).train_x
    transform = tv.Compose(
        [
            tv.RandomResizedCrop((8, 8), (0.08, 1.0), interpolation=tv.InterpolationMode.BILINEAR),
            tv.RandomHorizontalFlip(),
            tv.ToTensor(),
            tv.Normalize(cfg.INPUT.PIXEL_MEAN, cfg.INPUT.PIXEL_STD),
        ]
    )
    torch.empty((), dtype=torch.int64).random_()  # the DataLoader's, for workers that are not there
    seed = int(torch.empty((), dtype=torch.int64).random_())
    order = torch.randperm(21, generator=torch.Generator().manual_seed(seed))[:20].view(5, 4)
    for (indices, images), expected in zip(found, order, strict=True):
        assert indices == expected.tolist()
        for index, image in zip(indices, images, strict=True):
            assert torch.equal(image, transform(Image.open(items[index].impath)))


@pytest.fixture
def pictures(tmp_path):
    """Three of 400x400: two take less than a MiB."""
    items = []
    for number in range(3):
        Image.new("RGB", (400, 400), (number, 0, 0)).save(tmp_path / f"{number}.png")
        items.append(Datum(str(tmp_path / f"{number}.png")))
    return items


def test_training_images_are_decoded_once_within_the_budget(cfg, pictures):
    cfg.DATALOADER.CACHE_MB = 1
    train = DatasetWrapper(cfg, pictures, is_train=True)
    test = DatasetWrapper(cfg, pictures, is_train=False)
    for index in range(3):
        train[index], test[index]
    assert (len(train.cache), len(test.cache)) == (2, 0)
    for item in pictures:
        os.remove(item.impath)
    train[1]["img"].putpixel((0, 0), (9, 9, 9))
    assert train[1]["img"].getpixel((0, 0)) == (1, 0, 0)
    assert train[0]["img"].size == (400, 400)
    for index, dataset in ((2, train), (0, test)):
        with pytest.raises(UserError, match="image not found"):
            dataset[index]


@pytest.fixture
def photographs(tmp_path):
    """One that lies on its side and one with a transparent half, and how a viewer shows them."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    lying = Image.new("RGB", (40, 20), (200, 0, 0))
    lying.paste((0, 0, 200), (0, 0, 20, 20))
    lying.save(tmp_path / "lying.png", exif=exif)
    clear = Image.new("RGBA", (40, 20), (200, 0, 0, 0))
    clear.paste((0, 0, 200, 255), (0, 0, 20, 20))
    clear.save(tmp_path / "clear.png")
    on_white = Image.new("RGB", (40, 20), (255, 255, 255))
    on_white.paste(clear, mask=clear)
    items = [Datum(str(tmp_path / name)) for name in ("lying.png", "clear.png")]
    return items, [lying.transpose(Image.Transpose.ROTATE_270), on_white]


def pixels(images):
    return [(image.size, image.tobytes()) for image in images]


@pytest.mark.parametrize("is_train", [True, False])
def test_only_a_dataset_that_says_so_has_its_images_read_as_they_are_shown(cfg, photographs, is_train):
    items, shown = photographs
    for name in ("Squares", "SquaresAsShown", "of a third party"):
        cfg.DATASET.NAME = name
        dataset = DatasetWrapper(cfg, items, is_train=is_train)
        expected = shown if name == "SquaresAsShown" else [Image.open(item.impath).convert("RGB") for item in items]
        for _ in range(2):  # decoded, then from the cache
            assert pixels(dataset[index]["img"] for index in range(2)) == pixels(expected)
        assert len(dataset.cache) == 2 * is_train


def test_loaders_of_training_and_test_read_own_images_as_they_are_shown(cfg, photographs):
    items, shown = photographs
    cfg.DATASET.NAME = "SquaresAsShown"
    cfg.DATALOADER.NUM_WORKERS = 1
    for is_train in (True, False):
        transform = build_transform(cfg, is_train=False)
        loader = build_data_loader(cfg, data_source=items, batch_size=2, tfm=transform, is_train=is_train)
        for _ in range(2):
            for batch in loader:
                assert torch.equal(batch["img"], torch.stack([transform(shown[index]) for index in batch["index"]]))


def test_cache_can_be_turned_off(cfg, pictures):
    cfg.DATALOADER.CACHE_MB = 0
    train = DatasetWrapper(cfg, pictures, is_train=True)
    assert train[0]["img"].size == (400, 400) and len(train.cache) == 0


@pytest.mark.parametrize(("key", "value"), [("NUM_WORKERS", -1), ("CACHE_MB", -1), ("CACHE_MB", 2**40)])
def test_impossible_settings_are_named(cfg, key, value):
    cfg.DATALOADER[key] = value
    with pytest.raises(UserError, match=f"DATALOADER.{key}"):
        DataManager(cfg)


def test_configs_of_upstream_lack_our_keys(cfg):
    del cfg.DATALOADER["CACHE_MB"], cfg.DATALOADER["EXACT_DECODING"]
    dataset = DataManager(cfg).train_loader_x.dataset
    dataset[0]
    assert len(dataset.cache) == 1


def test_exchanged_items_are_not_taken_for_the_old_ones(cfg, pictures):
    train = DatasetWrapper(cfg, pictures, is_train=True)
    for index in range(3):
        train[index]
    del train.data_source[0]
    train.data_source.append(Datum(pictures[0].impath, label=7))
    train.data_source.append(pictures[0])
    assert [train[index]["img"].getpixel((0, 0))[0] for index in range(4)] == [1, 2, 1, 1]


@pytest.mark.parametrize("exact", [False, True])
def test_large_jpegs_are_reduced_unless_exact_decoding_is_wanted(cfg, tmp_path, exact):
    Image.effect_noise((900, 600), 50).save(tmp_path / "large.jpg")
    cfg.INPUT.SIZE = (100, 100)
    cfg.DATALOADER.EXACT_DECODING = exact
    usual = build_transform(cfg, is_train=False)
    items = [Datum(str(tmp_path / "large.jpg"))]
    sizes = []

    class Recording(type(usual)):
        def __call__(self, image):
            sizes.append(image.size)
            return super().__call__(image)

    known = Recording(usual.transforms)
    for transform in (known, [known, known], [known, lambda image: image]):
        DatasetWrapper(cfg, items, transform)[0]
    reduced = (900, 600) if exact else (450, 300)
    assert sizes == [reduced, reduced, reduced, (900, 600)]
    cfg.DATALOADER.RETURN_IMG0 = True
    cfg.INPUT.SIZE = (150, 200)  # of img0
    DatasetWrapper(cfg, items, known)[0]
    assert sizes[-1] == ((900, 600) if exact else (450, 300))
    cfg.INPUT.SIZE = (160, 200)
    DatasetWrapper(cfg, items, known)[0]
    assert sizes[-1] == (900, 600)


def test_without_a_transform_images_are_decoded_in_full(cfg, tmp_path):
    Image.effect_noise((900, 600), 50).save(tmp_path / "large.jpg")
    assert DatasetWrapper(cfg, [Datum(str(tmp_path / "large.jpg"))])[0]["img"].size == (900, 600)


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
