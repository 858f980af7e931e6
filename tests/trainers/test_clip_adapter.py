"""CLIP-Adapter against the numbers of its released code (tests/golden/), and on new classes and other backbones."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import clip
from tests.seeded_weights import seeded_images, seeded_state_dict, seeded_tensor
from trainers.checkpoints import load_folder
from trainers.clip_adapter import Adapter
from trainers.method import Task
from trainers.templates import choose_template
from trainers.tuned_clip import TunedCLIP

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "clip_adapter.json").read_text())
TOLERANCE = 2e-3  # relative


@pytest.fixture(scope="module")
def backbones():
    return {kind: clip.build_model(seeded_state_dict(kind)).requires_grad_(False) for kind in ("vit", "resnet")}


def network(backbone, names, template="a photo of a {}.", ratio=0.2):
    return TunedCLIP(backbone, Adapter(Adapter.Config(RATIO=ratio), Task(names, template=template), backbone))


def assert_close(got, golden):
    golden = torch.tensor(golden)
    assert (got - golden).abs().max() <= TOLERANCE * golden.abs().max()


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["dataset"])
def test_the_released_codes_logits_loss_and_gradients(case, backbones):
    model = network(backbones["vit"], GOLDEN["class_names"], case["template"])
    learned = {name.removeprefix("adapter."): recipe for name, recipe in case["learned"].items()}
    assert {name: list(tensor.shape) for name, tensor in model.method.state_dict().items()} == {
        name: recipe["shape"] for name, recipe in learned.items()
    }
    tensors = {
        name: seeded_tensor(tuple(recipe["shape"]), recipe["seed"], recipe["std"]) for name, recipe in learned.items()
    }
    model.method.load_state_dict(tensors)
    logits = model(seeded_images("vit", GOLDEN["image_count"], GOLDEN["image_seed"]))
    assert_close(logits, case["logits"])
    loss = F.cross_entropy(logits, torch.tensor(GOLDEN["labels"]))
    assert_close(loss, case["loss"])
    loss.backward()
    for name, golden in case["grads"].items():
        got = model.method.get_parameter(name.removeprefix("adapter.")).grad.flatten()
        assert abs(got.norm().item() - golden["norm"]) <= TOLERANCE * golden["norm"]
        assert (got[golden["indices"]] - torch.tensor(golden["values"])).abs().max() <= TOLERANCE * golden["norm"]


def test_its_templates_are_those_of_the_released_code():
    for dataset, template in GOLDEN["templates"].items():
        assert choose_template(Task([], dataset)) == template


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_without_its_share_the_logits_are_zero_shot_clips(kind, backbones):
    model = network(backbones[kind], ["dog", "golden_retriever"], ratio=0.0)
    images = seeded_images(kind, 2)
    with torch.no_grad():
        wanted, _ = backbones[kind](images, clip.tokenize(["a photo of a dog.", "a photo of a golden retriever."]))
        torch.testing.assert_close(model(images), wanted, rtol=1e-4, atol=1e-3)


def test_a_released_checkpoint_loads_for_other_classes(backbones, tmp_path):
    method = network(backbones["vit"], ["jeep"]).method
    shapes = GOLDEN["checkpoint_of_last_case"]["tensors"]
    saved = {name: torch.randn(shape).half() for name, shape in shapes.items()}
    folder = tmp_path / GOLDEN["checkpoint_of_last_case"]["registered_as"]
    folder.mkdir()
    torch.save({"state_dict": saved, "epoch": 5}, folder / "model.pth.tar-5")
    load_folder(method, str(tmp_path), backbones["vit"], epoch=5)
    for name, tensor in method.state_dict().items():
        torch.testing.assert_close(tensor, saved[name].float())
