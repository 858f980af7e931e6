import pytest
import torch
from torch import nn

from dassl.config import get_cfg_default
from dassl.optim import build_optimizer
from dassl.optim.radam import RAdam
from dassl.utils import UserError


@pytest.fixture
def optim_cfg():
    return get_cfg_default().OPTIM


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("adam", torch.optim.Adam),
        ("amsgrad", torch.optim.Adam),
        ("sgd", torch.optim.SGD),
        ("rmsprop", torch.optim.RMSprop),
        ("radam", RAdam),
        ("adamw", torch.optim.AdamW),
    ],
)
def test_each_name_builds_its_optimizer_with_the_configs_values(optim_cfg, name, kind):
    optim_cfg.NAME = name
    optim_cfg.LR = 0.5
    optim_cfg.ADAM_BETA1 = 0.8
    optim_cfg.ADAM_EPS = 1e-3
    optim_cfg.MOMENTUM = 0.7
    group = build_optimizer(nn.Linear(2, 2), optim_cfg).param_groups[0]
    optimizer = build_optimizer(nn.Linear(2, 2), optim_cfg)
    assert type(optimizer) is kind
    assert group["lr"] == 0.5 and group["weight_decay"] == 5e-4
    assert group.get("momentum", 0.7) == 0.7
    assert group.get("betas", (0.8, 0.999)) == (0.8, 0.999)
    assert "betas" not in group or group["eps"] == 1e-3
    assert group.get("amsgrad", False) == (name == "amsgrad")


def test_parameters_and_groups_are_taken_too(optim_cfg):
    model = nn.Linear(2, 2)
    assert build_optimizer(model.parameters(), optim_cfg).param_groups[0]["params"] == list(model.parameters())
    groups = [{"params": [model.weight], "lr": 1.0}, {"params": [model.bias]}]
    optimizer = build_optimizer(None, optim_cfg, param_groups=groups)
    assert [group["lr"] for group in optimizer.param_groups] == [1.0, optim_cfg.LR]


def test_staged_lr_slows_the_old_layers(optim_cfg):
    optim_cfg.STAGED_LR = True
    optim_cfg.NEW_LAYERS = ("head",)
    model = nn.ModuleDict({"backbone": nn.Linear(2, 3), "head": nn.Linear(3, 1)})
    base, new = build_optimizer(model, optim_cfg).param_groups
    assert base["params"] == list(model["backbone"].parameters()) and base["lr"] == pytest.approx(0.00003)
    assert new["params"] == list(model["head"].parameters()) and new["lr"] == 0.0003
    optim_cfg.NEW_LAYERS = ("haed",)
    with pytest.raises(UserError, match='"haed"'):
        build_optimizer(model, optim_cfg)


def test_unknown_name_is_an_error(optim_cfg):
    optim_cfg.NAME = "sdg"
    with pytest.raises(UserError, match='OPTIM.NAME "sdg".*did you mean "sgd"'):
        build_optimizer(nn.Linear(2, 2), optim_cfg)
