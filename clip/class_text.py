"""The exact text encoder for many class names: every shared prefix is encoded once, nothing past an EOT at all.

With a causal mask no token can change what stands before it. So the positions that all classes have in common,
[SOS, context] or the words of a hand-written template, are one sequence of p tokens whose keys and values all
classes read; and of each class only its own tokens up to EOT are computed. Several classes stand side by side in a row
of T tokens, under a mask that shows each token the prefix and what stands before it in its own class: rows are dense,
so that every layer works on nearly no padding. Features and gradients equal those of C padded sequences to rounding.

Notation used for shapes:
    C classes, P prefixes (1, or one per image), p prefix tokens, R rows of T tokens with the classes' own tokens,
    n context vectors, d width, h heads, e width of the joint embedding.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import groupby
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from clip.casts import cast
from clip.layers import Transformer
from clip.parts import give_back_freed_memory, joined, tokens_at_once
from clip.prompts import UNCHANGED, Prompts, at_layer, deep_in
from support.user_error import ConfigError

POSITIONS = ("end", "middle", "front")
ALIGNMENT = 16  # entries of the mask's rows, which the attention of a GPU would otherwise copy in every layer
ROW_LENGTH = 32  # tokens, where no class has more of its own


class TextEncoder(Protocol):
    """What encoding a text needs of CLIP, by OpenAI's names."""

    token_embedding: nn.Embedding  # (vocabulary, d)
    positional_embedding: Tensor  # (context length, d)
    transformer: Transformer
    ln_final: nn.Module
    text_projection: Tensor  # (d, e)

    @property
    def dtype(self) -> torch.dtype: ...


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
        last = tokens.argmax(dim=-1).tolist()  # EOT is the largest id
        arrangements = []  # per class, its positions in reading order, as indices into its row of ``tokens``
        for i in range(len(tokens)):
            name_end = 1 + n_ctx + (name_lengths[i] if position != "end" else 0)
            order = [*range(1 + before), *range(1 + n_ctx, name_end)]
            arrangements.append([*order, *range(1 + before, 1 + n_ctx), *range(name_end, last[i] + 1)])

        # A token is told by its id; a context vector by its slot 0..n-1, written as -1 - slot.
        written = [
            [-source if 1 <= source <= n_ctx else row[source] for source in order]
            for row, order in zip(tokens.tolist(), arrangements, strict=True)
        ]
        p = _common_prefix(written, shared=lambda entry: entry >= 0 or not class_specific)
        lengths = [len(row) - p for row in written]
        rows, row_length = densest_rows(lengths)

        own = torch.zeros(len(rows), row_length, dtype=torch.long)
        class_of = torch.full((len(rows), row_length), -1)  # -1: padding
        position_of = torch.full((len(rows), row_length), p)
        eot = []
        for r, classes in enumerate(rows):
            start = 0
            for i in classes:
                end = start + lengths[i]
                own[r, start:end] = torch.tensor(written[i][p:])
                class_of[r, start:end] = i
                position_of[r, start:end] = torch.arange(p, p + lengths[i])
                eot.append(r * row_length + end - 1)
                start = end
        order = torch.tensor([i for classes in rows for i in classes])
        visible = (class_of[:, :, None] == class_of[:, None, :]) & (position_of[:, :, None] >= position_of[:, None, :])
        visible = F.pad(visible, (p, 0), value=True)  # (R, T, p + T)

        self.n_ctx = n_ctx
        self.class_specific = class_specific
        self.n_classes = len(written)
        self.prefix_length = p
        self.longest = max(lengths)
        self.classes_in_row = [len(classes) for classes in rows]
        self.context_in_prefix = bool((own >= 0).all())  # all of it, where there is any
        self.prefix_parts = _runs(written[0][:p])
        self._masks: dict[tuple, Tensor] = {}
        buffers = {
            "prefix": torch.tensor(written[0][:p]),
            "own": own,  # (R, T)
            "class_of": class_of,  # (R, T)
            "position_of": position_of,  # (R, T)
            "visible": visible,  # (R, T, p + T), which keys each token attends to
            "eot": torch.tensor(eot),  # (C,), index of each class's EOT in the (R * T) tokens, as the rows have them
            "place_of": order.argsort(),  # (C,), a class's place in the order of the rows
        }
        for name, value in buffers.items():
            self.register_buffer(name, value, persistent=False)

    def mask(self, dtype: torch.dtype, shared: int) -> Tensor:
        """(R, T, shared + T), added to the scores of the attention: 0 where a token sees a key, else -inf; made once.

        Args:
            shared: number of the tokens that all classes see: p, or more where some are inserted.
        """
        if torch.compiler.is_compiling():
            return self._new_mask(dtype, shared)
        key = (dtype, self.visible.device, shared)
        if key not in self._masks:
            self._masks[key] = self._new_mask(dtype, shared)
        return self._masks[key]

    def _new_mask(self, dtype: torch.dtype, shared: int) -> Tensor:
        visible = F.pad(self.visible, (shared - self.prefix_length, 0), value=True)
        rows, tokens, keys = visible.shape
        aligned = -(-keys // ALIGNMENT) * ALIGNMENT
        mask = visible.new_full((rows, tokens, aligned), float("-inf"), dtype=dtype)
        return mask[..., :keys].masked_fill_(visible, 0)


def _runs(entries: list[int]) -> list[tuple[slice, slice | None]]:
    """The positions of neighbouring tokens, or of neighbouring vectors of the context and then which these are."""
    runs = []
    for is_token, run in groupby(enumerate(entries), key=lambda item: item[1] >= 0):
        run = list(run)
        first, slot = run[0][0], -1 - run[0][1]
        runs.append((slice(first, first + len(run)), None if is_token else slice(slot, slot + len(run))))
    return runs


def _common_prefix(rows: list[list[int]], shared) -> int:
    """Number of leading entries all rows agree on, leaving every row at least one entry of its own."""
    limit = min(len(row) for row in rows) - 1
    for i in range(limit):
        if not shared(rows[0][i]) or any(row[i] != rows[0][i] for row in rows):
            return i
    return limit


def densest_rows(lengths: list[int]) -> tuple[list[list[int]], int]:
    """Classes with these numbers of tokens laid into rows of one length: the classes of each row, and that length.

    Of the lengths tried, from the shortest possible up, the one with the least padding; the first with nearly none.
    """
    shortest = max(max(lengths), min(ROW_LENGTH, sum(lengths)))
    best, room = None, 0
    for row_length in range(shortest, shortest + ROW_LENGTH):
        rows = _filled_rows(lengths, row_length)
        if best is None or len(rows) * row_length < len(best) * room:
            best, room = rows, row_length
        if len(best) * room <= 1.01 * sum(lengths):
            break
    return best, room


def _filled_rows(lengths: list[int], row_length: int) -> list[list[int]]:
    """Rows of ``row_length`` tokens, each filled with the longest classes that still fit."""
    waiting = defaultdict(list)
    for i in reversed(range(len(lengths))):
        waiting[lengths[i]].append(i)
    longest_first = sorted(waiting, reverse=True)
    rows = []
    for _ in lengths:
        row, left = [], row_length
        for length in longest_first:
            while length <= left and waiting[length]:
                row.append(waiting[length].pop())
                left -= length
        if not row:
            break
        rows.append(row)
    return rows


def encode_class_text(clip: TextEncoder, text: ClassText, prompts: Prompts, chunk_classes: int = 0) -> Tensor:
    """Text features of all classes, (C, e), or (B, C, e) where ``prompts.text`` differs per image; not normalised.

    Args:
        chunk_classes: where gradients are kept, encode about this many classes at a time and again in the backward
            pass, so that the memory for activations does not grow with C. 0: all at once, each of them once.

    Raises:
        ValueError: ``prompts`` does not fit the layout of ``text``.
        UserError: a text is longer than the context of ``clip``.
    """
    length, room = text.prefix_length + text.longest, len(clip.positional_embedding)
    if length > room:
        raise ConfigError(
            f"a prompt has {length} tokens, start and end included, but the backbone's context length is {room}: "
            "shorten the context, the template or the class names, or choose another MODEL.BACKBONE.NAME or PATH"
        )
    context = _check(text, prompts)
    if prompts.text_inserted is not None:
        prompts.text_inserted.check(len(clip.transformer.resblocks))
    if context is not None:
        context = context.to(clip.dtype)
    deep = [
        entry if entry is None or entry.dim() == 3 else entry[None]  # (C or 1, n, d)
        for entry in deep_in(prompts.text_deep, clip.dtype)
    ]
    prefix = _encode_prefix(clip, text, prompts, context, deep)
    rows, row_length = text.own.shape
    prefixes, dtype, device = prefix[0].shape[0], prefix[0].dtype, prefix[0].device
    at_once = tokens_at_once(clip.transformer.width, dtype, device) // (row_length * prefixes)
    if isinstance(prefixes, torch.SymInt):  # an export for any number of images
        at_once = rows
    encode = _encode_own
    if chunk_classes > 0 and torch.is_grad_enabled():
        at_once = min(at_once, chunk_classes * rows // text.n_classes)
        encode = _encode_own_twice
    starts = range(0, rows, max(1, at_once))
    parts = [encode(clip, text, prompts, context, deep, prefix, slice(i, i + starts.step)) for i in starts]
    features = joined(parts, dim=1).index_select(1, text.place_of)  # (P, C, e)
    return features if context is not None and prompts.text.dim() == 4 else features[0]


def _encode_prefix(
    clip: TextEncoder, text: ClassText, prompts: Prompts, context: Tensor | None, deep: list[Tensor | None]
) -> list[Tensor]:
    """Keys and values (P, p, 2 d) of the shared prefix in every layer, (P, p + n, 2 d) from inserted tokens on."""
    x = clip.token_embedding(text.prefix.clamp(min=0)).to(clip.dtype)[None]  # (1, p, d)
    if context is not None:
        x = _replace_in_prefix(x.expand(context.shape[0], -1, -1), text, context[:, 0])  # (P, p, d)
    x = x + cast(clip.positional_embedding, clip.dtype)[: text.prefix_length]
    keys_values = []
    for i, block in enumerate(clip.transformer.resblocks):
        fresh = at_layer(deep, i - 1)
        if fresh is not None:
            x = _replace_in_prefix(x, text, fresh)
        if prompts.text_inserted is not None:
            x = prompts.text_inserted.before(i, x)
        layer = at_layer(prompts.text_layers, i, UNCHANGED)
        query, key_value = block.query_key_value(x, layer)
        keys_values.append(key_value)
        if len(keys_values) < len(clip.transformer.resblocks):
            x = block.residual(x, block.attend(query, key_value), layer)
    return keys_values


def _replace_in_prefix(x: Tensor, text: ClassText, context: Tensor) -> Tensor:
    """x (P, p, d) with the vectors (P or 1, n, d) in the places of the context, where the prefix has any."""
    if all(slots is None for _, slots in text.prefix_parts):
        return x
    pieces = [x[:, place] if slots is None else context[:, slots] for place, slots in text.prefix_parts]
    return torch.cat([piece.expand(x.shape[0], -1, -1) for piece in pieces], dim=1)


def _encode_own(
    clip: TextEncoder,
    text: ClassText,
    prompts: Prompts,
    context: Tensor | None,
    deep: list[Tensor | None],
    prefix: list[Tensor],
    rows: slice,
) -> Tensor:
    """Features (P, classes in these rows, e), in the order of the rows, from the classes' own tokens.

    Args:
        prefix: keys and values of the prefix, see `_encode_prefix`.
    """
    x = clip.token_embedding(text.own[rows].clamp(min=0)).to(clip.dtype)[None]  # (1, R, T, d)
    if context is not None and not text.context_in_prefix:
        x = _replace_in_rows(x, text, context, rows)  # (P, R, T, d)
    x = x + cast(clip.positional_embedding, clip.dtype)[text.position_of[rows]]
    own_rows, prefixes = x.shape[1], prefix[0].shape[0]
    x = x.flatten(0, 1)  # (R, T, d), or (P R, T, d) where the context of each image is among these tokens

    def of_every_prefix(own: Tensor) -> Tensor:
        """What is still the same for all prefixes, (R, ...), as (P R, ...)."""
        return own if own.shape[0] == prefixes * own_rows else own.repeat(prefixes, *[1] * (own.dim() - 1))

    def mask_over(shared: Tensor) -> Tensor:
        """(P R, 1, T, p + T), for keys and values (P, p, 2 d) of the prefix, or more where tokens are inserted."""
        return text.mask(shared.dtype, shared.shape[1])[rows].repeat(prefixes, 1, 1)[:, None]

    mask = mask_over(prefix[0])
    blocks = clip.transformer.resblocks
    for i, block in enumerate(blocks):
        layer = at_layer(prompts.text_layers, i, UNCHANGED)
        fresh = at_layer(deep, i - 1)
        if fresh is not None and not text.context_in_prefix:
            x = _replace_in_rows(x.unflatten(0, (-1, own_rows)), text, fresh[None], rows).flatten(0, 1)
        query, own = (of_every_prefix(part) for part in block.query_key_value(x, layer))  # (P R, T, d or 2 d)
        shared = prefix[i][:, None].expand(-1, own_rows, -1, -1).flatten(0, 1)  # (P R, p, 2 d)
        if i > 0 and prefix[i].shape[1] > prefix[i - 1].shape[1]:
            mask = mask_over(prefix[i])
        attended = block.attend(query, torch.cat([shared, own], dim=1), mask)  # (P R, T, d)
        x = of_every_prefix(x)
        if i < len(blocks) - 1:
            x = block.residual(x, attended, layer)

    # The last layer's output is read at the EOTs alone.
    before, here = sum(text.classes_in_row[: rows.start]), sum(text.classes_in_row[rows])
    eot = text.eot[before : before + here] - rows.start * x.shape[1]

    def at_eot(tokens: Tensor) -> Tensor:
        """(P R, T, d) -> (P, classes in these rows, d)."""
        return tokens.unflatten(0, (prefixes, -1)).flatten(1, 2).index_select(1, eot)

    x = block.residual(at_eot(x), at_eot(attended), layer)
    return clip.ln_final(x.float()).to(x.dtype) @ cast(clip.text_projection, x.dtype)


def _encode_own_twice(*arguments) -> Tensor:
    """`_encode_own`, which keeps nothing for the backward pass but computes all again there."""
    features = checkpoint(_encode_own, *arguments, use_reentrant=False)
    if features.device.type == "cpu":
        give_back_freed_memory()
        if features.requires_grad:  # before the backward pass of these rows, after that of the next ones
            features.register_hook(lambda gradient: give_back_freed_memory())
    return features


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
    if prompts.text_inserted is not None and text.n_ctx:
        raise ValueError("tokens are inserted into prompts with context vectors, whose places they would shift")
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


def _replace_in_rows(x: Tensor, text: ClassText, context: Tensor, rows: slice) -> Tensor:
    """x (P or 1, R, T, d) with the vectors (P or 1, C or 1, n, d) in the places of the context."""
    slots = -1 - text.own[rows]  # (R, T), negative where there is a token
    _, classes, n, width = context.shape
    if classes > 1:
        wanted = text.class_of[rows] * n + slots  # (R, T)
        vectors = context.flatten(1, 2).index_select(1, wanted.clamp(min=0).flatten())  # (P, R T, d)
    else:  # as a product, whose derivative adds up in float32 what all classes send back
        places = slots.flatten()[:, None] == torch.arange(n, device=slots.device)  # (R T, n)
        vectors = places.to(context.dtype) @ context[:, 0]
    return torch.where(slots[..., None] >= 0, vectors.unflatten(1, slots.shape), x)
