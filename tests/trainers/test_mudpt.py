"""MuDPT in every ablation against a plain 77-token forward pass that shares no code with it."""

import itertools

import pytest
import torch
import torch.nn.functional as F

import clip
from clip import reference as plain_clip
from support.user_error import UserError
from tests.seeded_weights import seeded_images, seeded_state_dict, seeded_tensor
from trainers import mudpt
from trainers.method import Task
from trainers.tuned_clip import TunedCLIP

CLASS_NAMES = ["dog", "golden_retriever", "black and white zebra crossing at night", "jeep", "2012 Ferrari"]
LABELS = torch.tensor([2, 0, 4])
D_T, D_V = 64, 128  # widths of the seeded ViT, whose encoders have 3 layers


@pytest.fixture(scope="module")
def state():
    return seeded_state_dict("vit")


def learner(backbone, **options):
    config = mudpt.PromptLearner.Config(**{"DEEP_PROMPT_DEPTH": 3, **options})
    return mudpt.PromptLearner(config, Task(CLASS_NAMES), backbone)


def build(state, **options):
    torch.manual_seed(0)
    backbone = clip.build_model(dict(state)).requires_grad_(False)
    return TunedCLIP(backbone, learner(backbone, **options))


def attention(p, prefix, query, source):
    """Multi-head attention from the definition, over the prompts of each layer."""
    width = query.shape[-1]
    if f"{prefix}.attn.in_proj_weight" in p:
        weights = p[f"{prefix}.attn.in_proj_weight"].chunk(3)
    else:
        weights = [p[f"{prefix}.attn.{part}_proj_weight"] for part in "qkv"]
    biases = p[f"{prefix}.attn.in_proj_bias"].chunk(3)
    heads = max(1, width // 64)
    q, k, v = (
        F.linear(x, w, b).unflatten(-1, (heads, -1))
        for x, w, b in zip((query, source, source), weights, biases, strict=True)
    )
    scores = torch.einsum("lqhd,lkhd->lhqk", q, k) / (width // heads) ** 0.5
    mixed = torch.einsum("lhqk,lkhd->lqhd", scores.softmax(-1), v).flatten(2)
    return F.linear(mixed, p[f"{prefix}.attn.out_proj.weight"], p[f"{prefix}.attn.out_proj.bias"])


def injected(p, prefix, kind, source, receiver):
    """The Injection Model, written from METHOD's list of parameters."""

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], p[f"{prefix}.{name}.weight"], p[f"{prefix}.{name}.bias"])

    def linear(x, name):
        return F.linear(x, p[f"{prefix}.{name}.weight"], p[f"{prefix}.{name}.bias"])

    if kind == "none" or f"{prefix}.proj.weight" not in p:
        return torch.zeros_like(receiver)
    if kind == "linear":
        return linear(source, "proj")
    x = receiver if kind == "cross" else source
    x = norm(x + attention(p, prefix, x, source), "norm1")
    hidden = linear(x, "fc1")
    x = norm(x + linear(hidden * torch.sigmoid(1.702 * hidden), "fc2"), "norm2")
    return linear(x, "proj")


def plain_logits(state, p, images, kind, n):
    text, visual = p["deep_ctx"], p["visual_deep_ctx"]
    text_deep = text + injected(p, "inject_v2t", kind, visual, text)
    visual_deep = visual + injected(p, "inject_t2v", kind, text, visual)
    names = [name.replace("_", " ") for name in CLASS_NAMES]
    tokens = clip.tokenize([" ".join(["X"] * n) + f" {name}." for name in names]).long()
    embedded = state["token_embedding.weight"][tokens]
    embedded = torch.cat([embedded[:, :1], p["ctx"].expand(len(names), -1, -1), embedded[:, 1 + n :]], dim=1)
    text_features = plain_clip.text_features(state, embedded, tokens.argmax(-1), text_deep)
    image_features = plain_clip.image_features(state, images, p["visual_ctx"], visual_deep)
    return plain_clip.logits(state, image_features, text_features)


ABLATIONS = [
    *({"INJECTION": i, "DIRECTION": d} for i, d in itertools.product(mudpt.INJECTIONS, mudpt.DIRECTIONS)),
    *({"N_CTX": n, "DEEP_PROMPT_DEPTH": depth} for n, depth in ((1, 3), (2, 2), (4, 1), (7, 3))),
    {"CTX_INIT": ""},
]


@pytest.mark.parametrize("options", ABLATIONS, ids=str)
def test_logits_and_gradients_equal_the_plain_pass(state, options):
    model = build(state, **options)
    learner = model.method
    images = seeded_images("vit", 3, seed=5)
    loss = F.cross_entropy(model(images), LABELS)
    loss.backward()
    gradients = {name: p.grad for name, p in learner.named_parameters()}

    p = {name: value.detach().clone().requires_grad_() for name, value in learner.named_parameters()}
    wanted = plain_logits(state, p, images, options.get("INJECTION", "transformer"), options.get("N_CTX", 4))
    torch.testing.assert_close(model(images), wanted, rtol=2e-4, atol=2e-4)
    wanted_loss = F.cross_entropy(wanted, LABELS)
    wanted_loss.backward()
    for name, parameter in p.items():
        if parameter.grad is None:  # deep prompts where there are no deep layers
            assert parameter.numel() == 0
            continue
        scale = max(parameter.grad.norm().item(), 1e-5)
        assert (gradients[name] - parameter.grad).abs().max().item() <= 2e-3 * scale, name


def test_every_part_of_the_prompts_matters(state):
    model = build(state)
    images = seeded_images("vit", 2, seed=5)
    with torch.no_grad():
        before = model(images)
        for name, parameter in model.method.named_parameters():
            kept = parameter.clone()
            parameter.add_(seeded_tensor(tuple(parameter.shape), seed=1, std=0.5))
            assert (model(images) - before).abs().max() > 1e-3, name
            parameter.copy_(kept)


def block_names(prefix, width_is_shared=True):
    attn = ["in_proj_weight"] if width_is_shared else [f"{part}_proj_weight" for part in "qkv"]
    names = [f"attn.{name}" for name in (*attn, "in_proj_bias", "out_proj.weight", "out_proj.bias")]
    names += [f"{layer}.{kind}" for layer in ("norm1", "fc1", "fc2", "norm2", "proj") for kind in ("weight", "bias")]
    return {f"{prefix}.{name}" for name in names}


def test_parameter_names_and_shapes_are_the_methods(state):
    learner = build(state).method
    tensors = learner.state_dict()
    prompts = {"ctx": (4, D_T), "deep_ctx": (2, 4, D_T), "visual_ctx": (4, D_V), "visual_deep_ctx": (2, 4, D_V)}
    assert set(tensors) == set(prompts) | block_names("inject_t2v") | block_names("inject_v2t")
    assert {name: tuple(tensors[name].shape) for name in prompts} == prompts
    assert tuple(tensors["inject_t2v.proj.weight"].shape) == (D_V, D_T)
    assert tuple(tensors["inject_v2t.proj.weight"].shape) == (D_T, D_V)
    assert all(tensor.dtype == torch.float32 for tensor in tensors.values())


def test_cross_injection_projects_within_the_receiving_width(state):
    tensors = build(state, INJECTION="cross").method.state_dict()
    assert tuple(tensors["inject_t2v.proj.weight"].shape) == (D_V, D_V)
    assert tuple(tensors["inject_v2t.proj.weight"].shape) == (D_T, D_T)
    assert set(tensors) >= block_names("inject_t2v", width_is_shared=False)


@pytest.mark.parametrize(("direction", "absent"), [("t2v", "inject_v2t"), ("v2t", "inject_t2v")])
def test_one_direction_has_no_tensors_of_the_other(state, direction, absent):
    assert not any(name.startswith(absent) for name in build(state, DIRECTION=direction).method.state_dict())


def test_context_starts_from_the_first_tokens_of_the_words(state):
    words = clip.tokenize("a photo of a")[0, 1:5].long()
    torch.testing.assert_close(build(state).method.ctx, state["token_embedding.weight"][words])
    torch.testing.assert_close(build(state, N_CTX=2).method.ctx, state["token_embedding.weight"][words[:2]])


def test_more_vectors_than_words_are_random_and_announced(state, capsys):
    learner = build(state, N_CTX=6).method
    assert "the other 2 context vectors are random" in capsys.readouterr().out
    assert 0 < learner.ctx[4:].std() < 0.05


def test_depth_beyond_the_encoders_is_clamped_with_a_notice(state, capsys):
    learner = build(state, DEEP_PROMPT_DEPTH=9).method
    assert learner.deep_ctx.shape[0] == 2
    assert "using 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"DEEP_PROMPT_DEPTH": 0}, "TRAINER.MUDPT.DEEP_PROMPT_DEPTH is 0"),
        ({"N_CTX": 0}, "TRAINER.MUDPT.N_CTX is 0"),
        ({"INJECTION": "tranformer"}, 'did you mean "transformer"'),
        ({"DIRECTION": "t2w"}, "TRAINER.MUDPT.DIRECTION"),
    ],
)
def test_options_out_of_range_are_told_in_one_line(state, options, message):
    with pytest.raises(UserError, match=message) as caught:
        build(state, **options)
    assert "\n" not in str(caught.value)


def test_a_resnet_is_refused():
    backbone = clip.build_model(seeded_state_dict("resnet"))
    with pytest.raises(UserError, match="ViT"):
        learner(backbone)


def test_vit_b16_learns_eleven_million_parameters():
    """Sizes of the paper's set-up: checkpoints under 50 MB, counted without the memory of a ViT-B/16."""
    from clip.model import CLIP

    with torch.device("meta"):
        backbone = CLIP(512, 224, 12, 768, 16, 77, 49408, 512, 8, 12)
        count = sum(
            p.numel() for d in ((512, 768), (768, 512)) for p in mudpt.Injection("transformer", *d).parameters()
        )
    prompts = 9 * 4 * (backbone.ln_final.weight.shape[0] + backbone.visual.ln_pre.weight.shape[0])
    assert 10.9e6 < count + prompts < 11.1e6
    assert 4 * (count + prompts) < 50e6
