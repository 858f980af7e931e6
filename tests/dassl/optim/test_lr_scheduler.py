import json
import math
from pathlib import Path

import pytest
import torch

from dassl.config import get_cfg_default
from dassl.optim import build_lr_scheduler
from dassl.utils import UserError

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "lr_schedules.json").read_text())


def optim_cfg(**keys):
    optim = get_cfg_default().OPTIM
    optim.update(keys)
    return optim


def two_group_optimizer():
    old, new = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    return torch.optim.SGD([{"params": [old], "lr": 0.02 * 0.1}, {"params": [new]}], lr=0.02)


def rates(optimizer, scheduler, epochs):
    out = []
    for _ in range(epochs):
        out.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return [list(group) for group in zip(*out, strict=True)]


def test_rates_equal_upstreams():
    assert len(GOLDEN["cases"]) == 162
    for case in GOLDEN["cases"]:
        optimizer = two_group_optimizer()
        scheduler = build_lr_scheduler(optimizer, optim_cfg(**case["optim"]))
        ours = rates(optimizer, scheduler, case["optim"]["MAX_EPOCH"])
        for group, golden in zip(ours, case["lr"], strict=True):
            assert group == pytest.approx(golden, rel=1e-12, abs=0), case["optim"]


def test_resumed_schedule_goes_on_where_it_stopped(tmp_path):
    keys = optim_cfg(LR_SCHEDULER="cosine", MAX_EPOCH=10, WARMUP_EPOCH=2, WARMUP_RECOUNT=False)
    optimizer = two_group_optimizer()
    whole = rates(optimizer, build_lr_scheduler(optimizer, keys), 10)
    first = two_group_optimizer()
    scheduler = build_lr_scheduler(first, keys)
    begun = rates(first, scheduler, 4)
    torch.save([first.state_dict(), scheduler.state_dict()], tmp_path / "state.pt")
    states = torch.load(tmp_path / "state.pt", weights_only=True)
    second = two_group_optimizer()
    resumed = build_lr_scheduler(second, keys)
    second.load_state_dict(states[0])
    resumed.load_state_dict(states[1])
    assert resumed.get_last_lr() == [group["lr"] for group in second.param_groups]
    rest = rates(second, resumed, 6)
    assert [a + b for a, b in zip(begun, rest, strict=True)] == whole


def test_cosine_ends_at_zero():
    optimizer = two_group_optimizer()
    scheduler = build_lr_scheduler(optimizer, optim_cfg(LR_SCHEDULER="cosine", MAX_EPOCH=4))
    rates(optimizer, scheduler, 4)
    assert math.isclose(scheduler.get_last_lr()[1], 0, abs_tol=1e-18)


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"LR_SCHEDULER": "cosin"}, 'did you mean "cosine"'),
        ({"WARMUP_TYPE": "constnt", "WARMUP_EPOCH": 1}, 'did you mean "constant"'),
        ({"LR_SCHEDULER": "single_step", "STEPSIZE": (1.5,)}, "OPTIM.STEPSIZE"),
        ({"LR_SCHEDULER": "multi_step", "STEPSIZE": 3}, "OPTIM.STEPSIZE"),
        ({"MAX_EPOCH": 0}, "OPTIM.MAX_EPOCH"),
    ],
)
def test_bad_settings_are_named(keys, named):
    with pytest.raises(UserError, match=named):
        build_lr_scheduler(two_group_optimizer(), optim_cfg(**keys))


def test_upstreams_pickled_scheduler_is_refused():
    scheduler = build_lr_scheduler(two_group_optimizer(), optim_cfg())
    with pytest.raises(UserError, match="upstream"):
        scheduler.load_state_dict({"last_epoch": 1, "successor": object()})
