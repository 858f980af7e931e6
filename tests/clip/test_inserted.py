"""Tokens inserted into upper layers, and adapters beside whole layers, against the plain encoders of clip/reference.py.

The fast text encoder computes what classes share once: every case compares features and all gradients with 77 tokens
for each class.
"""

import itertools

import pytest
import torch
import torch.nn.functional as F

import clip
from clip import parts, reference
from clip.class_text import ClassText
from clip.model import convert_weights
from clip.prompts import UNCHANGED, Inserted, Layer, Prompts
from tests.seeded_weights import seeded_images, seeded_state_dict, seeded_tensor

NAMES = ["dog", "a very long name of a very rare bird", "old cat", "zebra crossing"]
TEMPLATES = ["a photo of a {}.", "{} texture."]
N, D_T, D_V = 3, 64, 128
LAYERS = 3  # of both encoders of the seeded ViT


@pytest.fixture(scope="module")
def state():
    return seeded_state_dict("vit")


@pytest.fixture
def model(state):
    return clip.build_model(dict(state)).requires_grad_(False)


@pytest.fixture(params=[False, True], ids=["cpu", "as on a gpu"])
def way(request, monkeypatch):
    """The two ways that the layers take."""
    if request.param:
        monkeypatch.setattr(parts, "launches_decide", lambda device: True)


def tokens(width, which, seed=0):
    """Inserted tokens, one entry per layer, None where ``which`` has a "-"."""
    return [
        seeded_tensor((N, width), seed + i, 0.5).requires_grad_() if mark != "-" else None
        for i, mark in enumerate(which)
    ]


def adapters(width, which, seed=50):
    """Weights (5, d), (d, 5) of a bottleneck beside each layer, None where ``which`` has a "-"."""
    return [
        [seeded_tensor(shape, seed + 2 * i, 0.2).requires_grad_() for shape in ((5, width), (width, 5))]
        if mark != "-"
        else None
        for i, mark in enumerate(which)
    ]


def bottleneck(weights):
    down, up = weights
    return lambda x: F.linear(F.linear(x.float(), down).relu(), up)


def learned_of(inserted, beside):
    return [*(entry for entry in inserted if entry is not None), *itertools.chain(*filter(None, beside))]


def layers_of(beside):
    return [UNCHANGED if weights is None else Layer(block=bottleneck(weights)) for weights in beside]


def functions_of(beside):
    return [None if weights is None else bottleneck(weights) for weights in beside]


def assert_same(got, wanted, learned):
    """Results and gradients of all learned tensors."""
    for ours, plain in zip(got, wanted, strict=True):
        torch.testing.assert_close(ours, plain, rtol=2e-4, atol=2e-5)
    gradients = []
    for results in (got, wanted):
        loss = sum((result * seeded_tensor(tuple(result.shape), 3, 1.0)).sum() for result in results)
        gradients.append(torch.autograd.grad(loss, learned))
    for ours, plain in zip(*gradients, strict=True):
        assert plain.abs().max() > 0
        assert (ours - plain).abs().max() <= 2e-4 * plain.abs().max()


def plain_text(state, template, inserted, kept, beside):
    ids = clip.tokenize([template.format(name) for name in NAMES]).long()
    given = reference.Inserted(inserted, kept) if inserted else None
    embedded = state["token_embedding.weight"][ids]
    return reference.text_features(state, embedded, ids.argmax(-1), inserted=given, adapters=functions_of(beside))


def class_text(template):
    return ClassText(clip.tokenize([template.format(name) for name in NAMES]))


INSERTIONS = ["t", "-t", "--t", "tt", "-tt", "ttt", "t-t"]
KEPT = [0.0, 0.3]


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("which", INSERTIONS)
@pytest.mark.parametrize("template", TEMPLATES)
def test_tokens_inserted_into_the_text(model, state, way, template, which, kept):
    inserted = tokens(D_T, which)
    got = model.encode_text(class_text(template), Prompts(text_inserted=Inserted(inserted, kept)))
    assert_same([got], [plain_text(state, template, inserted, kept, ())], learned_of(inserted, ()))


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("which", INSERTIONS)
def test_tokens_inserted_into_the_image_are_read_behind_the_last_normalisation(model, state, way, which, kept):
    inserted, images = tokens(D_V, which), seeded_images("vit", 2)
    prompts = Prompts(visual_inserted=Inserted(inserted, kept))
    got = model.encode_image_and_inserted(images, prompts)
    x = reference.image_tokens(state, images, inserted=reference.Inserted(inserted, kept))
    x = reference.layer_norm(state, "visual.ln_post", x)
    assert got[1].shape == (2, N, D_V)
    assert_same(got, [x[:, 0] @ state["visual.proj"], x[:, 1 : 1 + N]], learned_of(inserted, ()))
    torch.testing.assert_close(model.encode_image(images, prompts), got[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("which", ["a", "--a", "-aa", "aaa"])
def test_adapters_beside_layers(model, state, way, which):
    images = seeded_images("vit", 2)
    text, vision = adapters(D_T, which), adapters(D_V, which, 80)
    for template in TEMPLATES:
        got = model.encode_text(class_text(template), Prompts(text_layers=layers_of(text)))
        assert_same([got], [plain_text(state, template, (), 0.0, text)], learned_of((), text))
    got = model.encode_image(images, Prompts(visual_layers=layers_of(vision)))
    wanted = reference.image_features(state, images, adapters=functions_of(vision))
    assert_same([got], [wanted], learned_of((), vision))


def test_an_adapter_reads_the_input_of_its_layer_not_that_of_the_feed_forward_part(model):
    x, seen = seeded_tensor((2, 5, D_V), 0, 1.0), []
    block = model.visual.transformer.resblocks[1]
    block.encode(x, Layer(block=lambda normed: seen.append(normed) or normed))
    assert torch.equal(seen[0], block.ln_1(x))


def test_inserted_tokens_deep_prompts_and_adapters_together(model, state, way):
    images, visual = seeded_images("vit", 2), seeded_tensor((2, D_V), 7, 0.5).requires_grad_()
    deep = [None, seeded_tensor((2, D_V), 8, 0.5).requires_grad_()]
    inserted, beside = tokens(D_V, "-tt"), adapters(D_V, "aaa")
    prompts = Prompts(
        visual=visual, visual_deep=deep, visual_inserted=Inserted(inserted), visual_layers=layers_of(beside)
    )
    got = model.encode_image_and_inserted(images, prompts)
    x = reference.image_tokens(state, images, visual, deep, reference.Inserted(inserted), functions_of(beside))
    x = reference.layer_norm(state, "visual.ln_post", x)
    learned = [visual, deep[1], *learned_of(inserted, beside)]
    assert_same(got, [x[:, 0] @ state["visual.proj"], x[:, 1 : 1 + N]], learned)

    inserted, beside = tokens(D_T, "-tt"), adapters(D_T, "aaa")
    prompts = Prompts(text_inserted=Inserted(inserted), text_layers=layers_of(beside))
    for chunk_classes in (0, 1):
        got = model.encode_text(class_text(TEMPLATES[0]), prompts, chunk_classes)
        wanted = plain_text(state, TEMPLATES[0], inserted, 0.0, beside)
        assert_same([got], [wanted], learned_of(inserted, beside))


def test_one_layout_serves_texts_with_and_without_inserted_tokens(model, state):
    text = class_text(TEMPLATES[0])
    inserted = tokens(D_T, "-t")
    for _ in range(2):
        plain = plain_text(state, TEMPLATES[0], (), 0.0, ())
        torch.testing.assert_close(model.encode_text(text), plain, rtol=2e-4, atol=2e-5)
        got = model.encode_text(text, Prompts(text_inserted=Inserted(inserted)))
        wanted = plain_text(state, TEMPLATES[0], inserted, 0.0, ())
        torch.testing.assert_close(got, wanted, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_encoders_leave_float32_gradients(model, way, dtype):
    images, vision, text = seeded_images("vit", 2), tokens(D_V, "-tt"), tokens(D_T, "-tt")
    beside = adapters(D_V, "aaa")
    prompts = Prompts(text_inserted=Inserted(text), visual_inserted=Inserted(vision), visual_layers=layers_of(beside))
    wanted = [*model.encode_image_and_inserted(images, prompts), model.encode_text(class_text(TEMPLATES[0]), prompts)]
    convert_weights(model, dtype)
    got = [*model.encode_image_and_inserted(images, prompts), model.encode_text(class_text(TEMPLATES[0]), prompts)]
    assert [result.dtype for result in got] == [dtype, torch.float32, dtype]
    for ours, plain in zip(got, wanted, strict=True):
        assert F.cosine_similarity(ours.float().flatten(), plain.flatten(), dim=0) > 0.999
    sum(result.float().square().sum() for result in got).backward()
    for tensor in [*learned_of(vision, beside), *learned_of(text, ())]:
        assert tensor.grad.dtype == torch.float32 and tensor.grad.isfinite().all()


@pytest.mark.parametrize(
    "entries",
    [[], [None, None], [torch.zeros(2, D_T), torch.zeros(3, D_T)], [torch.zeros(4, 2, D_T)]],
    ids=["no layer", "none", "other lengths", "per class"],
)
def test_inserted_tokens_that_fit_nowhere_are_refused(entries):
    with pytest.raises(ValueError, match="inserted tokens"):
        Inserted(entries)


def test_layers_past_the_end_and_context_vectors_are_refused(model):
    late = Inserted([None] * LAYERS + [torch.zeros(N, D_T)])
    with pytest.raises(ValueError, match="layer 4 of an encoder of 3"):
        model.encode_text(class_text(TEMPLATES[0]), Prompts(text_inserted=late))
    with pytest.raises(ValueError, match="layer 4 of an encoder of 3"):
        model.encode_image(seeded_images("vit", 1), Prompts(visual_inserted=late))
    text = ClassText(clip.tokenize([f"X X {name}." for name in NAMES]), 2)
    with pytest.raises(ValueError, match="context vectors"):
        model.encode_text(text, Prompts(text=torch.zeros(2, D_T), text_inserted=Inserted([torch.zeros(N, D_T)])))


def test_a_resnet_refuses_inserted_tokens():
    model = clip.build_model(seeded_state_dict("resnet"))
    with pytest.raises(ValueError, match="ViT"):
        model.encode_image(seeded_images("resnet", 1), Prompts(visual_inserted=Inserted([torch.zeros(N, 8)])))
