"""The frozen CLIP of a run, and the precision that it computes in."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from clip.model import CLIP, VisionTransformer
from clip.weights import load_clip, report_normalization
from support.user_error import ConfigError
from trainers.options import Options

HALF_PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16}


def load_clip_to_cpu(cfg) -> CLIP:
    """The frozen CLIP that ``cfg.MODEL.BACKBONE`` names, in its checkpoint's precision.

    Raises:
        UserError: as `clip.weights.load_clip`, or INPUT.SIZE is not the backbone's resolution.
    """
    path = getattr(cfg.MODEL.BACKBONE, "PATH", "")
    model = load_clip(cfg.MODEL.BACKBONE.NAME, path)
    report_normalization(cfg.MODEL.BACKBONE.NAME, cfg.INPUT.PIXEL_MEAN, cfg.INPUT.PIXEL_STD, path)
    resolution = model.visual.input_resolution
    if tuple(cfg.INPUT.SIZE) != (resolution, resolution):
        raise ConfigError(
            f"INPUT.SIZE {tuple(cfg.INPUT.SIZE)} does not fit the backbone: set INPUT.SIZE ({resolution}, {resolution})"
        )
    return model.requires_grad_(False)


def usable_precision(options: Options, clip_model: CLIP, device: torch.device) -> str:
    """PREC of a method's options, or "fp32" with a printed line where a CPU could not profit from it.

    A method without PREC computes in the precision of CLIP's checkpoint.
    """
    native = "fp16" if clip_model.dtype == torch.float16 else "fp32"
    precision = getattr(options, "PREC", None)
    if device.type == "cpu" and (precision or native) in ("fp16", "amp"):
        if precision:
            print(f"{options.key('PREC')} {precision} needs a GPU: computing in fp32")
        return "fp32"
    return precision or native


def computing_in(precision: str, device: torch.device) -> AbstractContextManager:
    """The context of a forward pass: automatic mixed precision for "amp"."""
    return torch.autocast(device.type) if precision == "amp" else nullcontext()


def require_vit(clip_model: CLIP, options: Options) -> VisionTransformer:
    """The image encoder, where it can hold visual prompts.

    Raises:
        ConfigError: it is a ResNet.
    """
    if not isinstance(clip_model.visual, VisionTransformer):
        raise ConfigError(
            f"TRAINER.{options.node} prompts the image encoder, which a ResNet has no place for: choose a ViT backbone"
        )
    return clip_model.visual
