"""The warm-up schedulers that trainers put around a schedule of their own."""

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from dassl.config import get_cfg_default
from dassl.optim import build_lr_scheduler
from dassl.optim.lr_scheduler import ConstantWarmupScheduler, LinearWarmupScheduler

EPOCHS, WARMUP = 6, 2


def sgd():
    weight = nn.Parameter(torch.zeros(1))
    return torch.optim.SGD([weight], lr=0.5)


def rates(optimizer, scheduler, epochs=EPOCHS):
    found = []
    for _ in range(epochs):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def wrapped(kind, optimizer):
    return kind(optimizer, CosineAnnealingLR(optimizer, float(EPOCHS)), WARMUP, 1e-5)


@pytest.mark.parametrize("kind", [ConstantWarmupScheduler, LinearWarmupScheduler])
def test_rates_are_those_of_the_schedule_that_a_config_describes(kind):
    cfg = get_cfg_default().OPTIM
    cfg.LR_SCHEDULER, cfg.MAX_EPOCH, cfg.WARMUP_EPOCH = "cosine", EPOCHS, WARMUP
    cfg.WARMUP_TYPE = "constant" if kind is ConstantWarmupScheduler else "linear"
    ours, theirs = sgd(), sgd()
    assert rates(theirs, wrapped(kind, theirs)) == pytest.approx(rates(ours, build_lr_scheduler(ours, cfg)))


@pytest.mark.parametrize("done", [1, 2, 4])
def test_a_saved_schedule_goes_on(done, tmp_path):
    optimizer = sgd()
    whole = rates(optimizer, wrapped(ConstantWarmupScheduler, optimizer))
    optimizer = sgd()
    scheduler = wrapped(ConstantWarmupScheduler, optimizer)
    rates(optimizer, scheduler, done)
    torch.save({"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}, tmp_path / "saved")
    saved = torch.load(tmp_path / "saved", weights_only=True)
    optimizer = sgd()
    scheduler = wrapped(ConstantWarmupScheduler, optimizer)
    optimizer.load_state_dict(saved["optimizer"])
    scheduler.load_state_dict(saved["scheduler"])
    assert rates(optimizer, scheduler, EPOCHS - done) == pytest.approx(whole[done:])
