"""One door to CLIP's weights: a local checkpoint, the one in this repository, OpenAI's, open_clip's or Hugging Face's.

    MODEL.BACKBONE.PATH, or what MODEL.BACKBONE.NAME stands for        a file
      | clip.formats.files                                             its tensors
      | the first of `FORMATS` that recognises them                    a `Weights`: OpenAI's names, and what they need
      | clip.model.build_model                                         a CLIP

Tensors alone do not tell the activation and the number of heads: config.json beside them does, or a name of open_clip's
registry as MODEL.BACKBONE.NAME beside the path; else they are OpenAI's.
"""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from torch import Tensor

from clip.formats import (
    FIRST_LAYER,
    PIXEL_MEAN,
    PIXEL_STD,
    Weights,
    hugging_face,
    open_clip_registry,
    openai,
    recognition,
)
from clip.formats.files import read_tensors
from clip.formats.openai import MODELS, TINY, cache_folder, download
from clip.model import CLIP, build_model
from support.tensor_file import check_finite
from support.user_error import CheckpointError, shorten

__all__ = [
    "FIRST_LAYER",
    "MODELS",
    "PIXEL_MEAN",
    "PIXEL_STD",
    "TINY",
    "Weights",
    "backbone_name",
    "build",
    "cache_folder",
    "canonical_name",
    "download",
    "find",
    "load_clip",
    "load_state_dict",
    "normalization",
    "report_normalization",
]

FORMATS = (hugging_face, open_clip_registry, openai)  # the last takes every name and recognises every file
OF_OPEN_CLIP = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")  # in a folder of the Hugging Face Hub
_IN_THE_CACHE = re.compile(r"(?:^|/)models--([^/]+)/snapshots/[^/]+(?:/[^/]*)?$")
ENDINGS = (".pt", ".pth", ".tar", ".ckpt", ".bin", ".safetensors", ".onnx", ".msgpack", ".h5")


def find(name: str = "", path: str = "", cache: str | None = None) -> Weights:
    """The tensors of a checkpoint, on the CPU, as they are stored, and what they need to be a CLIP.

    Args:
        name: MODEL.BACKBONE.NAME: a key of `MODELS`, "hf:<owner>/<model>" of the Hugging Face Hub, or a name of
            open_clip's registry, "open_clip:<model>/<tag>". Beside a ``path`` only the latter counts: it tells what the
            file's tensors do not (no tag needed).
        path: a local checkpoint (MODEL.BACKBONE.PATH): a file, or a folder with one or as the Hugging Face Hub has it.
        cache: folder for downloads; default: `cache_folder`, for "hf:" huggingface_hub's own.

    Raises:
        UserError: unknown name, missing file, failed download, or a file that does not hold what it should.
    """
    if path:
        if open_clip_registry.takes(name):
            open_clip_registry.find(name)  # refused before a large file is read
        file = _local_file(name, path)
    else:
        file = _format_of(name).fetch(name, cache)
    tensors, source = read_tensors(file), path or name
    check_finite(tensors, source, advice="get the file again")
    layout = next(layout for layout in FORMATS if layout.recognises(tensors, name, file))
    with _explained(tensors, source):
        return replace(layout.convert(tensors, name, file), name=backbone_name(name, path), source=source)


def build(weights: Weights) -> CLIP:
    """The CLIP of a checkpoint, on the CPU, in its precision and in evaluation mode.

    Raises:
        UserError: the tensors are not those of a CLIP.
    """
    with _explained(weights.tensors, weights.source):
        return build_model(weights.tensors, weights.arguments)


def load_clip(name: str = "", path: str = "", cache: str | None = None) -> CLIP:
    """`build` of what `find` finds."""
    return build(find(name, path, cache))


def load_state_dict(name: str = "", path: str = "", cache: str | None = None) -> dict[str, Tensor]:
    """The tensors of what `find` finds."""
    return find(name, path, cache).tensors


def canonical_name(name: str) -> str:
    """One spelling of all spellings of a MODEL.BACKBONE.NAME."""
    return hugging_face.canonical_name(open_clip_registry.canonical_name(name))


def backbone_name(name: str, path: str) -> str:
    """The name of a backbone in results and tables.

    A local file has its own, after the open_clip name that tells how to read it; a file that every model calls the same
    (model.safetensors) has its folder before it; a folder of the Hub's cache is named as on the Hub.
    """
    name = canonical_name(name)
    if not path:
        return name
    *folders, file = [part for part in os.path.expanduser(path).replace(os.sep, "/").split("/") if part] or [path]
    if on_the_hub := _IN_THE_CACHE.search(path.replace(os.sep, "/")):
        file = f"{hugging_face.PREFIX}{on_the_hub[1].replace('--', '/')}"
    elif folders and file in (*OF_OPEN_CLIP, *hugging_face.WEIGHTS):
        file = f"{folders[-1]}/{file}"
    return f"{name} {file}" if open_clip_registry.takes(name) else file


def normalization(name: str, path: str = "") -> tuple[Sequence[float], Sequence[float]]:
    """Mean and standard deviation, of each channel in 0..1, of the images that a checkpoint was trained on.

    Those of OpenAI's models where nothing else is known; arguments as for `find`.
    """
    return _published_normalization(name, path) or (PIXEL_MEAN, PIXEL_STD)


def report_normalization(name: str, mean: Sequence[float], std: Sequence[float], path: str = "") -> None:
    """Print a line where a run does not normalise images as the checkpoint's training did, as far as that is known.

    Args:
        name: MODEL.BACKBONE.NAME.
        mean: INPUT.PIXEL_MEAN, of each channel in 0..1.
        std: INPUT.PIXEL_STD.
        path: MODEL.BACKBONE.PATH.
    """
    if trained := _published_normalization(name, path):
        pairs = zip((*mean, *std), (*trained[0], *trained[1]), strict=False)
        if any(abs(ours - theirs) > 1e-4 for ours, theirs in pairs):
            print(
                f"{backbone_name(name, path)} was trained with images normalised otherwise: set INPUT.PIXEL_MEAN "
                f'"{list(trained[0])}" INPUT.PIXEL_STD "{list(trained[1])}"'
            )


def _published_normalization(name: str, path: str) -> tuple[Sequence[float], Sequence[float]] | None:
    """The normalisation that a format knows of, None where none does."""
    layouts = (open_clip_registry,) if open_clip_registry.takes(name) else FORMATS
    return next((found for layout in layouts if (found := layout.normalization(name, path))), None)


def _format_of(name: str):
    return next(layout for layout in FORMATS if layout.takes(name))


def _local_file(name: str, path: str) -> str:
    """The file that MODEL.BACKBONE.PATH stands for."""
    file = os.path.expanduser(path)
    if os.path.isdir(file):
        return _file_in(file, name)
    if not os.path.isfile(file):
        raise CheckpointError(f"no checkpoint at {path}: correct MODEL.BACKBONE.PATH, or leave it empty to use a name")
    return file


def _file_in(folder: str, name: str) -> str:
    """The checkpoint in a folder, as the Hugging Face Hub has it, or the only one; else a UserError.

    A model may be there in two layouts: transformers' has its own configuration, open_clip's needs a name.
    """
    files = sorted(name for name in os.listdir(folder) if os.path.isfile(os.path.join(folder, name)))
    weights = [name for name in files if name.endswith(ENDINGS)]
    usual = [*OF_OPEN_CLIP, *hugging_face.WEIGHTS]
    if hugging_face.has_config(folder) and not open_clip_registry.takes(name):
        usual = [*hugging_face.WEIGHTS, *OF_OPEN_CLIP]
    for file in (*usual, *(weights if len(weights) == 1 else ())):
        if file in files:
            return os.path.join(folder, file)
    there = f"with {len(weights)} checkpoints ({shorten(weights)})" if weights else "without a checkpoint"
    raise CheckpointError(f"{folder} is a folder {there}: set MODEL.BACKBONE.PATH to the file of a CLIP")


@contextmanager
def _explained(tensors: dict[str, Tensor], source: str) -> Iterator[None]:
    """Turn what goes wrong with the tensors of a file into a UserError that says what the file is."""
    try:
        yield
        return
    except KeyError as error:
        reason = f"tensor {error.args[0]} is missing"
    except RuntimeError as error:  # a heading, then the names of all tensors that do not fit
        reason = textwrap.shorten(str(error).partition("\n")[2] or str(error), 160, placeholder=" ...")
    except (ArithmeticError, AssertionError, IndexError, TypeError, ValueError):
        reason = "its tensors have other shapes than a CLIP's"
    if shard := recognition.SHARD.search(os.path.basename(source)):
        raise CheckpointError(
            f"{source} is one of {int(shard[1])} files of a checkpoint: name their folder, with the index of them"
        )
    if known := recognition.recognise(tensors):
        raise CheckpointError(f"{source} holds {known[0]}: {known[1]}")
    raise CheckpointError(
        f"{source} does not hold a CLIP in OpenAI's layout ({reason}; its {len(tensors)} tensors are "
        f"{shorten(list(tensors))[:200]}): take another file"
    )
