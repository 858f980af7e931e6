"""The analytic count against torch's, which counts what is computed, and against a layer's derivatives by hand."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bench import flops, sides

DEEP = {"mudpt": {"DEEP_PROMPT_DEPTH": 4}, "coop": {}, "cocoop": {}}


@pytest.fixture(params=DEEP)
def method(request):
    return request.param


@pytest.fixture
def both(method):
    return sides.build(method, 7, "tiny", N_CTX=4, **DEEP[method])


def counted(function):
    """Operations that torch sees, from which fused kernels and oneDNN would hide some."""
    counter = FlopCounterMode(display=False)
    with torch.backends.mkldnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH), counter:
        function()
    return counter.get_total_flops()


def test_the_image_encoders_forward_pass_is_what_torch_counts(method, both):
    prompts, deep = (both.text.n_ctx, both.deep_layers) if method == "mudpt" else (0, 0)
    images, context = both.images(3), both.learner() if prompts else None
    with torch.no_grad():
        total = counted(lambda: both.ours.clip.encode_image(images, context))
    assert total == 3 * flops.image_encoder(both.state, prompts, deep).of_forward


def test_the_text_encoders_forward_pass_needs_at_most_what_torch_counts(method, both):
    context = both.learner(torch.zeros(1, 128)) if method == "cocoop" else both.learner()
    with torch.no_grad():
        total = counted(lambda: both.ours.clip.encode_text(both.text, context))
    assert 0.75 * total < flops.text_encoder(both.state, both.text, both.deep_layers).of_forward <= total


def test_a_step_needs_at_most_what_torch_counts(method, both):
    total = counted(both.train_step(both.ours, 2))
    assert 0.75 * total < flops.train_step(both.state, both.text, 2, method, both.deep_layers).total <= total


def test_only_tokens_that_differ_are_counted_for_every_class(both):
    tokens = flops.text_tokens(both.text)
    lengths = [int(length) for length in both.reference.eot + 1]
    assert tokens.count == (1, 4, sum(lengths) - 5 * 7)
    assert sum(tokens.read_keys) == sum(lengths)
    assert tokens.keys[flops.OTHERS][flops.OTHERS] == sum((length - 5) * (length - 4) // 2 for length in lengths)


def test_the_backward_pass_is_what_a_layers_derivatives_take():
    """Two learned tokens and three others, all attending to all."""
    d, tokens = 10, flops.Tokens((0, 2, 3), ((0,) * 3, (0, 4, 6), (0, 6, 9)), 1, (0, 2, 3))
    one, two = flops.encoder(tokens, d, 1), flops.encoder(tokens, d, 2)
    # Of the last layer one token's MLP and projection. The first layer's others do not depend on the prompts yet.
    assert one.backward == 18 * d**2 + 2 * 4 * d**2
    assert one.backward_attention == 2 * d * 2 * 3  # of weights, keys and values, for the two prompts
    assert two.backward == (18 + 2 + 5 * 4) * d**2 + (5 * 18 + 2 * 2 + 2 * 4) * d**2
    assert flops.encoder(tokens, d, 2, learned=False).backward == 0
