"""CLIPs by the names of open_clip's registry: "open_clip:<model>/<tag>", or "open_clip:<model>" for a local file.

The registry tells what tensors do not: the activation, the number of heads, the image size, the normalisation. Only
what has OpenAI's architecture is taken, since prompts are put between its layers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from torch import Tensor, nn

from clip.formats import PIXEL_MEAN, PIXEL_STD, Weights, check_sizes, hub
from clip.formats.openai import cache_folder
from clip.model import QuickGELU
from support.user_error import ConfigError, DownloadError, UserError, did_you_mean

PREFIX = "open_clip:"

# What models of this architecture may differ in; every other entry of a configuration must have open_clip's default.
_MODEL = {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "custom_text"}
_LOGITS = {"init_logit_scale", "init_logit_bias", "nonscalar_logit_scale"}  # of training, or one number for all classes
_VISION = {"layers", "width", "head_width", "patch_size", "image_size", "patch_dropout"}
_TEXT = {"layers", "width", "heads"}
# Buffers and parameters that the features do not depend on.
_NOT_NEEDED = {"attn_mask", "logit_bias", "input_resolution", "context_length", "vocab_size"}


@dataclass(frozen=True)
class OpenClipModel:
    """What open_clip's registry knows of a name.

    Attributes:
        name: as `canonical_name` gives it.
        arguments: those of `clip.model.CLIP`.
        published: open_clip's entry of the tag, with where the file is, "mean" and "std"; empty without a tag.
    """

    name: str
    arguments: dict
    published: dict


def takes(name: str) -> bool:
    return name.strip().lower().startswith(PREFIX)


def canonical_name(name: str) -> str:
    """One spelling of all that open_clip takes for the same tag, "open_clip:<model>/<tag>"; other names as they are.

    Spaces around the parts do not count, nor case and "-" for "_" except in the model.
    """
    if not takes(name):
        return name
    model, _, tag = name.strip()[len(PREFIX) :].partition("/")
    tag = tag.strip().lower().replace("-", "_")
    return PREFIX + model.strip() + (f"/{tag}" if tag else "")


def find(name: str) -> OpenClipModel:
    """The model of a MODEL.BACKBONE.NAME that `canonical_name` begins with `PREFIX`.

    Raises:
        UserError: unknown model or tag, or one of another architecture than OpenAI's.
    """
    import open_clip  # slow, since it brings timm: only for these names

    name = canonical_name(name)
    model, _, tag = name.removeprefix(PREFIX).partition("/")
    if model not in open_clip.list_models():
        raise ConfigError(
            f'MODEL.BACKBONE.NAME "{name}": open_clip has no model "{model}"'
            f"{did_you_mean(model, open_clip.list_models())}; open_clip.list_models() names them all"
        )
    tags = open_clip.list_pretrained_tags_by_model(model)
    published = open_clip.get_pretrained_cfg(model, tag)
    if tag and not published:
        # "laion2b" is far, letter by letter, from all that begin with it
        near = next((known for known in tags if known.startswith(tag)), tag)
        others = f"choose one of {', '.join(tags)}" if tags else "it publishes none: set MODEL.BACKBONE.PATH to a file"
        raise ConfigError(
            f'MODEL.BACKBONE.NAME "{name}": open_clip has no tag "{tag}" of {model}{did_you_mean(near, tags)}; {others}'
        )
    config = open_clip.get_model_config(model)
    if difference := _difference(config):
        raise ConfigError(f"{name} is not a CLIP with OpenAI's architecture: {difference}; choose another")
    # Some tags were trained with another activation than the model of their name has by default.
    quick_gelu = published.get("quick_gelu", config.get("quick_gelu", False))
    return OpenClipModel(name, _arguments(config, quick_gelu), published)


def fetch(name: str, cache: str | None = None) -> str:
    """Local path of the checkpoint of ``name``, fetched where it is not yet in ``cache`` (default: `cache_folder`).

    Raises:
        UserError: as `find`; there is no tag; or the download failed.
    """
    import open_clip

    found, folder = find(name), cache or cache_folder()
    name, published = found.name, found.published
    if not published:
        model = name.removeprefix(PREFIX)
        tags = open_clip.list_pretrained_tags_by_model(model)
        advice = f"add one of its tags, as in {PREFIX}{model}/{tags[0]}, or " if tags else ""
        raise ConfigError(
            f'MODEL.BACKBONE.NAME "{name}" names no checkpoint: {advice}set MODEL.BACKBONE.PATH to a file'
        )
    repository, files = _on_the_hub(published)
    try:
        if not repository:
            return open_clip.download_pretrained(published, cache_dir=folder)  # which checks the hash
        if file := hub.cached(repository, files, folder=folder) or hub.fetch(repository, files, folder=folder):
            return file
        reason = f"the Hub has neither of its files in {repository}"
    except UserError:
        raise
    except Exception as error:  # of open_clip, huggingface_hub, its HTTP library and the file system
        reason = hub.reason(error, repository)
    address = f"https://huggingface.co/{repository} ({' or '.join(files)})" if repository else published.get("url", "")
    raise DownloadError(
        f"cannot download {name} into {folder} ({reason}): fetch it by hand from {address} and set "
        "MODEL.BACKBONE.PATH to it, with MODEL.BACKBONE.NAME as it is"
    )


def _on_the_hub(published: dict) -> tuple[str, list[str]]:
    """Repository on the Hugging Face Hub of an entry of the registry, '' if none, and what its file may be called."""
    from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

    repository, _, file = published.get("hf_hub", "").rpartition("/")
    return repository, [file] if file else [HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME]


def recognises(tensors: dict[str, Tensor], name: str, file: str) -> bool:
    """Whether the name tells what the tensors are of."""
    return takes(name)


def convert(tensors: dict[str, Tensor], name: str, file: str) -> Weights:
    """The tensors under OpenAI's names.

    Args:
        tensors: as open_clip's CLIP or CustomTextCLIP has them, or OpenAI's.

    Raises:
        UserError: they are those of another model.
        KeyError: they are not those of a CLIP (see `clip.model.architecture`).
    """
    model = find(name)
    tensors = {key.removeprefix("text."): tensor for key, tensor in tensors.items()}
    tensors = {key: tensor for key, tensor in tensors.items() if key not in _NOT_NEEDED}
    message = f"{file} does not hold {model.name}: {{difference}}; correct MODEL.BACKBONE"
    check_sizes(tensors, model.arguments, message)
    mean, std = model.published.get("mean", PIXEL_MEAN), model.published.get("std", PIXEL_STD)
    return Weights(tensors, model.arguments, mean, std)


def normalization(name: str, path: str) -> tuple[Sequence[float], Sequence[float]] | None:
    """Mean and standard deviation that the registry has for a tag."""
    published = find(name).published if takes(name) else {}
    return (published["mean"], published["std"]) if {"mean", "std"} <= published.keys() else None


def _difference(config: dict) -> str:
    """The first entry of an open_clip configuration in which a model differs from OpenAI's architecture, or ''."""
    from open_clip import CLIPTextCfg, CLIPVisionCfg

    if others := sorted(config.keys() - _MODEL - _LOGITS):
        return f"it has a {others[0]}"
    for part, fields, free in (("vision_cfg", CLIPVisionCfg, _VISION), ("text_cfg", CLIPTextCfg, _TEXT)):
        usual = asdict(fields())
        for key, value in config[part].items():
            if key in free or (key in usual and value == usual[key]):
                continue
            instead = f", not {json.dumps(usual[key])}" if usual.get(key) is not None else ""
            return f"{part}.{key} is {json.dumps(value)}{instead}"
    image_size = config["vision_cfg"].get("image_size", CLIPVisionCfg.image_size)
    return "" if isinstance(image_size, int) else f"vision_cfg.image_size is {image_size}, not one number"


def _arguments(config: dict, quick_gelu: bool) -> dict:
    """Arguments of `clip.model.CLIP` for a configuration in which `_difference` found nothing."""
    from open_clip import CLIPTextCfg, CLIPVisionCfg

    vision, text = CLIPVisionCfg(**config["vision_cfg"]), CLIPTextCfg(**config["text_cfg"])
    is_resnet = not isinstance(vision.layers, int)
    features = vision.width * 32 if is_resnet else vision.width  # a ResNet's attention pools its last feature map
    return {
        "embed_dim": config["embed_dim"],
        "image_resolution": vision.image_size,
        "vision_layers": tuple(vision.layers) if is_resnet else vision.layers,
        "vision_width": vision.width,
        "vision_patch_size": None if is_resnet else vision.patch_size,
        "vision_heads": features // vision.head_width,
        "context_length": text.context_length,
        "vocab_size": text.vocab_size,
        "transformer_width": text.width,
        "transformer_heads": text.heads,
        "transformer_layers": text.layers,
        "activation": QuickGELU if quick_gelu else nn.GELU,
    }
