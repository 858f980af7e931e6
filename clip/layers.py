"""The layers that both encoders of CLIP are made of; module and state-dict names are OpenAI's.

    x (B, L, d)
    x = x + attention(ln_1(x))      one product with in_proj gives query, key and value, (B, L, 3 d)
    x = x + mlp(ln_2(x))            d -> 4 d, QuickGELU, 4 d -> d

A method may add to both, see `clip.prompts.Layer`.

Notation used for shapes:
    B images or texts, L tokens, d model width, h heads.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clip.linear import Linear, linear
from clip.prompts import UNCHANGED, Layer


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, L, d) -> (B, h, L, d/h)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


class LayerNorm(nn.LayerNorm):
    """Layer normalisation computed in float32 whatever the dtype of its input."""

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x.float(), self.normalized_shape, self.weight, self.bias, self.eps).to(x.dtype)


class _QuickGELU(torch.autograd.Function):
    """Keeps its input alone for the backward pass, where autograd would keep the sigmoid, too."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (1.702 * x).sigmoid_().mul_(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return torch.ops.aten.silu_backward(gradient, 1.702 * x)  # SiLU's derivative at 1.702 x is that of this at x


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), the GELU approximation that OpenAI's weights were trained with."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x) if torch.jit.is_tracing() else _QuickGELU.apply(x)


class ResidualAttentionBlock(nn.Module):
    """Pre-norm transformer layer. ``forward`` takes OpenAI's (L, B, d) order; everything inside is batch first."""

    def __init__(self, d_model: int, n_head: int, causal: bool = False, activation: type[nn.Module] = QuickGELU):
        super().__init__()
        self.attn = nn.MultiheadAttention(d_model, n_head)
        self.ln_1 = LayerNorm(d_model)
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=Linear(d_model, 4 * d_model),
                gelu=activation(),
                c_proj=Linear(4 * d_model, d_model),
            )
        )
        self.ln_2 = LayerNorm(d_model)
        self.causal = causal

    def forward(self, x: Tensor) -> Tensor:
        """(L, B, d) -> (L, B, d)."""
        return self.encode(x.transpose(0, 1)).transpose(0, 1)

    def encode(self, x: Tensor, layer: Layer = UNCHANGED, wanted: int | None = None) -> Tensor:
        """(B, L, d) -> (B, wanted, d): the first ``wanted`` positions, by default all, and no work for the others."""
        heads = self.query_key_value(x, layer, wanted)
        attended = F.scaled_dot_product_attention(*heads, is_causal=self.causal)  # (B, h, wanted, d/h)
        return self.residual(x[:, :wanted], attended.transpose(1, 2).flatten(2), layer)

    def query_key_value(
        self, x: Tensor, layer: Layer = UNCHANGED, wanted: int | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(B, L, d) -> query (B, h, wanted, d/h) of the first positions, key and value (B, h, L, d/h) of all."""
        normed = self.ln_1(x)
        weight, bias, width = self.attn.in_proj_weight, self.attn.in_proj_bias, x.shape[-1]
        query = linear(normed[:, :wanted], weight[:width], bias[:width])  # (B, wanted, d)
        key_value = linear(normed, weight[width:], bias[width:])  # (B, L, 2d)
        if layer.qkv is not None:
            added = layer.qkv(normed).to(query.dtype)  # (B, L, 3d)
            query, key_value = query + added[:, :wanted, :width], key_value + added[..., width:]
        return tuple(split_heads(part, self.attn.num_heads) for part in (query, *key_value.chunk(2, dim=-1)))

    def residual(self, x: Tensor, attended: Tensor, layer: Layer = UNCHANGED) -> Tensor:
        """Both residual branches, given the concatenated heads ``attended`` of x's own shape (B, L, d)."""
        x = linear(attended, self.attn.out_proj.weight, self.attn.out_proj.bias, added=x)
        normed = self.ln_2(x)
        x = self.mlp.c_proj(self.mlp.gelu(self.mlp.c_fc(normed)), added=x)
        return x if layer.mlp is None else x + layer.mlp(normed).to(x.dtype)


class Transformer(nn.Module):
    """A stack of residual attention blocks; ``forward`` takes OpenAI's (L, B, d) order."""

    def __init__(
        self, width: int, layers: int, heads: int, causal: bool = False, activation: type[nn.Module] = QuickGELU
    ):
        super().__init__()
        self.width = width
        self.layers = layers
        blocks = [ResidualAttentionBlock(width, heads, causal, activation) for _ in range(layers)]
        self.resblocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        return self.resblocks(x)
