"""TCP: logits, loss, gradients, prompts and checkpoints of its released code."""

import pytest
import torch

import clip
from clip.class_text import ClassText
from support.user_error import UserError
from tests.golden_cases import (
    assert_as_released,
    assert_checkpoint_serves_other_classes,
    golden,
    seeded,
    tuned_clip,
)
from trainers import templates
from trainers.tcp import AFTER_CONTEXT, TEMPLATES

GOLDEN = golden("tcp")
LAYER = GOLDEN["class_prompt_enters_before_layer_index"] + 1


def build(case, class_names=GOLDEN["class_names"], template="", **node):
    node = {"N_CTX": case["N_CTX"], "CTX_INIT": case["CTX_INIT"], "DEPTH": LAYER, **node}
    return tuned_clip("TCP", class_names, case["dataset"], template=template, **node)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["dataset"])
def test_logits_loss_and_gradients_are_the_released_codes(case):
    assert_as_released(build(case), case, GOLDEN)


def test_templates_and_prompts_are_the_released_codes():
    for dataset, released in GOLDEN["templates"].items():
        template = {**templates.TEMPLATES, **TEMPLATES}.get(dataset, templates.DEFAULT_TEMPLATE)
        assert template == released
        prompt = GOLDEN["prompt_templates"][dataset]
        context = prompt.split()[:4]
        assert f"{' '.join(context)} {AFTER_CONTEXT.get(dataset, template[template.index('{}') :])}" == prompt


def test_a_released_checkpoint_loads_for_other_classes(tmp_path):
    case = GOLDEN["cases"][-1]
    learned = {name.removeprefix("prompt_learner."): tensor for name, tensor in seeded(case["learned"]).items()}
    shapes = GOLDEN["checkpoint_of_last_case"]["tensors"]
    state = {name: torch.ones(shape) for name, shape in shapes.items()} | learned
    assert_checkpoint_serves_other_classes(build, state, case, GOLDEN, tmp_path)


def test_what_follows_the_context_is_from_a_template_of_ones_own():
    case, names = GOLDEN["cases"][0] | {"dataset": "DescribableTextures"}, GOLDEN["class_names"]
    own = build(case, template="one {} here.").method.class_text.own
    wanted = clip.tokenize([f"X X X X {name.replace('_', ' ')} here." for name in names])
    assert torch.equal(own, ClassText(wanted, 4, class_specific=True).own)
    assert not torch.equal(own, build(case).method.class_text.own)


def test_a_context_too_long_for_the_class_names_says_to_lower_it():
    with pytest.raises(UserError, match="TRAINER.TCP: 74 context tokens .* lower N_CTX") as caught:
        build(GOLDEN["cases"][0] | {"CTX_INIT": "", "N_CTX": 74})
    assert "\n" not in str(caught.value)


def test_a_depth_beyond_the_model_is_its_last_layer(capsys):
    case = GOLDEN["cases"][0]
    assert len(build(case, DEPTH=9).method().text_deep) == 2  # before layer 3 of 3
    assert "TRAINER.TCP.DEPTH 9" in capsys.readouterr().out
    with pytest.raises(UserError, match="TRAINER.TCP.DEPTH is 1"):
        build(case, DEPTH=1)
