"""MuDPT's RELEASE: what the authors' four trainers compute, and their checkpoints."""

import itertools
import json

import pytest
import torch

import clip
import train
from clip.prompts import Prompts
from clip.weights import load_clip
from support.user_error import UserError
from tests.golden_cases import (
    assert_as_released,
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
from trainers.checkpoints import OF_THE_LEARNER
from trainers.mudpt_released import FOLDERS, RELEASES, convert_names, release_of
from trainers.tuned_clip import TunedCLIP

GOLDEN = golden("mudpt")
NAMES = GOLDEN["class_names"]
FIRST = {case["RELEASE"]: case for case in reversed(GOLDEN["cases"])}


def build(case, **more):
    options = {key: case[key] for key in ("RELEASE", "N_CTX", "CTX_INIT", "DEEP_PROMPT_DEPTH")}
    return tuned_clip("MuDPT", NAMES, **{**options, **more})


def name_of(case):
    return "-".join(str(case[key]) for key in ("RELEASE", "DEEP_PROMPT_DEPTH", "N_CTX"))


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=name_of)
def test_logits_loss_and_gradients_are_the_released_codes(case):
    built = build(case)
    sizes = [torch.Size(recipe["shape"]).numel() for recipe in case["learned"].values()]
    assert sum(parameter.numel() for parameter in built.method.parameters()) == sum(sizes)
    assert case["grads"].keys() == case["learned"].keys()

    def ours(name):
        return next(iter(convert_names({name: None}, case["RELEASE"])))

    assert_as_released(built, case, GOLDEN, ours)


@pytest.mark.parametrize("release", RELEASES)
def test_every_learned_tensor_changes_the_prompts(release):
    method = build(FIRST[release]).method

    def prompts() -> list[torch.Tensor]:
        of: Prompts = method()
        return [part.clone() for part in (of.text, of.text_deep, of.visual, of.visual_deep)]

    with torch.no_grad():
        for name, parameter in method.named_parameters():
            before, kept = prompts(), parameter.clone()
            parameter.add_(torch.randn_like(parameter))
            if not name.endswith("in_proj_bias"):  # that of the keys changes nothing
                assert any((a - b).abs().max() > 1e-4 for a, b in zip(before, prompts(), strict=True)), name
            parameter.copy_(kept)


# checkpoints


def released_state(release):
    """What the released trainer saves: all of CLIP, what it learned, and tensors of its class names."""
    case, checkpoint = FIRST[release], GOLDEN["checkpoints_of_first_cases"][release]
    state = seeded_state_dict("vit")
    of_clip = released_names(state)
    assert len(of_clip) - 1 == checkpoint["clip_tensor_count"]  # logit_scale is listed with the rest
    learned = seeded(case["learned"])
    for name, recipe in case["learned"].items():
        if "from" in recipe:
            words = clip.tokenize(case["CTX_INIT"])[0, 1 : 1 + recipe["shape"][0]].long()
            learned[name] = state["token_embedding.weight"][words]
    of_names = {name: torch.zeros(9, *shape[1:]) for name, shape in checkpoint["tensors"].items() if "token_" in name}
    assert {"logit_scale", *learned, *of_names} == set(checkpoint["tensors"]) and len(of_names) == 2
    return {**of_clip, **learned, **of_names}


def folder_of(release):
    return GOLDEN["checkpoints_of_first_cases"][release]["registered_as"]


@pytest.mark.parametrize("release", RELEASES)
def test_a_released_checkpoint_gives_the_released_logits(release, tmp_path):
    assert folder_of(release) in FOLDERS
    save(released_state(release), tmp_path / folder_of(release))
    built = build(FIRST[release])
    with torch.no_grad():
        for parameter in built.method.parameters():
            parameter.fill_(7.0)  # nothing of it may be left
    assert load(built, tmp_path, epoch=5).epoch == 5
    with torch.no_grad():
        assert_close(built(images_and_labels(GOLDEN)[0]), FIRST[release]["logits"])


@pytest.mark.parametrize(
    ("ours", "release"), [pair for pair in itertools.product(("", *RELEASES), RELEASES) if pair[0] != pair[1]]
)
def test_a_checkpoint_of_another_release_says_which_it_is_of(ours, release, tmp_path):
    save(released_state(release), tmp_path / folder_of(release))
    with pytest.raises(UserError, match=f"trainer {release} wrote it: set TRAINER.MUDPT.RELEASE {release}$") as caught:
        load(build(FIRST[release], RELEASE=ours), tmp_path, epoch=5)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("release", ["", *RELEASES])
def test_our_own_checkpoints_are_of_no_release_and_load(release, tmp_path):
    case = FIRST[release or "mudpt"]
    torch.manual_seed(0)
    built = build(case, RELEASE=release)
    tensors = built.method.state_dict()
    assert release_of(tensors) == ""
    save({name: tensor + 1 for name, tensor in tensors.items()}, tmp_path / "prompt_learner")
    again = build(case, RELEASE=release)
    load(again, tmp_path, epoch=5)
    assert all(torch.equal(tensor, tensors[name] + 1) for name, tensor in again.method.state_dict().items())


def test_a_released_checkpoint_of_another_backbone_is_refused(tmp_path):
    state = released_state("mudpt")
    state["text_encoder.ln_final.bias"] = state["text_encoder.ln_final.bias"] + 0.1
    save(state, tmp_path / folder_of("mudpt"))
    with pytest.raises(UserError, match="not that of this run's backbone: set MODEL.BACKBONE"):
        load(build(FIRST["mudpt"]), tmp_path, epoch=5)


# settings


@pytest.mark.parametrize(("key", "value"), [("INJECTION", "linear"), ("DIRECTION", "t2v")])
def test_what_the_release_decides_cannot_be_set_beside_it(key, value):
    with pytest.raises(UserError, match=f"TRAINER.MUDPT.{key} is {value}, but TRAINER.MUDPT.RELEASE mpt") as caught:
        build(FIRST["mpt"], **{key: value})
    assert "\n" not in str(caught.value)


def test_a_misspelt_release_is_refused():
    with pytest.raises(UserError, match=r'RELEASE is "umudp" \(did you mean "umudpt"\?\): choose one of "", mudpt'):
        build(FIRST["mpt"], RELEASE="umudp")


def test_words_beyond_the_context_stay_in_the_prompt_of_mpt_alone():
    def prefix(release):
        return build(FIRST[release], N_CTX=2).method.class_text.prefix.tolist()

    words = clip.tokenize("a photo of a")[0, 1:5].tolist()
    assert prefix("mpt")[1:] == [-1, -2, *words[2:]]
    assert prefix("mudpt")[1:] == [-1, -2]


@pytest.mark.parametrize("release", RELEASES)
def test_each_configuration_trains_and_its_model_is_usable(release, root, tmp_path, capsys):
    """One epoch on digits with the embedded CLIP; the finished model gives the test's answers."""
    data, output = few_digits(tmp_path / "data"), tmp_path / "run"
    code = train.run(
        [
            *("--root", str(data), "--seed", "1", "--trainer", "MuDPT", "--output-dir", str(output)),
            *("--dataset-config-file", str(root / "configs/datasets/digits.yaml")),
            *("--config-file", str(root / f"configs/trainers/MuDPT/tiny_release_{release}.yaml")),
            *("DATASET.NUM_SHOTS", "1", "OPTIM.MAX_EPOCH", "1"),
        ]
    )
    assert code == 0, capsys.readouterr().err
    results = json.loads((output / "results.json").read_text())
    assert results["config"]["TRAINER"]["MUDPT"]["RELEASE"] == release
    tuned = TunedCLIP.load(output)
    count = sum(parameter.numel() for parameter in tuned.method.parameters())
    assert (tuned.method.config.RELEASE, count) == (release, results["learned_parameters"])


def test_train_py_tests_a_released_checkpoint_like_our_own(root, tmp_path, capsys):
    """On the embedded CLIP (widths 96 and 128, 6 layers): the released names and ours, and the same values."""
    torch.manual_seed(0)
    sizes = {
        "mudpt_prompt_learner.ctx": (4, 96),
        "mudpt_prompt_learner.deep_prompts": (5, 4, 96),
        "mudpt_prompt_learner.embed_projection.weight": (128, 96),
        "mudpt_prompt_learner.embed_projection.bias": (128,),
        "mudpt_prompt_learner.deep_projections.weight": (128, 96),
        "mudpt_prompt_learner.deep_projections.bias": (128,),
        "image_encoder.visual_ctx": (4, 128),
        "image_encoder.visual_ctx_deep_prompts": (5, 4, 128),
        "image_encoder.visual_ctx_deep_projections.weight": (96, 128),
        "image_encoder.visual_ctx_deep_projections.bias": (96,),
    }
    released = {name: torch.randn(size) / 10 for name, size in sizes.items()}
    ours = convert_names({OF_THE_LEARNER.sub("", name): tensor for name, tensor in released.items()}, "mudpt")
    whole = {**released_names(load_clip("tiny").state_dict()), **released}
    save(whole, tmp_path / "theirs" / folder_of("mudpt"))
    save(ours, tmp_path / "ours" / "prompt_learner")
    data, metrics = few_digits(tmp_path / "data"), {}
    for model in ("theirs", "ours"):
        code = train.run(
            [
                *(
                    "--root",
                    str(data),
                    "--seed",
                    "1",
                    "--trainer",
                    "MuDPT",
                    "--output-dir",
                    str(tmp_path / "of" / model),
                ),
                *(
                    "--dataset-config-file",
                    str(root / "configs/datasets/digits.yaml"),
                    "--eval-only",
                    "--load-epoch",
                    "5",
                ),
                *("--config-file", str(root / "configs/trainers/MuDPT/tiny_release_mudpt.yaml")),
                *("--model-dir", str(tmp_path / model)),
            ]
        )
        assert code == 0, capsys.readouterr().err
        metrics[model] = json.loads((tmp_path / "of" / model / "results.json").read_text())["metrics"]
    assert metrics["theirs"] == metrics["ours"]


@pytest.mark.parametrize(("release", "prompts", "depth", "epochs"), [
    ("mudpt", 4, 9, 10), ("umudpt", 2, 9, 5), ("uumudpt", 2, 9, 5), ("mpt", 2, 12, 5),
])  # fmt: skip
def test_configurations_have_the_releases_values(release, prompts, depth, epochs, root):
    file = root / f"configs/trainers/MuDPT/vit_b16_release_{release}.yaml"
    cfg = train.setup_cfg(train.parse_args(["--config-file", str(file), "--trainer", "MuDPT"]))
    node = cfg.TRAINER.MUDPT
    assert (node.RELEASE, node.N_CTX, node.DEEP_PROMPT_DEPTH, node.CTX_INIT) == (
        release,
        prompts,
        depth,
        "a photo of a",
    )
    assert (cfg.OPTIM.LR, cfg.OPTIM.MAX_EPOCH, cfg.DATALOADER.TRAIN_X.BATCH_SIZE) == (0.0025, epochs, 4)
    assert (cfg.OPTIM.WARMUP_EPOCH, cfg.OPTIM.WARMUP_CONS_LR, cfg.OPTIM.CLIP_GRAD_NORM) == (1, 1e-5, 0)
