"""What every method hands to the encoders: learned vectors and where they go, and what it adds inside a layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layer:
    """What a method adds to one transformer layer of width d, as functions of each token by itself.

    Tokens that several classes share are computed once, so a function must not look at other tokens. Its input has the
    dtype of the encoders, float16 for example; its result is cast to that.

    Attributes:
        qkv: normalised input of the attention (..., d) -> (..., 3 d), added to query, key and value.
        mlp: normalised input of the feed-forward part (..., d) -> (..., d), added to its output.
    """

    qkv: Callable[[Tensor], Tensor] | None = None
    mlp: Callable[[Tensor], Tensor] | None = None


UNCHANGED = Layer()


@dataclass(frozen=True)
class Prompts:
    """Prompt vectors for one forward pass; any part may be absent.

    Notation: n prompts per layer, L deep layers, C classes, B images, widths d_t (text) and d_v (vision).

    Attributes:
        text: context vectors at the input of the text encoder. Shape ``(n, d_t)`` shared by all classes,
            ``(C, n, d_t)`` one context per class, or ``(B, 1, n, d_t)`` one context per image.
        text_deep: ``(L, n, d_t)``; entry i replaces the n context positions before text layer i + 2. Also a sequence
            whose entries are ``(n, d_t)``, ``(C, n, d_t)`` where the layout is class-specific, or None: not replaced.
        visual: ``(n, d_v)``, appended to the class and patch tokens before ``ln_pre``.
        visual_deep: ``(L, n, d_v)``; entry i replaces the last n positions before vision layer i + 2. Also a sequence
            whose entries are ``(n, d_v)`` or None.
        text_layers, visual_layers: entry i belongs to layer i + 1; layers past the end are unchanged.
    """

    text: Tensor | None = None
    text_deep: Tensor | Sequence[Tensor | None] | None = None
    visual: Tensor | None = None
    visual_deep: Tensor | Sequence[Tensor | None] | None = None
    text_layers: Sequence[Layer] = ()
    visual_layers: Sequence[Layer] = ()

    @property
    def changes_text(self) -> bool:
        """Whether the text encoder's features differ from frozen CLIP's."""
        return self.text is not None or self.text_deep is not None or bool(self.text_layers)

    @property
    def changes_images(self) -> bool:
        """Whether the image encoder's features differ from frozen CLIP's."""
        return self.visual is not None or self.visual_deep is not None or bool(self.visual_layers)


def at_layer(entries: Sequence | Tensor | None, i: int, default=None):
    """``entries[i]``, or ``default`` where there is no such entry."""
    return entries[i] if entries is not None and 0 <= i < len(entries) else default


def deep_in(deep: Tensor | Sequence[Tensor | None] | None, dtype: torch.dtype, batch: int = 0) -> list[Tensor | None]:
    """Deep prompts as the encoders take them, one entry per layer: in ``dtype``, with ``batch`` also per image.

    Args:
        deep: (L, n, d), or a sequence of (n, d), (C, n, d) or None.

    Returns:
        Entries (n, d), (C, n, d), with ``batch`` (batch, n, d), or None. Gradients of the images add up in float32.
    """
    if deep is None or len(deep) == 0:
        return []
    if not isinstance(deep, Tensor):
        return [None if entry is None else deep_in(entry[None], dtype, batch)[0] for entry in deep]
    if batch:
        deep = deep[:, None].expand(-1, batch, *deep.shape[1:])
    return list(deep.to(dtype).unbind())
