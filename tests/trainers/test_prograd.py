"""ProGrad: logits, losses, projected gradients, context and checkpoints of its released code; its update rule."""

import pytest
import torch

from dassl.engine import TrainerBase
from support.user_error import UserError
from tests.golden_cases import (
    assert_checkpoint_serves_other_classes,
    assert_close,
    assert_gradients,
    fill,
    golden,
    images_and_labels,
    seeded,
    tuned_clip,
)
from trainers import templates
from trainers.prograd import TEMPLATES

GOLDEN = golden("prograd")


def build(case, class_names=GOLDEN["class_names"], **node):
    node = {"N_CTX": case["N_CTX"], "CTX_INIT": case["CTX_INIT"], **node}
    return tuned_clip("ProGrad", class_names, case["dataset"], T=case["LOSS.T"], LAMBDA=case["LOSS.LAMBDA"], **node)


@pytest.mark.parametrize("case", GOLDEN["cases"])
def test_logits_losses_and_projected_gradients_are_the_released_codes(case):
    tuned = build(case)
    fill(tuned.method, seeded(case["learned"]))
    images, labels = images_and_labels(GOLDEN)
    outputs = tuned.outputs(images)
    terms = tuned.method.losses(outputs, labels)
    assert_close(outputs.logits, case["logits"])
    assert_close(terms["cross_entropy"], case["xe_loss"])
    assert_close(terms["divergence"], case["kl_loss"])
    trainer = TrainerBase()
    trainer.register_model("prompt_learner", tuned.method, torch.optim.SGD(tuned.method.parameters(), lr=0.0))
    trainer.prograd_backward_and_update(*terms.values(), tuned.method.config.LAMBDA)
    assert_gradients(tuned.method, case["grads"])


def test_a_case_is_projected():
    assert any(case["projected"] for case in GOLDEN["cases"])


def test_templates_are_the_released_codes():
    for dataset, template in GOLDEN["templates"].items():
        assert {**templates.TEMPLATES, **TEMPLATES}.get(dataset, templates.DEFAULT_TEMPLATE) == template


def test_a_context_from_words_has_zeros_in_front():
    (case,) = [case for case in GOLDEN["cases"] if case["CTX_INIT"] and case["dataset"] == "EuroSAT"]
    zeros = (build(case).method.ctx == 0).all(dim=1)
    assert zeros.tolist() == [True] * case["zero_context_vectors"] + [False] * (16 - case["zero_context_vectors"])
    with pytest.raises(UserError, match="N_CTX is 4.*a centered satellite photo of"):
        build(case, N_CTX=4)


def test_a_released_checkpoint_loads_for_other_classes(tmp_path):
    case = GOLDEN["cases"][0]
    learned = seeded(case["learned"])["prompt_learner.ctx"]
    state = {"ctx": learned, "token_prefix": torch.ones(6, 1, 64), "token_suffix": torch.ones(6, 72, 64)}
    assert set(state) == set(GOLDEN["checkpoint_of_last_case"]["tensors"])
    assert_checkpoint_serves_other_classes(build, state, case, GOLDEN, tmp_path)


class Point(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.at = torch.nn.Parameter(torch.zeros(2))
        self.unused = torch.nn.Parameter(torch.zeros(2))


@pytest.fixture
def trainer():
    trainer = TrainerBase()
    model = Point()
    trainer.register_model("point", model, torch.optim.SGD(model.parameters(), lr=1.0))
    return trainer


@pytest.mark.parametrize(
    ("a", "b", "lambda_", "step"),
    [
        ((1.0, 1.0), (1.0, 0.0), 1.0, (1.0, 1.0)),  # they agree
        ((-1.0, 1.0), (2.0, 0.0), 1.0, (0.0, 1.0)),  # what raises b is taken out
        ((-1.0, 1.0), (2.0, 0.0), 0.5, (-0.5, 1.0)),
        ((-1.0, 1.0), (0.0, 0.0), 1.0, (-1.0, 1.0)),  # no direction to avoid
        ((0.0, 0.0), (2.0, 0.0), 1.0, (0.0, 0.0)),
        ((0.0, 0.0), (0.0, 0.0), 1.0, (0.0, 0.0)),
    ],
)
@pytest.mark.parametrize("scaled", [False, True])
def test_the_part_of_a_step_that_raises_the_other_loss_is_taken_out(a, b, lambda_, step, scaled, trainer):
    model = trainer._models["point"]
    a, b = ((model.at * torch.tensor(gradient)).sum() for gradient in (a, b))
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0) if scaled else None
    trainer.prograd_backward_and_update(a, b, lambda_, scaler=scaler)
    torch.testing.assert_close(-model.at.detach(), torch.tensor(step))
    assert model.unused.grad is None


def test_a_step_whose_other_gradient_overflowed_is_left_out_by_the_scaler(trainer):
    model = trainer._models["point"]
    overflowing = (model.at * torch.tensor([3e38, 0.0])).sum()
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    trainer.prograd_backward_and_update(model.at.sum(), overflowing, scaler=scaler)
    assert model.at.tolist() == [0.0, 0.0] and scaler.get_scale() == 512.0
