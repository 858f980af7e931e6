"""Products with frozen weights equal torch's own, forwards and backwards."""

import pytest
import torch
import torch.nn.functional as F

from clip import linear as module
from clip.linear import Linear, linear


def both(x, weight, bias):
    ours, wanted = x.clone().requires_grad_(), x.clone().requires_grad_()
    y = linear(ours, weight, bias)
    z = F.linear(wanted, weight, bias)
    gradient = torch.randn_like(z)
    y.backward(gradient)
    z.backward(gradient)
    return (y, ours.grad), (z, wanted.grad)


@pytest.mark.parametrize("shape", [(5, 64), (3, 7, 64), (2, 3, 4, 64)], ids=str)
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("available", [True, False])
def test_values_and_gradients(shape, with_bias, available, monkeypatch):
    if not available:
        monkeypatch.setattr(module, "_onednn", None)
    torch.manual_seed(0)
    weight, bias = torch.randn(96, 64), torch.randn(96) if with_bias else None
    for got, wanted in zip(*both(torch.randn(shape), weight, bias), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-4)


def test_a_part_of_a_weight_and_rows_that_are_not_contiguous():
    torch.manual_seed(0)
    weight, x = torch.randn(96, 64), torch.randn(4, 9, 64)[:, :5]
    for got, wanted in zip(*both(x, weight[32:64], None), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("available", [True, False])
def test_what_is_added_to_the_product(available, monkeypatch):
    if not available:
        monkeypatch.setattr(module, "_onednn", None)
    torch.manual_seed(0)
    weight, bias = torch.randn(96, 64), torch.randn(96)
    leaves = [torch.randn(4, 5, 64).requires_grad_(), torch.randn(4, 9, 96).requires_grad_()]
    got = linear(leaves[0], weight, bias, leaves[1][:, :5])
    wanted = F.linear(leaves[0], weight, bias) + leaves[1][:, :5]
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-4)
    ours, theirs = (torch.autograd.grad(y.square().sum(), leaves) for y in (got, wanted))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-2)


def test_a_broadcast_gradient():
    x = torch.randn(4, 64, requires_grad=True)
    weight = torch.randn(96, 64)
    linear(x, weight).sum().backward()
    torch.testing.assert_close(x.grad, weight.sum(0).expand(4, -1), rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(module._onednn is None, reason="this PyTorch has no oneDNN")
def test_frozen_float32_weights_go_through_onednn_and_trained_ones_do_not():
    frozen = Linear(8, 8).requires_grad_(False)
    x = torch.randn(2, 8, requires_grad=True)
    assert "FrozenLinear" in type(frozen(x).grad_fn).__name__
    trained = Linear(8, 8)
    trained(x).sum().backward()
    assert trained.weight.grad is not None and trained.bias.grad is not None
    assert frozen.bfloat16()(x.bfloat16()).dtype == torch.bfloat16
