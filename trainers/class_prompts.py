"""From class names to the token layout of their prompts, and from words to context vectors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

import clip
from clip.class_text import POSITIONS, ClassText
from clip.model import CLIP
from clip.simple_tokenizer import SimpleTokenizer
from support.user_error import ConfigError

CONTEXT_STD = 0.02  # of randomly initialised prompt vectors, in every method of the CoOp family

_tokenizer = SimpleTokenizer()


def class_text(
    class_names: Sequence[str],
    words: str = "",
    n_ctx: int = 0,
    position: str = "end",
    class_specific: bool = False,
    context_length: int = 77,
) -> ClassText:
    """Token layout of the prompts [SOS, n_ctx context vectors, class name, ".", EOT].

    Args:
        class_names: "_" reads as a space.
        words: what stands in the place of the context for the tokenizer; by default one placeholder a vector. Words
            beyond ``n_ctx`` tokens stay in the prompt, between context and class name (as in CoOp).
        n_ctx, position, class_specific: as in `ClassText`.

    Raises:
        UserError: a class name is too long for the context, or the position is unknown.
    """
    if position not in POSITIONS:
        raise ConfigError(f'CLASS_TOKEN_POSITION is "{position}": choose one of {", ".join(POSITIONS)}')
    names = [name.replace("_", " ") for name in class_names]
    words = words or " ".join(["X"] * n_ctx)
    room = context_length - 3 - len(_tokenizer.encode(words))  # SOS, "." and EOT
    if room < 1:
        raise ConfigError(f"a context of {n_ctx} tokens leaves no room in CLIP's {context_length}: lower N_CTX")
    lengths = [len(_tokenizer.encode(name)) for name in names]
    for name, length in zip(names, lengths, strict=True):
        if length > room:
            raise ConfigError(
                f'class name "{name[:60]}" has {length} tokens but beside {n_ctx} context tokens only {room} fit into '
                f"CLIP's {context_length}: shorten the name in the dataset, or lower N_CTX"
            )
    tokens = clip.tokenize([f"{words} {name}." for name in names], context_length)
    return ClassText(tokens, n_ctx, position, lengths, class_specific)


def template_text(class_names: Sequence[str], template: str) -> ClassText:
    """Token layout of a hand-written template such as "a photo of a {}." for all classes.

    Raises:
        UserError: the template has no place for the name, or a filled template is too long.
    """
    if "{}" not in template:
        raise ConfigError(f'template "{template}" has no {{}} for the class name: add it')
    return ClassText(clip.tokenize([template.replace("{}", name.replace("_", " ")) for name in class_names]))


def context_words(config) -> str:
    """The words of ``config.CTX_INIT``, "_" as a space, one space between words; "" for a random context."""
    return " ".join(config.CTX_INIT.replace("_", " ").split())


def words_and_length(config) -> tuple[str, int]:
    """CoOp's reading of CTX_INIT and N_CTX: words bring their own number of context vectors."""
    words = context_words(config)
    return words, len(words.split()) if words else config.N_CTX


def shared_context(config, clip_model: CLIP) -> nn.Parameter:
    """CoOp's context (n, d_t) for all classes: from the words of CTX_INIT, or N_CTX random vectors."""
    words, n_ctx = words_and_length(config)
    width = clip_model.ln_final.weight.shape[0]
    return context_from_words(words, n_ctx, clip_model) if words else random_context(n_ctx, width)


def random_context(*shape: int) -> nn.Parameter:
    """Prompt vectors from N(0, 0.02²), as CoOp initialises them."""
    return nn.Parameter(torch.randn(*shape) * CONTEXT_STD)


def context_from_words(words: str, n_ctx: int, clip_model: CLIP) -> nn.Parameter:
    """(n_ctx, d_t): embeddings of the first ``n_ctx`` tokens of ``words``, random for those that are missing."""
    tokens = _tokenizer.encode(words)[:n_ctx]
    context = random_context(n_ctx, clip_model.ln_final.weight.shape[0])
    if len(tokens) < n_ctx:
        print(f'"{words}" has {len(tokens)} tokens: the other {n_ctx - len(tokens)} context vectors are random')
    with torch.no_grad():
        context[: len(tokens)] = embed(clip_model, tokens)
    return context


def embed(clip_model: CLIP, tokens: list[int]) -> Tensor:
    """(len(tokens), d_t) float32 token embeddings."""
    return clip_model.token_embedding.weight[tokens].detach().float()
