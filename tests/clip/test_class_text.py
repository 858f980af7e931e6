"""The prefix-sharing text encoder against the plain 77-token pass, and what it does not compute."""

import pytest
import torch

import clip
from clip import parts, reference
from clip.class_text import ClassText, densest_rows
from clip.prompts import Prompts
from support.user_error import UserError
from tests.seeded_weights import seeded_state_dict, seeded_tensor

NAMES = ["dog", "a very long name of a very rare bird", "cat", "zebra crossing"]
N, D = 5, 64


@pytest.fixture(scope="module")
def state():
    return seeded_state_dict("vit")


@pytest.fixture(scope="module")
def model(state):
    return clip.build_model(dict(state)).requires_grad_(False)


def tokens_with_room(n=N):
    return clip.tokenize([" ".join(["X"] * n) + f" {name}." for name in NAMES])


def plain(state, tokens, context=None, deep=None):
    tokens = tokens.long()
    embedded = state["token_embedding.weight"][tokens]
    if context is not None:
        n = context.shape[-2]
        context = context if context.dim() == 3 else context.expand(len(tokens), -1, -1)
        embedded = torch.cat([embedded[:, :1], context, embedded[:, 1 + n :]], dim=1)
    return reference.text_features(state, embedded, tokens.argmax(-1), deep)


def test_texts_of_any_kind(model, state):
    tokens = clip.tokenize(["a photo of a dog.", "a photo of a dog", "an owl", "", "a photo of a dog. and a cat"])
    torch.testing.assert_close(model.encode_text(tokens), plain(state, tokens), rtol=1e-4, atol=1e-5)


def test_one_text(model, state):
    tokens = clip.tokenize("a photo of a dog.")
    torch.testing.assert_close(model.encode_text(tokens), plain(state, tokens), rtol=1e-4, atol=1e-5)


def test_a_template_is_encoded_once(model):
    text = ClassText(clip.tokenize([f"a photo of a {name}." for name in NAMES]))
    assert text.prefix_length == 5  # SOS a photo of a
    assert text.own.numel() == sum(
        len(clip.simple_tokenizer.SimpleTokenizer().encode(f"{name}.")) + 1 for name in NAMES
    )


def test_shared_context_with_deep_prompts(model, state):
    context, deep = seeded_tensor((N, D), 1, 0.1), seeded_tensor((2, N, D), 2, 0.5)
    got = model.encode_text(ClassText(tokens_with_room(), N), Prompts(text=context, text_deep=deep))
    torch.testing.assert_close(got, plain(state, tokens_with_room(), context, deep), rtol=1e-4, atol=1e-5)


def test_context_per_class(model, state):
    context = seeded_tensor((len(NAMES), N, D), 1, 0.1)
    text = ClassText(tokens_with_room(), N, class_specific=True)
    assert text.prefix_length == 1
    got = model.encode_text(text, Prompts(text=context))
    torch.testing.assert_close(got, plain(state, tokens_with_room(), context), rtol=1e-4, atol=1e-5)


def test_context_per_image(model, state):
    context = seeded_tensor((3, 1, N, D), 1, 0.1)
    got = model.encode_text(ClassText(tokens_with_room(), N), Prompts(text=context))
    wanted = torch.stack([plain(state, tokens_with_room(), one[0]) for one in context])
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


def test_gradients_of_all_prompts_equal_the_plain_pass(model, state):
    prompts = [seeded_tensor((N, D), 1, 0.1).requires_grad_(), seeded_tensor((2, N, D), 2, 0.5).requires_grad_()]
    weights = seeded_tensor((len(NAMES), 32), 3, 1.0)
    got = model.encode_text(ClassText(tokens_with_room(), N), Prompts(text=prompts[0], text_deep=prompts[1]))
    wanted = plain(state, tokens_with_room(), *prompts)
    ours = torch.autograd.grad((got * weights).sum(), prompts)
    plains = torch.autograd.grad((wanted * weights).sum(), prompts)
    for a, b in zip(ours, plains, strict=True):
        assert (a - b).abs().max() <= 1e-4 * b.abs().max()


def test_the_feature_ignores_the_other_classes(model):
    context = Prompts(text=seeded_tensor((N, D), 1, 0.1))
    together = model.encode_text(ClassText(tokens_with_room(), N), context)
    alone = model.encode_text(ClassText(tokens_with_room()[2:3], N), context)
    torch.testing.assert_close(together[2:3], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lengths", [[3], [3, 9, 3, 4], [20] * 50, [5] * 100 + [40], list(range(2, 15)) * 77, [4, 77]])
def test_rows_hold_every_class_once_with_little_padding(lengths):
    rows, row_length = densest_rows(lengths)
    assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in row) <= row_length for row in rows)
    assert len(rows) * row_length <= 1.1 * sum(lengths)


NAMES_OF_ROWS = [f"{word} {i}" for i, word in enumerate(["dog", "a rare bird of the north", "cat"] * 40)]
KINDS = {  # shape of the context, arguments of ClassText
    "shared": ((N, D), {}),
    "per class": ((len(NAMES_OF_ROWS), N, D), {"class_specific": True}),
    "per image": ((3, 1, N, D), {}),
    "per image, after the name": ((3, 1, N, D), {"position": "front"}),
}


def features_and_gradients(model, kind, chunk_classes=0):
    shape, arguments = KINDS[kind]
    leaves = [seeded_tensor(shape, 1, 0.1).requires_grad_(), seeded_tensor((2, N, D), 2, 0.5).requires_grad_()]
    names = [" ".join(["X"] * N) + f" {name}." for name in NAMES_OF_ROWS]
    tokenizer = clip.simple_tokenizer.SimpleTokenizer()
    lengths = [len(tokenizer.encode(name)) for name in NAMES_OF_ROWS]
    text = ClassText(clip.tokenize(names), N, name_lengths=lengths, **arguments)
    got = model.encode_text(text, Prompts(text=leaves[0], text_deep=leaves[1]), chunk_classes)
    return got, *torch.autograd.grad((got * seeded_tensor(got.shape[-2:], 3, 1.0)).sum(), leaves)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunk_classes", [0, 1, 25])
def test_features_and_gradients_of_many_rows_in_parts(model, state, kind, chunk_classes, monkeypatch):
    together = features_and_gradients(model, kind)
    monkeypatch.setitem(parts.MOST_BYTES, "cpu", 150 * 4 * D * 4)  # 150 tokens
    for a, b in zip(features_and_gradients(model, kind, chunk_classes), together, strict=True):
        assert (a - b).abs().max() <= 1e-4 * b.abs().max()


def test_no_layer_works_on_more_tokens_than_are_cheap(model, monkeypatch):
    monkeypatch.setitem(parts.MOST_BYTES, "cpu", 150 * 4 * D * 4)
    tokens = []

    def record(layer, x, y):
        tokens.append(y[..., 0].numel())

    layers = [transformer.resblocks[0].mlp.c_fc for transformer in (model.transformer, model.visual.transformer)]
    hooks = [layer.register_forward_hook(record) for layer in layers]
    size = model.visual.input_resolution
    with torch.no_grad():
        model.encode_text(ClassText(clip.tokenize(NAMES_OF_ROWS)))
        model.encode_image(torch.zeros(40, 3, size, size))
    for hook in hooks:
        hook.remove()
    assert len(tokens) > 4 and max(tokens) <= 150


def test_chunks_keep_no_activations_for_the_gradients(model):
    def kept(chunk_classes):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.numel()) or x, lambda x: x):
            text = ClassText(tokens_with_room(), N)
            model.encode_text(text, Prompts(text=seeded_tensor((N, D), 1, 0.1).requires_grad_()), chunk_classes)
        return sum(sizes)

    assert kept(1) < kept(0) / 2


def test_bfloat16_stays_near_float32(model, state):
    half = clip.build_model({key: value.bfloat16() if key != "logit_scale" else value for key, value in state.items()})
    context = Prompts(text=seeded_tensor((N, D), 1, 0.1))
    got = half.encode_text(ClassText(tokens_with_room(), N), context)
    assert got.dtype == torch.bfloat16
    cosine = torch.cosine_similarity(got.float(), model.encode_text(ClassText(tokens_with_room(), N), context))
    assert cosine.min() > 0.99


def test_a_text_beyond_the_context_of_the_backbone_is_one_line(state):
    short = clip.build_model({**state, "positional_embedding": state["positional_embedding"][:9]})
    assert short.encode_text(clip.tokenize("a photo of a dog.")).shape == (1, 32)  # 8 tokens, whatever the padding
    fits, long = ("a photo of a large dog.", "a photo of a very large dog.")
    short.encode_text(clip.tokenize([fits]))
    with pytest.raises(UserError, match="10 tokens, start and end included, .* context length is 9") as caught:
        short.encode_text(clip.tokenize([fits, long]))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "prompts"),
    [
        ({"n_ctx": N}, Prompts()),
        ({"n_ctx": N}, Prompts(text=torch.zeros(N + 1, D))),
        ({"n_ctx": N}, Prompts(text=torch.zeros(len(NAMES), N, D))),
        ({"n_ctx": N, "class_specific": True}, Prompts(text=torch.zeros(len(NAMES) + 1, N, D))),
        ({"n_ctx": N}, Prompts(text=torch.zeros(N, D), text_deep=torch.zeros(1, N - 1, D))),
    ],
)
def test_prompts_that_do_not_fit_the_layout_are_refused(model, text, prompts):
    with pytest.raises(ValueError):
        model.encode_text(ClassText(tokens_with_room(), **text), prompts)
