"""CLIPs by the names of open_clip's registry: "open_clip:<model>/<tag>", or "open_clip:<model>" for a local file.

The registry tells what tensors do not: the activation, the number of heads, the image size, the normalisation. The
download is open_clip's own. Only what has OpenAI's architecture is taken, since prompts are put between its layers.
"""

from __future__ import annotations

import json
import os
import re
import textwrap
from dataclasses import asdict, dataclass

from torch import Tensor, nn

from clip.model import QuickGELU, architecture
from support.user_error import CheckpointError, ConfigError, DownloadError, did_you_mean
from support.verified_download import checksum, describe

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


def canonical_name(name: str) -> str:
    """One spelling of all that open_clip takes for the same tag, "open_clip:<model>/<tag>"; other names as they are.

    Spaces around the parts do not count, nor case and "-" for "_" except in the model.
    """
    if not name.strip().lower().startswith(PREFIX):
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


def download(name: str, folder: str) -> str:
    """Local path of the checkpoint of ``name``, fetched by open_clip where it is not yet in ``folder``.

    Raises:
        UserError: as `find`; there is no tag; or the download failed.
    """
    import open_clip

    found = find(name)
    name, published = found.name, found.published
    if not published:
        model = name.removeprefix(PREFIX)
        tags = open_clip.list_pretrained_tags_by_model(model)
        advice = f"add one of its tags, as in {PREFIX}{model}/{tags[0]}, or " if tags else ""
        raise ConfigError(
            f'MODEL.BACKBONE.NAME "{name}" names no checkpoint: {advice}set MODEL.BACKBONE.PATH to a file'
        )
    if cached := _cached(published, folder):
        return cached
    try:
        file = open_clip.download_pretrained(published, cache_dir=folder)
    except Exception as error:  # of open_clip, huggingface_hub, its HTTP library and the file system
        reason = str(error).rpartition("Last error: ")[2].strip() or type(error).__name__
        reason = textwrap.shorten(reason, 200, placeholder=" ...")
        raise DownloadError(
            f"cannot download {name} into {folder} ({reason}): fetch it by hand from {_address(published)} and set "
            "MODEL.BACKBONE.PATH to it, with MODEL.BACKBONE.NAME as it is"
        ) from error
    _check_hash(file, name)
    return file


def _check_hash(file: str, name: str) -> None:
    """UserError unless a file from the Hub has the hash that the Hub gives it, the name of the blob in its cache.

    Files from elsewhere have been checked by open_clip.
    """
    blob = os.path.realpath(file)
    promised = f"sha256:{os.path.basename(blob)}"
    if re.fullmatch("sha256:[0-9a-f]{64}", promised) and (found := checksum(blob, promised)) != promised:
        os.remove(blob)  # or the next run would take it for complete
        raise DownloadError(
            f"{name} came incomplete or altered ({describe(found)}, published: {describe(promised)}), and was removed: "
            "try again later"
        )


def fit(state_dict: dict[str, Tensor], model: OpenClipModel, source: str) -> dict[str, Tensor]:
    """The tensors of ``model`` under OpenAI's names.

    Args:
        state_dict: as open_clip's CLIP or CustomTextCLIP has it, or OpenAI's.
        model: what they should be of.
        source: where they come from, for messages.

    Raises:
        UserError: they are those of another model.
        KeyError: they are not those of a CLIP (see `clip.model.architecture`).
    """
    tensors = {key.removeprefix("text."): tensor for key, tensor in state_dict.items()}
    tensors = {key: tensor for key, tensor in tensors.items() if key not in _NOT_NEEDED}
    found = architecture(tensors)
    del found["transformer_heads"]  # of which the tensors tell nothing
    for key in found:
        wanted = model.arguments[key]
        if key == "image_resolution":  # the tensors tell how many patches there are, and pixels may be left over
            patch = model.arguments["vision_patch_size"] or 32
            wanted = wanted // patch * patch
        if found[key] != wanted:
            raise CheckpointError(
                f"{source} does not hold {model.name}: its {key} is {found[key]}, not {wanted}; correct MODEL.BACKBONE"
            )
    return tensors


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


def _on_the_hub(published: dict) -> tuple[str, list[str]]:
    """Repository on the Hugging Face Hub of an entry of the registry, '' if none, and what its file may be called."""
    from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

    repository, _, file = published.get("hf_hub", "").rpartition("/")
    return repository, [file] if file else [HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME]


def _cached(published: dict, folder: str) -> str:
    """The file, if an earlier run fetched it, else ''. open_clip asks the Hub first: half a minute without network."""
    from huggingface_hub import try_to_load_from_cache

    repository, files = _on_the_hub(published)
    found = (try_to_load_from_cache(repository, file, cache_dir=folder) for file in files if repository)
    return next((file for file in found if isinstance(file, str)), "")


def _address(published: dict) -> str:
    """Where a person finds the file of an entry of the registry."""
    repository, files = _on_the_hub(published)
    return f"https://huggingface.co/{repository} ({' or '.join(files)})" if repository else published.get("url", "")
