"""What each of several processes loads; the other processes are imagined."""

import pytest
import torch
import torch.distributed as dist

from dassl.data import DataManager
from dassl.data.epoch_loader import share_of_images
from dassl.utils import UserError, set_random_seed


@pytest.fixture
def as_process(monkeypatch):
    """Make this process the one of a rank."""

    def become(rank, world_size):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(world_size))
        monkeypatch.setattr(dist, "is_initialized", lambda: True)
        monkeypatch.setattr(dist, "get_rank", lambda: rank)
        monkeypatch.setattr(dist, "get_world_size", lambda: world_size)
        monkeypatch.setattr("dassl.data.datasets.build.main_first", torch.no_grad)  # it would wait for the others

    return become


def epoch(loader):
    set_random_seed(3)
    return [(batch["index"].tolist(), batch["img"].clone()) for batch in loader]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 1])
def test_shares_are_the_parts_of_the_batches_of_one_process(workers, cfg, as_process):
    cfg.DATALOADER.NUM_WORKERS = workers
    whole = epoch(DataManager(cfg).train_loader_x)
    shares = []
    for rank in (0, 1):
        as_process(rank, 2)
        shares.append(epoch(DataManager(cfg).train_loader_x))
    for (indices, images), *parts in zip(whole, *shares, strict=True):
        assert [len(part) for part, _ in parts] == [2, 2]
        assert parts[0][0] + parts[1][0] == indices
        assert torch.equal(torch.cat([part for _, part in parts]), images)


@pytest.mark.parametrize(("batch_size", "images"), [(6, 6), (30, 21)])  # the second: the only batch is not full
def test_a_batch_that_is_no_multiple_is_refused(batch_size, images, cfg, as_process):
    cfg.DATALOADER.TRAIN_X.BATCH_SIZE = batch_size
    as_process(0, 4)
    with pytest.raises(UserError, match=f"a batch of {images} images cannot be shared by 4 processes"):
        epoch(DataManager(cfg).train_loader_x)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("world_size", [1, 5, 13])
def test_every_test_image_is_in_one_share(world_size, workers, cfg, as_process):
    cfg.DATALOADER.NUM_WORKERS = workers
    loader = DataManager(cfg).test_loader
    assert share_of_images(loader) is loader
    indices = []
    for rank in range(world_size) if workers == 0 else (0, world_size - 1):
        as_process(rank, world_size)
        share = [index for found, _ in epoch(share_of_images(loader)) for index in found]
        assert share == list(range(12))[rank::world_size]
        indices += share
    if workers == 0:
        assert sorted(indices) == list(range(12))
    assert [index for found, _ in epoch(loader) for index in found] == list(range(12))  # it gives all, as before
