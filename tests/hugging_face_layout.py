"""A CLIP of OpenAI's layout written as transformers' CLIPModel is saved: config.json and the weights."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from clip.model import architecture

TOWERS = {"transformer.": "text_model.", "visual.transformer.": "vision_model."}
NAMES = {
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.": "text_model.final_layer_norm.",
    "text_projection": "text_projection.weight",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.ln_pre.": "vision_model.pre_layrnorm.",
    "visual.ln_post.": "vision_model.post_layernorm.",
    "visual.proj": "visual_projection.weight",
}
PARTS = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "attn.out_proj": "self_attn.out_proj"}
PARTS |= {"mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}


def hugging_face_tensors(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a ViT in OpenAI's layout, by transformers' names and in its shapes."""
    tensors = {}
    for name, value in state.items():
        tower = next((tower for tower in TOWERS if name.startswith(f"{tower}resblocks.")), None)
        if tower:
            layer, _, inside = name.removeprefix(f"{tower}resblocks.").partition(".")
            prefix = f"{TOWERS[tower]}encoder.layers.{layer}."
            if inside.startswith("attn.in_proj_"):
                for letter, part in zip("qkv", value.chunk(3), strict=True):
                    tensors[f"{prefix}self_attn.{letter}_proj.{inside.removeprefix('attn.in_proj_')}"] = part
            else:
                part, _, kind = inside.rpartition(".")
                tensors[f"{prefix}{PARTS[part]}.{kind}"] = value
            continue
        old = next((old for old in NAMES if name == old or (old.endswith(".") and name.startswith(old))), None)
        new = name.replace(old, NAMES[old], 1) if old else name
        tensors[new] = value.t() if name in ("text_projection", "visual.proj") else value
    return {name: value.contiguous().clone() for name, value in tensors.items()}


def hugging_face_config(state: dict[str, Tensor], both: dict | None = None, text=None, vision=None) -> dict:
    """The config.json of these tensors in OpenAI's layout, with changed entries for both encoders or one of them."""
    sizes = architecture(state)
    width, vision_width = sizes["transformer_width"], sizes["vision_width"]
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": sizes["embed_dim"],
        "text_config": {
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "num_hidden_layers": sizes["transformer_layers"],
            "num_attention_heads": sizes["transformer_heads"],
            **(both or {}),
            **(text or {}),
        },
        "vision_config": {
            "hidden_size": vision_width,
            "intermediate_size": 4 * vision_width,
            "num_hidden_layers": sizes["vision_layers"],
            "num_attention_heads": vision_width // 64,
            "image_size": sizes["image_resolution"],
            "patch_size": sizes["vision_patch_size"],
            **(both or {}),
            **(vision or {}),
        },
    }


def write_hugging_face(folder: Path, state: dict[str, Tensor], config: dict, file: str = "model.safetensors") -> Path:
    """The folder, with config.json and the weights in it; ``file`` may end in .index.json, for two files of weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    tensors = hugging_face_tensors(state)
    if file.endswith(".index.json"):
        stem, end = file.removesuffix(".index.json").split(".")
        names = sorted(tensors)
        shards = {f"{stem}-0000{i + 1}-of-00002.{end}": names[i::2] for i in (0, 1)}
        for shard, inside in shards.items():
            _save({name: tensors[name] for name in inside}, folder / shard)
        weight_map = {name: shard for shard, inside in shards.items() for name in inside}
        (folder / file).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    else:
        _save(tensors, folder / file)
    return folder


def _save(tensors: dict[str, Tensor], file: Path) -> None:
    save_file(tensors, file) if file.suffix == ".safetensors" else torch.save(tensors, file)
