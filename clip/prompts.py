"""What every prompt-tuning method hands to the encoders: learned vectors and where they go."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Prompts:
    """Prompt vectors for one forward pass; any part may be absent.

    Notation: n prompts per layer, L deep layers, C classes, B images, widths d_t (text) and d_v (vision).

    Attributes:
        text: context vectors at the input of the text encoder. Shape ``(n, d_t)`` shared by all classes,
            ``(C, n, d_t)`` one context per class, or ``(B, 1, n, d_t)`` one context per image.
        text_deep: ``(L, n, d_t)``; entry i replaces the n context positions before text layer i + 2.
        visual: ``(n, d_v)``, appended to the class and patch tokens before ``ln_pre``.
        visual_deep: ``(L, n, d_v)``; entry i replaces the last n positions before vision layer i + 2.
    """

    text: Tensor | None = None
    text_deep: Tensor | None = None
    visual: Tensor | None = None
    visual_deep: Tensor | None = None
