"""Loaders with worker processes: random numbers, what workers share, and how they end."""

import contextlib
import copy
import gc
import itertools
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from dassl.data import DataManager, DatasetWrapper, build_data_loader
from dassl.data import data_manager as data_manager_module
from dassl.data.datasets import Datum, build_dataset
from dassl.data.epoch_loader import EpochLoader
from dassl.engine import TRAINER_REGISTRY
from dassl.utils import UserError, load_checkpoint, set_random_seed

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than cores


@pytest.fixture(autouse=True)
def no_workers_of_other_tests():
    """Loaders that an error has ended are gone, and their workers with them, only when cycles are collected."""
    if multiprocessing.active_children():
        gc.collect()


def test_workers_that_the_system_refuses_are_one_error(monkeypatch):
    """torch's iterator, which is half made then, says nothing more as it is deleted."""
    for refused in ("Queue", "Event", "Process"):
        loader = EpochLoader([1, 2], tensors=1, tensor_bytes=1, num_workers=1)
        ignored = []

        def refuse(*arguments, **options):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(sys, "unraisablehook", ignored.append)
            patch.setattr(type(loader.multiprocessing_context), refused, refuse)
            with pytest.raises(OSError, match="No space left"):
                iter(loader)
            gc.collect()
        assert not ignored, refused


@pytest.fixture(autouse=True)
def many_cores(monkeypatch):
    monkeypatch.setattr(data_manager_module, "available_cores", lambda: 8)


@pytest.fixture
def loader(cfg):
    """Build a training loader with some workers."""

    def build(workers, **options):
        cfg.DATALOADER.NUM_WORKERS = workers
        return DataManager(cfg, **options).train_loader_x

    return build


def epoch(loader, seed, batches=None):
    set_random_seed(seed)
    found = [(batch["index"].tolist(), batch["img"].clone()) for batch in itertools.islice(loader, batches)]
    return found, torch.rand(1).item(), random.random(), np.random.rand()


def assert_equal(first, second):
    for (indices, images), (other_indices, other_images) in zip(first[0], second[0], strict=True):
        assert indices == other_indices and torch.equal(images, other_images)
    assert first[1:] == second[1:]  # the generators of the main process are in the same state, too


class _Tensor(torch.Tensor):
    """Somebody's subclass."""


class DrawingWrapper(DatasetWrapper):
    """A wrapper of somebody else's that draws from every generator and wants plain numbers as indices."""

    def __getitem__(self, index):
        assert type(index) is int
        drawn = [torch.rand(1).item(), random.random(), np.random.rand(), torch.randn(1).item()]
        return {"img": torch.tensor(drawn), "index": index}


@pytest.mark.parametrize("wrapper", [None, DrawingWrapper])
def test_an_epoch_depends_on_the_seed_alone(loader, wrapper):
    """Not on the number of workers, nor on what came before: so a resumed run gets the batches it would have got."""
    first = loader(1, dataset_wrapper=wrapper)
    expected = [epoch(first, seed) for seed in (1, 2, 3)]
    for workers in (2, 3):
        other = loader(workers, dataset_wrapper=wrapper)
        epoch(other, 9, batches=2)  # left in the middle
        assert_equal(epoch(other, 2), expected[1])
        assert_equal(epoch(other, 1), expected[0])
        assert_equal(epoch(loader(workers, dataset_wrapper=wrapper), 3), expected[2])
    images = [images for found in expected for _, images in found[0]]
    assert len({image.sum().item() for batch in images for image in batch}) == 60


def test_a_resumed_run_ends_with_the_weights_of_one_never_stopped(build, tmp_path):
    class Killed(BaseException):
        pass

    class Dying(TRAINER_REGISTRY.get("Linear")):
        def forward_backward(self, batch):
            if (self.epoch, self.batch_idx) == (2, 1):
                raise Killed
            return super().forward_backward(batch)

    settings = {"DATALOADER__NUM_WORKERS": "2", "OPTIM__MAX_EPOCH": "4", "TEST__FINAL_MODEL": "best_val"}
    whole = build(OUTPUT_DIR=str(tmp_path / "whole"), **settings)
    whole.train()
    with pytest.raises(Killed):
        build(Dying, OUTPUT_DIR=str(tmp_path / "killed"), **settings).train()
    resumed = build(OUTPUT_DIR=str(tmp_path / "killed"), **settings)
    resumed.train()
    assert resumed.start_epoch == 2
    assert resumed.best_result == whole.best_result
    last = [load_checkpoint(str(tmp_path / run / "learner" / "model.pth.tar-4")) for run in ("whole", "killed")]
    assert all(torch.equal(last[0]["state_dict"][name], last[1]["state_dict"][name]) for name in last[0]["state_dict"])


def test_an_item_that_comes_twice_is_augmented_twice(cfg, loader):
    cfg.DATALOADER.TRAIN_X.SAMPLER = "RandomClassSampler"
    cfg.DATALOADER.TRAIN_X.N_INS = 4
    cfg.DATALOADER.TRAIN_X.BATCH_SIZE = 8
    built = loader(1)
    built.sampler._by_label = {label: [label] for label in range(3)}  # one image per class, four times in a batch
    set_random_seed(1)
    batch = next(iter(built))
    for label in set(batch["index"].tolist()):
        alike = batch["img"][batch["index"] == label]
        assert len(alike) == 4 and len({image.sum().item() for image in alike}) > 1


def test_test_loaders_and_training_loaders_of_one_epoch_do_not_disturb_each_other(cfg):
    cfg.DATALOADER.NUM_WORKERS = 2
    manager = DataManager(cfg)
    plain = [batch["img"].clone() for batch in manager.test_loader]
    expected = epoch(manager.train_loader_x, 4)
    set_random_seed(4)
    found = []
    for batch in manager.train_loader_x:
        found.append((batch["index"].tolist(), batch["img"].clone()))
        again = [batch["img"].clone() for batch in manager.test_loader]
        assert all(torch.equal(*pair) for pair in zip(plain, again, strict=True))
    assert all(torch.equal(a[1], b[1]) for a, b in zip(expected[0], found, strict=True))


def test_workers_stay_for_training_and_go_after_a_test(cfg):
    cfg.DATALOADER.NUM_WORKERS = 2
    manager = DataManager(cfg)
    list(manager.test_loader)
    assert not multiprocessing.active_children()
    list(manager.train_loader_x)
    workers = {process.pid for process in multiprocessing.active_children()}
    list(manager.train_loader_x)
    next(iter(manager.train_loader_x))
    assert {process.pid for process in multiprocessing.active_children()} == workers and len(workers) == 2
    del manager
    assert not multiprocessing.active_children()


def test_workers_leave_interruptions_to_the_main_process(loader):
    built = loader(1)
    expected = epoch(built, 1)
    for process in multiprocessing.active_children():
        os.kill(process.pid, signal.SIGINT)
    assert_equal(epoch(built, 1), expected)


def test_an_epoch_within_an_epoch_is_one_of_its_own(loader):
    built = loader(1)
    expected = [epoch(built, seed)[0] for seed in (1, 2)]
    set_random_seed(1)
    found = []
    for batch in built:
        found.append((batch["index"].tolist(), batch["img"].clone()))
        inner = epoch(built, 2)[0]
        assert [indices for indices, _ in inner] == [indices for indices, _ in expected[1]]
    assert all(a[0] == b[0] and torch.equal(a[1], b[1]) for a, b in zip(expected[0], found, strict=True))
    assert len(multiprocessing.active_children()) == 1


def test_batches_come_through_memory_that_is_used_again(cfg):
    cfg.DATALOADER.NUM_WORKERS = 2
    manager = DataManager(cfg)
    for loader in (manager.train_loader_x, manager.test_loader):
        for _ in range(4):
            assert not any(batch["img"].is_shared() for batch in loader)  # as torch's own shared tensors are
            next(iter(loader))


def test_batches_kept_by_the_caller_are_not_overwritten(loader):
    built = loader(2)
    for _ in range(3):
        set_random_seed(1)
        batches = [batch["img"] for batch in built]
        copies = [images.clone() for images in batches]
        views = [images.numpy()[1:] for images in batches]
        del batches
        epoch(built, 2)
        assert all((view == images[1:].numpy()).all() for view, images in zip(views, copies, strict=True))


def test_a_batch_that_a_forked_process_drops_is_not_overwritten(loader):
    built = loader(1)
    batches = iter(built)
    held = [next(batches)["img"]]
    kept = held[0].clone()
    child = os.fork()
    if child == 0:
        held.clear()
        os._exit(0)
    os.waitpid(child, 0)
    list(batches)
    list(built)
    assert torch.equal(held[0], kept)


def test_batches_of_every_form_are_those_of_torchs_collate_function(cfg):
    cfg.DATALOADER.K_TRANSFORMS = 2
    cfg.DATALOADER.RETURN_IMG0 = True
    cfg.DATALOADER.NUM_WORKERS = 1

    class Wrapper(DatasetWrapper):
        def __getitem__(self, index):
            more = {"float": index / 3, "flag": index > 2, "array": np.arange(3) + index, "pair": (index, "x")}
            large = torch.full((3, 40, 40), index)  # no slot is as large
            sub = torch.ones(2).as_subclass(_Tensor)
            return {**super().__getitem__(index), **more, "large": large, "empty": torch.zeros(0), "sub": sub}

    manager = DataManager(cfg, dataset_wrapper=Wrapper)
    for train in (True, False):
        ours = manager.train_loader_x if train else manager.test_loader
        plain = DataLoader(ours.dataset, batch_size=ours.batch_size, num_workers=1)
        expected = next(iter(plain))
        assert expected["float"].dtype == torch.float64
        found = next(iter(DataLoader(ours.dataset, batch_size=ours.batch_size))) if train else next(iter(ours))
        assert list(found) == list(expected)
        for key in set(found) - ({"img"} if train else set()):
            if torch.is_tensor(expected[key]):
                assert found[key].dtype == expected[key].dtype and torch.equal(found[key], expected[key])
                assert train or type(found[key]) is type(expected[key])
            elif key == "pair":
                assert torch.equal(found[key][0], expected[key][0]) and found[key][1] == expected[key][1]
        batch = next(iter(ours))
        views = batch["img"] if train else [batch["img"]]
        assert [view.shape for view in views] == [(ours.batch_size, 3, 8, 8)] * 2 if train else [(12, 3, 8, 8)]


def test_images_decoded_by_one_worker_serve_all(cfg, tmp_path, data_root):
    items = []
    for item in build_dataset(cfg).train_x:
        path = tmp_path / os.path.basename(item.impath)
        path.write_bytes(open(item.impath, "rb").read())
        items.append(Datum(str(path), label=item.label))
    cfg.DATALOADER.NUM_WORKERS = 2

    def to_tensor(image):
        return torch.from_numpy(np.array(image))

    loader = build_data_loader(cfg, "RandomSampler", items, batch_size=3, tfm=to_tensor)
    expected = {batch["index"][i].item(): batch["img"][i].clone() for batch in loader for i in range(3)}
    for item in items:
        os.remove(item.impath)
    for _ in range(3):  # each worker gets other images each time
        for batch in loader:
            assert all(
                torch.equal(expected[i.item()], image) for i, image in zip(batch["index"], batch["img"], strict=True)
            )
    assert len(loader.dataset.cache) == len(items)


def test_changes_of_the_dataset_reach_the_workers(loader):
    built = loader(1)
    list(built)
    del built.dataset.data_source[8:]
    built.dataset.transform = lambda image: torch.zeros(2)
    built.sampler.data_source = built.dataset
    batches = list(built)
    assert len(batches) == 2 and all((batch["img"] == 0).all() for batch in batches)
    built.dataset.data_source[0] = Datum(built.dataset.data_source[1].impath, label=77)
    assert 77 in torch.cat([batch["label"] for batch in built])
    assert len(multiprocessing.active_children()) == 1


def test_an_iterator_at_its_end_takes_nothing_from_the_next_epoch(loader):
    built = loader(1)
    first = iter(built)
    list(first)
    second = iter(built)
    assert next(first, None) is None
    assert len(list(second)) == len(second) == 5


def test_items_of_a_wrapper_may_lie_in_an_array(loader):
    class Wrapper(DatasetWrapper):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            self.data_source = np.array(self.data_source, dtype=object)

    assert_equal(epoch(loader(1, dataset_wrapper=Wrapper), 1), epoch(loader(1), 1))


def test_after_the_death_of_a_worker_or_an_interruption_there_are_new_ones(loader):
    def raise_interrupt(*_):
        raise KeyboardInterrupt

    built = loader(2)
    expected = epoch(built, 1)
    worker = built._iterator._workers[0]
    with contextlib.suppress(RuntimeError):  # torch's, if it is told before we are
        worker.kill()
        worker.join()
    worker.join()
    assert_equal(epoch(built, 1), expected)

    # A new worker sends the signal: a timer may run out while the old ones end, where Python ignores what is raised.
    main, not_sent = os.getpid(), multiprocessing.get_context("fork").Lock()

    def interrupt(image):
        if not_sent.acquire(block=False):
            os.kill(main, signal.SIGALRM)
        time.sleep(0.1)
        return torch.zeros(1)

    built.dataset.transform = interrupt
    before = signal.signal(signal.SIGALRM, raise_interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            list(built)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert built._iterator is None


def test_what_trainers_read_off_a_loader_is_there(loader):
    built = loader(2)
    list(built)
    assert (built.batch_size, built.num_workers, built.drop_last, len(built)) == (4, 2, True, 5)
    again = DataLoader(
        copy.deepcopy(built.dataset), batch_size=built.batch_size, sampler=built.sampler, num_workers=built.num_workers
    )
    assert sorted(index for batch in again for index in batch["index"].tolist()) == list(range(21))
    assert_equal(epoch(copy.deepcopy(built), 1), epoch(built, 1))
    assert [len(batch) for batch in built.batch_sampler] == [4] * 5


def test_workers_that_are_not_forked_load_the_same(cfg, monkeypatch):
    cfg.DATALOADER.NUM_WORKERS = 1
    expected = epoch(DataManager(cfg).train_loader_x, 1)
    built = DataManager(cfg).train_loader_x
    built._forks = False
    built.multiprocessing_context = "spawn"
    assert_equal(epoch(built, 1), expected)


def test_an_error_in_a_worker_is_one_line_and_the_loader_goes_on(cfg, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_text("no image")
    items = [*build_dataset(cfg).train_x[:4], Datum(str(bad))]
    cfg.DATALOADER.NUM_WORKERS = 1
    loader = build_data_loader(cfg, data_source=items, batch_size=1, tfm=lambda image: 0)
    before = {process.pid for process in multiprocessing.active_children()}
    for _ in range(2):
        with pytest.raises(UserError) as caught:
            list(loader)
        assert str(caught.value).startswith(f"cannot read the image {bad}: ") and "\n" not in str(caught.value)
        caught.value.__traceback__ = None
    assert len({process.pid for process in multiprocessing.active_children()} - before) == 1


INTERRUPTED = """
import multiprocessing, sys, time
from dassl.config import get_cfg_default
from dassl.data import build_data_loader
from dassl.data import data_manager
from dassl.data.datasets import Datum

data_manager.available_cores = lambda: 2
cfg = get_cfg_default()
cfg.DATALOADER.NUM_WORKERS = 2
items = [Datum(sys.argv[1] + "/." * 1000 + sys.argv[2]) for _ in range(10000)]
slow = lambda image: time.sleep(0.002) or 0
training, test = (
    build_data_loader(cfg, data_source=items, batch_size=50, tfm=slow, is_train=train) for train in (True, False)
)
batches = iter(training)
next(batches)
for number, batch in enumerate(test):
    if number == 0:
        print(*(process.pid for process in multiprocessing.active_children()), flush=True)
"""


@pytest.mark.parametrize("kill", [False, True])
def test_no_process_remains_after_an_interruption_or_a_kill(root, data_root, kill):
    # batches of such long names fill the workers' queue: some of them wait for the main process as it is killed
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(data_root), "/squares/train/red_0.png"],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    workers = [int(pid) for pid in process.stdout.readline().split()]
    assert len(workers) == 4
    if kill:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
    else:
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does: to all of them
        _, errors = process.communicate(timeout=30)
        assert errors.count("Traceback") == 1 and errors.rstrip().endswith("KeyboardInterrupt")
    deadline = time.monotonic() + 15
    while any(os.path.exists(f"/proc/{pid}") for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = [pid for pid in workers if os.path.exists(f"/proc/{pid}")]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left
