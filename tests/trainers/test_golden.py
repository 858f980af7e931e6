"""CoOp's and CoCoOp's logits, losses and gradients against the numbers of their released code (tests/golden/)."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import clip
from tests.seeded_weights import seeded_images, seeded_state_dict, seeded_tensor
from trainers import cocoop, coop
from trainers.method import Task
from trainers.tuned_clip import TunedCLIP

GOLDEN = Path(__file__).parents[1] / "golden"
COOP = json.loads((GOLDEN / "coop_logits.json").read_text())
COCOOP = json.loads((GOLDEN / "cocoop_logits.json").read_text())
TOLERANCE = 2e-3  # relative; what is seen is below 1e-4


@pytest.fixture(scope="module")
def backbones():
    return {kind: clip.build_model(seeded_state_dict(kind)).requires_grad_(False) for kind in ("vit", "resnet")}


def name_of(case):
    return "-".join(str(case.get(key, "")) for key in ("model", "CLASS_TOKEN_POSITION", "CSC", "N_CTX", "CTX_INIT"))


def assert_close(got, golden):
    golden = torch.tensor(golden)
    assert (got - golden).abs().max() <= TOLERANCE * golden.abs().max()


def assert_gradient(got, golden):
    picked = got.flatten()[golden["indices"]] if "indices" in golden else got.flatten()
    scale = max(golden["norm"], 1e-6)
    assert abs(got.norm().item() - golden["norm"]) <= TOLERANCE * scale
    assert (picked - torch.tensor(golden["values"])).abs().max() <= TOLERANCE * scale


def fill(learner, case, golden_file):
    with torch.no_grad():
        for name, parameter in learner.named_parameters():
            if name in case.get("seeds", {}):
                std = golden_file["stds"][name]
                parameter.copy_(seeded_tensor(tuple(case["shapes"][name]), case["seeds"][name], std))


@pytest.mark.parametrize("case", COOP["cases"], ids=name_of)
def test_coop_gives_the_released_codes_logits_and_gradients(case, backbones):
    options = {key: case[key] for key in ("N_CTX", "CSC", "CTX_INIT", "CLASS_TOKEN_POSITION")}
    backbone = backbones[case["model"]]
    learner = coop.PromptLearner(coop.PromptLearner.Config(**options), Task(COOP["class_names"]), backbone)
    assert list(learner.ctx.shape) == case["ctx_shape"]
    assert set(learner.state_dict()) == {"ctx"}
    if case["ctx_seed"] is not None:
        with torch.no_grad():
            learner.ctx.copy_(seeded_tensor(tuple(case["ctx_shape"]), case["ctx_seed"], COOP["ctx_std"]))
    images = seeded_images(case["model"], COOP["image_count"], COOP["image_seed"])
    logits = TunedCLIP(backbone, learner)(images)
    assert_close(logits, case["logits"])
    F.cross_entropy(logits, torch.tensor(COOP["labels"])).backward()
    assert_gradient(learner.ctx.grad, case["ctx_grad"])


@pytest.mark.parametrize("case", COCOOP["cases"], ids=name_of)
def test_cocoop_gives_the_released_codes_logits_losses_and_gradients(case, backbones):
    config = cocoop.PromptLearner.Config(case["N_CTX"], case["CTX_INIT"])
    backbone = backbones[case["model"]]
    learner = cocoop.PromptLearner(config, Task(COCOOP["class_names"]), backbone)
    assert {name: list(p.shape) for name, p in learner.named_parameters()} == case["shapes"]
    fill(learner, case, COCOOP)
    model = TunedCLIP(backbone, learner)
    images = seeded_images(case["model"], COCOOP["image_count"], COCOOP["image_seed"])
    labels = torch.tensor(COCOOP["labels"])
    assert_close(model(images), case["logits"])
    for part, count in (("batch", len(images)), ("first_image", 1)):
        model.zero_grad()
        loss = F.cross_entropy(model(images[:count]), labels[:count])
        loss.backward()
        assert_close(loss, case[part]["loss"])
        for name, golden in case[part]["grads"].items():
            assert_gradient(learner.get_parameter(name).grad, golden)
