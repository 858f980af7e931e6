"""Plain CLIP on one page: two transformers over a dictionary of tensors, prompts included, with no trick for speed.

    images (B, 3, H, W)                                  token ids (C, 77), embedded: (C, 77, d_t)
      | cut into patches, each projected to d_v            | + positional embedding
    [class] p1 ... pN [prompts]  (B, 1 + N + n, d_v)     [SOS] [context] name . [EOT] padding
      | image transformer                                  | text transformer, each token sees those before it
    the class token  (B, d_v)                            the token at EOT  (C, d_t)
      | @ visual.proj                                      | @ text_projection
    image features  (B, e)  ------- cosine * exp(logit_scale) -------  text features  (C, e)
                                            |
                                     logits  (B, C)

A prompt is a row of learned numbers where a token would be. Shallow prompts enter below the first layer; a deep prompt
replaces what the layer below made of its position; inserted tokens push those behind the first one away. An adapter
beside a layer reads what its attention reads and is added to what the layer gives.

This is what the released codes compute, every class padded to 77 tokens, at every step. It shares no code with the
rest of `clip/`, whose encoders (`clip.model`, `clip.class_text`) give the same numbers faster: the tests compare them
with this page, the benchmarks measure against it. ViTs only, with heads of `HEAD_WIDTH` channels and QuickGELU.

Notation used for shapes:
    B images, C classes, L tokens or deep layers, N patches, n prompts, h heads,
    d_v and d_t widths of the encoders, d either of them, e width of the joint embedding.

Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021; deep prompts: Jia
et al., "Visual Prompt Tuning", 2022.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]  # CLIP's tensors by OpenAI's names, all of one dtype
Deep = Tensor | Sequence[Tensor | None] | None  # entry i belongs to layer i + 2
Adapters = Sequence[Callable[[Tensor], Tensor] | None]  # entry i belongs to layer i + 1


class Inserted(NamedTuple):
    """n tokens behind the first one: tokens[i], (n, d) or None, belongs to layer i + 1; the first one pushes the others
    away, later ones stand in its place, with ``kept`` times what the layer below made of it."""

    tokens: Sequence[Tensor | None]
    kept: float = 0.0


HEAD_WIDTH = 64


def image_features(state: State, images: Tensor, *prompts, **more) -> Tensor:
    """Features (B, e) of images, not normalised; arguments as of `image_tokens`."""
    class_token = image_tokens(state, images, *prompts, **more)[:, 0]
    return layer_norm(state, "visual.ln_post", class_token) @ state["visual.proj"]


def image_tokens(
    state: State,
    images: Tensor,
    visual: Tensor | None = None,
    deep: Deep = None,
    inserted: Inserted | None = None,
    adapters: Adapters = (),
) -> Tensor:
    """What the image transformer makes of all tokens: the class token first, then inserted ones, patches, prompts.

    Args:
        state: CLIP's tensors.
        images: (B, 3, H, W), normalised, of the size that CLIP was trained with.
        visual: (n, d_v) prompts, appended behind the patches.
        deep: (L, n, d_v); deep[i] replaces the last n positions before layer i + 2. Also a sequence with None for
            layers that keep theirs.
        inserted: tokens (n, d_v) behind the class token.
        adapters: functions (..., d_v) -> (..., d_v) beside the layers.

    Returns:
        (B, L, d_v).
    """

    def replace(x: Tensor, prompts: Tensor) -> Tensor:
        return torch.cat([x[:, : x.shape[1] - len(prompts)], prompts.expand(len(x), -1, -1)], dim=1)

    patch_size = state["visual.conv1.weight"].shape[-1]
    patches = F.conv2d(images, state["visual.conv1.weight"], stride=patch_size)  # (B, d_v, H/patch, W/patch)
    patches = patches.flatten(2).transpose(1, 2)  # (B, N, d_v)
    class_token = state["visual.class_embedding"].expand(len(images), 1, -1)
    x = torch.cat([class_token, patches], dim=1) + state["visual.positional_embedding"]  # (B, 1 + N, d_v)
    if visual is not None:
        x = torch.cat([x, visual.expand(len(x), -1, -1)], dim=1)  # (B, 1 + N + n, d_v)
    x = layer_norm(state, "visual.ln_pre", x)
    return transformer(state, "visual.transformer", x, None, deep, replace, inserted, adapters)


def text_features(
    state: State,
    embedded: Tensor,
    eot: Tensor,
    deep: Deep = None,
    inserted: Inserted | None = None,
    adapters: Adapters = (),
) -> Tensor:
    """Features of padded prompts, not normalised.

    Args:
        state: CLIP's tensors.
        embedded: (C, 77, d_t) token embeddings, context vectors in their places.
        eot: (C,) positions of the end tokens.
        deep: (L, n, d_t); deep[i] replaces positions 1..n before layer i + 2. Also a sequence whose entries are
            (n, d_t), (C, n, d_t) or None.
        inserted: tokens (n, d_t) behind SOS.
        adapters: functions (..., d_t) -> (..., d_t) beside the layers.

    Returns:
        (C, e).
    """

    def replace(x: Tensor, prompts: Tensor) -> Tensor:
        return torch.cat([x[:, :1], prompts.expand(len(x), -1, -1), x[:, 1 + prompts.shape[-2] :]], dim=1)

    x = embedded + state["positional_embedding"]
    mask = torch.full((x.shape[1], x.shape[1]), float("-inf"), dtype=x.dtype, device=x.device).triu(1)
    x = transformer(state, "transformer", x, mask, deep, replace, inserted, adapters)
    x = layer_norm(state, "ln_final", x)
    eot = eot + x.shape[1] - embedded.shape[1]  # which inserted tokens have pushed away
    return x[torch.arange(len(x), device=x.device), eot] @ state["text_projection"]


def logits(state: State, image: Tensor, text: Tensor) -> Tensor:
    """exp(logit_scale) times the cosines of image features (B, e) and text features (C, e): (B, C)."""
    image = image / image.norm(dim=-1, keepdim=True)
    text = text / text.norm(dim=-1, keepdim=True)
    return state["logit_scale"].exp() * image @ text.t()


def transformer(
    state: State,
    prefix: str,
    x: Tensor,
    mask: Tensor | None,
    deep: Deep,
    replace: Callable[[Tensor, Tensor], Tensor],
    inserted: Inserted | None = None,
    adapters: Adapters = (),
) -> Tensor:
    """All layers below ``prefix``, (B, L, d) -> (B, L, d).

    Args:
        mask: (L, L), added to the attention's scores; None: every token sees all.
        deep: prompts of the layers above the first.
        replace: (tokens, prompts of a layer) -> the tokens with these prompts in their places.
        inserted: tokens behind the first one, after which a mask is as causal as before.
        adapters: functions beside the layers.
    """
    x = x.transpose(0, 1)  # (L, B, d), the order of torch's attention, in which the released codes stay, too
    i = n = 0
    while f"{prefix}.resblocks.{i}.ln_1.weight" in state:
        if deep is not None and 1 <= i <= len(deep) and deep[i - 1] is not None:
            x = replace(x.transpose(0, 1), deep[i - 1]).transpose(0, 1)
        if inserted is not None and i < len(inserted.tokens) and inserted.tokens[i] is not None:
            fresh = inserted.tokens[i][:, None].expand(-1, x.shape[1], -1)  # (n, B, d)
            if n > 0:
                fresh = (1 - inserted.kept) * fresh + inserted.kept * x[1 : 1 + n]
            elif mask is not None:
                length = len(x) + len(fresh)
                mask = torch.full((length, length), float("-inf"), dtype=x.dtype, device=x.device).triu(1)
            x = torch.cat([x[:1], fresh, x[1 + n :]])
            n = len(fresh)
        x = layer(state, f"{prefix}.resblocks.{i}", x, mask, adapters[i] if i < len(adapters) else None)
        i += 1
    return x.transpose(0, 1)


def layer(
    state: State, prefix: str, x: Tensor, mask: Tensor | None, adapter: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """One pre-norm layer, (L, B, d) -> (L, B, d): x + attention(ln_1(x)), then x + mlp(ln_2(x)).

    Args:
        adapter: its result for ln_1(x), the layer's input, is added in the end.
    """
    normed = layer_norm(state, f"{prefix}.ln_1", x)
    beside = None if adapter is None else adapter(normed)
    x = x + attention(state, f"{prefix}.attn", normed, mask)
    hidden = F.linear(
        layer_norm(state, f"{prefix}.ln_2", x), state[f"{prefix}.mlp.c_fc.weight"], state[f"{prefix}.mlp.c_fc.bias"]
    )  # (L, B, 4 d)
    hidden = hidden * torch.sigmoid(1.702 * hidden)  # QuickGELU
    x = x + F.linear(hidden, state[f"{prefix}.mlp.c_proj.weight"], state[f"{prefix}.mlp.c_proj.bias"])
    return x if beside is None else x + beside


def attention(state: State, prefix: str, x: Tensor, mask: Tensor | None) -> Tensor:
    """torch's own multi-head self-attention, (L, B, d) -> (L, B, d)."""
    attended, _ = F.multi_head_attention_forward(
        query=x,
        key=x,
        value=x,
        embed_dim_to_check=x.shape[-1],
        num_heads=max(1, x.shape[-1] // HEAD_WIDTH),
        in_proj_weight=state[f"{prefix}.in_proj_weight"],
        in_proj_bias=state[f"{prefix}.in_proj_bias"],
        bias_k=None,
        bias_v=None,
        add_zero_attn=False,
        dropout_p=0.0,
        out_proj_weight=state[f"{prefix}.out_proj.weight"],
        out_proj_bias=state[f"{prefix}.out_proj.bias"],
        need_weights=False,
        attn_mask=mask,
    )
    return attended


def layer_norm(state: State, prefix: str, x: Tensor) -> Tensor:
    """Layer normalisation of the last dimension."""
    return F.layer_norm(x, x.shape[-1:], state[f"{prefix}.weight"], state[f"{prefix}.bias"])
