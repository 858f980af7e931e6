import math
import os

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from dassl.utils import (
    CheckpointError,
    UserError,
    checkpoint_path,
    count_num_param,
    init_network_weights,
    load_checkpoint,
    load_pretrained_weights,
    load_weights,
    open_all_layers,
    open_specified_layers,
    resume_from_checkpoint,
    save_checkpoint,
)
from dassl.utils.torchtools import restore_checkpoint


def net():
    return nn.ModuleDict({"backbone": nn.Linear(2, 3), "head": nn.Linear(3, 1)})


def save(directory, epoch=2, model=None, **options):
    state = {"state_dict": (model or net()).state_dict(), "epoch": epoch, "optimizer": None, "scheduler": None}
    save_checkpoint(state, str(directory), **options)


def test_files_and_pointer(tmp_path):
    save(tmp_path, 1)
    save(tmp_path, 2, is_best=True)
    assert sorted(os.listdir(tmp_path)) == ["checkpoint", "model-best.pth.tar", "model.pth.tar-1", "model.pth.tar-2"]
    assert (tmp_path / "checkpoint").read_text() == "model.pth.tar-2\nmodel.pth.tar-1\n"
    assert checkpoint_path(str(tmp_path)).endswith("model-best.pth.tar")
    assert checkpoint_path(str(tmp_path), 1).endswith("model.pth.tar-1")
    os.remove(tmp_path / "model-best.pth.tar")
    assert checkpoint_path(str(tmp_path)).endswith("model.pth.tar-2")


def test_module_prefix_of_data_parallel_is_removed(tmp_path):
    save(tmp_path, model=nn.DataParallel(net()), model_name="x.pth.tar")
    assert set(load_checkpoint(str(tmp_path / "x.pth.tar"))["state_dict"]) == set(net().state_dict())


def test_missing_checkpoints_say_what_is_there(tmp_path):
    with pytest.raises(UserError, match="no checkpoint folder .*nowhere"):
        checkpoint_path(str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="no checkpoint in"):
        checkpoint_path(str(tmp_path))
    save(tmp_path, 2)
    with pytest.raises(UserError, match=r"no model.pth.tar-5 in .*, which holds epoch 2: correct"):
        checkpoint_path(str(tmp_path), 5)
    with pytest.raises(UserError, match="checkpoint not found"):
        load_checkpoint(str(tmp_path / "gone"))


@pytest.mark.parametrize("damage", [lambda content: content[:-50], lambda content: b"garbage", lambda content: b""])
def test_damaged_checkpoint_is_named_in_one_line(tmp_path, damage):
    save(tmp_path)
    path = tmp_path / "model.pth.tar-2"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError) as caught:
        load_checkpoint(str(path))
    assert str(caught.value).startswith(f"{path} is damaged") and "\n" not in str(caught.value)


def test_nothing_in_a_checkpoint_is_run(tmp_path):
    class Payload:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "run"),))

    torch.save({"state_dict": {}, "epoch": 1, "extra": Payload()}, tmp_path / "evil.pth.tar")
    with pytest.raises(UserError):
        load_checkpoint(str(tmp_path / "evil.pth.tar"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("scheduler", ["CosineAnnealingLR", "StepLR"])
def test_upstreams_checkpoint_with_a_pickled_scheduler_loads(tmp_path, scheduler):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model["backbone"](torch.ones(1, 2)).sum().backward()
    successor = getattr(torch.optim.lr_scheduler, scheduler)(optimizer, 5)
    optimizer.step()
    state = {
        "state_dict": model.state_dict(),
        "epoch": 50,
        "optimizer": optimizer.state_dict(),
        "scheduler": {"successor": successor, "last_epoch": 1, "_last_lr": [0.1]},
        "val_result": None,
    }
    torch.save(state, tmp_path / "model.pth.tar-50")
    checkpoint = load_checkpoint(str(tmp_path / "model.pth.tar-50"))
    assert checkpoint["epoch"] == 50
    assert type(checkpoint["scheduler"]["successor"]).__name__ == "Inert"
    other = net()
    load_weights(other, checkpoint, "x")
    assert torch.equal(other["head"].weight, model["head"].weight)


def test_checkpoint_of_another_method_names_file_and_key(tmp_path):
    save(tmp_path, model=nn.ModuleDict({"backbone": nn.Linear(2, 3), "other": nn.Linear(3, 1)}))
    save(tmp_path / "shape", model=nn.ModuleDict({"backbone": nn.Linear(2, 4), "head": nn.Linear(3, 1)}))
    for folder, key in ((tmp_path, "head.weight"), (tmp_path / "shape", "backbone.weight")):
        with pytest.raises(UserError) as caught:
            resume_from_checkpoint(str(folder), net())
        message = str(caught.value)
        assert f"{folder}/model.pth.tar-2" in message and key in message and "\n" not in message
    with pytest.raises(UserError, match="state_dict"):
        load_weights(net(), {"weights": 1}, "x")


def test_resume_restores_model_and_optimizer(tmp_path, capsys):
    first, second = net(), net()
    optimizer = torch.optim.SGD(first.parameters(), lr=0.3)
    save_checkpoint({"state_dict": first.state_dict(), "epoch": 4, "optimizer": optimizer.state_dict()}, str(tmp_path))
    resumed = torch.optim.SGD(second.parameters(), lr=0.1)
    assert resume_from_checkpoint(str(tmp_path), second, resumed) == 4
    assert resumed.param_groups[0]["lr"] == 0.3
    assert torch.equal(first["head"].weight, second["head"].weight)
    with pytest.raises(UserError, match="SGD state does not fit"):
        resume_from_checkpoint(str(tmp_path), net(), torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0))


def test_pretrained_weights_load_where_they_fit(tmp_path, capsys):
    given = nn.ModuleDict({"backbone": nn.Linear(2, 3), "head": nn.Linear(3, 7)})
    path = str(tmp_path / "weights.pt")
    torch.save({f"module.{key}": value for key, value in given.state_dict().items()}, path)
    model = net()
    load_pretrained_weights(model, path)
    assert torch.equal(model["backbone"].weight, given["backbone"].weight)
    assert "['head.bias', 'head.weight']" in capsys.readouterr().out
    with pytest.raises(UserError, match="no weight that fits Conv2d"):
        load_pretrained_weights(nn.Conv2d(1, 1, 1), path)


@pytest.mark.parametrize("value", [[1], {"a": 1}, {1: torch.ones(1)}, None], ids=str)
def test_a_state_dict_without_tensors_is_refused(value, tmp_path):
    torch.save({"state_dict": value, "epoch": 1}, tmp_path / "a.tar")
    with pytest.raises(CheckpointError, match='"state_dict"') as caught:
        load_checkpoint(str(tmp_path / "a.tar"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "entry, value, read",
    [("epoch", value, None) for value in (-1, "3", 2.5, True, None, math.nan, math.inf, [1])]
    + [("epoch", value, 3) for value in (3.0, np.int64(3), torch.tensor(3), np.float32(3))]
    + [("val_result", value, 0.5) for value in (0.5, np.float64(0.5), torch.tensor([0.5]))]
    + [("val_result", value, None) for value in ("high", {"acc": 1}, np.ones(2))],
    ids=str,
)
def test_one_value_of_another_type_does_not_make_a_checkpoint_unreadable(entry, value, read, tmp_path):
    weight = torch.ones(2)
    content = {"state_dict": {"weight": weight, "note": "mine"}, "epoch": 1, "val_result": 0.5, entry: value}
    torch.save(content, tmp_path / "a.tar")
    checkpoint = load_checkpoint(str(tmp_path / "a.tar"))
    assert checkpoint[entry] == read and list(checkpoint["state_dict"]) == ["weight"]
    if entry == "epoch" and read is None:
        with pytest.raises(CheckpointError, match="cannot resume from x: it does not tell its epoch"):
            restore_checkpoint(checkpoint, "x", nn.ParameterDict({"weight": weight}))


def test_pretrained_weights_may_be_safetensors(tmp_path):
    model, other = net(), net()
    save_file(model.state_dict(), tmp_path / "a.safetensors")
    load_pretrained_weights(other, str(tmp_path / "a.safetensors"))
    assert torch.equal(other["head"].weight, model["head"].weight)


@pytest.mark.parametrize(
    "content",
    [[torch.ones(1)], torch.ones(1), {"head.bias": 3}, {"head.bias": torch.tensor([math.nan, 1, 1])}],
    ids=str,
)
def test_pretrained_weights_of_another_kind_are_refused(content, tmp_path):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="a.pt"):
        load_pretrained_weights(net(), str(tmp_path / "a.pt"))


def test_opening_layers():
    model = net()
    open_specified_layers(model, "head")
    assert not model["backbone"].weight.requires_grad and not model["backbone"].training
    assert model["head"].weight.requires_grad and model["head"].training
    open_all_layers(model)
    assert all(parameter.requires_grad for parameter in model.parameters()) and model["backbone"].training
    with pytest.raises(ValueError, match="neck"):
        open_specified_layers(model, ["neck"])


def test_counting_parameters():
    model = net()
    assert count_num_param(model) == 13
    assert count_num_param(params=model["head"].parameters()) == 4
    assert count_num_param(params=[{"params": model["head"].weight}]) == 3


@pytest.mark.parametrize("kind", ["normal", "xavier", "kaiming", "orthogonal"])
def test_initialisation(kind):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 8))
    before = model[2].weight.clone()
    nn.init.constant_(model[1].weight, 3.0)
    init_network_weights(model, kind)
    assert not torch.equal(model[2].weight, before)
    assert model[0].bias.eq(0).all() and model[1].weight.eq(1).all() and model[2].bias.eq(0).all()
