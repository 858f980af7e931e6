"""What methods add inside the layers, and deep prompts layer by layer, against a plain pass over an edited state dict.

An addition to query, key and value that is linear equals other attention weights; an adapter beside the feed-forward
part with CLIP's own activation equals a wider feed-forward part. So the oracle knows nothing of layers.
"""

import itertools

import pytest
import torch
import torch.nn.functional as F

import clip
from clip import reference
from clip.class_text import POSITIONS, ClassText
from clip.prompts import UNCHANGED, Layer, Prompts, at_layer
from clip.simple_tokenizer import SimpleTokenizer
from tests.seeded_weights import seeded_images, seeded_state_dict, seeded_tensor

NAMES = ["dog", "a very long name of a very rare bird", "a very old cat", "zebra crossing"]
N, D_T, D_V = 4, 64, 128
LAYERS = 3  # of both encoders of the seeded ViT
RANK = 6


@pytest.fixture(scope="module")
def state():
    return seeded_state_dict("vit")


@pytest.fixture(scope="module")
def model(state):
    return clip.build_model(dict(state)).requires_grad_(False)


def additions(width, seed):
    """Weights of one layer's additions: (3 d, d) and (3 d) to the attention, (r, d) and (d, r) beside the MLP."""
    shapes = [(3 * width, width), (3 * width,), (RANK, width), (width, RANK)]
    return [seeded_tensor(shape, seed + i, 0.1).requires_grad_() for i, shape in enumerate(shapes)]


def layer_of(weights, parts=("qkv", "mlp")):
    qkv, bias, down, up = weights

    def adapter(x):
        hidden = F.linear(x, down.to(x.dtype))
        return F.linear(hidden * torch.sigmoid(1.702 * hidden), up.to(x.dtype))

    functions = {"qkv": lambda x: F.linear(x, qkv.to(x.dtype), bias.to(x.dtype)), "mlp": adapter}
    return Layer(**{part: functions[part] for part in parts})


def with_additions(state, prefix, layers, parts=("qkv", "mlp")):
    """A state dict whose layers compute with the additions of `layers`, {index: weights}."""
    state = dict(state)
    for i, (qkv, bias, down, up) in layers.items():
        block = f"{prefix}.resblocks.{i}"
        if "qkv" in parts:
            state[f"{block}.attn.in_proj_weight"] = state[f"{block}.attn.in_proj_weight"] + qkv
            state[f"{block}.attn.in_proj_bias"] = state[f"{block}.attn.in_proj_bias"] + bias
        if "mlp" in parts:
            state[f"{block}.mlp.c_fc.weight"] = torch.cat([state[f"{block}.mlp.c_fc.weight"], down])
            state[f"{block}.mlp.c_fc.bias"] = torch.cat([state[f"{block}.mlp.c_fc.bias"], torch.zeros(RANK)])
            state[f"{block}.mlp.c_proj.weight"] = torch.cat([state[f"{block}.mlp.c_proj.weight"], up], dim=1)
    return state


def arranged(position, n=N):
    """Token layout for `ClassText`, and for each class its tokens in reading order, -1 - slot for a context vector."""
    lengths = [len(SimpleTokenizer().encode(name)) for name in NAMES]
    tokens = clip.tokenize([" ".join(["X"] * n) + f" {name}." for name in NAMES]).long()
    rows = []
    for row, length in zip(tokens.tolist(), lengths, strict=True):
        context, name, rest = [-1 - slot for slot in range(n)], row[1 + n : 1 + n + length], row[1 + n + length :]
        half = {"end": n, "middle": n // 2, "front": 0}[position]
        rows.append([row[0], *context[:half], *name, *context[half:], *rest])
    return tokens, lengths, torch.tensor(rows)


def plain_text(state, rows, context=None, deep=()):
    """Text features of tokens in any order: the oracle, whose deep prompts stand at 1..n, does not know positions."""
    is_slot, slot = rows < 0, (-1 - rows).clamp(min=0)

    def placed(vectors):
        vectors = vectors.expand(len(rows), -1, -1)
        return vectors.gather(1, slot.clamp(max=vectors.shape[1] - 1)[..., None].expand(-1, -1, vectors.shape[-1]))

    x = state["token_embedding.weight"][rows.clamp(min=0)]
    x = x if context is None else torch.where(is_slot[..., None], placed(context), x)
    x = x + state["positional_embedding"]
    mask = torch.full((rows.shape[1], rows.shape[1]), float("-inf")).triu(1)
    for i in range(LAYERS):
        fresh = at_layer(deep, i - 1)
        x = x if fresh is None else torch.where(is_slot[..., None], placed(fresh), x)
        one = {key.replace(f"resblocks.{i}.", "resblocks.0."): value for key, value in state.items() if f".{i}." in key}
        x = reference.transformer(one, "transformer", x, mask, None, None)
    x = F.layer_norm(x, x.shape[-1:], state["ln_final.weight"], state["ln_final.bias"])
    return x[torch.arange(len(x)), rows.argmax(-1)] @ state["text_projection"]


def assert_same(got, wanted, learned, seed=3):
    """Features and gradients of all learned tensors."""
    torch.testing.assert_close(got, wanted, rtol=2e-4, atol=2e-5)
    weights = seeded_tensor(tuple(got.shape), seed, 1.0)
    ours = torch.autograd.grad((got * weights).sum(), learned)
    plains = torch.autograd.grad((wanted * weights).sum(), learned)
    for a, b in zip(ours, plains, strict=True):
        assert b.abs().max() > 0
        assert (a - b).abs().max() <= 2e-4 * b.abs().max()


PARTS = [("qkv",), ("mlp",), ("qkv", "mlp")]
CHOSEN = [(0,), (1,), (2,), (0, 1, 2)]


@pytest.mark.parametrize(("parts", "chosen"), list(itertools.product(PARTS, CHOSEN)), ids=str)
def test_additions_to_text_layers(model, state, parts, chosen):
    weights = {i: additions(D_T, 10 * i) for i in chosen}
    context = seeded_tensor((N, D_T), 1, 0.1).requires_grad_()
    tokens, _, rows = arranged("end")
    layers = [layer_of(weights[i], parts) if i in chosen else UNCHANGED for i in range(max(chosen) + 1)]
    got = model.encode_text(ClassText(tokens, N), Prompts(text=context, text_layers=layers))
    wanted = plain_text(with_additions(state, "transformer", weights, parts), rows, context)
    used = [w for i in chosen for w in (weights[i][:2] if "qkv" in parts else []) + (weights[i][2:] * ("mlp" in parts))]
    assert_same(got, wanted, [context, *used])


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("class_specific", [False, True], ids=["shared", "per class"])
def test_additions_to_text_layers_with_deep_prompts_at_every_position(model, state, position, class_specific):
    weights = {i: additions(D_T, 10 * i) for i in range(LAYERS)}
    shape = (len(NAMES), N, D_T) if class_specific else (N, D_T)
    context, last = (seeded_tensor(shape, seed, 0.3).requires_grad_() for seed in (1, 2))
    tokens, lengths, rows = arranged(position)
    text = ClassText(tokens, N, position, lengths, class_specific)
    layers = [layer_of(weights[i]) for i in range(LAYERS)]
    got = model.encode_text(text, Prompts(text=context, text_deep=[None, last], text_layers=layers))
    wanted = plain_text(with_additions(state, "transformer", weights), rows, context, [None, last])
    assert_same(got, wanted, [context, last, *itertools.chain(*weights.values())])


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("names", [["black dog"], ["a black old dog here", "a black old dog there"]], ids=len)
def test_deep_prompts_find_their_place_in_a_long_shared_prefix(model, state, position, names, monkeypatch):
    monkeypatch.setitem(globals(), "NAMES", names)
    context, deep = seeded_tensor((2, D_T), 1, 0.1), seeded_tensor((2, 2, D_T), 2, 0.5)
    tokens, lengths, rows = arranged(position, n=2)
    text = ClassText(tokens, 2, position, lengths)
    assert text.prefix_length > 3
    got = model.encode_text(text, Prompts(text=context, text_deep=deep))
    torch.testing.assert_close(got, plain_text(state, rows, context, deep), rtol=2e-4, atol=2e-5)


def test_additions_without_a_context_and_per_image(model, state):
    weights = {i: additions(D_T, 10 * i) for i in range(LAYERS)}
    layers = [layer_of(weights[i]) for i in range(LAYERS)]
    changed = with_additions(state, "transformer", weights)
    tokens = clip.tokenize([f"a photo of a {name}." for name in NAMES]).long()
    got = model.encode_text(ClassText(tokens), Prompts(text_layers=layers))
    assert_same(got, plain_text(changed, tokens), list(itertools.chain(*weights.values())))

    context = seeded_tensor((2, 1, N, D_T), 1, 0.1).requires_grad_()
    tokens, _, rows = arranged("end")
    got = model.encode_text(ClassText(tokens, N), Prompts(text=context, text_layers=layers))
    wanted = torch.stack([plain_text(changed, rows, one[0]) for one in context])
    assert_same(got, wanted, [context, *itertools.chain(*weights.values())])


MIXED = {
    "none in the middle": lambda shared, per_class: [None, shared],
    "none at the end": lambda shared, per_class: [shared, None],
    "shared, then per class": lambda shared, per_class: [shared, per_class],
    "per class, then shared": lambda shared, per_class: [per_class, shared],
    "per class only": lambda shared, per_class: [per_class],
    "one for all classes": lambda shared, per_class: [shared[None], per_class],
}


@pytest.mark.parametrize("mixed", MIXED)
def test_deep_text_prompts_layer_by_layer(model, state, mixed):
    shared = seeded_tensor((N, D_T), 1, 0.5).requires_grad_()
    per_class = seeded_tensor((len(NAMES), N, D_T), 2, 0.5).requires_grad_()
    context = seeded_tensor((N, D_T), 3, 0.1).requires_grad_()
    tokens, _, rows = arranged("end")
    deep = MIXED[mixed](shared, per_class)
    got = model.encode_text(ClassText(tokens, N, class_specific=True), Prompts(text=context, text_deep=deep))
    embedded = state["token_embedding.weight"][tokens]
    embedded = torch.cat([embedded[:, :1], context.expand(len(NAMES), -1, -1), embedded[:, 1 + N :]], dim=1)
    wanted = reference.text_features(state, embedded, rows.argmax(-1), deep)
    learned = [shared] * ("shared" in mixed or "none" in mixed or "one" in mixed) + [per_class] * ("class" in mixed)
    assert_same(got, wanted, [context, *learned])


@pytest.mark.parametrize(("parts", "chosen"), list(itertools.product(PARTS, CHOSEN)), ids=str)
@pytest.mark.parametrize("deep", [None, "every layer", "none first", "none last"])
def test_additions_to_vision_layers(model, state, parts, chosen, deep):
    weights = {i: additions(D_V, 10 * i) for i in chosen}
    visual, first, second = (seeded_tensor((N, D_V), seed, 0.3).requires_grad_() for seed in (1, 2, 3))
    fresh = {None: None, "every layer": [first, second], "none first": [None, second], "none last": [first, None]}[deep]
    prompts = Prompts(
        visual=visual,
        visual_deep=fresh,
        visual_layers=[layer_of(weights[i], parts) if i in chosen else UNCHANGED for i in range(max(chosen) + 1)],
    )
    images = seeded_images("vit", 2)
    wanted = reference.image_features(
        with_additions(state, "visual.transformer", weights, parts), images, visual, fresh
    )
    used = [w for i in chosen for w in (weights[i][:2] if "qkv" in parts else []) + (weights[i][2:] * ("mlp" in parts))]
    learned = [visual, *(vectors for vectors in fresh or () if vectors is not None), *used]
    assert_same(model.encode_image(images, prompts), wanted, learned)


@pytest.mark.parametrize("chosen", CHOSEN, ids=str)
def test_additions_to_vision_layers_without_prompts(model, state, chosen):
    weights = {i: additions(D_V, 10 * i) for i in chosen}
    layers = [layer_of(weights[i]) if i in chosen else UNCHANGED for i in range(LAYERS)]
    images = seeded_images("vit", 2)
    wanted = reference.image_features(with_additions(state, "visual.transformer", weights), images)
    got = model.encode_image(images, Prompts(visual_layers=layers))
    assert_same(got, wanted, list(itertools.chain(*weights.values())))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_encoders_hand_their_dtype_to_additions_and_keep_it(state, dtype):
    cast = {key: value.to(dtype) if key != "logit_scale" else value for key, value in state.items()}
    half, full = clip.build_model(cast).requires_grad_(False), clip.build_model(dict(state)).requires_grad_(False)
    weights = {width: additions(width, 0) for width in (D_T, D_V)}
    seen = []

    def recorded(width):
        layer = layer_of(weights[width])

        def qkv(x):
            seen.append(x.dtype)
            return layer.qkv(x).float()  # of another dtype than the encoders

        def mlp(x):
            seen.append(x.dtype)
            return layer.mlp(x).float()

        return Layer(qkv, mlp)

    text, vision = ([recorded(width)] * LAYERS for width in (D_T, D_V))
    tokens, images = clip.tokenize(NAMES), seeded_images("vit", 2)
    for encode, inputs, prompts in (
        ("encode_text", tokens, Prompts(text_layers=text)),
        ("encode_image", images, Prompts(visual_layers=vision)),
    ):
        seen.clear()
        got = getattr(half, encode)(inputs, prompts)
        assert got.dtype == dtype and set(seen) == {dtype}
        wanted = getattr(full, encode)(inputs, prompts)
        assert torch.cosine_similarity(got.float(), wanted).min() > 0.99
    got.float().sum().backward()
    assert all(tensor.grad.dtype == torch.float32 and tensor.grad.isfinite().all() for tensor in weights[D_V])


@pytest.mark.parametrize(
    ("class_specific", "deep"),
    [
        (False, [None, torch.zeros(N - 1, D_T)]),
        (False, [torch.zeros(len(NAMES), N, D_T)]),
        (True, [torch.zeros(len(NAMES) + 1, N, D_T)]),
    ],
)
def test_deep_text_prompts_that_do_not_fit_are_refused(model, class_specific, deep):
    text = ClassText(arranged("end")[0], N, class_specific=class_specific)
    with pytest.raises(ValueError, match="deep prompts"):
        model.encode_text(text, Prompts(text=torch.zeros(N, D_T), text_deep=deep))


@pytest.mark.parametrize("visual", [None, torch.zeros(N + 1, D_V)], ids=["none", "of another length"])
def test_deep_visual_prompts_that_do_not_fit_are_refused(model, visual):
    prompts = Prompts(visual=visual, visual_deep=[None, torch.zeros(N, D_V)])
    with pytest.raises(ValueError, match="deep visual prompts"):
        model.encode_image(seeded_images("vit", 1), prompts)


def test_a_resnet_refuses_additions_to_its_layers():
    model = clip.build_model(seeded_state_dict("resnet"))
    with pytest.raises(ValueError, match="ViT"):
        model.encode_image(seeded_images("resnet", 1), Prompts(visual_layers=[Layer()]))
