"""Trainers on labelled and unlabelled images."""

import os

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dassl.data.datasets import DATASET_REGISTRY, Datum
from dassl.engine import TrainerXU
from dassl.engine.trainer_xu import PairedBatches
from dassl.optim import build_lr_scheduler, build_optimizer
from dassl.utils import UserError

SQUARES = DATASET_REGISTRY.get("Squares")
LENGTHS = {"train_x": 5, "train_u": 3, "smaller_one": 3}  # 21 and 12 images in batches of 4


@DATASET_REGISTRY.register(force=True)
class SquaresWithUnlabelled(SQUARES):
    """The test images serve as unlabelled ones."""

    def __init__(self, cfg):
        super().__init__(cfg)
        self._train_u = [Datum(item.impath) for item in self.test]


class Both(TrainerXU):
    stops_at = None

    def build_model(self):
        self.model = nn.Sequential(nn.Dropout(0.2), nn.Flatten(), nn.Linear(3 * 8 * 8, self.num_classes))
        self.optim = build_optimizer(self.model, self.cfg.OPTIM)
        self.sched = build_lr_scheduler(self.optim, self.cfg.OPTIM)
        self.register_model("learner", self.model, self.optim, self.sched)
        self.seen = []

    def forward_backward(self, batch_x, batch_u):
        if (self.epoch, self.batch_idx) == self.stops_at:
            raise KeyboardInterrupt
        self.seen.append((batch_x["impath"], batch_u["impath"]))
        images_x, labels, images_u = self.parse_batch_train(batch_x, batch_u)
        unsure = self.model(images_u).softmax(1).var(1).mean()
        loss = F.cross_entropy(self.model(images_x), labels) - unsure
        self.model_backward_and_update(loss)
        if self.batch_idx + 1 == self.num_batches:
            self.update_lr()
        return {"loss": loss.item()}


class Stopped(Both):
    stops_at = (1, 4)


@pytest.mark.parametrize("count_iter", LENGTHS)
def test_an_epoch_is_as_long_as_the_loader_that_counts(build, count_iter):
    trainer = build(Both, DATASET__NAME="SquaresWithUnlabelled", TRAIN__COUNT_ITER=count_iter, OPTIM__MAX_EPOCH="1")
    trainer.train()
    assert trainer.num_batches == len(trainer.seen) == LENGTHS[count_iter]
    for paths, split in zip(zip(*trainer.seen, strict=True), ("train", "test"), strict=True):
        flat = [path for batch in paths for path in batch]
        assert {os.path.basename(os.path.dirname(path)) for path in flat} == {split}
        assert len(set(flat[:12])) == 12  # a pass has each image once
    assert 0 <= trainer.test_results["accuracy"] <= 100


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_run_killed_in_the_second_pass_of_a_loader_goes_on_there_to_the_same_bits(build, tmp_path, workers):
    settings = {"DATASET__NAME": "SquaresWithUnlabelled", "DATALOADER__NUM_WORKERS": workers}
    settings |= {"TRAIN__CHECKPOINT_STEPS": "2", "OPTIM__LR": "0.05"}
    whole = build(Both, OUTPUT_DIR=str(tmp_path / "whole"), **settings)
    whole.train()
    with pytest.raises(KeyboardInterrupt):
        build(Stopped, OUTPUT_DIR=str(tmp_path / "stopped"), **settings).train()
    resumed = build(Both, OUTPUT_DIR=str(tmp_path / "stopped"), **settings)
    resumed.train()
    assert resumed.seen == whole.seen[-len(resumed.seen) :] and len(resumed.seen) == 6
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def test_what_is_missing_is_named(build):
    with pytest.raises(UserError, match="unlabelled images, and the dataset Squares has none"):
        build(Both).train()
    with pytest.raises(UserError, match='unknown TRAIN.COUNT_ITER "train_y"'):
        PairedBatches([0], [1], "train_y")
