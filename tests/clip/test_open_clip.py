import copy
import json
import subprocess
import sys

import open_clip
import pytest
import torch
from open_clip import factory, pretrained
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import clip
from clip import weights
from clip.class_text import ClassText
from clip.formats import hub, open_clip_registry
from clip.model import QuickGELU, architecture, build_model
from support.user_error import UserError

TEXTS = ["a photo of a dog.", "a photo of a large and very old steam engine, taken at night.", "cat"]
# Heads of another width than OpenAI's 64, so that heads which are not read from the configuration give other features.
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 2}
CONFIGS = {
    "tiny-vit": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 96, "head_width": 32, "patch_size": 8},
        "text_cfg": TEXT,
    },
    "tiny-resnet": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 64, "layers": [1, 2, 1, 1], "width": 8, "head_width": 32, "patch_size": None},
        "text_cfg": TEXT,
    },
}
CONFIGS |= {f"{name}-quickgelu": config | {"quick_gelu": True} for name, config in CONFIGS.items()}


@pytest.fixture
def registry(monkeypatch, tmp_path):
    """A function that adds a model to open_clip's registry, for one test."""
    monkeypatch.setattr(factory, "_MODEL_CONFIG_PATHS", list(factory._MODEL_CONFIG_PATHS))
    monkeypatch.setattr(factory, "_MODEL_CONFIGS", dict(factory._MODEL_CONFIGS))

    def add(name, config, **tags):
        (tmp_path / f"{name}.json").write_text(json.dumps(config))
        open_clip.add_model_config(tmp_path / f"{name}.json")
        monkeypatch.setitem(pretrained._PRETRAINED, name, tags)

    return add


def original(config, model_class=open_clip.CLIP, **arguments):
    """open_clip's own model of a configuration, with weights from a seed."""
    config = copy.deepcopy(config) | arguments
    config.pop("custom_text", None)
    torch.manual_seed(0)
    model = model_class(**config).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if not name.startswith("logit"):
                value.add_(0.1 * torch.randn_like(value))
    return model


def features(model, image_size):
    images = torch.randn(2, 3, image_size, image_size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return torch.cat([model.encode_image(images), model.encode_text(clip.tokenize(TEXTS))])


def largest_difference(model, other, config):
    size = config["vision_cfg"]["image_size"]
    expected = features(other, size)
    return float((features(model, size) - expected).abs().max() / expected.abs().max())


def failure(function, *args):
    """The message that a call ends with, after checking that it is one line."""
    with pytest.raises(UserError) as raised:
        function(*args)
    assert "\n" not in str(raised.value)
    return str(raised.value)


# Features --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["model.pt", "model.safetensors"])
@pytest.mark.parametrize("name", CONFIGS)
def test_features_equal_open_clip(name, file, registry, tmp_path):
    theirs, path = original(CONFIGS[name]), tmp_path / file
    torch.save(theirs.state_dict(), path) if file.endswith(".pt") else save_file(theirs.state_dict(), path)
    registry(name, CONFIGS[name], published={"file": str(path), "quick_gelu": "quickgelu" in name})
    for found in (
        weights.load_clip(f"open_clip:{name}", str(path)),
        weights.load_clip(f"open_clip:{name}/published", str(path)),
        weights.load_clip(f"open_clip:{name}/published"),
    ):
        assert largest_difference(found, theirs, CONFIGS[name]) < 1e-4


@pytest.mark.parametrize("name", ["tiny-vit", "tiny-resnet"])
def test_the_activation_changes_the_features(name, registry, tmp_path):
    theirs, path = original(CONFIGS[name]), str(tmp_path / "model.pt")
    torch.save(theirs.state_dict(), path)
    registry(f"{name}-quickgelu", CONFIGS[f"{name}-quickgelu"])
    other = weights.load_clip(f"open_clip:{name}-quickgelu", path)
    assert largest_difference(other, theirs, CONFIGS[name]) > 1e-3


def test_the_activation_of_the_tag_goes_before_that_of_the_model(registry, tmp_path):
    theirs, path = original(CONFIGS["tiny-vit-quickgelu"]), str(tmp_path / "model.pt")
    torch.save(theirs.state_dict(), path)
    registry("tiny-vit", CONFIGS["tiny-vit"], quick={"file": path, "quick_gelu": True}, usual={"file": path})
    assert largest_difference(weights.load_clip("open_clip:tiny-vit/quick"), theirs, CONFIGS["tiny-vit"]) < 1e-4
    assert largest_difference(weights.load_clip("open_clip:tiny-vit/usual"), theirs, CONFIGS["tiny-vit"]) > 1e-3


def test_a_text_encoder_as_a_module_of_its_own_and_a_bias_of_the_logits(registry, tmp_path):
    config = CONFIGS["tiny-vit"] | {"custom_text": True}
    theirs = original(config, open_clip.CustomTextCLIP, init_logit_bias=-10.0, nonscalar_logit_scale=True)
    state_dict = {f"module.{name}": value for name, value in theirs.state_dict().items()}
    assert "module.text.token_embedding.weight" in state_dict
    torch.save({"epoch": 3, "state_dict": state_dict}, tmp_path / "model.pt")
    registry("tiny-custom", config)
    found = weights.load_clip("open_clip:tiny-custom", str(tmp_path / "model.pt"))
    assert largest_difference(found, theirs, config) < 1e-4
    assert found.logit_scale.shape == ()


def test_pixels_that_fill_no_patch_belong_to_the_resolution(registry, tmp_path):
    config = copy.deepcopy(CONFIGS["tiny-vit"])
    config["vision_cfg"]["image_size"] = 36  # patches of 8
    theirs = original(config)
    torch.save(theirs.state_dict(), tmp_path / "model.pt")
    registry("tiny-36", config)
    found = weights.load_clip("open_clip:tiny-36", str(tmp_path / "model.pt"))
    assert found.visual.input_resolution == 36
    assert largest_difference(found, theirs, config) < 1e-4


# The registry ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "activation"),
    [
        ("ViT-B-32/openai", QuickGELU),
        ("ViT-B-32/laion2b_s34b_b79k", nn.GELU),
        ("ViT-B-32/laion400m_e32", QuickGELU),
        ("ViT-B-32-quickgelu/laion400m_e32", QuickGELU),
        ("ViT-B-16/openai", QuickGELU),
        ("ViT-B-16/laion2b_s34b_b88k", nn.GELU),
        ("ViT-B-16/metaclip_400m", QuickGELU),
        ("ViT-L-14/datacomp_xl_s13b_b90k", nn.GELU),
        ("ViT-L-14/dfn2b", QuickGELU),
        ("RN50/cc12m", QuickGELU),
        ("ViT-B-16", nn.GELU),
        ("ViT-B-16-quickgelu", QuickGELU),
    ],
)
def test_the_activation_a_checkpoint_was_trained_with(name, activation):
    assert open_clip_registry.find(f"open_clip:{name}").arguments["activation"] is activation


def test_heads_are_as_wide_as_the_registry_says():
    found = open_clip_registry.find("open_clip:ViT-H-14/laion2b_s32b_b79k").arguments
    assert found["vision_width"] // found["vision_heads"] == 80
    assert found["transformer_heads"] == 16


def test_every_published_checkpoint_is_accepted_or_refused_in_one_line():
    accepted, refused = set(), set()
    for model, tag in open_clip.list_pretrained():
        try:
            open_clip_registry.find(f"open_clip:{model}/{tag}")
            accepted.add(model)
        except UserError as error:
            assert "is not a CLIP with OpenAI's architecture: " in str(error)
            refused.add(model)
    assert {"RN50", "RN101", "ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-H-14"} <= accepted
    assert {"ViT-B-16-SigLIP", "coca_ViT-B-32", "roberta-ViT-B-32", "ViT-L-14-CLIPA", "ViT-g-14"} <= refused
    assert not accepted & refused


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"multimodal_cfg": {}}, "it has a multimodal_cfg"),
        ({"vision_cfg": {"timm_model_name": "vit_tiny"}}, 'vision_cfg.timm_model_name is "vit_tiny"'),
        ({"vision_cfg": {"pool_type": "avg"}}, 'vision_cfg.pool_type is "avg", not "tok"'),
        ({"vision_cfg": {"mlp_ratio": 3.0}}, "vision_cfg.mlp_ratio is 3.0, not 4.0"),
        ({"vision_cfg": {"ls_init_value": 0.1}}, "vision_cfg.ls_init_value is 0.1"),
        ({"vision_cfg": {"attentional_pool": True}}, "vision_cfg.attentional_pool is true"),
        ({"vision_cfg": {"image_size": [32, 64]}}, "vision_cfg.image_size is [32, 64]"),
        ({"vision_cfg": {"of_the_future": 1}}, "vision_cfg.of_the_future is 1"),
        ({"text_cfg": {"context_length": 64}}, "text_cfg.context_length is 64, not 77"),
        ({"text_cfg": {"no_causal_mask": True}}, "text_cfg.no_causal_mask is true"),
        ({"text_cfg": {"hf_tokenizer_name": "bert"}}, 'text_cfg.hf_tokenizer_name is "bert"'),
        ({"text_cfg": {"norm_kwargs": {"eps": 1e-6}}}, "text_cfg.norm_kwargs is"),
    ],
    ids=str,
)
def test_other_architectures_are_refused_with_the_difference(change, reason, registry):
    config = copy.deepcopy(CONFIGS["tiny-vit"])
    for key, value in change.items():
        config[key] = config.get(key, {}) | value
    registry("other", config)
    message = failure(open_clip_registry.find, "open_clip:other")
    assert message.startswith(f"open_clip:other is not a CLIP with OpenAI's architecture: {reason}")


# OpenAI's models, without their memory ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ViT-B/32", "ViT-B/16", "ViT-L/14", "RN50", "RN101"])
def test_shapes_of_openai_models(name):
    registered = open_clip_registry.find(f"open_clip:{name.replace('/', '-')}/openai").arguments
    with torch.device("meta"):
        config = open_clip.get_model_config(name.replace("/", "-"))
        state_dict = open_clip.CLIP(**config).state_dict()
    found = architecture(state_dict)
    assert found == {key: registered[key] for key in found}

    ours, named = build_model(state_dict), build_model(state_dict, registered)
    for model in (ours, named):
        attention = model.visual.attnpool if "RN" in name else model.visual.transformer.resblocks[0].attn
        assert attention.num_heads == registered["vision_heads"]
    images = torch.empty(2, 3, registered["image_resolution"], registered["image_resolution"], device="meta")
    assert ours.encode_image(images).shape == (2, registered["embed_dim"])
    text = ClassText(clip.tokenize(TEXTS)).to("meta")
    assert ours.encode_text(text).shape == (len(TEXTS), registered["embed_dim"])


@pytest.mark.parametrize(
    "name",
    [
        "open_clip:ViT-B-16/openai",
        " open_clip:ViT-B-16/openai ",
        "Open_CLIP: ViT-B-16 / openai",
        "open_clip:ViT-B-16/OPENAI",
        "OPEN_CLIP:ViT-B-16/OpenAI",
    ],
)
def test_spellings_that_open_clip_takes_for_one_are_one(name):
    assert open_clip_registry.find(name).name == open_clip_registry.canonical_name(name) == "open_clip:ViT-B-16/openai"
    assert open_clip_registry.find(name).arguments["activation"] is QuickGELU


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("open_clip:ViT-B-16/LAION2B-S34B-B88K", "open_clip:ViT-B-16/laion2b_s34b_b88k"),
        (" Open_clip:ViT-B-16/ ", "open_clip:ViT-B-16"),
        ("ViT-B/16", "ViT-B/16"),
        ("", ""),
    ],
)
def test_canonical_names(name, canonical):
    assert open_clip_registry.canonical_name(name) == canonical


def test_a_name_in_another_spelling_is_read_as_it_is_meant(registry, tmp_path):
    name, path = "tiny-vit", str(tmp_path / "model.pt")
    theirs = original(CONFIGS[name])
    torch.save(theirs.state_dict(), path)
    registry(name, CONFIGS[name], published={"file": path})
    for found in (weights.load_clip(" Open_CLIP:tiny-vit", path), weights.load_clip("open_clip:tiny-vit/PUBLISHED ")):
        assert largest_difference(found, theirs, CONFIGS[name]) < 1e-4


# Mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("open_clip:VIT-B-16/laion2b", ['(did you mean "ViT-B-16"?)']),
        ("open_clip:", ['no model ""', "open_clip.list_models()"]),
        ("open_clip:ViT-B-16/laion2b", ['(did you mean "laion2b_s34b_b88k"?)', "datacomp_xl_s13b_b90k"]),
        ("open_clip:ViT-B-16/openia", ['(did you mean "openai"?)']),
        ("open_clip:ViT-S-16/openai", ["publishes none", "MODEL.BACKBONE.PATH"]),
        ("open_clip:ViT-B-16", ["open_clip:ViT-B-16/openai", "MODEL.BACKBONE.PATH"]),
        ("open_clip:ViT-S-16", ["MODEL.BACKBONE.PATH"]),
    ],
)
def test_wrong_names_say_what_is_right(name, parts):
    message = failure(weights.load_clip, name)
    assert all(part in message for part in [name, *parts])


def test_a_wrong_name_is_refused_beside_a_file_too(tmp_path):
    torch.save({}, tmp_path / "model.pt")
    assert "ViT-B-16" in failure(weights.load_clip, "open_clip:ViT-B-166", str(tmp_path / "model.pt"))


@pytest.mark.parametrize(
    ("part", "key", "value", "named"),
    [
        ("vision_cfg", "patch_size", 16, "vision_patch_size is 8, not 16"),
        ("vision_cfg", "image_size", 64, "image_resolution is 32, not 64"),
        ("vision_cfg", "layers", 3, "vision_layers is 2, not 3"),
        ("text_cfg", "width", 64, "transformer_width is 32, not 64"),
    ],
)
def test_a_file_of_another_model_is_refused(part, key, value, named, registry, tmp_path):
    path = str(tmp_path / "model.pt")
    torch.save(original(CONFIGS["tiny-vit"]).state_dict(), path)
    config = copy.deepcopy(CONFIGS["tiny-vit"])
    config[part][key] = value
    registry("other", config)
    message = failure(weights.load_clip, "open_clip:other", path)
    assert path in message and "open_clip:other" in message and named in message


def test_a_file_without_the_tensors_of_a_clip_is_refused(registry, tmp_path):
    path = str(tmp_path / "model.pt")
    torch.save({"visual.trunk.patch_embed.proj.weight": torch.zeros(1)}, path)
    registry("tiny-vit", CONFIGS["tiny-vit"])
    message = failure(weights.load_clip, "open_clip:tiny-vit", path)
    assert path in message and "OpenAI's layout" in message


# Downloads -------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    def refuse(*args, **kwargs):
        raise ConnectionError("no connection\nhere")

    monkeypatch.setattr(hub, "fetch", refuse)
    monkeypatch.setenv("CLIP_CACHE", str(tmp_path / "cache"))


def test_no_network_says_what_to_fetch_and_where_to_name_it(no_network, tmp_path):
    message = failure(weights.load_clip, "open_clip:ViT-B-16/laion2b_s34b_b88k")
    assert str(tmp_path / "cache") in message and "(no connection)" in message
    assert "https://huggingface.co/laion/CLIP-ViT-B-16-laion2B-s34B-b88K (open_clip_model.safetensors or" in message
    assert "MODEL.BACKBONE.PATH" in message


def test_what_is_in_the_cache_needs_no_network(no_network, registry, tmp_path):
    registry("tiny-vit", CONFIGS["tiny-vit"], published={"hf_hub": "someone/tiny/"})
    snapshot = tmp_path / "cache" / "models--someone--tiny" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0123")
    save_file(original(CONFIGS["tiny-vit"]).state_dict(), snapshot / "open_clip_model.safetensors")
    assert weights.load_clip("open_clip:tiny-vit/published").visual.input_resolution == 32


def test_other_names_do_not_import_open_clip(root):
    command = (
        "import sys; from clip import weights; weights.load_clip('tiny'); "
        "weights.report_normalization('tiny', [0.5] * 3, [0.5] * 3); "
        "print([name for name in ('open_clip', 'timm', 'huggingface_hub') if name in sys.modules])"
    )
    outcome = subprocess.run([sys.executable, "-c", command], cwd=root, capture_output=True, text=True)
    assert outcome.stdout == "[]\n", outcome.stderr


# Normalisation ---------------------------------------------------------------------------------------------------

OPENAI = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


@pytest.mark.parametrize(
    ("name", "mean", "std", "reported"),
    [
        ("open_clip:ViT-L-14/laion2b_s32b_b82k", *OPENAI, True),
        ("open_clip:ViT-L-14/laion2b_s32b_b82k", (0.5, 0.5, 0.5), OPENAI[1], True),
        ("open_clip:ViT-L-14/laion2b_s32b_b82k", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), False),
        ("open_clip:ViT-B-16/laion2b_s34b_b88k", *OPENAI, False),
        ("open_clip:ViT-B-16", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), False),
        ("ViT-B/16", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), False),
    ],
)
def test_another_normalisation_than_in_training_is_reported(name, mean, std, reported, capsys):
    weights.report_normalization(name, mean, std)
    printed = capsys.readouterr().out
    assert printed.count("\n") == reported
    if reported:
        assert 'INPUT.PIXEL_MEAN "[0.5, 0.5, 0.5]" INPUT.PIXEL_STD "[0.5, 0.5, 0.5]"' in printed


@pytest.mark.parametrize("published", [{}, {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}])
def test_the_transform_of_load_normalises_as_in_training(published, registry, tmp_path):
    path = str(tmp_path / "model.pt")
    torch.save(original(CONFIGS["tiny-vit"]).state_dict(), path)
    registry("tiny-vit", CONFIGS["tiny-vit"], published={"file": path, **published})
    _, preprocess = clip.load("open_clip:tiny-vit/published", device="cpu")
    mean, std = (published.get("mean", OPENAI[0]), published.get("std", OPENAI[1]))
    white = preprocess(Image.new("RGB", (40, 40), color="white")).flatten(1).mean(1)
    assert white.tolist() == pytest.approx([(1 - m) / s for m, s in zip(mean, std, strict=True)], abs=1e-4)
