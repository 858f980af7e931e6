"""How the four trainers that MuDPT's authors released fuse prompts, none of them as the paper describes it.

github.com/Mechrev0/MuDPT (MIT). Of text prompts T_0..T_L and visual prompts V_0..V_L, where index 0 is the shallow one:

    trainer    to the text encoder        to the image encoder
    mudpt      T_0, T_i + linear(V_i)     V_0 + linear_0(T_0), V_i + linear(T_i)
    umudpt     T_0, T_i                   block(T_0), block(T_i); it has no V
    uumudpt    T_0, T_i + block(V_i)      V_0 + block(T_0), V_i + block(T_i)
    mpt        T_0, T_i                   V_0, V_i

The deep layers share one linear map, or one block, per direction. It differs here that linear maps from V to T end in
the text encoder's width; there they end in CLIP's embedding width, which equals it on ViT-B/16.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from clip.layers import LayerNorm, ResidualAttentionBlock
from clip.prompts import Prompts

RELEASES = ("mudpt", "umudpt", "uumudpt", "mpt")
FOLDERS = ("MultimodalDeepPromptTuning", "UnifiedMultimodalDeepPromptTuning", "MultiModalPromptLearner")
HEAD_WIDTH = 64

# Beginning of a released name, without "<trainer>_prompt_learner." -> ours.
_LINEAR = {
    "deep_prompts": "deep_ctx",
    "embed_projection": "fusion.shallow_t2v",
    "deep_projections": "fusion.t2v",
    "image_encoder.visual_ctx_deep_prompts": "visual_deep_ctx",
    "image_encoder.visual_ctx_deep_projections": "fusion.v2t",
    "image_encoder.visual_ctx": "visual_ctx",
}
_TEXT_BLOCK = {
    "deep_prompts": "deep_ctx",
    "ln_pre": "fusion.t2v.ln_pre",
    "self_attn": "fusion.t2v.block",
    "ln_post": "fusion.t2v.ln_post",
    "visual_proj": "fusion.t2v.proj",
}
_VISUAL_BLOCK = {
    "image_encoder.visual_ctx_deep_prompts": "visual_deep_ctx",
    "image_encoder.visual_ctx_ln_intra_pre": "fusion.v2t.ln_pre",
    "image_encoder.visual_ctx_self_attn": "fusion.v2t.block",
    "image_encoder.visual_ctx_ln_intra_post": "fusion.v2t.ln_post",
    "image_encoder.visual_ctx_text_proj": "fusion.v2t.proj",
    "image_encoder.visual_ctx": "visual_ctx",
}
_NAMES = {
    "mudpt": _LINEAR,
    "umudpt": _TEXT_BLOCK,
    "uumudpt": _TEXT_BLOCK | _VISUAL_BLOCK,
    # One layer's prompts stand in its block, under names that `DeepPrompts` knows by the ending VPT_shallow.
    "mpt": {"visual_ctx": "ctx", "image_encoder.visual_ctx": "image_encoder.VPT"},
}
_IN_BLOCK = re.compile(r"((?:image|text)_encoder\.transformer\.resblocks\.\d+)\.visual_ctx")


class Block(nn.Module):
    """LayerNorm, a pre-norm transformer layer over the n prompts of each layer, LayerNorm, a linear map."""

    def __init__(self, d_src: int, d_dst: int):
        super().__init__()
        self.ln_pre = LayerNorm(d_src)
        self.block = ResidualAttentionBlock(d_src, max(1, d_src // HEAD_WIDTH))
        self.ln_post = LayerNorm(d_src)
        self.proj = nn.Linear(d_src, d_dst)

    def forward(self, source: Tensor) -> Tensor:
        """(L, n, d_src) -> (L, n, d_dst)."""
        return self.proj(self.ln_post(self.block.encode(self.ln_pre(source))))


class ReleasedFusion(nn.Module):
    """The fusion of "mudpt", "umudpt" or "uumudpt"."""

    def __init__(self, release: str, d_t: int, d_v: int):
        super().__init__()
        kind = nn.Linear if release == "mudpt" else Block
        self.shallow_t2v = nn.Linear(d_t, d_v) if release == "mudpt" else None
        self.t2v = kind(d_t, d_v)
        self.v2t = None if release == "umudpt" else kind(d_v, d_t)

    def forward(self, own: Prompts) -> Prompts:
        """The learned prompts -> those that the encoders get."""
        if self.shallow_t2v is None:
            visual = self.t2v(torch.cat([own.text[None], own.text_deep]))  # (1 + L, n, d_v)
            visual, visual_deep = visual[0], visual[1:]
        else:
            visual, visual_deep = self.shallow_t2v(own.text), self.t2v(own.text_deep)
        if self.v2t is None:
            return Prompts(own.text, own.text_deep, visual, visual_deep)
        text_deep = own.text_deep + self.v2t(own.visual_deep)
        return Prompts(own.text, text_deep, own.visual + visual, own.visual_deep + visual_deep)


def release_of(tensors: dict[str, Tensor]) -> str:
    """Which of the released trainers wrote a checkpoint's tensors; "": none of them."""
    if "image_encoder.visual_ctx_text_proj.weight" in tensors:
        return "uumudpt"
    if "visual_proj.weight" in tensors:
        return "umudpt"
    if "embed_projection.weight" in tensors:
        return "mudpt"
    return "mpt" if "image_encoder.visual_ctx" in tensors else ""


def convert_names(tensors: dict[str, Tensor], release: str) -> dict[str, Tensor]:
    """The tensors that the trainer ``release`` wrote, under our names; others keep theirs."""
    return {_our_name(name, _NAMES[release]): tensor for name, tensor in tensors.items()}


def _our_name(name: str, ours: dict[str, str]) -> str:
    if found := _IN_BLOCK.fullmatch(name):
        return f"{found[1]}.VPT_shallow"
    for theirs, own in ours.items():
        if name == theirs or name.startswith(f"{theirs}."):
            return own + name.removeprefix(theirs)
    return name
