"""KgCoOp: logits, loss, gradients, templates and checkpoints of its released code."""

import pytest
import torch

from support.user_error import UserError
from tests.golden_cases import (
    assert_as_released,
    assert_checkpoint_serves_other_classes,
    assert_close,
    golden,
    images_and_labels,
    load,
    loss_and_logits,
    seeded,
    tuned_clip,
)
from trainers import templates
from trainers.kgcoop import TEMPLATES

GOLDEN = golden("kgcoop")


def build(case, class_names=GOLDEN["class_names"]):
    node = {key: case[key] for key in ("N_CTX", "CTX_INIT", "W")}
    return tuned_clip("KgCoOp", class_names, case["dataset"], **node)


@pytest.mark.parametrize("case", GOLDEN["cases"])
def test_logits_loss_and_gradients_are_the_released_codes(case):
    assert_as_released(build(case), case, GOLDEN)


def test_without_its_weight_the_loss_is_the_cross_entropy():
    case = GOLDEN["cases"][0]
    loss, _ = loss_and_logits(build(case | {"W": 0.0}), *images_and_labels(GOLDEN))
    assert_close(loss, case["parts"]["cross_entropy"])


def test_templates_are_the_released_codes():
    for dataset, template in GOLDEN["templates"].items():
        assert {**templates.TEMPLATES, **TEMPLATES}.get(dataset, templates.DEFAULT_TEMPLATE) == template


def test_a_released_checkpoint_loads_for_other_classes(tmp_path):
    """The released learner is saved with tensors of its class names and with modules that it never trains."""
    case = GOLDEN["cases"][-1]
    learned = seeded(case["learned"])["prompt_learner.ctx"]
    shapes = GOLDEN["checkpoint_of_last_case"]["tensors"]
    state = {name: torch.ones(shape) for name, shape in shapes.items()} | {"ctx": learned}
    assert_checkpoint_serves_other_classes(build, state, case, GOLDEN, tmp_path)


def test_a_checkpoint_of_a_method_with_a_trained_meta_net_is_refused(tmp_path):
    case = GOLDEN["cases"][-1]
    state = {"ctx": torch.ones(case["N_CTX"], 64), "meta_net.linear1.weight": torch.ones(8, 32)}
    (tmp_path / "prompt_learner").mkdir()
    torch.save({"state_dict": state, "epoch": 50}, tmp_path / "prompt_learner" / "model.pth.tar-50")
    with pytest.raises(UserError, match="unknown meta_net.linear1.weight: it belongs to another method"):
        load(build(case), tmp_path, epoch=50)
