"""Small CLIP state dicts and inputs drawn from a seed, the same on every machine and numpy version.

The golden numbers in tests/golden/ were made by the upstream codes on exactly these tensors, so nothing here may change
without making them again. numpy's legacy ``RandomState`` is used because its stream is frozen for good.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

Shapes = Iterator[tuple[str, tuple[int, ...]]]  # names and shapes, in the order in which they are drawn

VOCABULARY, POSITIONS = 49408, 77
EMBED_DIM, TEXT_WIDTH, TEXT_LAYERS = 32, 64, 3
LOGIT_SCALE = float(np.log(100.0))  # where CLIP's training clips it

IMAGE_SIZE = {"vit": 32, "resnet": 64}
SEEDS = {"vit": 11, "resnet": 12}

# All widths of the ViT differ (embedding 32, text 64, vision 128), so that no mix-up of them can go unnoticed.
VIT_WIDTH, VIT_LAYERS, VIT_PATCH = 128, 3, 8
RESNET_WIDTH, RESNET_LAYERS = 8, (1, 2, 1, 1)


def seeded_state_dict(kind: str) -> dict[str, torch.Tensor]:
    """Float32 state dict of a small CLIP with OpenAI's names; ``kind`` is "vit" (32 px) or "resnet" (64 px)."""
    random = np.random.RandomState(SEEDS[kind])
    visual = _vit_shapes() if kind == "vit" else _resnet_shapes()
    state = {}
    for name, shape in [*_text_shapes(), *visual]:
        values = _initial_values(name, shape, random.standard_normal(shape))
        state[name] = torch.from_numpy(np.asarray(values, dtype=np.float32))
        if name.endswith("running_var"):
            state[name.replace("running_var", "num_batches_tracked")] = torch.tensor(1)
    state["logit_scale"] = torch.tensor(LOGIT_SCALE)
    return state


def seeded_images(kind: str, count: int, seed: int = 0) -> torch.Tensor:
    """(count, 3, H, W) float32 stand-ins for normalized images; a coarse pattern of 4x4 tiles plus noise."""
    random = np.random.RandomState(seed)
    tile = IMAGE_SIZE[kind] // 4
    coarse = random.standard_normal((count, 3, 4, 4)).repeat(tile, axis=2).repeat(tile, axis=3)
    fine = random.standard_normal(coarse.shape)
    return torch.from_numpy((coarse + 0.5 * fine).astype(np.float32))


def seeded_tensor(shape: tuple[int, ...], seed: int, std: float) -> torch.Tensor:
    """N(0, std^2) of ``shape`` in float32: the recipe of every learned tensor in tests/golden/."""
    return torch.from_numpy((np.random.RandomState(seed).standard_normal(shape) * std).astype(np.float32))


def _text_shapes() -> Shapes:
    yield "token_embedding.weight", (VOCABULARY, TEXT_WIDTH)
    yield "positional_embedding", (POSITIONS, TEXT_WIDTH)
    yield from _transformer_shapes("transformer", TEXT_WIDTH, TEXT_LAYERS)
    yield from _norm_shapes("ln_final", TEXT_WIDTH)
    yield "text_projection", (TEXT_WIDTH, EMBED_DIM)


def _vit_shapes() -> Shapes:
    patches = (IMAGE_SIZE["vit"] // VIT_PATCH) ** 2
    yield "visual.conv1.weight", (VIT_WIDTH, 3, VIT_PATCH, VIT_PATCH)
    yield "visual.class_embedding", (VIT_WIDTH,)
    yield "visual.positional_embedding", (patches + 1, VIT_WIDTH)
    yield from _norm_shapes("visual.ln_pre", VIT_WIDTH)
    yield from _transformer_shapes("visual.transformer", VIT_WIDTH, VIT_LAYERS)
    yield from _norm_shapes("visual.ln_post", VIT_WIDTH)
    yield "visual.proj", (VIT_WIDTH, EMBED_DIM)


def _transformer_shapes(prefix: str, width: int, layers: int) -> Shapes:
    for layer in range(layers):
        block = f"{prefix}.resblocks.{layer}"
        yield from _norm_shapes(f"{block}.ln_1", width)
        yield f"{block}.attn.in_proj_weight", (3 * width, width)
        yield f"{block}.attn.in_proj_bias", (3 * width,)
        yield from _linear_shapes(f"{block}.attn.out_proj", width, width)
        yield from _norm_shapes(f"{block}.ln_2", width)
        yield from _linear_shapes(f"{block}.mlp.c_fc", width, 4 * width)
        yield from _linear_shapes(f"{block}.mlp.c_proj", 4 * width, width)


def _resnet_shapes() -> Shapes:
    half = RESNET_WIDTH // 2
    for index, (inputs, outputs) in enumerate([(3, half), (half, half), (half, RESNET_WIDTH)], start=1):
        yield from _convolution_shapes("visual", str(index), inputs, outputs, kernel=3)
    inputs = RESNET_WIDTH
    for stage, blocks in enumerate(RESNET_LAYERS, start=1):
        planes = RESNET_WIDTH * 2 ** (stage - 1)
        for block in range(blocks):
            prefix = f"visual.layer{stage}.{block}"
            yield from _convolution_shapes(prefix, "1", inputs, planes, kernel=1)
            yield from _convolution_shapes(prefix, "2", planes, planes, kernel=3)
            yield from _convolution_shapes(prefix, "3", planes, 4 * planes, kernel=1)
            if block == 0:
                yield f"{prefix}.downsample.0.weight", (4 * planes, inputs, 1, 1)
                yield from _batch_norm_shapes(f"{prefix}.downsample.1", 4 * planes)
            inputs = 4 * planes
    yield "visual.attnpool.positional_embedding", ((IMAGE_SIZE["resnet"] // 32) ** 2 + 1, inputs)
    for projection in "qkv":
        yield from _linear_shapes(f"visual.attnpool.{projection}_proj", inputs, inputs)
    yield from _linear_shapes("visual.attnpool.c_proj", inputs, EMBED_DIM)


def _convolution_shapes(prefix: str, index: str, inputs: int, outputs: int, kernel: int) -> Shapes:
    yield f"{prefix}.conv{index}.weight", (outputs, inputs, kernel, kernel)
    yield from _batch_norm_shapes(f"{prefix}.bn{index}", outputs)


def _batch_norm_shapes(prefix: str, width: int) -> Shapes:
    yield from _norm_shapes(prefix, width)
    yield f"{prefix}.running_mean", (width,)
    yield f"{prefix}.running_var", (width,)


def _norm_shapes(prefix: str, width: int) -> Shapes:
    yield f"{prefix}.weight", (width,)
    yield f"{prefix}.bias", (width,)


def _linear_shapes(prefix: str, inputs: int, outputs: int) -> Shapes:
    yield f"{prefix}.weight", (outputs, inputs)
    yield f"{prefix}.bias", (outputs,)


def _initial_values(name: str, shape: tuple[int, ...], normal: np.ndarray) -> np.ndarray:
    """Turn standard normal draws into values of the size that CLIP's own initialization and training give."""
    if name.endswith("running_var"):
        return 1.0 + 0.2 * np.abs(normal)
    if name == "token_embedding.weight":
        return 0.02 * normal
    if name.endswith("positional_embedding"):
        return (0.01 if name == "positional_embedding" else shape[-1] ** -0.5) * normal
    if name.endswith("class_embedding"):
        return shape[-1] ** -0.5 * normal
    if name.endswith("running_mean"):
        return 0.1 + 0.1 * normal
    if name.endswith("bias"):
        return 0.05 * normal
    if len(shape) == 1:  # the gain of a normalization
        return 1.0 + 0.1 * normal
    if name in ("visual.proj", "text_projection"):  # stored as (inputs, outputs)
        return shape[0] ** -0.5 * normal
    if len(shape) == 4:  # a convolution: this gain keeps the features of different images apart through all ReLUs
        gain = 1.8
    else:
        gain = 1.5 if "in_proj" in name or "attnpool" in name else 1.0
    return gain * np.prod(shape[1:]) ** -0.5 * normal  # (outputs, inputs, ...)
