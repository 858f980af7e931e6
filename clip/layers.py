"""The layers that both encoders of CLIP are made of; module and state-dict names are OpenAI's.

    x (B, L, d)
    x = x + attention(ln_1(x))      one product with in_proj gives query, key and value, (B, L, 3 d)
    x = x + mlp(ln_2(x))            d -> 4 d, QuickGELU, 4 d -> d

A method may add to either and to the whole, see `clip.prompts.Layer`.

Notation used for shapes:
    B images or texts, L tokens, d model width, h heads.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clip import parts
from clip.casts import autocast_dtype, cast
from clip.linear import Linear, linear
from clip.prompts import UNCHANGED, Layer


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, L, d) -> (B, h, L, d/h)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


class LayerNorm(nn.LayerNorm):
    """Layer normalisation computed in float32, whatever the dtype of its input and result.

    A GPU's kernel takes weight and bias in the dtype of its input alone: float16 has enough bits for that, bfloat16 has
    not.
    """

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight, self.bias
        if parts.launches_decide(x.device) and x.dtype == torch.float16:
            weight, bias = cast(weight, x.dtype), cast(bias, x.dtype)
        elif parts.launches_decide(x.device) and x.dtype == torch.bfloat16:
            return F.layer_norm(x.float(), self.normalized_shape, weight, bias, self.eps).to(x.dtype)
        return F.layer_norm(x, self.normalized_shape, weight, bias, self.eps)


QUICK = 1.702  # QuickGELU(x) = SiLU(1.702 x) / 1.702


class _QuickGELU(torch.autograd.Function):
    """Keeps its input alone for the backward pass, where autograd would keep the sigmoid, too."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (QUICK * x).sigmoid_().mul_(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return torch.ops.aten.silu_backward(gradient, QUICK * x)  # SiLU's derivative at 1.702 x is that of this at x


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), the GELU approximation that OpenAI's weights were trained with."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(QUICK * x) if torch.jit.is_tracing() else _QuickGELU.apply(x)


class _FrozenFeedForward(torch.autograd.Function):
    """c_proj(QuickGELU(c_fc(x))) of frozen weights in three kernels: products scale their result without one."""

    @staticmethod
    def forward(ctx, x: Tensor, w_in: Tensor, b_in: Tensor, w_out: Tensor, b_out: Tensor) -> Tensor:
        """x (M, d), w_in (4 d, d), b_in (4 d) times `QUICK`, w_out (d, 4 d), b_out (d) -> (M, d)."""
        hidden = torch.addmm(b_in, x, w_in.t(), alpha=QUICK)  # (M, 4 d)
        ctx.save_for_backward(hidden, w_in, w_out)
        return torch.addmm(b_out, F.silu(hidden), w_out.t(), alpha=1 / QUICK)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        hidden, w_in, w_out = ctx.saved_tensors
        of_hidden = torch.ops.aten.silu_backward(gradient @ w_out, hidden)  # as in `_QuickGELU`
        return of_hidden @ w_in, None, None, None, None


def feed_forward(mlp: nn.Module, x: Tensor, added: Tensor) -> Tensor:
    """added + c_proj(gelu(c_fc(x))), (B, L, d) -> (B, L, d)."""
    if not (parts.launches_decide(x.device) and _is_frozen_and_quick(mlp)) or torch.jit.is_tracing():
        return mlp.c_proj(mlp.gelu(mlp.c_fc(x)), added=added)
    dtype = autocast_dtype(x.device) or x.dtype
    tokens = x.flatten(0, -2).to(dtype)  # (M, d)
    w_in, b_in = cast(mlp.c_fc.weight, dtype), cast(mlp.c_fc.bias, dtype, QUICK)
    w_out, b_out = cast(mlp.c_proj.weight, dtype), cast(mlp.c_proj.bias, dtype)
    return added + _FrozenFeedForward.apply(tokens, w_in, b_in, w_out, b_out).view(x.shape)


def _is_frozen_and_quick(mlp: nn.Module) -> bool:
    return isinstance(mlp.gelu, QuickGELU) and not any(parameter.requires_grad for parameter in mlp.parameters())


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
        """(B, L, d) -> (B, wanted, d): the first ``wanted`` positions, by default all."""
        query, key_value = self.query_key_value(x, layer, wanted)
        return self.residual(x[:, :wanted], self.attend(query, key_value), layer)

    def query_key_value(self, x: Tensor, layer: Layer = UNCHANGED, wanted: int | None = None) -> tuple[Tensor, Tensor]:
        """(B, L, d) -> queries (B, wanted, d) of the first positions; keys and values, side by side, (B, L, 2 d)."""
        normed = self.ln_1(x)
        weight, bias, width = self.attn.in_proj_weight, self.attn.in_proj_bias, x.shape[-1]
        if parts.launches_decide(x.device):
            all_three = linear(normed, weight, bias)  # (B, L, 3 d)
            if layer.qkv is not None:
                all_three = all_three + layer.qkv(normed).to(all_three.dtype)
            query, key_value = all_three.split([width, 2 * width], dim=-1)
            return query[:, :wanted], key_value
        query = linear(normed[:, :wanted], weight[:width], bias[:width])
        key_value = linear(normed, weight[width:], bias[width:])
        if layer.qkv is not None:
            added = layer.qkv(normed).to(query.dtype)
            query, key_value = query + added[:, :wanted, :width], key_value + added[..., width:]
        return query, key_value

    def attend(self, query: Tensor, key_value: Tensor, mask: Tensor | None = None) -> Tensor:
        """The concatenated heads (B, wanted, d) of queries (B, wanted, d) over keys and values (B, L, 2 d).

        Args:
            mask: (B, 1, wanted, L), added to the scores; by default each token sees what the encoder's mask shows.
        """
        heads = (split_heads(part, self.attn.num_heads) for part in (query, *key_value.chunk(2, dim=-1)))
        causal = self.causal and mask is None
        attended = F.scaled_dot_product_attention(*heads, attn_mask=mask, is_causal=causal)  # (B, h, wanted, d/h)
        return attended.transpose(1, 2).flatten(2)

    def residual(self, x: Tensor, attended: Tensor, layer: Layer = UNCHANGED) -> Tensor:
        """Both residual branches, given the concatenated heads ``attended``, of x's own shape (B, L, d)."""
        beside = None if layer.block is None else layer.block(self.ln_1(x))
        x = linear(attended, self.attn.out_proj.weight, self.attn.out_proj.bias, added=x)
        normed = self.ln_2(x)
        x = feed_forward(self.mlp, normed, added=x)
        x = x if layer.mlp is None else x + layer.mlp(normed).to(x.dtype)
        return x if beside is None else x + beside.to(x.dtype)


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
