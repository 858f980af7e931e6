"""The exact text encoder for many class names: every shared prefix is encoded once, nothing past an EOT at all.

With a causal mask no token can change what stands before it. So the positions that all classes have in common,
[SOS, context] or the words of a hand-written template, are one sequence of p tokens whose keys and values all
classes read; and of each class only its own tokens up to EOT are computed, packed without padding for every linear
layer and padded only inside attention. Features and gradients equal those of C padded sequences to rounding.

Notation used for shapes:
    C classes, P prefixes (1, or one per image), p prefix tokens, S own tokens of all classes together,
    m most own tokens of a class, n context vectors, d width, h heads, e width of the joint embedding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clip.prompts import UNCHANGED, Prompts, at_layer
from user_error import UserError

if TYPE_CHECKING:
    from clip.model import CLIP

POSITIONS = ("end", "middle", "front")


class ClassText(nn.Module):
    """Where each token of each class's prompt comes from, prepared once per list of classes.

    Args:
        tokens: (C, context_length) token ids as `clip.tokenize` gives them. Where context vectors are used, positions
            1..n_ctx hold placeholders: [SOS, n_ctx placeholders, class name, ".", EOT, padding].
        n_ctx: number of context vectors.
        position: where the class name stands relative to the context (CoOp's CLASS_TOKEN_POSITION):
            "end", "middle" (context halves around it) or "front".
        name_lengths: tokens of each class name; needed for "middle" and "front".
        class_specific: whether each class has its own context, at the input or in a deeper layer, which then cannot be
            part of the shared prefix.

    Raises:
        ValueError: unknown ``position``.
    """

    def __init__(
        self,
        tokens: Tensor,
        n_ctx: int = 0,
        position: str = "end",
        name_lengths: list[int] | None = None,
        class_specific: bool = False,
    ):
        super().__init__()
        if position not in POSITIONS:
            raise ValueError(f"class token position must be one of {', '.join(POSITIONS)}, not {position!r}")
        tokens = tokens.cpu().long()
        before = {"end": n_ctx, "middle": n_ctx // 2, "front": 0}[position]  # context vectors before the name
        last = tokens.argmax(dim=-1)  # EOT is the largest id
        arrangements = []  # per class, its positions in reading order, as indices into its row of ``tokens``
        for i in range(len(tokens)):
            name_end = 1 + n_ctx + (name_lengths[i] if position != "end" else 0)
            order = [*range(1 + before), *range(1 + n_ctx, name_end)]
            arrangements.append([*order, *range(1 + before, 1 + n_ctx), *range(name_end, int(last[i]) + 1)])

        # A token is told by its id; a context vector by its slot 0..n-1, written as -1 - slot.
        written = [
            [-source if 1 <= source <= n_ctx else int(row[source]) for source in order]
            for row, order in zip(tokens, arrangements, strict=True)
        ]
        p = _common_prefix(written, shared=lambda entry: entry >= 0 or not class_specific)
        lengths = torch.tensor([len(row) - p for row in written])
        own = torch.tensor([entry for row in written for entry in row[p:]])  # (S,)
        class_of = torch.repeat_interleave(torch.arange(len(written)), lengths)  # (S,)
        end = lengths.cumsum(0)
        place = torch.arange(len(own)) - (end - lengths)[class_of]  # (S,), a token's place among its class's own

        self.n_ctx = n_ctx
        self.class_specific = class_specific
        self.n_classes = len(written)
        self.prefix_length = p
        self.longest = int(lengths.max())
        self.context_in_prefix = bool((own >= 0).all())  # all of it, where there is any
        buffers = {
            "prefix": torch.tensor(written[0][:p]),
            "own": own,
            "class_of": class_of,
            "position_of": place + p,
            "padded": class_of * self.longest + place,  # (S,), a token's index in the padded (C * m) layout
            "eot": end - 1,  # (C,), index of each class's EOT among the own tokens
        }
        for name, value in buffers.items():
            self.register_buffer(name, value, persistent=False)


def _common_prefix(rows: list[list[int]], shared) -> int:
    """Number of leading entries all rows agree on, leaving every row at least one entry of its own."""
    limit = min(len(row) for row in rows) - 1
    for i in range(limit):
        if not shared(rows[0][i]) or any(row[i] != rows[0][i] for row in rows):
            return i
    return limit


def encode_class_text(clip: CLIP, text: ClassText, prompts: Prompts) -> Tensor:
    """Text features of all classes, (C, e), or (B, C, e) where ``prompts.text`` differs per image; not normalised.

    Raises:
        ValueError: ``prompts`` does not fit the layout of ``text``.
        UserError: a text is longer than the context of ``clip``.
    """
    dtype = clip.dtype
    length, room = text.prefix_length + text.longest, len(clip.positional_embedding)
    if length > room:
        raise UserError(
            f"a prompt has {length} tokens, start and end included, but the backbone's context length is {room}: "
            "shorten the context, the template or the class names, or choose another MODEL.BACKBONE.NAME or PATH"
        )
    context = _check(text, prompts)
    if context is not None:
        context = context.to(dtype)
    positions = clip.positional_embedding.to(dtype)
    prefix = _embed(clip, text.prefix, context, None) + positions[: text.prefix_length]  # (P, p, d)
    own = _embed(clip, text.own, context, text.class_of) + positions[text.position_of]  # (P, S, d)

    blocks = clip.transformer.resblocks
    for i, block in enumerate(blocks):
        is_last = i == len(blocks) - 1
        layer = at_layer(prompts.text_layers, i, UNCHANGED)
        fresh = at_layer(prompts.text_deep, i - 1)
        if fresh is not None:  # (n, d) or (C or 1, n, d)
            prefix = _replace_context(prefix, text.prefix, fresh.to(dtype), None)
            if not text.context_in_prefix:
                own = _replace_context(own, text.own, fresh.to(dtype), text.class_of)
        query, key, value = block.query_key_value(prefix, layer)  # each (P, h, p, d/h)
        attended = _attend(text, block.query_key_value(own, layer), key, value)  # (P, S, d)
        if is_last:  # from here on only the features' own tokens matter
            own, attended = own[:, text.eot], attended[:, text.eot]  # (P, C, d)
        else:
            within = F.scaled_dot_product_attention(query, key, value, is_causal=True)
            prefix = block.residual(prefix, within.transpose(1, 2).flatten(2), layer)
        own = block.residual(own, attended, layer)

    features = clip.ln_final(own) @ clip.text_projection  # (P, C, e)
    return features if context is not None and prompts.text.dim() == 4 else features[0]


def _check(text: ClassText, prompts: Prompts) -> Tensor | None:
    """Context as (P, C or 1, n, d), after comparing it and the deep prompts with the layout of the tokens."""
    context = prompts.text
    given = 0 if context is None else context.shape[-2]
    if given != text.n_ctx:
        raise ValueError(f"{given} context vectors were given for prompts with room for {text.n_ctx}")
    if context is not None:
        context = context.reshape(-1, *context.shape[-3:]) if context.dim() > 2 else context[None, None]
        if context.shape[1] not in (1, text.n_classes):
            raise ValueError(f"{context.shape[1]} contexts were given for {text.n_classes} classes")
        if context.shape[1] > 1 and not text.class_specific:
            raise ValueError("a context per class needs ClassText(class_specific=True)")
    for fresh in prompts.text_deep if prompts.text_deep is not None else ():
        if fresh is None:
            continue
        if fresh.shape[-2] != text.n_ctx:
            raise ValueError(f"{fresh.shape[-2]} deep prompts were given for a context of {text.n_ctx} vectors")
        if fresh.dim() > 2 and fresh.shape[0] not in (1, text.n_classes):
            raise ValueError(f"deep prompts of {fresh.shape[0]} classes were given for {text.n_classes} classes")
        if fresh.dim() > 2 and fresh.shape[0] > 1 and not text.class_specific:
            raise ValueError("deep prompts per class need ClassText(class_specific=True)")
    return context


def _embed(clip: CLIP, entries: Tensor, context: Tensor | None, class_of: Tensor | None) -> Tensor:
    """Embeddings (P, k, d) of k entries, each a token id or -1 - slot of a context vector."""
    embedded = clip.token_embedding(entries.clamp(min=0)).to(clip.dtype)[None]  # (1, k, d)
    if context is None:
        return embedded
    return torch.where(entries[:, None] >= 0, embedded, _slots(entries, context, class_of))


def _replace_context(x: Tensor, entries: Tensor, fresh: Tensor, class_of: Tensor | None) -> Tensor:
    """x (P, k, d) with the vectors of ``fresh`` where its k entries are slots of the context."""
    return torch.where(entries[:, None] < 0, _slots(entries, fresh, class_of), x)


def _slots(entries: Tensor, context: Tensor, class_of: Tensor | None) -> Tensor:
    """The context vectors (..., k, d) that k entries -1 - slot stand for, of a context (..., C or 1, n, d) or (n, d).

    What is given for entries that are token ids is not to be used.
    """
    context = context if context.dim() > 2 else context[None]
    slots = (-1 - entries).clamp(min=0)
    per_class = context.shape[-3] > 1 and class_of is not None
    return context[..., class_of, slots, :] if per_class else context[..., 0, slots, :]


def _attend(text: ClassText, own: tuple[Tensor, Tensor, Tensor], prefix_key: Tensor, prefix_value: Tensor) -> Tensor:
    """Attention of every class's own tokens to the shared prefix and to what stands before them in their class.

    Args:
        own: query, key and value of the packed own tokens, each (P, h, S, d/h).
        prefix_key, prefix_value: (P, h, p, d/h), read in place by all classes.

    Returns:
        (P, S, d), heads concatenated.
    """
    classes, longest = text.n_classes, text.longest

    def pad(packed: Tensor) -> Tensor:
        padded = packed.new_zeros(*packed.shape[:2], classes * longest, packed.shape[-1])
        return padded.index_copy(2, text.padded, packed)  # (P, h, C m, d/h)

    query, key, value = (pad(x) for x in own)
    query = query * query.shape[-1] ** -0.5

    def by_class(padded: Tensor) -> Tensor:
        return padded.unflatten(2, (classes, longest))  # (P, h, C, m, d/h)

    to_prefix = query @ prefix_key.transpose(-1, -2)  # (P, h, C m, p)
    to_own = by_class(query) @ by_class(key).transpose(-1, -2)  # (P, h, C, m, m)
    # Padding stands after a class's tokens, so the causal mask hides it from all of them.
    causal = torch.ones(longest, longest, dtype=torch.bool, device=to_own.device).tril()
    to_own = to_own.masked_fill(~causal, float("-inf")).flatten(2, 3)  # (P, h, C m, m)
    weights = torch.cat([to_prefix, to_own], dim=-1).softmax(dim=-1, dtype=torch.float32).to(value.dtype)
    from_prefix, from_own = weights.split([prefix_key.shape[2], longest], dim=-1)
    attended = from_prefix @ prefix_value + (by_class(from_own) @ by_class(value)).flatten(2, 3)  # (P, h, C m, d/h)
    return attended[:, :, text.padded].transpose(1, 2).flatten(2)
