import json
from pathlib import Path

import pytest
import torch

import clip
from clip.model import QuickGELU, build_model
from clip.weights import load_clip
from support.user_error import UserError
from tests.seeded_weights import seeded_images, seeded_state_dict

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/clip_features.json").read_text())
KINDS = ["vit", "resnet"]


def outputs(model, kind):
    """Image features, text features and logits for the inputs of the golden file."""
    images = seeded_images(kind, GOLDEN["image_count"], GOLDEN["image_seed"]).to(model.dtype)
    tokens = clip.tokenize(GOLDEN["texts"])
    with torch.no_grad():
        return {
            "image_features": model.encode_image(images),
            "text_features": model.encode_text(tokens),
            "logits": model(images, tokens)[0],
        }


def relative_error(value, golden):
    golden = torch.as_tensor(golden)
    return float((value.float() - golden).abs().max() / golden.abs().max())


@pytest.mark.parametrize("kind", KINDS)
def test_features_and_logits_equal_openai(kind):
    found = outputs(clip.build_model(seeded_state_dict(kind)), kind)
    for name, value in found.items():
        assert relative_error(value, GOLDEN["models"][kind][name]) < 1e-5, name


@pytest.mark.parametrize("kind", KINDS)
def test_state_dict_keeps_openai_names_and_values(kind):
    given = seeded_state_dict(kind)
    kept = clip.build_model(seeded_state_dict(kind)).state_dict()
    assert kept.keys() == given.keys()
    assert all(torch.equal(kept[name], value) for name, value in given.items())


@pytest.mark.parametrize("kind", KINDS)
def test_float16_checkpoint_gives_a_float16_model_with_the_same_features(kind):
    half = {name: t.half() if t.is_floating_point() else t for name, t in seeded_state_dict(kind).items()}
    model = clip.build_model(half)
    assert model.dtype == model.text_projection.dtype == torch.float16
    for name, value in outputs(model.float(), kind).items():  # in float32: only the weights were rounded
        assert relative_error(value, GOLDEN["models"][kind][name]) < 2e-2, name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")  # torch.jit is deprecated, and tracing warns of every Python branch
def test_torchscript_archive_loads(kind, tmp_path):
    model = clip.build_model(seeded_state_dict(kind))
    del model.context_length, model.vocab_size  # OpenAI's archives hold these as tensors
    for name, size in {"input_resolution": 32, "context_length": 77, "vocab_size": 49408}.items():
        model.register_buffer(name, torch.tensor(size))
    inputs = {"encode_image": seeded_images(kind, 1), "encode_text": clip.tokenize("a dog")}
    torch.jit.trace_module(model, inputs, check_trace=False).save(tmp_path / "archive.pt")

    found = outputs(load_clip(path=str(tmp_path / "archive.pt")), kind)
    for name, value in found.items():
        assert relative_error(value, GOLDEN["models"][kind][name]) < 1e-5, name


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_are_read_from_the_tensors(kind):
    model = clip.build_model(seeded_state_dict(kind))
    assert model.visual.input_resolution == {"vit": 32, "resnet": 64}[kind]
    assert (model.context_length, model.vocab_size, model.visual.output_dim) == (77, 49408, 32)
    assert not model.training


def test_quick_gelu_and_its_derivative():
    x = torch.linspace(-6, 6, 31, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(QuickGELU()(x), x * torch.sigmoid(1.702 * x))
    assert torch.autograd.gradcheck(QuickGELU(), x)


PLAIN = {"trainer": "CoOp", "vision_depth": 0, "language_depth": 0, "vision_ctx": 0, "language_ctx": 0}


def test_trainers_written_for_maples_clip_get_the_plain_model_or_an_error():
    state = seeded_state_dict("vit")
    ours, theirs = (build_model(dict(state), *details) for details in ((), (PLAIN,)))
    assert all(torch.equal(ours.state_dict()[name], tensor) for name, tensor in theirs.state_dict().items())
    with pytest.raises(UserError, match="vision_depth 9.*docs/porting.md"):
        build_model(state, {**PLAIN, "trainer": "IVLP", "vision_depth": 9})
