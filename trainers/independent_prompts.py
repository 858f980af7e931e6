"""Deep prompts of their own for either encoder, which do not know of each other."""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

import clip
from clip.class_text import ClassText
from clip.model import CLIP
from clip.prompts import Prompts
from support.user_error import CheckpointError
from trainers.class_prompts import at_least_one, class_text, context_from_words, context_words, random_context
from trainers.clip_trainer import require_vit

WORDS_UP_TO = 4  # longest context that words initialise in the released codes
# Where released whole-model checkpoints keep prompts: the first layer's, then each deeper layer's in its block.
_RELEASED = re.compile(r"(?:(image)|text)_encoder\.(?:VPT|transformer\.resblocks\.(\d+)\.VPT_shallow)")


class IndependentPrompts(nn.Module):
    """Learned: ``ctx`` (n, d_t), ``deep_ctx`` (L, n, d_t), ``visual_ctx`` (m, d_v), ``visual_deep_ctx`` (M, m, d_v).

    Args:
        method: its name, for messages.
        class_text: the class names' layout, with room for ``ctx``.
        ctx: initial shallow text prompts; None where the text has none, and then no deep ones.
        depth: text layers with prompts of their own, the first included.
        visual_length, visual_depth: m and the vision layers with prompts of their own; 0 where there are none.

    Raises:
        UserError: visual prompts for a ResNet.
    """

    def __init__(
        self,
        method: str,
        clip_model: CLIP,
        class_text: ClassText,
        ctx: nn.Parameter | None,
        depth: int,
        visual_length: int,
        visual_depth: int,
    ):
        super().__init__()
        self.class_text = class_text
        self.ctx, self.deep_ctx = ctx, None if ctx is None else random_context(depth - 1, *ctx.shape)
        self.visual_ctx = self.visual_deep_ctx = None
        if visual_depth > 0:
            width = require_vit(clip_model, method).ln_pre.weight.shape[0]
            self.visual_ctx = random_context(visual_length, width)
            self.visual_deep_ctx = random_context(visual_depth - 1, visual_length, width)

    def forward(self) -> Prompts:
        return Prompts(self.ctx, self.deep_ctx, self.visual_ctx, self.visual_deep_ctx)

    def convert_state_dict(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a released checkpoint under this learner's names; others keep theirs.

        Raises:
            UserError: its layers have prompts of different lengths.
        """
        named, layers = {}, {"deep_ctx": {}, "visual_deep_ctx": {}}
        for name, tensor in tensors.items():
            found = _RELEASED.fullmatch(name)
            if found is None:
                named[name] = tensor
            elif found[2] is None:
                named["visual_ctx"] = tensor
            else:
                layers["visual_deep_ctx" if found[1] else "deep_ctx"][int(found[2])] = tensor
        for name, deep in layers.items():
            if len({tensor.shape for tensor in deep.values()}) > 1:
                raise CheckpointError(
                    f"the prompts of {name} differ in length from layer to layer: it belongs to another method"
                )
            if deep:
                named[name] = torch.stack([deep[layer] for layer in sorted(deep)])
            elif getattr(self, name) is not None and name not in named and not len(getattr(self, name)):
                named[name] = getattr(self, name).detach()  # no deep layers: nothing to load
        return named


def prompt_depth(depth: int, layers: int, key: str) -> int:
    """``depth``, clamped to the ``layers`` there are with a printed notice.

    Raises:
        UserError: it is below 1; ``key`` names the configuration key.
    """
    at_least_one(depth, key)
    if depth > layers:
        print(f"{key} {depth} is more than the {layers} layers there are: using {layers}")
    return min(depth, layers)


def two_encoder_prompts(method: str, key: str, node, class_names: list[str], clip_model: CLIP) -> IndependentPrompts:
    """Prompts in both encoders; words of CTX_INIT beyond N_CTX_TEXT tokens stay in the prompt.

    Args:
        method, key: names of the method and of its configuration node, for messages.
        node: N_CTX_TEXT, N_CTX_VISION, CTX_INIT, PROMPT_DEPTH_TEXT and PROMPT_DEPTH_VISION (0: text alone).

    Raises:
        UserError: an option is out of its range, or visual prompts are asked of a ResNet.
    """
    n_text = at_least_one(node.N_CTX_TEXT, f"{key}.N_CTX_TEXT")
    depth = prompt_depth(node.PROMPT_DEPTH_TEXT, clip_model.transformer.layers, f"{key}.PROMPT_DEPTH_TEXT")
    n_visual = visual_depth = 0
    if node.PROMPT_DEPTH_VISION != 0:
        layers = require_vit(clip_model, method).transformer.layers
        n_visual = at_least_one(node.N_CTX_VISION, f"{key}.N_CTX_VISION")
        visual_depth = prompt_depth(node.PROMPT_DEPTH_VISION, layers, f"{key}.PROMPT_DEPTH_VISION")
    ctx, text = worded_context(node, n_text, class_names, clip_model)
    return IndependentPrompts(method, clip_model, text, ctx, depth, n_visual, visual_depth)


def worded_context(node, n_ctx: int, class_names: list[str], clip_model: CLIP) -> tuple[nn.Parameter, ClassText]:
    """Context (n, d_t) and layout from the words of CTX_INIT: their first n tokens are learned, the others stay.

    Longer contexts than `WORDS_UP_TO` are random, whatever the words, as in the released codes.
    """
    words = context_words(node) if n_ctx <= WORDS_UP_TO else ""
    if words:
        ctx = context_from_words(words, n_ctx, clip_model)
        missing = n_ctx - int(clip.tokenize(words)[0].argmax()) + 1  # places for the vectors that have no token
        return ctx, class_text(class_names, words + " X" * missing, n_ctx)
    return random_context(n_ctx, clip_model.ln_final.weight.shape[0]), class_text(class_names, n_ctx=n_ctx)
