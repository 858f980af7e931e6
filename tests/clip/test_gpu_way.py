"""The encoders' way on a GPU, with few kernels, computed on a CPU: features and gradients are those of its own way."""

import pytest
import torch
import torch.nn.functional as F

import clip
from clip import parts
from clip.casts import autocast_dtype, cast
from clip.class_text import ClassText
from clip.model import architecture, convert_weights
from clip.prompts import Layer, Prompts
from tests.seeded_weights import seeded_images, seeded_state_dict, seeded_tensor

NAMES = ["dog", "a very long name of a very rare bird", "cat", "zebra crossing"]
N, D_T, D_V, IMAGES = 4, 64, 128, 2
TEXT = {
    "shared": (N, D_T),
    "per class": (len(NAMES), N, D_T),
    "per image": (IMAGES, 1, N, D_T),
}


def model_of(activation=None):
    state = seeded_state_dict("vit")
    model = clip.build_model(state, None if activation is None else {**architecture(state), "activation": activation})
    return model.requires_grad_(False)


def learned(*shape, seed=0):
    return seeded_tensor(shape, seed, 0.1).requires_grad_()


def additions(width):
    """A layer's additions, and what is learned of them."""
    qkv, down, up = learned(3 * width, width), learned(6, width, seed=1), learned(width, 6, seed=2)
    layer = Layer(
        qkv=lambda x: F.linear(x, qkv.to(x.dtype)),
        mlp=lambda x: F.linear(F.relu(F.linear(x, down.to(x.dtype))), up.to(x.dtype)),
    )
    return layer, [qkv, down, up]


def features_and_gradients(model, kind, position="end"):
    """Text and image features with prompts at every place, and the gradients of all that is learned."""
    text, deep = learned(*TEXT[kind]), learned(2, N, D_T, seed=1)
    visual, visual_deep = learned(N, D_V, seed=2), learned(2, N, D_V, seed=3)
    text_layer, of_text = additions(D_T)
    visual_layer, of_images = additions(D_V)
    tokens = clip.tokenize([f"X X X X {name}." for name in NAMES])
    lengths = [len(clip.simple_tokenizer.SimpleTokenizer().encode(name)) for name in NAMES]
    layout = ClassText(tokens, N, position, lengths, class_specific=kind == "per class")
    prompts = Prompts(text, deep, visual, visual_deep, [text_layer], [Layer(), visual_layer])
    outputs = [model.encode_text(layout, prompts), model.encode_image(seeded_images("vit", IMAGES), prompts)]
    everything = [text, deep, visual, visual_deep, *of_text, *of_images]
    loss = sum((output.float() * seeded_tensor(output.shape, 5, 1.0)).sum() for output in outputs)
    return [*outputs, *torch.autograd.grad(loss, everything)]


@pytest.mark.parametrize("activation", [None, torch.nn.GELU])
@pytest.mark.parametrize(("kind", "position"), [*((kind, "end") for kind in TEXT), ("shared", "middle")])
def test_features_and_gradients_are_those_of_a_cpu(kind, position, activation, monkeypatch):
    model = model_of(activation)
    wanted = features_and_gradients(model, kind, position)
    monkeypatch.setattr(parts, "launches_decide", lambda device: True)
    for found, expected in zip(features_and_gradients(model, kind, position), wanted, strict=True):
        assert (found - expected).norm() < 1e-4 * expected.norm()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_near(dtype, monkeypatch):
    wanted = features_and_gradients(model_of(), "shared")
    model = model_of()
    convert_weights(model, dtype)
    monkeypatch.setattr(parts, "launches_decide", lambda device: True)
    for found, expected in zip(features_and_gradients(model, "shared"), wanted, strict=True):
        assert (found.float() - expected).norm() < (0.02 if dtype == torch.float16 else 0.15) * expected.norm()


def test_mixed_precision_adds_up_in_float32_and_casts_each_weight_once(monkeypatch):
    model, copies = model_of(), []
    monkeypatch.setattr(parts, "launches_decide", lambda device: True)
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16):
            features = model.visual(seeded_images("vit", IMAGES))
            copies.append(cast(model.visual.proj, torch.bfloat16))
    assert copies[0] is copies[1]
    inside = []
    model.visual.ln_post.register_forward_pre_hook(lambda module, inputs: inside.append(inputs[0].dtype))
    model.visual.transformer.resblocks[1].ln_2.register_forward_pre_hook(
        lambda module, inputs: inside.append(inputs[0].dtype)
    )
    with torch.autocast("cpu", torch.bfloat16):
        model.visual(seeded_images("vit", IMAGES))
    assert set(inside) == {torch.float32}
    wanted = model.visual(seeded_images("vit", IMAGES))
    assert (features.float() - wanted).norm() < 0.05 * wanted.norm()


def test_a_copy_follows_its_tensor():
    tensor = torch.arange(3.0)
    copy = cast(tensor, torch.float16)
    assert copy.dtype == torch.float16 and cast(tensor, torch.float16) is copy
    assert torch.equal(cast(tensor, torch.float32, 2.0), 2 * tensor)
    assert cast(tensor, torch.float32) is tensor
    tensor.add_(1)
    assert cast(tensor, torch.float16).tolist() == [1, 2, 3]
    tensor.data = torch.full((3,), 7.0)
    assert cast(tensor, torch.float16).tolist() == [7, 7, 7]
    learning = torch.ones(2, requires_grad=True)
    cast(learning, torch.float16).sum().backward()
    assert learning.grad.tolist() == [1, 1]
    assert cast(learning, torch.float16) is not cast(learning, torch.float16)


def test_mixed_precision_is_known_where_it_can_be():
    assert autocast_dtype(torch.device("cpu")) is None and autocast_dtype(torch.device("meta")) is None
    with torch.autocast("cpu", torch.bfloat16):
        assert autocast_dtype(torch.device("cpu")) == torch.bfloat16
