"""OPTIM.CLIP_GRAD_NORM bounds the norm of an optimizer's gradients in every step, whoever takes it."""

import math

import pytest
import torch
from torch import nn

from dassl.engine import TRAINER_REGISTRY
from dassl.optim.gradient_norm import clip_gradient_norm
from dassl.utils import ConfigError


def parameters_with(*gradients):
    parameters = [nn.Parameter(torch.zeros(len(gradient))) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = torch.tensor(gradient)
    return parameters


def moved(parameters):
    return torch.cat([-parameter.detach() for parameter in parameters])


def test_the_norm_is_that_of_all_parameters_together():
    parameters = parameters_with([3.0, 0.0], [4.0])
    groups = [{"params": parameters[:1], "lr": 1.0}, {"params": parameters[1:], "lr": 1.0}]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    clip_gradient_norm(optimizer, 1.0)
    optimizer.step()
    torch.testing.assert_close(moved(parameters), torch.tensor([0.6, 0.0, 0.8]))


def test_a_smaller_gradient_stays_as_it_is_to_the_bit():
    parameters = parameters_with([0.1, 0.2], [0.3])
    optimizer = torch.optim.SGD(parameters, lr=1.0)
    clip_gradient_norm(optimizer, 1.0)
    optimizer.step()
    assert torch.equal(moved(parameters), torch.tensor([0.1, 0.2, 0.3]))


@pytest.mark.parametrize("fused", [False, True])
def test_mixed_precision_is_unscaled_first(fused):
    (parameter,) = parameters_with([0.0, 0.0])
    optimizer = torch.optim.SGD([parameter], lr=1.0, fused=fused)
    clip_gradient_norm(optimizer, 1.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaler.scale((parameter * torch.tensor([3.0, 4.0])).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    torch.testing.assert_close(moved([parameter]), torch.tensor([0.6, 0.8]))


class WithAStepOfItsOwn(TRAINER_REGISTRY.get("Linear")):
    """As CoOp's released trainers in mixed precision: no `model_backward_and_update`, but a scaler."""

    def build_model(self):
        super().build_model()
        self.scaler = torch.amp.GradScaler("cpu", enabled=False)

    def model_backward_and_update(self, loss, names=None):
        self.optim.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optim)
        self.scaler.update()


@pytest.mark.parametrize("kind", [TRAINER_REGISTRY.get("Linear"), WithAStepOfItsOwn])
def test_no_step_of_a_trainer_is_longer_than_the_norm_allows(kind, build, tmp_path):
    plain = {"OPTIM__MOMENTUM": "0.0", "OPTIM__WEIGHT_DECAY": "0.0", "OPTIM__LR": "1.0", "OPTIM__WARMUP_EPOCH": "0"}

    def longest_step(**settings):
        lengths = []

        class Measured(kind):
            def forward_backward(self, batch):
                before = [parameter.detach().clone() for parameter in self.model.parameters()]
                reported = super().forward_backward(batch)
                steps = zip(before, self.model.parameters(), strict=True)
                lengths.append(math.hypot(*((old - new).norm().item() for old, new in steps)))
                return reported

        build(Measured, OPTIM__MAX_EPOCH="1", **plain, **settings).train()
        return max(lengths)

    assert longest_step(OUTPUT_DIR=str(tmp_path / "clipped"), OPTIM__CLIP_GRAD_NORM="0.01") <= 0.01 * (1 + 1e-4)
    assert longest_step(OUTPUT_DIR=str(tmp_path / "free")) > 0.02


def test_an_optimizer_of_two_models_is_clipped_once_and_one_without_the_key_not_at_all(build):
    def hooks(**settings):
        class TwoModels(TRAINER_REGISTRY.get("Linear")):
            def build_model(self):
                super().build_model()
                self.register_model("other", nn.Linear(1, 1), self.optim)

        return len(build(TwoModels, **settings).optim._optimizer_step_pre_hooks)

    assert hooks(OPTIM__CLIP_GRAD_NORM="1.0") == 1
    assert hooks() == 0


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_what_is_no_norm_is_refused(value, cfg, build):
    cfg.OPTIM.CLIP_GRAD_NORM = value
    with pytest.raises(ConfigError, match=f"OPTIM.CLIP_GRAD_NORM is {value}: give the largest norm, or 0"):
        build()
