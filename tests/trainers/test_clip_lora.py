"""CLIP-LoRA against the released code's numbers and against frozen CLIP with the additions merged into its weights."""

import json
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import clip
from clip import reference as plain_clip
from clip.model import convert_weights
from support.user_error import UserError
from tests.seeded_weights import seeded_images, seeded_state_dict, seeded_tensor
from trainers import clip_lora
from trainers.method import Task
from trainers.tuned_clip import TunedCLIP

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/clip_lora.json").read_text())
NAMES, TEMPLATE = GOLDEN["class_names"], GOLDEN["template"]
LABELS = torch.tensor(GOLDEN["labels"])
TOLERANCE = 2e-3  # relative; what is seen is below 1e-4


@pytest.fixture(scope="module")
def state():
    return seeded_state_dict("vit")


def build(kind="vit", **options):
    backbone = clip.build_model(seeded_state_dict(kind)).requires_grad_(False)
    method = clip_lora.Adapters(clip_lora.Adapters.Config(**options), Task(NAMES, template=TEMPLATE), backbone)
    return TunedCLIP(backbone, method).eval()


def filled(**options):
    model = build(**options)
    with torch.no_grad():
        for i, parameter in enumerate(model.method.parameters()):
            parameter.copy_(seeded_tensor(tuple(parameter.shape), i, 0.2))
    return model


def released_name(name):
    """visual.transformer.resblocks.0.attn.q_proj.w_lora_A -> vision.0.A and its row, the place of q in "qkv"."""
    encoder, _, rest = name.partition("resblocks.")
    layer, _, projection, matrix = rest.split(".")
    return f"{'vision' if 'visual' in encoder else 'text'}.{layer}.{matrix[-1]}", "qkv".index(projection[0])


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_the_released_codes_logits_losses_and_gradients(mode):
    case = GOLDEN["cases"][0]
    model = build(DROPOUT=0.0, PARAMS=" ".join(case["params"]), ENCODER=case["encoder"])
    learner = model.method.train(mode == "train")
    seen = set()
    with torch.no_grad():
        for name, recipe in case["learned"].items():
            ours, row = released_name(name)
            seen.add(ours)
            learner.get_parameter(ours)[row] = seeded_tensor(tuple(recipe["shape"]), recipe["seed"], recipe["std"])
    assert seen == set(learner.state_dict())
    logits = model(seeded_images("vit", GOLDEN["image_count"], GOLDEN["image_seed"]))
    golden = torch.tensor(case["logits"])
    assert (logits - golden).abs().max() <= TOLERANCE * golden.abs().max()
    loss = F.cross_entropy(logits, LABELS)
    assert abs(loss.item() - case["loss"]) <= TOLERANCE * case["loss"]
    loss.backward()
    for name, wanted in case["grads"].items():
        ours, row = released_name(name)
        grad = learner.get_parameter(ours).grad[row].flatten()
        assert abs(grad.norm().item() - wanted["norm"]) <= TOLERANCE * wanted["norm"]
        assert (grad[wanted["indices"]] - torch.tensor(wanted["values"])).abs().max() <= TOLERANCE * wanted["norm"]


def merged(state, model, alpha, rank):
    """CLIP's weights with each B A added to its third of the attention's input projection."""
    state, learner = dict(state), model.method
    for encoder, prefix in ((learner.text, "transformer"), (learner.vision, "visual.transformer")):
        for layer, lora in encoder.items():
            name = f"{prefix}.resblocks.{layer}.attn.in_proj_weight"
            thirds = dict(zip("qkv", state[name].chunk(3), strict=True))
            for part, a, b in zip(lora.parts, lora.A, lora.B, strict=True):
                thirds[part] = thirds[part] + alpha / math.sqrt(rank) * b @ a
            state[name] = torch.cat(list(thirds.values()))
    return state


@pytest.mark.parametrize(
    "options",
    [
        {"ENCODER": "text", "RANK": 3, "PARAMS": "v"},
        {"ENCODER": "vision", "ALPHA": 2, "PARAMS": "v q"},
        {"ENCODER": "both", "POSITION": "up", "RANK": 4, "ALPHA": 8},
        {"ENCODER": "both", "POSITION": "bottom", "PARAMS": "k"},
    ],
    ids=str,
)
def test_it_equals_a_plain_clip_with_merged_weights(state, options):
    model = filled(**options)
    learned = dict(model.method.named_parameters())
    changed = merged(state, model, options.get("ALPHA", 1), options.get("RANK", 2))
    images = seeded_images("vit", 3, seed=5)
    tokens = clip.tokenize([TEMPLATE.format(name.replace("_", " ")) for name in NAMES]).long()
    text = plain_clip.text_features(changed, changed["token_embedding.weight"][tokens], tokens.argmax(-1))
    wanted = plain_clip.logits(changed, plain_clip.image_features(changed, images), text)
    got = model(images)
    torch.testing.assert_close(got, wanted, rtol=2e-4, atol=2e-4)
    grads = [torch.autograd.grad(F.cross_entropy(x, LABELS), list(learned.values())) for x in (got, wanted)]
    for name, ours, plains in zip(learned, *grads, strict=True):
        assert (ours - plains).abs().max() <= 2e-3 * plains.norm() > 0, name


def test_training_starts_from_zero_shot_clip():
    model = build()
    images = seeded_images("vit", 3, seed=5)
    text = clip.tokenize([TEMPLATE.format(name.replace("_", " ")) for name in NAMES])
    torch.testing.assert_close(model(images), model.clip(images, text)[0], rtol=1e-4, atol=1e-4)
    low = model.method.vision["0"]
    assert low.B.count_nonzero() == 0
    assert 0.9 < low.A.abs().max() * 128**0.5 <= 1 and abs(low.A.std() * 128**0.5 - 3**-0.5) < 0.05


def test_dropout_only_in_training_where_text_is_encoded_anew():
    model, images = filled(DROPOUT=0.5), seeded_images("vit", 2)
    counted = []
    encode = model.encode_text
    model.encode_text = lambda prompts: counted.append(1) or encode(prompts)
    with torch.no_grad():
        first, second = model(images), model(images)
        assert torch.equal(first, second) and len(counted) == 1
        model.method.train()
        assert not torch.allclose(model(images), model(images))
        assert len(counted) == 3
        model.method.eval()
        torch.testing.assert_close(model(images), first)


def test_dropout_is_on_what_the_additions_read_and_keeps_its_mean():
    torch.manual_seed(0)
    low = clip_lora.LowRank(4, "qv", rank=2, scale=0.5, dropout=0.25)
    with torch.no_grad():
        low.B.normal_()
        x = torch.randn(4)
        many = torch.stack([low(x) for _ in range(20_000)])
        assert (many.mean(0) - low.eval()(x)).abs().max() < 0.02
    assert many[:, 4:8].count_nonzero() == 0  # k
    assert not torch.equal(many[:, :4].abs().sum(1) == 0, many[:, 8:].abs().sum(1) == 0)  # each has its own mask


@pytest.mark.parametrize(
    ("position", "layers"),
    [("all", "0 1 2"), ("bottom", "0"), ("mid", "1"), ("up", "2"), ("half-up", "2"), ("half-bottom", "0 1")],
)
def test_positions_are_fractions_of_the_layers(position, layers):
    learner = build(POSITION=position).method
    assert list(learner.text) == list(learner.vision) == layers.split()


def test_positions_of_twelve_layers_are_the_released_codes():
    released = {
        "all": (0, 12), "bottom": (0, 4), "mid": (4, 8), "up": (8, 12),
        "half-bottom": (0, 6), "half-up": (6, 12), "top3": (9, 12),
    }  # fmt: skip
    assert set(released) == {*clip_lora.POSITIONS, clip_lora.TOP3}
    for name, (begin, end) in released.items():
        assert clip_lora.adapted_layers(name, 12) == range(begin, end)
    assert clip_lora.adapted_layers("half-up", 24) == range(12, 24)
    assert clip_lora.adapted_layers("top3", 24) == range(21, 24)


def test_a_resnet_learns_in_the_text_encoder():
    model = build("resnet", ENCODER="text", DROPOUT=0.0)
    F.cross_entropy(model(seeded_images("resnet", 3)), LABELS).backward()
    assert all(p.grad.abs().sum() > 0 for name, p in model.method.named_parameters() if name.endswith("B"))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("resnet", {}, "ENCODER is .both.*choose text"),
        ("resnet", {"ENCODER": "vision"}, "ENCODER is .vision.*choose text"),
        ("vit", {"ENCODER": "test"}, 'did you mean "text"'),
        ("vit", {"POSITION": "top"}, "choose one of all"),
        ("vit", {"PARAMS": "q k v o"}, "PARAMS"),
        ("vit", {"PARAMS": ""}, "PARAMS"),
        ("vit", {"RANK": 0}, "RANK is 0"),
        ("vit", {"DROPOUT": 1.0}, "DROPOUT is 1.0"),
    ],
)
def test_options_out_of_range_are_told_in_one_line(kind, options, message):
    with pytest.raises(UserError, match=message) as caught:
        build(kind, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_encoders_leave_learned_tensors_and_logits_in_float32(dtype):
    model, images = filled(DROPOUT=0.0), seeded_images("vit", 3)
    with torch.no_grad():
        wanted = model(images)
    convert_weights(model.clip, dtype)
    logits = model(images)
    assert logits.dtype == torch.float32 and (logits - wanted).abs().max() < 2  # logits reach 100
    F.cross_entropy(logits, LABELS).backward()
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in model.method.parameters())


@pytest.mark.parametrize(
    ("n_iters", "shots", "epochs"), [(500, 16, 1000), (3, 1, 1), (3, 3, 2), (0, 16, None), (500, -1, None)]
)
def test_n_iters_are_steps_per_shot(n_iters, shots, epochs):
    config = clip_lora.Adapters.Config(N_ITERS=n_iters)
    assert clip_lora.Adapters.epochs(config, shots, batches=8) == epochs


def test_one_template_for_all_the_fields_datasets_unless_one_is_named():
    def words(own="", dataset="OxfordPets"):
        task = Task(["dog"], dataset, own)
        backbone = clip.build_model(seeded_state_dict("resnet"))
        method = clip_lora.Adapters(clip_lora.Adapters.Config(ENCODER="text"), task, backbone)
        return method.class_text.prefix.tolist()

    photo = clip.tokenize("a photo of a dog.")[0].tolist()
    assert words() == words(dataset="DescribableTextures") == photo[: len(words())]
    assert words(own="a drawing of a {}.") != words()
