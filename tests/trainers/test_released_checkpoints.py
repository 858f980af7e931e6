"""Checkpoints of MaPLe's released code, which hold all of CLIP, load and give the released logits."""

import json

import pytest
import torch

import clip
import train
from clip.weights import load_clip
from support.user_error import UserError
from tests.golden_cases import (
    assert_close,
    golden,
    images_and_labels,
    load,
    released_names,
    save,
    seeded,
    tuned_clip,
)
from tests.seeded_weights import seeded_state_dict
from tests.small_data import few_digits
from trainers.checkpoints import learned_tensors

# Trainer -> its golden file, the case that the checkpoint in it is of, and the folder that the released code saves to.
RELEASED = {
    "VPT": ("vpt", -1, "prompt_learner"),
    "IVLP": ("ivlp", 0, "VLPromptLearner"),
    "MaPLe": ("maple", -1, "MultiModalPromptLearner"),
}
OTHER_CLASSES = 9


def case_of(trainer):
    file, index, _ = RELEASED[trainer]
    content = golden(file)
    return content, content["cases"][index], next(content[key] for key in content if key.startswith("checkpoint_of"))


def released_state(trainer):
    """What the released code's checkpoint of the golden case holds, but for its class names, which are others."""
    _, case, checkpoint = case_of(trainer)
    state = seeded_state_dict("vit")
    of_clip = released_names(state)
    assert len(of_clip) - 1 == checkpoint["clip_tensor_count"]  # logit_scale is listed with the rest
    for name, shape in checkpoint["clip_tensor_examples"].items():
        assert list(of_clip[name].shape) == shape
    learned = seeded(case["learned"])
    for name, recipe in case["learned"].items():
        if "from" in recipe:
            words = clip.tokenize(case[recipe["from"]])[0, 1 : 1 + recipe["shape"][0]].long()
            learned[name] = state["token_embedding.weight"][words]
    assert set(learned) == {name for name in checkpoint["tensors"] if "token_" not in name and name != "logit_scale"}
    buffers = {
        name: torch.zeros(OTHER_CLASSES, *shape[1:])
        for name, shape in checkpoint["tensors"].items()
        if "token_" in name
    }
    assert len(buffers) == (0 if trainer == "VPT" else 2)
    return {**of_clip, **learned, **buffers}


def build(trainer):
    content, case, _ = case_of(trainer)
    node = {key: value for key, value in case.items() if key.startswith(("N_CTX", "CTX_INIT", "PROMPT_DEPTH"))}
    return tuned_clip(trainer, content["class_names"], case["dataset"], **node)


@pytest.mark.parametrize("trainer", RELEASED)
def test_a_released_checkpoint_gives_the_released_logits(trainer, tmp_path):
    content, case, _ = case_of(trainer)
    save(released_state(trainer), tmp_path / RELEASED[trainer][2])
    built = build(trainer)
    with torch.no_grad():
        for parameter in built.method.parameters():
            parameter.fill_(7.0)  # nothing of it may be left
    assert load(built, tmp_path, epoch=5).epoch == 5
    with torch.no_grad():
        assert_close(built(images_and_labels(content)[0]), case["logits"])


@pytest.mark.parametrize("trainer", RELEASED)
def test_a_released_checkpoint_in_float16_is_of_the_same_backbone(trainer, tmp_path):
    save({name: tensor.half() for name, tensor in released_state(trainer).items()}, tmp_path / RELEASED[trainer][2])
    built = build(trainer)
    load(built, tmp_path, epoch=5)
    assert all(tensor.dtype == torch.float32 for tensor in built.method.state_dict().values())


@pytest.mark.parametrize("change", ["other patch size", "other weights"])
@pytest.mark.parametrize("trainer", RELEASED)
def test_a_released_checkpoint_of_another_backbone_is_refused(trainer, change, tmp_path):
    state = released_state(trainer)
    if change == "other patch size":  # as ViT-B/32 beside ViT-B/16, whose prompts have the same widths
        patches, name = state["image_encoder.positional_embedding"], "image_encoder.conv1.weight"
        state["image_encoder.positional_embedding"] = patches[: 1 + (len(patches) - 1) // 4]
        state[name] = state[name].repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    else:
        state["text_encoder.ln_final.bias"] = state["text_encoder.ln_final.bias"] + 0.1
    save(state, tmp_path / RELEASED[trainer][2])
    built = build(trainer)
    before = {name: tensor.clone() for name, tensor in built.method.state_dict().items()}
    with pytest.raises(UserError, match="not that of this run's backbone: set MODEL.BACKBONE") as caught:
        load(built, tmp_path, epoch=5)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(before[name], tensor) for name, tensor in built.method.state_dict().items())


@pytest.mark.parametrize(
    ("trainer", "others"), [("MaPLe", "IVLP"), ("IVLP", "MaPLe"), ("VPT", "IVLP"), ("IVLP", "VPT")]
)
def test_a_released_checkpoint_of_another_method_is_refused(trainer, others, tmp_path):
    save(released_state(others), tmp_path / RELEASED[trainer][2])
    with pytest.raises(UserError, match="it belongs to another"):
        load(build(trainer), tmp_path, epoch=5)


def test_the_frozen_image_encoder_that_promptsrc_saves_twice_is_left_out():
    state = seeded_state_dict("vit")
    twice = {
        name.replace("image_encoder.", "prompt_learner.ZS_image_encoder."): tensor
        for name, tensor in released_names(state).items()
        if name.startswith("image_encoder.")
    }
    prompts = {"prompt_learner.ctx": torch.ones(4, 64), "image_encoder.VPT": torch.ones(4, 128)}
    learned = learned_tensors({**released_names(state), **twice, **prompts}, clip.build_model(state), "some/file")
    assert set(learned) == {"ctx", "image_encoder.VPT"}


# through the command line, on the embedded CLIP


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return few_digits(tmp_path_factory.mktemp("data"))


@pytest.fixture
def evaluate(data, root, tmp_path, capsys):
    """Test a model folder on digits with the embedded CLIP; returns exit code, standard error and results."""

    def run(trainer, model, *more):
        output = tmp_path / f"tested_{model.name}"
        code = train.run(
            [
                *("--root", str(data), "--seed", "1", "--trainer", trainer, "--eval-only", "--model-dir", str(model)),
                *("--dataset-config-file", str(root / "configs/datasets/digits.yaml")),
                *("--config-file", str(root / f"configs/trainers/{trainer}/tiny.yaml"), "--output-dir", str(output)),
                *("--load-epoch", "5", *more),
            ]
        )
        file = output / "results.json"
        return code, capsys.readouterr().err, json.loads(file.read_text()) if file.exists() else None

    return run


def tiny_prompts(trainer):
    """Prompts for the embedded CLIP (widths 96 and 128, 6 layers): the released names and ours, and the same values."""
    torch.manual_seed(0)
    if trainer == "MaPLe":
        ours = {"ctx": torch.randn(2, 96), "proj.weight": torch.randn(128, 96) / 10, "proj.bias": torch.randn(128) / 10}
        for i in range(5):
            ours[f"compound_prompts_text.{i}"] = torch.randn(2, 96) / 10
            ours[f"compound_prompt_projections.{i}.weight"] = torch.randn(128, 96) / 10
            ours[f"compound_prompt_projections.{i}.bias"] = torch.randn(128) / 10
        return {f"prompt_learner.{name}": tensor for name, tensor in ours.items()}, ours
    n = {"VPT": 8, "IVLP": 2}[trainer]
    ours = {"visual_ctx": torch.randn(n, 128), "visual_deep_ctx": torch.randn(5, n, 128)}
    if trainer == "IVLP":
        ours |= {"ctx": torch.randn(n, 96), "deep_ctx": torch.randn(5, n, 96) / 10}
    released = {"image_encoder.VPT": ours["visual_ctx"]}
    for name, encoder in (("visual_deep_ctx", "image"), ("deep_ctx", "text")):
        for i, tensor in enumerate(ours.get(name, ())):
            released[f"{encoder}_encoder.transformer.resblocks.{i + 1}.VPT_shallow"] = tensor
    if trainer == "IVLP":
        released["prompt_learner.ctx"] = ours["ctx"]
    return released, ours


@pytest.mark.parametrize("trainer", RELEASED)
def test_train_py_tests_a_released_checkpoint_like_our_own(trainer, evaluate, tmp_path):
    released, ours = tiny_prompts(trainer)
    of_classes = {} if trainer == "VPT" else {"prompt_learner.token_prefix": torch.zeros(OTHER_CLASSES, 1, 96)}
    if of_classes:
        of_classes["prompt_learner.token_suffix"] = torch.zeros(OTHER_CLASSES, 74, 96)
    whole = {**released_names(load_clip("tiny").state_dict()), **released, **of_classes}
    save(whole, tmp_path / "released" / RELEASED[trainer][2])
    save(ours, tmp_path / "ours" / "prompt_learner")
    code, error, found = evaluate(trainer, tmp_path / "released")
    assert code == 0, error
    assert found["tested_model"]["epoch"] == 5
    code, error, wanted = evaluate(trainer, tmp_path / "ours")
    assert code == 0, error
    assert found["metrics"] == wanted["metrics"]
    save({name: torch.zeros_like(tensor) for name, tensor in ours.items()}, tmp_path / "zeros" / "prompt_learner")
    _, _, without = evaluate(trainer, tmp_path / "zeros")
    assert found["metrics"] != without["metrics"]


def test_train_py_refuses_a_released_checkpoint_of_another_backbone_in_one_line(evaluate, tmp_path):
    save(released_state("VPT"), tmp_path / "other" / "prompt_learner")
    code, error, found = evaluate("VPT", tmp_path / "other")
    assert code == 2 and found is None
    assert error.startswith("error: ") and error.count("\n") == 1
    assert "not that of this run's backbone" in error
