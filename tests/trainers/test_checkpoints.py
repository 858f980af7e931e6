"""Checkpoint files that are not quite ours: what is read of them, and what is refused in one line."""

import math
from argparse import Namespace
from datetime import datetime

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from support.checkpoint_files import find_checkpoint
from support.user_error import UserError
from tests.golden_cases import load, tuned_clip
from trainers.checkpoints import read_checkpoint

NAMES = ["dog", "jeep"]
CTX = torch.ones(2, 3)


@pytest.fixture
def saved(tmp_path):
    """Save a file where a trainer looks for its checkpoint; returns its path."""

    def saved(content):
        (tmp_path / "prompt_learner").mkdir(exist_ok=True)
        path = tmp_path / "prompt_learner" / "model.pth.tar-1"
        torch.save(content, path)
        return str(path)

    return saved


@pytest.mark.parametrize("content", [{"state_dict": {"module.ctx": CTX}}, {"ctx": CTX}, {"module.ctx": CTX}])
def test_a_state_dict_alone_and_one_of_data_parallel_are_read(content, saved):
    read = read_checkpoint(saved(content))
    assert list(read.tensors) == ["ctx"] and torch.equal(read.tensors["ctx"], CTX)
    assert read.epoch is None and read.run == {}


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": {"_orig_mod.module.ctx": CTX, "note": "mine"}, "epoch": np.int64(3), "best": np.float64(71.5)},
        {"model_state_dict": {"prompt_learner.ctx": CTX}, "epoch": 3.0, "args": Namespace(lr=np.float32(0.1))},
        {"state_dict": {"model.ctx": CTX}, "epoch": torch.tensor(3), "hyper_parameters": {"lr": 0.1}},
        {"ctx": CTX, "epoch": 3, "accuracy": 71.5, "when": datetime.now()},
        {"learner": {"ctx": CTX}, "optimizer": {"state": {0: {"momentum_buffer": CTX}}}, "epoch": 3},
    ],
    ids=["prefixes", "model_state_dict", "lightning", "flat", "a name of its own"],
)
def test_a_checkpoint_of_a_loop_of_ones_own_is_tested(content, saved, tmp_path):
    ctx = torch.full((4, 64), 3.0)
    content = {name: {key: ctx if value is CTX else value for key, value in part.items()} if isinstance(part, dict)
               else ctx if part is CTX else part for name, part in content.items()}  # fmt: skip
    saved(content)
    tuned = tuned_clip("CoOp", NAMES, N_CTX=4)
    assert load(tuned, tmp_path).epoch == 3
    assert tuned.method.ctx.eq(3).all()


@pytest.mark.parametrize("content", [[CTX], CTX, {"state_dict": [CTX]}, {"state_dict": {"ctx": 3}}, {3: CTX}], ids=str)
def test_what_is_no_checkpoint_is_refused(content, saved):
    path = saved(content)
    with pytest.raises(UserError, match="no checkpoint") as caught:
        read_checkpoint(path)
    assert path in str(caught.value)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_tensors_that_are_not_finite_are_refused(value, saved):
    path = saved({"state_dict": {"ctx": torch.tensor([1, value])}, "epoch": 1})
    with pytest.raises(UserError, match="ctx has NaN, infinite or complex values") as caught:
        read_checkpoint(path)
    assert path in str(caught.value)


def test_complex_tensors_are_refused(saved):
    with pytest.raises(UserError, match="ctx has NaN, infinite or complex values"):
        read_checkpoint(saved({"ctx": torch.ones(2, dtype=torch.complex64)}))


def test_learned_tensors_may_be_safetensors(tmp_path):
    folder = tmp_path / "prompt_learner"
    folder.mkdir()
    save_file({"ctx": CTX}, folder / "model.safetensors")
    path = find_checkpoint(str(tmp_path), ["prompt_learner"], None)
    assert torch.equal(read_checkpoint(path).tensors["ctx"], CTX)


def test_a_pointer_to_the_last_checkpoint_that_is_no_text_is_named(saved, tmp_path):
    saved({"ctx": CTX})
    (tmp_path / "prompt_learner" / "checkpoint").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="cannot read .*checkpoint"):
        find_checkpoint(str(tmp_path), ["prompt_learner"], None)


def test_a_state_dict_alone_is_tested(saved, tmp_path, capsys):
    tuned = tuned_clip("CoOp", NAMES, N_CTX=4)
    path = saved({"module.ctx": torch.full((4, 64), 3.0)})
    assert load(tuned, tmp_path, epoch=1).epoch is None
    assert tuned.method.ctx.eq(3).all()
    assert capsys.readouterr().out.endswith(f"Loaded {path}\n")


def test_layers_with_prompts_of_different_lengths_are_refused(saved, tmp_path):
    prompts = {f"image_encoder.transformer.resblocks.{i}.VPT_shallow": torch.zeros(1 + i, 128) for i in (1, 2)}
    path = saved({"state_dict": {"image_encoder.VPT": torch.zeros(2, 128), **prompts}, "epoch": 1})
    with pytest.raises(UserError, match="visual_deep_ctx.*it belongs to another method") as caught:
        load(tuned_clip("VPT", NAMES, PROMPT_DEPTH_VISION=3), tmp_path, epoch=1)
    assert path in str(caught.value)


@pytest.mark.parametrize("labels", [[0, 2], [0, -1], [0]])
def test_a_cache_whose_labels_do_not_fit_is_refused(labels):
    cache = tuned_clip("TipAdapter", NAMES, images=2).method
    with pytest.raises(UserError, match="do not belong together"):
        cache.select_classes({**cache.state_dict(), "labels": torch.tensor(labels)}, NAMES)


def test_settings_that_tensors_do_not_show_are_compared(saved, tmp_path, capsys):
    trained = tuned_clip("CLIP_LoRA", NAMES, ALPHA=1, DROPOUT=0.1, PREC="bf16").method
    tested = tuned_clip("CLIP_LoRA", NAMES, ALPHA=4)

    def settings(method):
        return {"settings": {method.config.key(name): str(value) for name, value in vars(method.config).items()}}

    for run, told in (
        (settings(trained), ["Trained with TRAINER.CLIP_LORA.ALPHA 1, tested with 4; TRAINER.CLIP_LORA.DROPOUT 0.1, "
                             "tested with 0.25"]),
        (settings(tested.method), []),
        ({}, []),
    ):  # fmt: skip
        saved({"state_dict": trained.state_dict(), "epoch": 1, "run": run})
        capsys.readouterr()
        load(tested, tmp_path, epoch=1)
        assert capsys.readouterr().out.splitlines()[:-1] == told
