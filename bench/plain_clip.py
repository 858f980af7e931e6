"""The reference side: prompted CLIP as the released codes compute it, every class padded to 77 tokens, every step.

Written straight from the method's equations over a state dict, with torch's own multi-head attention and an explicit
mask, so that it shares no code with `clip/`: the tests use it as their oracle, the benchmarks as what to beat.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]
HEAD_WIDTH = 64


def text_features(state: State, embedded: Tensor, eot: Tensor, deep: Tensor | None = None) -> Tensor:
    """Features of C padded prompts.

    Args:
        state: CLIP's tensors, all of one dtype.
        embedded: (C, 77, d_t) token embeddings, context vectors in their places.
        eot: (C,) positions of the end tokens.
        deep: (L, n, d_t); deep[i] overwrites positions 1..n before layer i + 2. Also a sequence whose entries are
            (n, d_t), (C, n, d_t) or None.

    Returns:
        (C, e), not normalised.
    """
    x = embedded + state["positional_embedding"]
    mask = torch.full((x.shape[1], x.shape[1]), float("-inf"), dtype=x.dtype, device=x.device).triu(1)

    def overwrite(x: Tensor, fresh: Tensor) -> Tensor:
        return torch.cat([x[:, :1], fresh.expand(len(x), -1, -1), x[:, 1 + fresh.shape[-2] :]], dim=1)

    x = _transformer(state, "transformer", x, mask, deep, overwrite)
    x = F.layer_norm(x, x.shape[-1:], state["ln_final.weight"], state["ln_final.bias"])
    return x[torch.arange(len(x), device=x.device), eot] @ state["text_projection"]


def image_features(state: State, images: Tensor, visual: Tensor | None = None, deep: Tensor | None = None) -> Tensor:
    """Features (B, e) of (B, 3, H, W) images, with (n, d_v) prompts and (L, n, d_v) deep prompts appended."""
    patch = state["visual.conv1.weight"].shape[-1]
    x = F.conv2d(images, state["visual.conv1.weight"], stride=patch).flatten(2).permute(0, 2, 1)
    x = torch.cat([state["visual.class_embedding"].expand(len(x), 1, -1), x], dim=1)
    x = x + state["visual.positional_embedding"]
    if visual is not None:
        x = torch.cat([x, visual.expand(len(x), -1, -1)], dim=1)
    x = F.layer_norm(x, x.shape[-1:], state["visual.ln_pre.weight"], state["visual.ln_pre.bias"])

    def overwrite(x: Tensor, fresh: Tensor) -> Tensor:
        return torch.cat([x[:, : x.shape[1] - len(fresh)], fresh.expand(len(x), -1, -1)], dim=1)

    x = _transformer(state, "visual.transformer", x, None, deep, overwrite)[:, 0]
    x = F.layer_norm(x, x.shape[-1:], state["visual.ln_post.weight"], state["visual.ln_post.bias"])
    return x @ state["visual.proj"]


def logits(state: State, image: Tensor, text: Tensor) -> Tensor:
    """exp(logit_scale) * cosine, (B, C)."""
    image = image / image.norm(dim=-1, keepdim=True)
    text = text / text.norm(dim=-1, keepdim=True)
    return state["logit_scale"].exp() * image @ text.t()


def _transformer(state: State, prefix: str, x: Tensor, mask: Tensor | None, deep: Tensor | None, overwrite) -> Tensor:
    width = x.shape[-1]
    x = x.transpose(0, 1)  # (tokens, rows, d), the order of torch's multi-head attention
    i = 0
    while f"{prefix}.resblocks.{i}.ln_1.weight" in state:
        if deep is not None and 1 <= i <= len(deep) and deep[i - 1] is not None:
            x = overwrite(x.transpose(0, 1), deep[i - 1]).transpose(0, 1)
        part = {key: state[f"{prefix}.resblocks.{i}.{key}"] for key in _BLOCK}
        y = F.layer_norm(x, (width,), part["ln_1.weight"], part["ln_1.bias"])
        y, _ = F.multi_head_attention_forward(
            y,
            y,
            y,
            width,
            max(1, width // HEAD_WIDTH),
            part["attn.in_proj_weight"],
            part["attn.in_proj_bias"],
            None,
            None,
            False,
            0.0,
            part["attn.out_proj.weight"],
            part["attn.out_proj.bias"],
            need_weights=False,
            attn_mask=mask,
        )
        x = x + y
        y = F.layer_norm(x, (width,), part["ln_2.weight"], part["ln_2.bias"])
        y = F.linear(y, part["mlp.c_fc.weight"], part["mlp.c_fc.bias"])
        x = x + F.linear(y * torch.sigmoid(1.702 * y), part["mlp.c_proj.weight"], part["mlp.c_proj.bias"])
        i += 1
    return x.transpose(0, 1)


_BLOCK = (
    "ln_1.weight",
    "ln_1.bias",
    "attn.in_proj_weight",
    "attn.in_proj_bias",
    "attn.out_proj.weight",
    "attn.out_proj.bias",
    "ln_2.weight",
    "ln_2.bias",
    "mlp.c_fc.weight",
    "mlp.c_fc.bias",
    "mlp.c_proj.weight",
    "mlp.c_proj.bias",
)
