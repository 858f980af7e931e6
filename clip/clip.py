"""OpenAI's interface to CLIP, kept name for name because upstream trainers call it: `from clip import clip`."""

from __future__ import annotations

import os
import textwrap
import warnings
from collections.abc import Callable, Sequence

import torch

from clip import weights
from clip.model import CLIP, build_model
from clip.simple_tokenizer import SimpleTokenizer
from clip.weights import PIXEL_MEAN, PIXEL_STD
from support.user_error import DataError

__all__ = ["available_models", "build_model", "load", "tokenize"]

_MODELS = weights.MODELS
_tokenizer = SimpleTokenizer()


class TextTooLongError(DataError, RuntimeError):
    """A text has more tokens than CLIP's context; also the RuntimeError that OpenAI's `tokenize` raises."""


def available_models() -> list[str]:
    """Names that `load` knows: OpenAI's models, and "tiny", the one in this repository."""
    return list(_MODELS)


def load(
    name: str,
    device: str | torch.device | None = None,
    jit: bool = False,
    download_root: str | None = None,
) -> tuple[CLIP, Callable]:
    """Load a CLIP and the image transform that belongs to it.

    Args:
        name: one of `available_models`, a name of open_clip's registry or of the Hugging Face Hub, or the path of a
            checkpoint (see `clip.weights`).
        device: where to put the model; by default a GPU if there is one. On a CPU the model is cast to float32,
            elsewhere it keeps the checkpoint's precision.
        jit: accepted for OpenAI's callers; the model returned is always an ordinary module.
        download_root: folder for downloads; default as in `clip.weights.cache_folder`.

    Returns:
        The model in evaluation mode, and a function from a PIL image to its input, (3, resolution, resolution).

    Raises:
        UserError: unknown name, failed download, or a file that holds no CLIP.
    """
    if jit:
        warnings.warn("jit=True is ignored: the model is built as an ordinary module", stacklevel=2)
    path = name if name not in _MODELS and os.path.exists(name) else ""
    found = weights.find("" if path else name, path, download_root)
    model = weights.build(found)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    model = model.float() if device.type == "cpu" else model.to(device)
    return model, _transform(model.visual.input_resolution, found.mean, found.std)


def tokenize(texts: str | list[str], context_length: int = 77, truncate: bool = False) -> torch.Tensor:
    """Token ids of texts, framed by start and end tokens and padded with zeros.

    Args:
        texts: one text or a list of them.
        context_length: tokens per row; 77 for every published CLIP.
        truncate: cut long texts, keeping the end token, instead of raising.

    Returns:
        (number of texts, context_length), int32.

    Raises:
        TextTooLongError: a text needs more than ``context_length`` tokens.
    """
    if isinstance(texts, str):
        texts = [texts]
    start, end = _tokenizer.encoder["<|startoftext|>"], _tokenizer.encoder["<|endoftext|>"]
    rows = torch.zeros(len(texts), context_length, dtype=torch.int)
    for row, text in zip(rows, texts, strict=True):
        tokens = [start, *_tokenizer.encode(text), end]
        if len(tokens) > context_length:
            if not truncate:
                shown = textwrap.shorten(text, 100, placeholder=" ...")
                raise TextTooLongError(
                    f'text "{shown}" has {len(tokens)} tokens, start and end included, '
                    f"but the context holds {context_length}: shorten it"
                )
            tokens = [*tokens[: context_length - 1], end]
        row[: len(tokens)] = torch.tensor(tokens)
    return rows


def _download(url: str, root: str | None = None) -> str:
    """Local path of a checkpoint given by a value of `_MODELS`, downloaded once; upstream trainers call this."""
    return weights.download(url, root)


def _transform(n_px: int, mean: Sequence[float] = PIXEL_MEAN, std: Sequence[float] = PIXEL_STD) -> Callable:
    """OpenAI's preprocessing: resize the shorter side to ``n_px``, crop the centre, normalise."""
    from torchvision import transforms  # slow to import, and only `load` needs it

    return transforms.Compose(
        [
            transforms.Resize(n_px, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(n_px),
            _to_rgb,
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )


def _to_rgb(image):
    return image.convert("RGB")
