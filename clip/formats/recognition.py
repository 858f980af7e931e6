"""What a file is that is not a CLIP in OpenAI's layout, in words, so that a person sees which file was taken."""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Iterable
from typing import NamedTuple

from support.regular_file import regular_only
from support.user_error import shorten

TAKE_ANOTHER = "take a CLIP in OpenAI's layout, as OpenAI and open_clip publish it"
MERGE = "merge the adapter into its model, then save that"
NAME_THE_MODEL = "say which model it is with MODEL.BACKBONE.NAME open_clip:<model>"
SHARD = re.compile(r"-\d{5}-of-(\d{5})")
LARGEST_JSON = 2**26  # bytes
_ENDINGS = {".onnx": "a model of ONNX", ".msgpack": "a model of Flax", ".tflite": "a model of TensorFlow Lite"}
_TEXT = r"token_embedding\.|text_encoder\.|text_model\.|text\.|text_projection|ln_final\."


class _Layout(NamedTuple):
    """Names of tensors are searched for these patterns, each at the beginning of a part of a name."""

    what: str
    has: tuple[str, ...]
    lacks: tuple[str, ...] = ()
    advice: str = TAKE_ANOTHER


# The first that fits counts.
_LAYOUTS = (
    _Layout("a model of PEFT with a LoRA adapter in it", (r"lora_\w+\.", r"base_layer\."), advice=MERGE),
    _Layout("a LoRA adapter without its model", (r"lora_\w+\.",), advice=MERGE),
    _Layout("a Stable Diffusion model", (r"(cond_stage_model|first_stage_model|diffusion_model)\.",)),
    _Layout("a BLIP or ALBEF", (r"(visual_encoder|vision_model)\.", r"(text_decoder|text_encoder|qformer)\.")),
    _Layout("a language model with an image encoder", (r"language_model\.", r"(vision_tower|vision_model|visual)\.")),
    _Layout("transformers' SiglipModel, a SigLIP", (r"text_model\.", r"vision_model\.", r"logit_bias")),
    _Layout("transformers' SiglipModel, a SigLIP", (r"vision_model\.head\.attention\.",)),
    _Layout(
        "transformers' ChineseCLIPModel or AltCLIPModel, with a BERT as text encoder",
        (r"text_model\.(\w+\.)?encoder\.layer\.", r"vision_model\."),
    ),
    _Layout(
        "transformers' CLIPModel, with the names of Hugging Face (text_model, vision_model)",
        (r"text_model\.", r"vision_model\."),
        advice="put its config.json, which says how to read it, beside it, and leave out an open_clip name",
    ),
    _Layout("transformers' CLIPVisionModel, an image encoder without a text encoder", (r"vision_model\.",)),
    _Layout("transformers' CLIPTextModel, a text encoder without an image encoder", (r"text_model\.",)),
    _Layout("open_clip's SigLIP", (r"visual\.trunk\.", "logit_bias")),
    _Layout(
        "open_clip's model with an image encoder of timm (visual.trunk), as SigLIP or ConvNeXt", (r"visual\.trunk\.",)
    ),
    _Layout("an EVA-CLIP", (r"visual\.blocks\.",)),
    _Layout("open_clip's CoCa, with a text decoder", (r"visual\.", r"text_decoder\.")),
    _Layout(
        "open_clip's model with a text encoder of Hugging Face",
        (r"visual\.", r"text\.transformer\.(embeddings|encoder|shared)\."),
    ),
    _Layout("open_clip's model with an attention pooler", (r"visual\.attn_pool\.",)),
    _Layout(
        "open_clip's layout with a text encoder of its own (text.)",
        (r"visual\.conv1\.", r"text\.transformer\.resblocks\."),
        advice=NAME_THE_MODEL,
    ),
    _Layout("a MobileCLIP", (r"image_encoder\.model\.", r"text_encoder\.")),
    _Layout(
        "what a prompt-tuning method learned, not a backbone",
        (r"(prompt_learner\.|ctx$|visual_ctx$|visual_deep_ctx$|compound_prompts_text\.|VPT)",),
        (r"visual\.conv1\.",),
        advice="test it with --eval-only --model-dir FOLDER",
    ),
    _Layout("an MAE, an image encoder without a text encoder", (r"(decoder_blocks|decoder_embed)\.",)),
    _Layout("a DINOv2, a ViT without a text encoder", (r"patch_embed\.", r"mask_token|register_tokens"), (_TEXT,)),
    _Layout("a DINO, a ViT without a text encoder", (r"patch_embed\.", r"(student|teacher|dino_head|last_layer)\b")),
    _Layout("a ViT of timm or DINO without a text encoder", (r"patch_embed\.", r"blocks\.\d"), (_TEXT,)),
    _Layout("transformers' ViT without a text encoder", (r"embeddings\.patch_embeddings\.",)),
    _Layout("torchvision's ViT without a text encoder", (r"conv_proj\.", r"encoder_layer_0\.")),
    _Layout(
        "the image encoder of a CLIP without a text encoder",
        (r"conv1\.weight", r"(class_embedding|attnpool\.)"),
        (_TEXT,),
    ),
    _Layout(
        "the text encoder of a CLIP without an image encoder",
        (r"token_embedding\.",),
        (r"(visual|image_encoder|vision_model|conv1)\.",),
    ),
    _Layout("a ResNet without a text encoder", (r"layer1\.0\.conv1\.", r"bn1\."), (_TEXT,)),
    _Layout("a BERT, a text encoder without an image encoder", (r"embeddings\.word_embeddings\.",)),
)


def recognise(names: Iterable[str]) -> tuple[str, str] | None:
    """What a state dict with these names is, and what to do; None where it is none of the known ones."""
    text = "\n".join(names)

    def found(pattern: str) -> bool:
        return re.search(rf"(?m)(?:^|\.)(?:{pattern})", text) is not None

    for layout in _LAYOUTS:
        if all(map(found, layout.has)) and not any(map(found, layout.lacks)):
            return layout.what, layout.advice
    return None


def recognise_content(content: object) -> tuple[str, str] | None:
    """What a file holds that is no state dict, and what to do; None where it is none of the known things."""
    if not isinstance(content, dict):
        return None
    if {"state", "param_groups"} <= content.keys():
        return "the state of an optimizer, not of a model", "take the file of the model"
    if {"last_epoch", "_last_lr"} <= content.keys():
        return "the state of a scheduler, not of a model", "take the file of the model"
    inside = [(key, value) for key, value in content.items() if isinstance(value, dict)]
    return recognise(f"{key}.{name}" for key, value in inside for name in value if isinstance(name, str))


def recognise_file(file: str) -> str | None:
    """What a file is that no checkpoint of PyTorch is, and what to do; None where it may be one, or is not known."""
    with open(file, "rb", opener=regular_only) as opened:
        head = opened.read(512)
    start = head.lstrip().lower()
    if head.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS in place of the file: fetch it with git lfs pull"
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page in place of the file: download it again"
    if head.startswith(b"\x89HDF"):
        return f"an HDF5 file of Keras: {TAKE_ANOTHER}"
    if head.startswith(b"GGUF"):
        return f"a GGUF file of llama.cpp: {TAKE_ANOTHER}"
    if head.startswith(b"\x1f\x8b"):
        return "packed by gzip: unpack it"
    if kind := _ENDINGS.get(os.path.splitext(file)[1]):
        return f"{kind}, not of PyTorch: {TAKE_ANOTHER}"
    if start.startswith(b"{") and os.path.getsize(file) < LARGEST_JSON:
        return _recognise_json(file)
    if head.startswith(b"PK") and zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
        if names and all(name.endswith(".npy") for name in names):
            return f"an archive of NumPy (.npz): {TAKE_ANOTHER}"
        if not any(name.endswith("data.pkl") for name in names):
            return f"a zip archive of {shorten(names)}: unpack it"
    return None


def _recognise_json(file: str) -> str | None:
    try:
        with open(file, encoding="utf-8", opener=regular_only) as opened:
            content = json.load(opened)
    except (ValueError, RecursionError):
        return None
    model = content.get("architectures") or content.get("model_type") if isinstance(content, dict) else None
    what = f"a configuration ({json.dumps(model)[:80]})" if model else "a JSON file"
    return f"{what}, not the weights: name the file of the weights"
