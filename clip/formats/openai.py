"""OpenAI's models and the one in this repository; and every file in OpenAI's layout with their architecture.

Local files may be OpenAI's TorchScript archives, state dicts by `torch.save` (also within what a training loop saves,
and as part of a larger module), or .safetensors; float16 or float32.
"""

from __future__ import annotations

import os

from torch import Tensor

from clip.formats import FIRST_LAYER, Weights
from support.user_error import CheckpointError, ConfigError, DownloadError, UserError, did_you_mean, shorten
from support.verified_download import alone, checksum
from support.verified_download import fetch as _fetch

TINY = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tiny", "tiny_clip.pt")
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


def takes(name: str) -> bool:
    """Every name that no other format takes: those that are unknown are told in `fetch`."""
    return True


def fetch(name: str, cache: str | None = None) -> str:
    """Local path of the checkpoint of one of `MODELS`; ``cache`` as in `cache_folder`.

    Raises:
        UserError: unknown name, no network, or not the file that was published.
    """
    if name not in MODELS:
        raise ConfigError(
            f'unknown MODEL.BACKBONE.NAME "{name}"{did_you_mean(name, MODELS)}: choose one of {", ".join(MODELS)}, '
            "an open_clip:<model>/<tag>, an hf:<owner>/<model>, or set MODEL.BACKBONE.PATH to a checkpoint"
        )
    return download(MODELS[name], cache)


def recognises(tensors: dict[str, Tensor], name: str, file: str) -> bool:
    """Whatever no other format recognises."""
    return True


def convert(tensors: dict[str, Tensor], name: str, file: str) -> Weights:
    """The CLIP among the tensors, with the architecture that their shapes tell.

    Raises:
        UserError: there are several CLIPs.
    """
    return Weights(_part_that_is_clip(tensors, file))


def normalization(name: str, path: str) -> None:
    """Nothing is known of a file beyond its tensors."""


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
