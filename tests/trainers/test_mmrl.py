"""MMRL: logits, loss terms, gradients, checkpoints and settings of its released code, and its rule of testing."""

import math

import pytest
import torch

import clip
import train
from support.user_error import UserError
from tests.golden_cases import (
    assert_close,
    assert_gradients,
    fill,
    golden,
    images_and_labels,
    load,
    seeded,
    tuned_clip,
)
from tests.seeded_weights import seeded_state_dict
from tests.tuned_models import NAMES as MODEL_NAMES
from tests.tuned_models import saved_model
from trainers.checkpoints import Checkpoint, load_learned
from trainers.method import Task
from trainers.mmrl import (
    PUBLISHED_SETTINGS,
    PUBLISHED_SETTINGS_PLUS_PLUS,
    RepresentationLearner,
    layers_with_tokens,
)
from trainers.templates import choose_template
from trainers.tuned_clip import TunedCLIP

GOLDEN, PLUS_PLUS = golden("mmrl"), golden("mmrlpp")
NAMES = GOLDEN["class_names"]
OPTIONS = ("ALPHA", "REG_WEIGHT", "N_REP_TOKENS", "REP_LAYERS", "REP_DIM", "BETA", "PROJ_LORA_DIM", "RES_LORA_DIM")


def build(case, class_names=NAMES, **options):
    given = {key: case[key] for key in OPTIONS if key in case} | {"PLUS_PLUS": "BETA" in case} | options
    return tuned_clip("MMRL", class_names, case["dataset"], **given)


def filled(case, **options):
    built = build(case, **options)
    fill(built.method, seeded(case["learned"]))
    return built


def name_of(case):
    return f"{case['dataset']} {case['REP_LAYERS']}{' ++' if 'BETA' in case else ''}"


@pytest.fixture(params=[*GOLDEN["cases"], *PLUS_PLUS["cases"]], ids=name_of)
def case(request):
    return request.param


def test_logits_loss_terms_and_gradients_are_the_released_codes(case):
    built = build(case)
    released = {name.split(".", 1)[1] for name in case["learned"]}
    assert set(built.method.state_dict()) == released
    fill(built.method, seeded(case["learned"]))
    images, labels = images_and_labels(GOLDEN)
    outputs = built.outputs(images)
    assert_close(outputs.logits, case["logits"])
    assert_close(built.method.token_logits(outputs), case["logits_of_tokens"])
    terms = built.method.losses(outputs, labels)
    for name, wanted in case["parts"].items():
        assert abs(terms[name].item() - wanted) <= 2e-3 * abs(wanted) + 1e-5, name
    loss = sum(terms.values())
    assert_close(loss, case["loss"])
    loss.backward()
    assert set(case["grads"]) == set(case["learned"])
    assert_gradients(built.method, case["grads"])


def test_a_test_fuses_the_logits_of_trained_classes_alone(case):
    built = filled(case).eval()
    images, _ = images_and_labels(GOLDEN)
    with torch.no_grad():
        assert_close(built(images), case["logits"])
        built.method.tests_trained_classes = False
        assert_close(built(images), case["logits_of_class_token"])
        assert_close(filled(case, FUSE="never").eval()(images), case["logits_of_class_token"])
        always = filled(case, FUSE="always").eval()
        always.method.tests_trained_classes = False
        assert_close(always(images), case["logits"])


def test_training_reports_fused_logits_whatever_the_test_rule():
    case = GOLDEN["cases"][0]
    images, _ = images_and_labels(GOLDEN)
    assert_close(filled(case, FUSE="never").outputs(images).logits, case["logits"])


# which classes were trained on


def checkpoint_of(case, **run):
    learned = build(case).method.convert_state_dict(seeded(case["learned"]))
    return Checkpoint("some/file", learned, 1, run)


SAME = {"DATASET.NAME": "OxfordPets"}


@pytest.mark.parametrize(
    ("run", "half", "trained"),
    [
        ({"class_names": NAMES, "settings": SAME}, "base", True),
        ({"class_names": [*reversed(NAMES), "another"], "settings": SAME}, "all", True),
        ({"class_names": NAMES[1:], "settings": SAME}, "all", False),
        ({"class_names": ["one", "two"], "settings": SAME}, "new", False),
        ({"class_names": NAMES, "settings": {"DATASET.NAME": "ImageNetV2"}}, "all", False),
        ({"class_names": NAMES, "trained_classes": ["one", "two"]}, "all", False),
        ({}, "base", True),
        ({}, "new", False),
    ],
    ids=str,
)
def test_a_checkpoint_says_which_classes_were_trained_on(run, half, trained):
    case = GOLDEN["cases"][0]
    built = build(case)
    load_learned(built.method, checkpoint_of(case, **run), built.clip, half)
    assert built.method.tests_trained_classes is built.method.eval().fuses is trained
    rule = "These classes were trained on" if trained else "the class token alone"
    assert rule in built.method.test_rule()


def released_state(case, class_names):
    """What the released code saves: all of CLIP, what is learned, and the embedded texts of its classes."""
    state = seeded_state_dict("vit")
    names = {"visual.": "image_encoder.", "transformer.": "text_encoder.transformer."}
    of_clip = {}
    for name, tensor in state.items():
        if prefix := next((prefix for prefix in names if name.startswith(prefix)), None):
            of_clip[names[prefix] + name.removeprefix(prefix)] = tensor
        elif name.startswith(("positional_embedding", "ln_final", "text_projection")):
            of_clip[f"text_encoder.{name}"] = tensor
    texts = [case["template"].format(name.replace("_", " ")) for name in class_names]
    embedded = state["token_embedding.weight"][clip.tokenize(texts).long()]
    return {**of_clip, **seeded(case["learned"]), "prompt_embeddings": embedded}


@pytest.mark.parametrize("half_precision", [False, True])
@pytest.mark.parametrize("of", [GOLDEN, PLUS_PLUS], ids=["MMRL", "MMRL++"])
def test_a_released_checkpoint_gives_the_released_logits_of_its_classes(of, half_precision, tmp_path):
    case, saved = of["cases"][-1], of["checkpoint_of_last_case"]
    state = released_state(case, NAMES)
    assert len(state) == len(saved["tensors"]) + saved["clip_tensor_count"]
    assert {name: list(state[name].shape) for name in saved["tensors"]} == saved["tensors"]
    if half_precision:
        state = {name: tensor.half() for name, tensor in state.items()}
    folder = tmp_path / saved["registered_as"]
    folder.mkdir()
    torch.save({"state_dict": state, "epoch": 10}, folder / "model.pth.tar-10")
    images, _ = images_and_labels(GOLDEN)
    for class_names, logits in (
        (NAMES, "logits"),
        (NAMES[:4], "logits"),
        ([*NAMES[:2], "other"], "logits_of_class_token"),
    ):
        built = build(case, class_names).eval()
        assert load(built, tmp_path, epoch=10).epoch == 10
        assert built.method.tests_trained_classes == (logits == "logits")
        same = len([name for name in class_names if name in NAMES])
        with torch.no_grad():
            got, wanted = built(images)[:, :same], torch.tensor(case[logits])[:, :same]
        assert (got - wanted).abs().max() <= (0.3 if half_precision else 0.02)


def test_a_saved_model_knows_the_classes_of_its_training(tmp_path):
    tuned = saved_model(tmp_path / "saved", "MMRL", REP_LAYERS=[2, 3])
    assert tuned.method.fuses and tuned.class_names == MODEL_NAMES
    part, others = tuned.with_classes(MODEL_NAMES[1:]), tuned.with_classes(["dog", "cat"])
    assert part.method.fuses and not others.method.fuses
    assert not others.with_classes(["cat"]).method.fuses
    assert others.with_classes(["dog"]).method.fuses
    others.save(str(tmp_path / "others"))
    assert not TunedCLIP.load(str(tmp_path / "others"), device="cpu").method.fuses
    assert TunedCLIP.load(str(tmp_path / "others"), MODEL_NAMES, device="cpu").method.fuses
    assert not TunedCLIP.load(str(tmp_path / "saved"), ["cat"], device="cpu").method.fuses


# settings


def test_templates_and_settings_of_datasets_are_the_released_ones():
    assert {name: choose_template(Task([], name)) for name in GOLDEN["templates"]} == GOLDEN["templates"]
    for of, node, own in ((GOLDEN, "MMRL", PUBLISHED_SETTINGS), (PLUS_PLUS, "MMRLpp", PUBLISHED_SETTINGS_PLUS_PLUS)):
        for dataset, settings in of["settings_of_datasets"].items():
            assert {f"TRAINER.{node}.{key}": value for key, value in own.get(dataset, {}).items()} == settings


def test_settings_of_a_dataset_are_used_on_request_alone():
    case = GOLDEN["cases"][1] | {"REP_LAYERS": [3]}
    assert case["dataset"] == "EuroSAT"
    assert build(case, REG_WEIGHT=1.0).method.config.REG_WEIGHT == 1.0
    method = build(case, REG_WEIGHT=1.0, PUBLISHED_SETTINGS=True).method
    assert (method.config.REG_WEIGHT, method.compound_rep_tokens.shape[1]) == (0.01, 2048)
    assert method.config.ALPHA == case["ALPHA"]
    pets = build(GOLDEN["cases"][0], REG_WEIGHT=1.0, PUBLISHED_SETTINGS=True).method
    assert (pets.config.REG_WEIGHT, pets.config.REP_DIM) == (0.2, 16)
    plus_plus = build(PLUS_PLUS["cases"][0], PUBLISHED_SETTINGS=True).method
    assert plus_plus.uses == ("settings", "split") and build(GOLDEN["cases"][0]).method.uses == ("split",)
    assert build(GOLDEN["cases"][0], FUSE="never").method.uses == ()
    assert (plus_plus.config.REG_WEIGHT, plus_plus.config.BETA, plus_plus.config.REP_DIM) == (0.01, 0.7, 16)


def test_plus_plus_starts_from_clips_projection_and_one_weight_for_all_layers():
    torch.manual_seed(0)
    built = build(PLUS_PLUS["cases"][0])
    method = built.method
    assert torch.equal(method.clip_projection + method.A @ method.B, built.clip.visual.proj)
    first, second = method.srra_r2tproj(method.compound_rep_tokens)
    assert torch.equal(first, second)
    rank = PLUS_PLUS["cases"][0]["PROJ_LORA_DIM"]
    assert 0.9 * rank**-0.5 < method.A.abs().max() <= rank**-0.5


def test_all_layers_start_from_one_projection_as_released():
    method = build(GOLDEN["cases"][0]).method
    for first, second in (method.compound_rep_tokens_r2vproj, method.compound_rep_tokens_r2tproj):
        assert torch.equal(first.weight, second.weight) and first.weight is not second.weight
    assert abs(method.proj_rep.std() * math.sqrt(128) - 1) < 0.1


def test_layers_that_an_encoder_lacks_are_left_out_with_a_line(capsys):
    assert layers_with_tokens(RepresentationLearner.Config(REP_LAYERS=[2, 6]), 3) == [2]
    assert "TRAINER.MMRL.REP_LAYERS [2, 6] names more than the 3 layers there are: [2]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({}, "REP_LAYERS is .6, 7.*one or more of the 3 layers"),
        ({"REP_LAYERS": []}, "REP_LAYERS is ..: name one"),
        ({"REP_LAYERS": [0, 2]}, "REP_LAYERS is .0, 2.: give ascending"),
        ({"REP_LAYERS": [3, 2]}, "ascending"),
        ({"REP_LAYERS": [2, 2]}, "ascending"),
        ({"REP_LAYERS": ["2"]}, "ascending"),
        ({"ALPHA": 1.1}, "ALPHA is 1.1"),
        ({"REG_WEIGHT": -1.0}, "REG_WEIGHT is -1.0"),
        ({"N_REP_TOKENS": 0}, "N_REP_TOKENS is 0"),
        ({"FUSE": "new"}, "FUSE"),
        ({"BETA": 1.5}, "BETA is 1.5"),
        ({"kind": "resnet", "REP_LAYERS": [2]}, "MMRL.*ResNet.*choose a ViT"),
    ],
    ids=str,
)
def test_options_out_of_range_are_told_in_one_line(changed, message):
    with pytest.raises(UserError, match=message) as caught:
        tuned_clip("MMRL", NAMES, **changed)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "batch", "epochs", "warm_up", "weight"),
    [
        ("vit_b16", 4, 10, 1, 1.0),
        ("vit_b16_imagenet", 32, 5, 1, 1.0),
        ("vit_b16_few_shot", 32, 50, 1, 0.5),
        ("vit_b16_cross_datasets", 32, 1, 0, 0.2),
        ("vit_b16_pp", 4, 10, 1, 1.0),
        ("vit_b16_pp_imagenet", 32, 5, 1, 1.0),
        ("vit_b16_pp_few_shot", 32, 100, 1, 1.0),
        ("vit_b16_pp_cross_datasets", 32, 1, 0, 0.2),
    ],
)
def test_configurations_have_the_released_values(file, batch, epochs, warm_up, weight, root):
    cfg = train.setup_cfg(train.parse_args(["--config-file", str(root / f"configs/trainers/MMRL/{file}.yaml")]))
    optim = cfg.OPTIM
    rate = 0.002 if file == "vit_b16_pp_few_shot" else 0.001
    assert (optim.NAME, optim.LR, optim.MAX_EPOCH, optim.WARMUP_EPOCH) == ("adamw", rate, epochs, warm_up)
    assert (optim.LR_SCHEDULER, optim.WARMUP_TYPE, optim.WARMUP_CONS_LR) == ("cosine", "constant", 1e-5)
    assert (cfg.DATALOADER.TRAIN_X.BATCH_SIZE, cfg.DATALOADER.TEST.BATCH_SIZE) == (batch, 250)
    assert tuple(cfg.INPUT.RRCROP_SCALE) == (0.5, 1.0) and cfg.MODEL.BACKBONE.NAME == "ViT-B/16"
    assert list(cfg.INPUT.TRANSFORMS) == ["random_resized_crop", "random_flip", "normalize"]
    own = {"ALPHA": 0.7, "REG_WEIGHT": weight, "N_REP_TOKENS": 5, "REP_LAYERS": [6, 7, 8, 9, 10, 11, 12]}
    own |= {"PREC": "amp", "REP_DIM": 512, "FUSE": "trained", "PUBLISHED_SETTINGS": False}
    own |= {"PLUS_PLUS": "_pp" in file, "BETA": 0.9, "RES_LORA_DIM": 4, "PROJ_LORA_DIM": 64}
    assert dict(cfg.TRAINER.MMRL) == own
