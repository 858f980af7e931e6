"""The floating-point operations that a method's work needs: products of matrices and attention, in the encoders only.

What is needed: of every class its own tokens up to EOT, the positions before them once; in the last layer only the
tokens whose features are read; nothing for positions that are about to be replaced; backward only the derivatives of
activations that depend on something learned. Frozen weights have none. A multiplication with its addition is two
operations. Norms, activations, softmax, the learners' own small networks and the optimiser are left out.

An encoder's tokens fall into three groups that differ in what is needed of them: `FIXED` (a text's start, which no
prompt can reach), `PROMPTS`, and `OTHERS` (class names; patches and class token).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from clip.class_text import ClassText

FIXED, PROMPTS, OTHERS = range(3)
GROUPS = (FIXED, PROMPTS, OTHERS)


@dataclass(frozen=True)
class Operations:
    """Operations of the forward and the backward pass, each in products with weights and in attention."""

    forward: float = 0
    forward_attention: float = 0
    backward: float = 0
    backward_attention: float = 0

    def __add__(self, other: Operations) -> Operations:
        return Operations(*(a + b for a, b in zip(self._all(), other._all(), strict=True)))

    def __mul__(self, times: float) -> Operations:
        return Operations(*(times * part for part in self._all()))

    @property
    def of_forward(self) -> float:
        return self.forward + self.forward_attention

    @property
    def total(self) -> float:
        return sum(self._all())

    def _all(self) -> tuple[float, ...]:
        return self.forward, self.forward_attention, self.backward, self.backward_attention


@dataclass(frozen=True)
class Tokens:
    """How many tokens each group has, and how many keys of each group theirs attend to.

    Attributes:
        count: (3,), tokens of a group.
        keys: (3, 3), pairs of a query of one group (row) and a key of another (column).
        read, read_keys: of the last layer, the tokens of `OTHERS` that are read, and the pairs of their queries (3,).
    """

    count: tuple[int, int, int]
    keys: tuple[tuple[int, ...], ...]
    read: int
    read_keys: tuple[int, ...]


def text_tokens(text: ClassText) -> Tokens:
    """Tokens of all classes, the context before the names."""
    n, shared = text.n_ctx, text.prefix_length - 1 - text.n_ctx  # words that all names begin with
    positions: Tensor = text.position_of - n  # (R, T), keys of OTHERS that an own token attends to, itself included
    own = text.class_of >= 0
    others = shared + int(own.sum())
    own_keys = shared * (shared + 1) // 2 + int(positions[own].sum())
    classes = text.n_classes
    return Tokens(
        (1, n, others),
        ((1, 0, 0), (n, n * (n + 1) // 2, 0), (others, others * n, own_keys)),
        classes,
        (classes, classes * n, int(positions.flatten()[text.eot].sum())),
    )


def image_tokens(patches: int, prompts: int) -> Tokens:
    """Tokens of one image, the class token among `OTHERS`."""
    others, n = 1 + patches, prompts
    return Tokens(
        (0, n, others), ((0, 0, 0), (0, n * n, n * others), (0, others * n, others * others)), 1, (0, n, others)
    )


def encoder(tokens: Tokens, width: int, layers: int, deep: int = 0, learned: bool = True) -> Operations:
    """Operations of a transformer of ``layers`` whose prompts are replaced before ``deep`` of them, from the second on.

    ``learned`` tells whether the prompts are: without it there is no backward pass.
    """
    total = Operations()
    for i in range(layers):
        last, replaced_next = i == layers - 1, i < deep
        queries, pairs = list(tokens.count), [list(row) for row in tokens.keys]
        if last:
            queries, pairs = [0, 0, tokens.read], [[0] * 3, [0] * 3, list(tokens.read_keys)]
        elif replaced_next:
            queries[PROMPTS], pairs[PROMPTS] = 0, [0] * 3
        # prompts of the first layer cannot have changed any other token yet
        depends = (False, learned and tokens.count[PROMPTS] > 0, learned and tokens.count[PROMPTS] > 0 and i > 0)
        total += _layer(tokens.count, queries, pairs, depends, width)
    return total


def _layer(count, queries, pairs, depends, width: int) -> Operations:
    """One layer: keys and values of ``count`` tokens, all else for ``queries``; ``depends``: a group's input does."""
    key_value, query, after = 4 * width**2, 2 * width**2, 18 * width**2  # operations a token: after = projection + MLP
    forward = sum(count[g] * key_value + queries[g] * (query + after) for g in GROUPS)
    attention = 4 * width * sum(map(sum, pairs))
    backward = backward_attention = 0
    for g in GROUPS:
        if depends[g]:
            backward += count[g] * key_value + queries[g] * query
        if any((depends[k] and pairs[g][k]) for k in GROUPS) or (depends[g] and queries[g]):
            backward += queries[g] * after
        for k in GROUPS:
            of_weights = depends[g] or depends[k]  # derivative of the attention weights: of use to queries and keys
            backward_attention += 2 * width * pairs[g][k] * (of_weights + depends[g] + 2 * depends[k])
    return Operations(forward, attention, backward, backward_attention)


def image_encoder(state: Mapping[str, Tensor], prompts: int = 0, deep: int = 0) -> Operations:
    """Operations for one image, with ``prompts`` learned ones, replaced before ``deep`` layers."""
    width, _, patch, _ = state["visual.conv1.weight"].shape
    patches = len(state["visual.positional_embedding"]) - 1
    projection = 2 * state["visual.proj"].numel()
    layers = _layers(state, "visual.transformer")
    total = encoder(image_tokens(patches, prompts), width, layers, deep)
    return total + Operations(patches * 2 * 3 * patch**2 * width + projection, 0, projection if prompts else 0)


def text_encoder(state: Mapping[str, Tensor], text: ClassText, deep: int = 0) -> Operations:
    """Operations for all classes with one context."""
    projection = 2 * state["text_projection"].numel() * text.n_classes
    width = len(state["ln_final.weight"])
    total = encoder(text_tokens(text), width, _layers(state, "transformer"), deep)
    return total + Operations(projection, 0, projection if text.n_ctx else 0)


def _layers(state: Mapping[str, Tensor], prefix: str) -> int:
    return sum(key.startswith(prefix) and key.endswith("ln_1.weight") for key in state)


def train_step(state: Mapping[str, Tensor], text: ClassText, batch: int, method: str, deep: int = 0) -> Operations:
    """One step of "mudpt" (``deep`` layers replace prompts in both encoders), "coop" or "cocoop"."""
    visual = text.n_ctx if method == "mudpt" else 0
    texts = batch if method == "cocoop" else 1
    return image_encoder(state, visual, deep) * batch + text_encoder(state, text, deep) * texts
