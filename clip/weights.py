"""One door to CLIP's weights: a local checkpoint, the one in this repository, OpenAI's or open_clip's, fetched once.

Local files may be OpenAI's TorchScript archives, state dicts by `torch.save` (also within what a training loop saves,
see `state_dicts`, and as part of a larger module), or .safetensors; float16 or float32. Names and shapes are OpenAI's.
Weights trained with another activation than QuickGELU, or other heads than OpenAI's, look the same in a file but give
other features: a name of open_clip's registry beside the path tells which (`clip.open_clip_weights`).
"""

from __future__ import annotations

import os
import textwrap
import zipfile
from collections.abc import Sequence

from torch import Tensor

from clip import open_clip_weights, recognition, torchscript
from clip.model import CLIP, build_model
from support.state_dicts import find_state_dict
from support.tensor_file import check_finite, read_tensor_file
from support.user_error import CheckpointError, ConfigError, DownloadError, UserError, did_you_mean, shorten
from support.verified_download import alone, checksum
from support.verified_download import fetch as _fetch

TINY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tiny", "tiny_clip.pt")
PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)  # of CLIP's pre-training images, RGB in 0..1
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)
FIRST_LAYER = "visual.conv1.weight"  # of a ViT and of a ResNet
ON_THE_HUB = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin", "model.safetensors", "pytorch_model.bin")
ENDINGS = (".pt", ".pth", ".tar", ".ckpt", ".bin", ".safetensors", ".onnx", ".msgpack", ".h5")

_OPENAI = "https://openaipublic.azureedge.net/clip/models"
# Name -> where its checkpoint is. In a URL the folder is the file's SHA-256.
MODELS = {
    "RN50": f"{_OPENAI}/afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762/RN50.pt",
    "RN101": f"{_OPENAI}/8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599/RN101.pt",
    "RN50x4": f"{_OPENAI}/7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd/RN50x4.pt",
    "RN50x16": f"{_OPENAI}/52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa/RN50x16.pt",
    "RN50x64": f"{_OPENAI}/be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c/RN50x64.pt",
    "ViT-B/32": f"{_OPENAI}/40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt",
    "ViT-B/16": f"{_OPENAI}/5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f/ViT-B-16.pt",
    "ViT-L/14": f"{_OPENAI}/b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836/ViT-L-14.pt",
    "ViT-L/14@336px": f"{_OPENAI}/3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02/ViT-L-14-336px.pt",
    "tiny": TINY,
}


def load_clip(name: str = "", path: str = "", cache: str | None = None) -> CLIP:
    """CLIP on the CPU, in the precision of its checkpoint and in evaluation mode; arguments as `load_state_dict`.

    Raises:
        UserError: as `load_state_dict`, or the tensors are not those of a CLIP.
    """
    model = open_clip_weights.find(name) if _is_open_clip(name) else None  # refused before it is fetched
    state_dict = load_state_dict(name, path, cache)
    source = path or name
    check_finite(state_dict, source, advice="get the file again")
    try:
        if model is None:
            return build_model(state_dict)
        return build_model(open_clip_weights.fit(state_dict, model, source), model.arguments)
    except KeyError as error:
        reason = f"tensor {error.args[0]} is missing"
    except RuntimeError as error:  # a heading, then the names of all tensors that do not fit
        reason = textwrap.shorten(str(error).partition("\n")[2] or str(error), 160, placeholder=" ...")
    except (ArithmeticError, AssertionError, IndexError, TypeError, ValueError):
        reason = "its tensors have other shapes than a CLIP's"
    if shard := recognition.SHARD.search(os.path.basename(source)):
        raise CheckpointError(f"{source} is one of {int(shard[1])} files of a checkpoint: save them as one file")
    if known := recognition.recognise(state_dict):
        raise CheckpointError(f"{source} holds {known[0]}: {known[1]}")
    raise CheckpointError(
        f"{source} does not hold a CLIP in OpenAI's layout ({reason}; its {len(state_dict)} tensors are "
        f"{shorten(list(state_dict))[:200]}): take another file"
    )


def load_state_dict(name: str = "", path: str = "", cache: str | None = None) -> dict[str, Tensor]:
    """Tensors of a checkpoint, on the CPU, as they are stored.

    Args:
        name: MODEL.BACKBONE.NAME: a key of `MODELS`, not looked at where ``path`` is given; or a name of open_clip's
            registry, "open_clip:<model>/<tag>", which beside a ``path`` tells what its tensors do not (no tag needed).
        path: a local checkpoint (MODEL.BACKBONE.PATH).
        cache: folder for downloads; default `cache_folder`.

    Raises:
        UserError: unknown name, missing file, failed download, or a file that is not a state dict.
    """
    file = _find(name, path, cache)
    content = _read(file)
    tensors = find_state_dict(content)
    if tensors is None:
        if known := recognition.recognise_content(content):
            raise CheckpointError(f"{file} holds {known[0]}: {known[1]}")
        raise CheckpointError(f"{file} is not a state dict: save one with torch.save(model.state_dict(), ...)")
    return _part_that_is_clip(tensors, file)


def _part_that_is_clip(tensors: dict[str, Tensor], file: str) -> dict[str, Tensor]:
    """Of a module that has CLIP as a part, as Lightning's, that part's tensors, by CLIP's own names.

    Raises:
        UserError: it has several CLIPs.
    """
    prefixes = [name.removesuffix(FIRST_LAYER) for name in tensors if f".{name}".endswith(f".{FIRST_LAYER}")]
    if len(prefixes) > 1:
        raise CheckpointError(
            f"{file} holds {len(prefixes)} CLIPs ({', '.join(prefix or FIRST_LAYER for prefix in prefixes)}): save the "
            "state dict of one of them"
        )
    if prefixes in ([], [""]):
        return tensors
    inside = {name.removeprefix(prefixes[0]): value for name, value in tensors.items() if name.startswith(prefixes[0])}
    if others := [name for name in tensors if not name.startswith(prefixes[0])]:
        print(f"{file}: {len(others)} tensors beside the CLIP in {prefixes[0]} are left out ({shorten(others)})")
    return inside


def _find(name: str, path: str, cache: str | None) -> str:
    """The file that ``name`` or ``path`` stands for, downloaded where needed."""
    if path:
        file = os.path.expanduser(path)
        if os.path.isdir(file):
            return _file_in(file)
        if not os.path.isfile(file):
            raise CheckpointError(
                f"no checkpoint at {path}: correct MODEL.BACKBONE.PATH, or leave it empty to use a name"
            )
        return file
    if _is_open_clip(name):
        return open_clip_weights.download(name, cache or cache_folder())
    if name not in MODELS:
        raise ConfigError(
            f'unknown MODEL.BACKBONE.NAME "{name}"{did_you_mean(name, MODELS)}: choose one of {", ".join(MODELS)}, '
            "an open_clip:<model>/<tag>, or set MODEL.BACKBONE.PATH to a checkpoint"
        )
    return download(MODELS[name], cache)


def _file_in(folder: str) -> str:
    """The checkpoint in a folder, as the Hugging Face Hub has it, or the only one; else a UserError."""
    files = sorted(name for name in os.listdir(folder) if os.path.isfile(os.path.join(folder, name)))
    weights = [name for name in files if name.endswith(ENDINGS)]
    for name in (*ON_THE_HUB, *(weights if len(weights) == 1 else ())):
        if name in files:
            return os.path.join(folder, name)
    if index := [name for name in files if name.endswith(".index.json")]:
        return os.path.join(folder, index[0])
    there = f"with {len(weights)} checkpoints ({shorten(weights)})" if weights else "without a checkpoint"
    raise CheckpointError(f"{folder} is a folder {there}: set MODEL.BACKBONE.PATH to the file of a CLIP")


def _is_open_clip(name: str) -> bool:
    return open_clip_weights.canonical_name(name).startswith(open_clip_weights.PREFIX)


def normalization(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation, of each channel in 0..1, of the images that the checkpoint ``name`` was trained on.

    Those of OpenAI's models, unless open_clip's registry says otherwise.
    """
    published = open_clip_weights.find(name).published if _is_open_clip(name) else {}
    return published.get("mean", PIXEL_MEAN), published.get("std", PIXEL_STD)


def report_normalization(name: str, mean: Sequence[float], std: Sequence[float]) -> None:
    """Print a line where a run does not normalise images as the checkpoint's training did, as far as that is known.

    Args:
        name: MODEL.BACKBONE.NAME.
        mean: INPUT.PIXEL_MEAN, of each channel in 0..1.
        std: INPUT.PIXEL_STD.
    """
    published = open_clip_weights.find(name).published if _is_open_clip(name) else {}
    trained = (*published.get("mean", mean), *published.get("std", std))
    if any(abs(ours - theirs) > 1e-4 for ours, theirs in zip((*mean, *std), trained, strict=False)):
        print(
            f"{name} was trained with images normalised otherwise: set INPUT.PIXEL_MEAN "
            f'"{list(published["mean"])}" INPUT.PIXEL_STD "{list(published["std"])}"'
        )


def cache_folder() -> str:
    """Where downloads are kept: $CLIP_CACHE, or ~/.cache/clip, which OpenAI's package uses as well."""
    return os.path.expanduser(os.environ.get("CLIP_CACHE") or "~/.cache/clip")


def download(url: str, folder: str | None = None) -> str:
    """Local path of a checkpoint of `MODELS`, fetched only where no intact copy is in ``folder``.

    Raises:
        UserError: no network, or the file is not the one that the URL's SHA-256 promises.
    """
    if url == TINY:
        if not os.path.isfile(TINY):
            raise CheckpointError(f"{TINY} is missing: restore it from the repository")
        return TINY
    file = os.path.join(folder or cache_folder(), os.path.basename(url))
    digest = f"sha256:{url.split('/')[-2]}"
    if _is_intact(file, digest):
        return file
    try:
        with alone(f"{file}.lock"):
            if not _is_intact(file, digest):  # several runs may have wanted it
                if os.path.isfile(file):
                    print(f"{file} is incomplete or altered, so it is fetched again")
                print(f"Downloading {url} to {file}")
                _fetch(url, file, digest)
    except UserError as error:
        raise DownloadError(
            f"{error}, or fetch it by hand, put it at {file}, or set MODEL.BACKBONE.PATH to it"
        ) from error
    return file


def _is_intact(file: str, digest: str) -> bool:
    return os.path.isfile(file) and checksum(file, digest) == digest


def _read(file: str) -> object:
    """What a checkpoint holds. Nothing in it is run."""
    try:
        known = recognition.recognise_file(file)
    except (OSError, zipfile.BadZipFile):
        known = None  # which reading it will tell
    if known:
        raise CheckpointError(f"{file} is {known}")
    if torchscript.is_torchscript(file):
        return torchscript.read_state_dict(file)
    return read_tensor_file(file)
