"""transformers' CLIPModel: "hf:<owner>/<model>" of the Hugging Face Hub, or a folder with config.json and weights.

config.json tells what tensors do not: the activation, the number of heads, the epsilon of the layer norms, the image
size. preprocessor_config.json tells how images were normalised. Nothing else of a repository is fetched.

    transformers                                            OpenAI
    {text,vision}_model.encoder.layers.0.layer_norm1        {transformer,visual.transformer}.resblocks.0.ln_1
    ... self_attn.q_proj, .k_proj, .v_proj                  ... attn.in_proj_*, one under the other
    ... mlp.fc1, mlp.fc2                                    ... mlp.c_fc, mlp.c_proj
    visual_projection.weight  (e, d_v)                      visual.proj  (d_v, e)
    text_projection.weight  (e, d_t)                        text_projection  (d_t, e)

Source of names and defaults: transformers, models/clip/configuration_clip.py and modeling_clip.py.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from contextlib import suppress

import torch
from torch import Tensor, nn

from clip.formats import FIRST_LAYER, PIXEL_MEAN, PIXEL_STD, Weights, check_sizes, hub
from clip.formats.files import INDEX, read_json, shards_of
from clip.model import QuickGELU
from support.user_error import CheckpointError, ConfigError, DownloadError, UserError

PREFIX = "hf:"
CONFIG = "config.json"
PREPROCESSING = ("preprocessor_config.json", "processor_config.json")  # the second since transformers 5
# safetensors first; an index where the weights are in several files
WEIGHTS = tuple(name + end for name in ("model.safetensors", "pytorch_model.bin") for end in ("", INDEX))

_VOCABULARY = 49408  # of OpenAI's tokenizer
_END_TOKENS = (49407, 2)  # the right one, and the one of configurations before transformers 4.31: both mean the last
_ACTIVATIONS = {"quick_gelu": QuickGELU, "gelu": nn.GELU}
_BOTH = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
_TEXT = {  # what a configuration that does not say otherwise means
    **_BOTH,
    **{"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 8},
    **{"max_position_embeddings": 77, "vocab_size": _VOCABULARY, "eos_token_id": _END_TOKENS[0]},
}
_VISION = {
    **_BOTH,
    **{"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
    **{"image_size": 224, "patch_size": 32, "num_channels": 3},
}

_NAMES = {
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "text_projection.weight": "text_projection",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": FIRST_LAYER,
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
    "visual_projection.weight": "visual.proj",
    "logit_scale": "logit_scale",
}
_TRANSPOSED = ("text_projection.weight", "visual_projection.weight")
_LAYER = re.compile(r"(text|vision)_model\.encoder\.layers\.(\d+)\.([\w.]+)\.(weight|bias)")
_ENCODERS = {"text": "transformer", "vision": "visual.transformer"}
_IN_A_LAYER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_FUSED = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")  # in the order of in_proj
_BUFFERS = ("text_model.embeddings.position_ids", "vision_model.embeddings.position_ids")  # 0, 1, 2, ...


def canonical_name(name: str) -> str:
    """One spelling of a name of the Hub, without spaces around its parts; other names as they are."""
    return PREFIX + name.strip()[len(PREFIX) :].strip() if takes(name) else name


def takes(name: str) -> bool:
    return name.strip().lower().startswith(PREFIX)


def fetch(name: str, cache: str | None = None) -> str:
    """Local path of the weights of "hf:<owner>/<model>", with config.json beside them; "@<revision>" may follow.

    What the cache has is taken without asking the Hub.

    Args:
        cache: default: huggingface_hub's own, which transformers uses as well.

    Raises:
        UserError: no such model, no connection, or a model of another kind than CLIP.
    """
    name = canonical_name(name)
    repository, _, revision = name.removeprefix(PREFIX).partition("@")
    try:
        return _fetch(name, repository, revision or None, cache)
    except UserError:
        raise
    except Exception as error:  # of huggingface_hub, its HTTP library and the file system
        raise DownloadError(
            f"cannot download {name} ({hub.reason(error, repository)}); or name a mirror of the Hub by HF_ENDPOINT, "
            "or fetch its folder by hand and set MODEL.BACKBONE.PATH to it"
        ) from error


def _fetch(name: str, repository: str, revision: str | None, cache: str | None) -> str:
    """As `fetch`. The weights come last, so that all is there where they are."""
    where = (revision, cache)
    if (file := hub.cached(repository, WEIGHTS, *where)) and _is_complete(file):
        if not hub.is_known(repository, PREPROCESSING, *where):  # transformers' models are fetched without it
            try:
                hub.fetch(repository, PREPROCESSING, *where)
            except Exception as error:
                print(f"{name}: no {PREPROCESSING[0]} ({hub.reason(error, repository)}): taken to be as OpenAI's")
        return file
    config = hub.fetch(repository, [CONFIG], *where)
    if not config:
        raise ConfigError(f'MODEL.BACKBONE.NAME "{name}": it has no {CONFIG}, so it is no CLIPModel: choose another')
    _check_kind(read_json(config), f"{CONFIG} of {name}")
    hub.fetch(repository, PREPROCESSING, *where)
    file = hub.fetch(repository, WEIGHTS, *where)
    if not file:
        raise ConfigError(
            f'MODEL.BACKBONE.NAME "{name}": it has no model.safetensors and no pytorch_model.bin: choose another'
        )
    for shard in shards_of(file) if file.endswith(INDEX) else ():
        hub.fetch(repository, [shard], *where)
    return file


def recognises(tensors: dict[str, Tensor], name: str, file: str) -> bool:
    """Whether a config.json of transformers lies beside tensors that do not have OpenAI's names."""
    config = os.path.join(_folder(file), CONFIG)
    if any(f".{key}".endswith(f".{FIRST_LAYER}") for key in tensors) or not os.path.isfile(config):
        return False
    return "model_type" in read_json(config)


def convert(tensors: dict[str, Tensor], name: str, file: str) -> Weights:
    """A CLIPModel by OpenAI's names.

    Raises:
        UserError: config.json is of another model than CLIP, of another architecture than OpenAI's ViTs, or does not
            fit the tensors.
    """
    folder = _folder(file)
    source = os.path.join(folder, CONFIG)
    config = read_json(source)
    _check_kind(config, source)
    arguments = _arguments(config, source)
    converted = _converted(tensors)
    try:
        check_sizes(converted, arguments, f"{file} does not fit {source}: {{difference}}; take both from one model")
    except KeyError as error:
        theirs = {ours: theirs for theirs, ours in _NAMES.items()}.get(error.args[0], error.args[0])
        raise CheckpointError(f"{file} lacks the tensor {theirs} of a CLIPModel: get it again") from error
    return Weights(converted, arguments, *_normalization(folder))


def normalization(name: str, path: str) -> tuple[Sequence[float], Sequence[float]] | None:
    """Mean and standard deviation in the preprocessor_config.json beside a CLIPModel, else those of OpenAI's models."""
    if path:
        folder = _folder(os.path.expanduser(path))
    elif takes(name):
        folder = os.path.dirname(fetch(name))
    else:
        return None
    return _normalization(folder) if has_config(folder) else None


def has_config(folder: str) -> bool:
    """Whether the config.json of a CLIPModel is in a folder; not one that is damaged."""
    file = os.path.join(folder, CONFIG)
    with suppress(UserError):
        return os.path.isfile(file) and read_json(file).get("model_type") == "clip"
    return False


def _folder(path: str) -> str:
    return path if os.path.isdir(path) else os.path.dirname(path)


def _is_complete(file: str) -> bool:
    """Whether the cache has all that belongs to a file of weights; an interrupted run may have left some of it."""
    folder = os.path.dirname(file)
    needed = [CONFIG, *(shards_of(file) if file.endswith(INDEX) else ())]
    return all(os.path.isfile(os.path.join(folder, name)) for name in needed)


def _check_kind(config: dict, source: str) -> None:
    kind = config.get("model_type")
    if kind != "clip":
        raise CheckpointError(
            f'{source} says model_type "{str(kind)[:80]}", which is no CLIPModel: take one that says "clip"'
        )


def _normalization(folder: str) -> tuple[Sequence[float], Sequence[float]]:
    for name in PREPROCESSING:
        file = os.path.join(folder, name)
        if not os.path.isfile(file):
            continue
        content = read_json(file)
        if isinstance(content.get("image_processor"), dict):
            content = content["image_processor"]
        mean, std = content.get("image_mean", PIXEL_MEAN), content.get("image_std", PIXEL_STD)
        if not (_are_three_numbers(mean) and _are_three_numbers(std) and min(std) > 0):
            raise CheckpointError(f"{file} does not give three numbers for image_mean and for image_std: correct it")
        return tuple(mean), tuple(std)
    return PIXEL_MEAN, PIXEL_STD


def _are_three_numbers(values: object) -> bool:
    return (
        isinstance(values, (list, tuple))
        and len(values) == 3
        and all(isinstance(value, (int, float)) and math.isfinite(value) for value in values)
    )


def _arguments(config: dict, source: str) -> dict:
    """Arguments of `clip.model.CLIP` for a configuration.

    Raises:
        UserError: it differs from OpenAI's architecture.
    """
    text, vision = _part(config, "text", _TEXT, source), _part(config, "vision", _VISION, source)
    for name, part in (("text_config", text), ("vision_config", vision)):
        _require_sizes(part, name, source)
    wanted = [
        ("text_config.vocab_size", text["vocab_size"], _VOCABULARY),
        ("text_config.intermediate_size", text["intermediate_size"], 4 * text["hidden_size"]),
        ("vision_config.intermediate_size", vision["intermediate_size"], 4 * vision["hidden_size"]),
        ("vision_config.num_channels", vision["num_channels"], 3),
    ]
    for key, found, usual in wanted:
        if found != usual:
            raise CheckpointError(f"{source}: {key} is {found!r:.80}, not {usual!r:.80}: take another CLIPModel")
    for key in _BOTH:
        if text[key] != vision[key]:
            raise CheckpointError(
                f"{source}: {key} is {text[key]!r:.80} in text_config and {vision[key]!r:.80} in vision_config, but "
                "OpenAI's CLIP has one for both: take another CLIPModel"
            )
    for key, found, known in (
        ("text_config.hidden_act", text["hidden_act"], tuple(_ACTIVATIONS)),
        ("text_config.eos_token_id", text["eos_token_id"], _END_TOKENS),
    ):
        if found not in known:
            raise CheckpointError(
                f"{source}: {key} is {found!r:.80}, not {' or '.join(map(str, known))}: take another CLIPModel"
            )
    return {
        "embed_dim": config.get("projection_dim", 512),
        "image_resolution": vision["image_size"],
        "vision_layers": vision["num_hidden_layers"],
        "vision_width": vision["hidden_size"],
        "vision_patch_size": vision["patch_size"],
        "vision_heads": vision["num_attention_heads"],
        "context_length": text["max_position_embeddings"],
        "vocab_size": text["vocab_size"],
        "transformer_width": text["hidden_size"],
        "transformer_heads": text["num_attention_heads"],
        "transformer_layers": text["num_hidden_layers"],
        "activation": _ACTIVATIONS[text["hidden_act"]],
        "layer_norm_eps": text["layer_norm_eps"],
    }


def _part(config: dict, name: str, usual: dict, source: str) -> dict:
    """The configuration of one encoder; "<name>_config_dict", which old files have as well, counts more."""
    for key in (f"{name}_config", f"{name}_config_dict"):
        entry = config.get(key) or {}
        if not isinstance(entry, dict):
            raise CheckpointError(f"{source}: {key} is {entry!r:.80}, no object: get it again")
        usual = usual | entry
    return usual


def _require_sizes(part: dict, name: str, source: str) -> None:
    """UserError unless the sizes in a configuration are positive numbers that fit each other."""
    keys = [key for key, usual in {**_TEXT, **_VISION}.items() if key in part and isinstance(usual, int)]
    for key in keys:
        if key != "eos_token_id" and (type(part[key]) is not int or not 0 < part[key] < 2**31):
            raise CheckpointError(f"{source}: {name}.{key} is {part[key]!r:.80}, no number of that kind: correct it")
    if type(part["layer_norm_eps"]) is not float or not 0 < part["layer_norm_eps"] < 1:
        raise CheckpointError(f"{source}: {name}.layer_norm_eps is {part['layer_norm_eps']!r:.80}: correct it")
    if part["hidden_size"] % part["num_attention_heads"]:
        raise CheckpointError(
            f"{source}: {name}.hidden_size {part['hidden_size']} is no multiple of num_attention_heads "
            f"{part['num_attention_heads']}: correct it"
        )


def _converted(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by OpenAI's names; those that a CLIPModel does not have keep theirs."""
    converted, to_fuse = {}, {}
    for name, tensor in tensors.items():
        inside = _LAYER.fullmatch(name)
        if name in _BUFFERS:
            continue
        if inside and inside[3] in _FUSED:
            target = f"{_ENCODERS[inside[1]]}.resblocks.{inside[2]}.attn.in_proj_{inside[4]}"
            to_fuse.setdefault(target, {})[inside[3]] = tensor
        elif inside and inside[3] in _IN_A_LAYER:
            converted[f"{_ENCODERS[inside[1]]}.resblocks.{inside[2]}.{_IN_A_LAYER[inside[3]]}.{inside[4]}"] = tensor
        else:
            converted[_NAMES.get(name, name)] = tensor.t().contiguous() if name in _TRANSPOSED else tensor
    for target, parts in to_fuse.items():
        converted[target] = torch.cat([parts[name] for name in _FUSED if name in parts])
    return converted
