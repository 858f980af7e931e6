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
        block: normalised input of the attention (..., d) -> (..., d), added to the output of the layer.
    """

    qkv: Callable[[Tensor], Tensor] | None = None
    mlp: Callable[[Tensor], Tensor] | None = None
    block: Callable[[Tensor], Tensor] | None = None

    @property
    def functions(self) -> list[Callable[[Tensor], Tensor]]:
        """Those that there are."""
        return [function for function in (self.qkv, self.mlp, self.block) if function is not None]


UNCHANGED = Layer()


@dataclass(frozen=True)
class Inserted:
    """n tokens behind the first one (SOS, or the class token) from some layer on, without a positional embedding.

    Attributes:
        tokens: entry i, (n, d) or None, belongs to layer i + 1. The first that is not None is inserted before its
            layer; later ones stand in the same places. None: the tokens go on as the layer below made them.
        kept: share of the output of the layer below where a later entry takes its place.

    Raises:
        ValueError: the entries differ in shape, or all of them are None.
    """

    tokens: Sequence[Tensor | None]
    kept: float = 0.0

    def __post_init__(self):
        shapes = {tuple(entry.shape) for entry in self.tokens if entry is not None}
        if len(shapes) != 1 or len(next(iter(shapes))) != 2:
            raise ValueError(
                f"inserted tokens have the shapes {sorted(shapes)}: give (n, d) to all layers that have any"
            )

    @property
    def first(self) -> int:
        """Index of the first layer with the tokens, from 0."""
        return next(i for i, entry in enumerate(self.tokens) if entry is not None)

    @property
    def count(self) -> int:
        """n."""
        return len(self.tokens[self.first])

    def check(self, layers: int) -> None:
        """Raise a ValueError where an encoder of so many layers has no place for the tokens."""
        if self.first >= layers:
            raise ValueError(f"tokens are inserted before layer {self.first + 1} of an encoder of {layers} layers")

    def before(self, i: int, x: Tensor) -> Tensor:
        """Input of layer i + 1: x (B, L, d) with its tokens, (B, L + n, d) where they are inserted."""
        fresh = at_layer(self.tokens, i)
        if fresh is None:
            return x
        fresh = fresh.expand(x.shape[0], -1, -1).to(x.dtype)  # in this order gradients of all rows add up in float32
        if i == self.first:
            return torch.cat([x[:, :1], fresh, x[:, 1:]], dim=1)
        if self.kept:
            fresh = (1 - self.kept) * fresh + self.kept * x[:, 1 : 1 + self.count]
        return torch.cat([x[:, :1], fresh, x[:, 1 + self.count :]], dim=1)


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
        text_inserted: tokens (n, d_t) behind SOS in upper layers, in prompts without context vectors.
        visual_inserted: tokens (n, d_v) behind the class token in upper layers.
    """

    text: Tensor | None = None
    text_deep: Tensor | Sequence[Tensor | None] | None = None
    visual: Tensor | None = None
    visual_deep: Tensor | Sequence[Tensor | None] | None = None
    text_layers: Sequence[Layer] = ()
    visual_layers: Sequence[Layer] = ()
    text_inserted: Inserted | None = None
    visual_inserted: Inserted | None = None

    @property
    def changes_text(self) -> bool:
        """Whether the text encoder's features differ from frozen CLIP's."""
        given = (self.text, self.text_deep, self.text_inserted)
        return any(part is not None for part in given) or bool(self.text_layers)

    @property
    def changes_images(self) -> bool:
        """Whether the image encoder's features differ from frozen CLIP's."""
        given = (self.visual, self.visual_deep, self.visual_inserted)
        return any(part is not None for part in given) or bool(self.visual_layers)


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
