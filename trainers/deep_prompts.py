"""Learned prompts at the first and at deeper layers of either encoder."""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

import clip
from clip.class_text import ClassText
from clip.model import CLIP
from clip.prompts import Prompts
from support.user_error import CheckpointError, ConfigError
from trainers.class_prompts import class_text, context_from_words, context_words, random_context
from trainers.frozen_clip import require_vit
from trainers.method import PromptMethod, Task
from trainers.options import Options

WORDS_UP_TO = 4  # longest context that words initialise in the released codes
# Where released whole-model checkpoints keep prompts: the first layer's, then each deeper layer's in its block.
_RELEASED = re.compile(r"(?:(image)|text)_encoder\.(?:VPT|transformer\.resblocks\.(\d+)\.VPT_shallow)")


class DeepPrompts(PromptMethod):
    """Learned: ``ctx`` (n, d_t), ``deep_ctx`` (L, n, d_t), ``visual_ctx`` (m, d_v), ``visual_deep_ctx`` (M, m, d_v).

    Args:
        class_text: the class names' layout, with room for ``ctx``.
        ctx: initial shallow text prompts; None where the text has none, and then no deep ones.
        depth: text layers with prompts of their own, the first included.
        visual_length, visual_depth: m and the vision layers with prompts of their own; 0 where there are none.

    Raises:
        ConfigError: visual prompts for a ResNet.
    """

    def __init__(
        self,
        config: Options,
        task: Task,
        clip_model: CLIP,
        class_text: ClassText,
        ctx: nn.Parameter | None,
        depth: int,
        visual_length: int,
        visual_depth: int,
    ):
        super().__init__(config, task)
        self.class_text = class_text
        self.ctx, self.deep_ctx = ctx, None if ctx is None else random_context(depth - 1, *ctx.shape)
        self.visual_ctx = self.visual_deep_ctx = None
        if visual_depth > 0:
            width = require_vit(clip_model, config).ln_pre.weight.shape[0]
            self.visual_ctx = random_context(visual_length, width)
            self.visual_deep_ctx = random_context(visual_depth - 1, visual_length, width)

    def forward(self) -> Prompts:
        return Prompts(self.ctx, self.deep_ctx, self.visual_ctx, self.visual_deep_ctx)

    def convert_state_dict(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a released checkpoint under this method's names; others keep theirs.

        Raises:
            CheckpointError: its layers have prompts of different lengths.
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


class TwoEncoderPrompts(DeepPrompts):
    """Independent prompts in both encoders; words of CTX_INIT beyond N_CTX_TEXT tokens stay in the prompt.

    Args:
        config: N_CTX_TEXT, N_CTX_VISION, CTX_INIT, PROMPT_DEPTH_TEXT and PROMPT_DEPTH_VISION (0: text alone).

    Raises:
        ConfigError: visual prompts are asked for without a length, or of a ResNet.
    """

    def __init__(self, config: Options, task: Task, clip_model: CLIP):
        depth = prompt_depth(config, "PROMPT_DEPTH_TEXT", clip_model.transformer.layers)
        n_visual = visual_depth = 0
        if config.PROMPT_DEPTH_VISION != 0:
            layers = require_vit(clip_model, config).transformer.layers
            n_visual, visual_depth = config.N_CTX_VISION, prompt_depth(config, "PROMPT_DEPTH_VISION", layers)
            if n_visual < 1:
                raise ConfigError(f"{config.key('N_CTX_VISION')} is {n_visual}: it must be at least 1")
        ctx, text = worded_context(config, config.N_CTX_TEXT, task, clip_model)
        super().__init__(config, task, clip_model, text, ctx, depth, n_visual, visual_depth)


def prompt_depth(config: Options, name: str, layers: int) -> int:
    """The option ``name``, clamped to the ``layers`` there are with a printed notice."""
    depth = getattr(config, name)
    if depth > layers:
        print(f"{config.key(name)} {depth} is more than the {layers} layers there are: using {layers}")
    return min(depth, layers)


def worded_context(config: Options, n_ctx: int, task: Task, clip_model: CLIP) -> tuple[nn.Parameter, ClassText]:
    """Context (n, d_t) and layout from the words of CTX_INIT: their first n tokens are learned, the others stay.

    Longer contexts than `WORDS_UP_TO` are random, whatever the words, as in the released codes.
    """
    words = context_words(config) if n_ctx <= WORDS_UP_TO else ""
    if words:
        ctx = context_from_words(words, n_ctx, clip_model)
        missing = n_ctx - int(clip.tokenize(words)[0].argmax()) + 1  # places for the vectors that have no token
        return ctx, class_text(task.class_names, words + " X" * missing, n_ctx)
    return random_context(n_ctx, clip_model.ln_final.weight.shape[0]), class_text(task.class_names, n_ctx=n_ctx)
