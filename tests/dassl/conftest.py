"""A dataset of coloured squares and a trainer of one linear layer: enough for every hook, done in milliseconds."""

import os

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from dassl.config import get_cfg_default
from dassl.data.datasets import DATASET_REGISTRY, DatasetBase, Datum
from dassl.engine import TRAINER_REGISTRY, TrainerX
from dassl.metrics import compute_accuracy
from dassl.optim import build_lr_scheduler, build_optimizer
from dassl.utils import set_random_seed

CLASSES = ["red", "green", "blue"]
PER_CLASS = {"train": 7, "val": 2, "test": 4}


@DATASET_REGISTRY.register(force=True)
class Squares(DatasetBase):
    dataset_dir = "squares"
    domains = ["plain"]

    def __init__(self, cfg):
        self.dataset_dir = os.path.join(cfg.DATASET.ROOT, self.dataset_dir)
        splits = {split: self.read(split) for split in PER_CLASS}
        super().__init__(train_x=splits["train"], val=splits["val"], test=splits["test"])

    def read(self, split):
        return [
            Datum(os.path.join(self.dataset_dir, split, f"{name}_{i}.png"), label=label, classname=name)
            for label, name in enumerate(CLASSES)
            for i in range(PER_CLASS[split])
        ]


@DATASET_REGISTRY.register(force=True)
class SquaresWithoutVal(Squares):
    def __init__(self, cfg):
        super().__init__(cfg)
        self._val = None


@DATASET_REGISTRY.register(force=True)
class SquaresAsShown(Squares):
    images_as_shown = True


@TRAINER_REGISTRY.register(force=True)
class Linear(TrainerX):
    """Dropout makes its steps depend on the random state, momentum on the optimizer's."""

    def build_model(self):
        self.model = nn.Sequential(nn.Dropout(0.2), nn.Flatten(), nn.Linear(3 * 8 * 8, self.num_classes))
        self.optim = build_optimizer(self.model, self.cfg.OPTIM)
        self.sched = build_lr_scheduler(self.optim, self.cfg.OPTIM)
        self.register_model("learner", self.model, self.optim, self.sched)

    def forward_backward(self, batch):
        images, label, _ = self.parse_batch_train(batch)
        output = self.model(images)
        loss = F.cross_entropy(output, label)
        self.model_backward_and_update(loss)
        if (self.batch_idx + 1) == self.num_batches:
            self.update_lr()
        return {"loss": loss.item(), "acc": compute_accuracy(output, label)[0].item()}


@pytest.fixture(scope="package", autouse=True)
def one_thread():
    """Threads that wait for each other cost more than tensors of this size."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def data_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    noise = torch.Generator().manual_seed(0)
    for split, count in PER_CLASS.items():
        os.makedirs(root / "squares" / split)
        for label, name in enumerate(CLASSES):
            for i in range(count):
                pixels = torch.randint(0, 120, (10, 12, 3), generator=noise, dtype=torch.uint8)
                pixels[..., label] += 100
                Image.fromarray(pixels.numpy()).save(root / "squares" / split / f"{name}_{i}.png")
    return root


@pytest.fixture
def cfg(data_root, tmp_path):
    """The config of a run of three epochs with five batches each."""
    cfg = get_cfg_default()
    cfg.OUTPUT_DIR = str(tmp_path / "output")
    cfg.SEED = 1
    cfg.USE_CUDA = False
    cfg.INPUT.SIZE = (8, 8)
    cfg.INPUT.TRANSFORMS = ["random_resized_crop", "random_flip", "normalize"]
    cfg.DATASET.ROOT = str(data_root)
    cfg.DATASET.NAME = "Squares"
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.DATALOADER.TRAIN_X.BATCH_SIZE = 4
    cfg.OPTIM.NAME = "sgd"
    cfg.OPTIM.LR = 0.01
    cfg.OPTIM.LR_SCHEDULER = "cosine"
    cfg.OPTIM.WARMUP_EPOCH = 1
    cfg.OPTIM.WARMUP_TYPE = "constant"
    cfg.OPTIM.MAX_EPOCH = 3
    cfg.TRAINER.NAME = "Linear"
    return cfg


@pytest.fixture
def build(cfg):
    """Build a trainer as train.py does; keyword arguments with double underscores set config keys."""
    loaders = []

    def build(kind=None, **settings):
        mine = cfg.clone()
        mine.merge_from_list([part for key, value in settings.items() for part in (key.replace("__", "."), value)])
        mine.freeze()
        set_random_seed(mine.SEED)
        trainer = (kind or TRAINER_REGISTRY.get(mine.TRAINER.NAME))(mine)
        loaders.append(trainer.train_loader_x)
        return trainer

    yield build
    for loader in loaders:  # garbage collection would end their processes in an order in which each takes seconds
        loader._iterator = None
