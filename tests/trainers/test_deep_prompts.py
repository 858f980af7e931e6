"""VPT, IVLP and MaPLe: logits, losses and gradients of their released code, their options, configurations, scripts."""

import json
import math

import pytest
import torch

import clip
import train
from clip import reference as plain_clip
from comparison.methods import read_method
from comparison.runs import read_runs
from support.user_error import UserError
from tests.golden_cases import (
    assert_as_released,
    fill,
    golden,
    images_and_labels,
    loss_and_logits,
    seeded,
    tuned_clip,
)
from tests.seeded_weights import seeded_images, seeded_state_dict
from trainers.class_prompts import template_text

METHODS = {"VPT": "vpt", "IVLP": "ivlp", "MaPLe": "maple"}
GOLDEN = {trainer: golden(name) for trainer, name in METHODS.items()}
CASES = [(trainer, case) for trainer, content in GOLDEN.items() for case in content["cases"]]
NAMES = GOLDEN["MaPLe"]["class_names"]


def options(case):
    return {key: value for key, value in case.items() if key.startswith(("N_CTX", "CTX_INIT", "PROMPT_DEPTH"))}


def name_of(value):
    return value if isinstance(value, str) else "-".join(map(str, options(value).values()))


@pytest.mark.parametrize(("trainer", "case"), CASES, ids=name_of)
def test_logits_loss_and_gradients_are_the_released_codes(trainer, case):
    built = tuned_clip(trainer, NAMES, case["dataset"], **options(case))
    sizes = [math.prod(recipe["shape"]) for recipe in case["learned"].values()]
    assert sum(parameter.numel() for parameter in built.method.parameters()) == sum(sizes)
    assert case["grads"].keys() == case["learned"].keys()
    assert_as_released(built, case, GOLDEN[trainer])


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("bf16", 1.0)])
@pytest.mark.parametrize("trainer", METHODS)
def test_a_step_in_any_precision_keeps_float32_prompts(trainer, precision, tolerance):
    case = GOLDEN[trainer]["cases"][-1]
    built = tuned_clip(trainer, NAMES, **options(case), PREC=precision)
    fill(built.method, seeded(case["learned"]))
    images, labels = images_and_labels(GOLDEN[trainer])
    with torch.no_grad():
        assert (built(images) - torch.tensor(case["logits"])).abs().max() <= tolerance * 3  # logits reach 100
    loss_and_logits(built, images, labels)[0].backward()
    for parameter in built.method.parameters():
        assert parameter.dtype == parameter.grad.dtype == torch.float32 and parameter.grad.isfinite().all()


def test_maple_keeps_the_released_names():
    released = GOLDEN["MaPLe"]["cases"][0]["learned"]
    learner = tuned_clip("MaPLe", NAMES, PROMPT_DEPTH=3).method
    assert set(learner.state_dict()) == {name.removeprefix("prompt_learner.") for name in released}


def test_maple_starts_all_deep_layers_from_one_projection_as_released():
    first, second = tuned_clip("MaPLe", NAMES, PROMPT_DEPTH=3).method.compound_prompt_projections
    assert torch.equal(first.weight, second.weight) and first.weight is not second.weight


def test_ivlp_without_visual_prompts_runs_on_a_resnet():
    built = tuned_clip("IVLP", NAMES, kind="resnet", N_CTX_TEXT=4, PROMPT_DEPTH_TEXT=3, PROMPT_DEPTH_VISION=0)
    assert set(built.method.state_dict()) == {"ctx", "deep_ctx"}
    images, state = seeded_images("resnet", 2), seeded_state_dict("resnet")
    tokens = clip.tokenize([f"X X X X {name.replace('_', ' ')}." for name in NAMES]).long()
    embedded = state["token_embedding.weight"][tokens]
    embedded[:, 1:5] = built.method.ctx.detach()
    with torch.no_grad():
        text = plain_clip.text_features(state, embedded, tokens.argmax(-1), built.method.deep_ctx)
        wanted = plain_clip.logits(state, built.clip.encode_image(images), text)
        torch.testing.assert_close(built(images), wanted, rtol=2e-4, atol=2e-4)


def layout(built):
    return built.method.class_text.prefix.tolist(), built.method.class_text.own.tolist()


@pytest.mark.parametrize(("trainer", "length"), [("MaPLe", "N_CTX"), ("IVLP", "N_CTX_TEXT")])
def test_words_beyond_the_context_stay_and_are_not_used_for_long_contexts(trainer, length):
    words = clip.tokenize("a photo of a")[0, 1:5].tolist()
    prefix, _ = layout(tuned_clip(trainer, NAMES, **{length: 2}))
    assert prefix[1:] == [-1, -2, *words[2:]]
    torch.manual_seed(0)
    long = tuned_clip(trainer, NAMES, **{length: 5})
    assert layout(long)[0][1:] == [-1, -2, -3, -4, -5]
    embedded = long.clip.token_embedding.weight[words]
    assert not torch.isclose(long.method.ctx[:4], embedded).all(dim=1).any()


@pytest.mark.parametrize(("trainer", "length"), [("MaPLe", "N_CTX"), ("IVLP", "N_CTX_TEXT")])
def test_fewer_words_than_context_vectors_leave_the_class_names_alone(trainer, length, capsys):
    few = tuned_clip(trainer, NAMES, CTX_INIT="photo", **{length: 3})
    assert "the other 2 context vectors are random" in capsys.readouterr().out
    assert layout(few) == layout(tuned_clip(trainer, NAMES, CTX_INIT="", **{length: 3}))


def test_the_words_of_vpt_stand_before_the_class_name():
    words = tuned_clip("VPT", NAMES, CTX_INIT="art_of_the").method.class_text
    wanted = template_text(NAMES, "art of the {}.")
    assert torch.equal(words.own, wanted.own) and torch.equal(words.prefix, wanted.prefix)


@pytest.fixture
def flat_vision(monkeypatch):
    """The seeded CLIP with two layers in the image encoder and three in the text encoder."""
    state = seeded_state_dict("vit")
    state = {name: tensor for name, tensor in state.items() if not name.startswith("visual.transformer.resblocks.2")}
    monkeypatch.setattr("tests.golden_cases.seeded_state_dict", lambda kind: state)


def test_depth_is_clamped_by_the_layers_of_each_encoder(flat_vision, capsys):
    ivlp = tuned_clip("IVLP", NAMES).method
    assert (len(ivlp.deep_ctx), len(ivlp.visual_deep_ctx)) == (2, 1)
    printed = capsys.readouterr().out
    assert "TRAINER.IVLP.PROMPT_DEPTH_TEXT 9 is more than the 3 layers there are: using 3" in printed
    assert "TRAINER.IVLP.PROMPT_DEPTH_VISION 9 is more than the 2 layers there are: using 2" in printed
    assert len(tuned_clip("VPT", NAMES, PROMPT_DEPTH_VISION=12).method.visual_deep_ctx) == 1
    assert len(tuned_clip("MaPLe", NAMES).method.compound_prompts_text) == 1  # the shallower encoder's
    assert "TRAINER.MAPLE.PROMPT_DEPTH 9" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("trainer", "changed", "message"),
    [
        ("VPT", {"N_CTX_VISION": 0}, "TRAINER.VPT.N_CTX_VISION is 0"),
        ("VPT", {"PROMPT_DEPTH_VISION": 0}, "TRAINER.VPT.PROMPT_DEPTH_VISION is 0"),
        ("VPT", {"kind": "resnet"}, "VPT.*ResNet.*choose a ViT"),
        ("IVLP", {"N_CTX_TEXT": 0}, "TRAINER.IVLP.N_CTX_TEXT is 0"),
        ("IVLP", {"N_CTX_VISION": 0}, "TRAINER.IVLP.N_CTX_VISION is 0"),
        ("IVLP", {"PROMPT_DEPTH_TEXT": 0}, "TRAINER.IVLP.PROMPT_DEPTH_TEXT is 0"),
        ("IVLP", {"PROMPT_DEPTH_VISION": -1}, "TRAINER.IVLP.PROMPT_DEPTH_VISION is -1"),
        ("IVLP", {"kind": "resnet"}, "IVLP.*ResNet.*choose a ViT"),
        ("MaPLe", {"N_CTX": 0}, "TRAINER.MAPLE.N_CTX is 0"),
        ("MaPLe", {"PROMPT_DEPTH": 0}, "TRAINER.MAPLE.PROMPT_DEPTH is 0"),
        ("MaPLe", {"kind": "resnet"}, "MAPLE.*ResNet.*choose a ViT"),
        ("MaPLe", {"PREC": "fp8"}, "TRAINER.MAPLE.PREC"),
    ],
)
def test_options_out_of_range_are_told_in_one_line(trainer, changed, message):
    with pytest.raises(UserError, match=message) as caught:
        tuned_clip(trainer, NAMES, **changed)
    assert "\n" not in str(caught.value)


# configurations and scripts

RELEASED = {  # learning rate, epochs, and the node
    "VPT/vit_b16_c2_ep5_batch4_4": (0.0025, 5, {"N_CTX_VISION": 8, "PROMPT_DEPTH_VISION": 12}),
    "VPT/vit_b16_c2_ep5_batch4_4_shallow": (0.0025, 5, {"N_CTX_VISION": 8, "PROMPT_DEPTH_VISION": 1}),
    "IVLP/vit_b16_c2_ep5_batch4_2+2ctx": (
        *(0.0035, 5),
        {"N_CTX_VISION": 2, "N_CTX_TEXT": 2, "PROMPT_DEPTH_VISION": 12, "PROMPT_DEPTH_TEXT": 12},
    ),
    "IVLP/vit_b16_c2_ep5_batch4_4ctx_language_only": (
        *(0.0025, 5),
        {"N_CTX_VISION": 0, "N_CTX_TEXT": 4, "PROMPT_DEPTH_VISION": 0, "PROMPT_DEPTH_TEXT": 12},
    ),
    "MaPLe/vit_b16_c2_ep5_batch4_2ctx": (0.0035, 5, {"N_CTX": 2, "PROMPT_DEPTH": 9}),
    "MaPLe/vit_b16_c2_ep5_batch4_2ctx_cross_datasets": (0.0026, 2, {"N_CTX": 2, "PROMPT_DEPTH": 3}),
}


@pytest.mark.parametrize("file", RELEASED)
def test_configurations_have_the_released_values(file, root):
    rate, epochs, node = RELEASED[file]
    cfg = train.setup_cfg(train.parse_args(["--config-file", str(root / f"configs/trainers/{file}.yaml")]))
    assert (cfg.OPTIM.LR, cfg.OPTIM.MAX_EPOCH, cfg.OPTIM.NAME, cfg.OPTIM.LR_SCHEDULER) == (
        rate,
        epochs,
        "sgd",
        "cosine",
    )
    assert (cfg.OPTIM.WARMUP_EPOCH, cfg.OPTIM.WARMUP_TYPE, cfg.OPTIM.WARMUP_CONS_LR) == (1, "constant", 1e-5)
    assert (cfg.DATALOADER.TRAIN_X.BATCH_SIZE, cfg.DATALOADER.TEST.BATCH_SIZE) == (4, 100)
    assert (cfg.MODEL.BACKBONE.NAME, tuple(cfg.INPUT.SIZE), cfg.INPUT.INTERPOLATION) == (
        *("ViT-B/16", (224, 224)),
        "bicubic",
    )
    assert list(cfg.INPUT.TRANSFORMS) == ["random_resized_crop", "random_flip", "normalize"]
    own = cfg.TRAINER[file.split("/")[0].upper()]
    precision = "fp32" if file.startswith("VPT") else "fp16"  # VPT's released code computes in fp32
    assert dict(own) == {"CTX_INIT": "a photo of a", "PREC": precision, **node}


@pytest.mark.parametrize("trainer", METHODS)
def test_scripts_name_the_trainer_and_the_released_configs(trainer, root):
    folder = root / "scripts" / METHODS[trainer]
    for script in (root / "scripts/mudpt").glob("*_*.sh"):
        assert (folder / script.name).read_text() == script.read_text()
        assert (folder / script.name).stat().st_mode & 0o111
    method = read_method(folder)
    configs = [method.config_of(protocol, "x", 16) for protocol in ("base2new", "cross_dataset")]
    assert method.trainer == trainer
    for config in configs:
        assert f"{trainer}/{config}" in RELEASED
    assert configs[1].endswith("_cross_datasets") == (trainer == "MaPLe")


def test_a_config_name_with_a_plus_is_read_from_the_results_folder(tmp_path):
    config = "vit_b16_c2_ep5_batch4_2+2ctx"
    folder = tmp_path / f"base2new/train_base/dtd/shots_16/IVLP/{config}/seed1"
    folder.mkdir(parents=True)
    results = {"backbone": "ViT-B/16", "metrics": {"accuracy": 75.0}, "sampling_error": 2.2}
    results |= {"learned_parameters": 8, "seconds": {"train": 3.0}}
    (folder / "results.json").write_text(json.dumps(results))
    (run,) = read_runs(tmp_path)
    assert (run.trainer, run.config, run.classes) == ("IVLP", config, "base")
