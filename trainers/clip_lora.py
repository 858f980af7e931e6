"""CLIP-LoRA: low-rank additions to the attention of both encoders, a hand-written prompt for each class.

Zanella, Ben Ayed, "Low-Rank Few-Shot Adaptation of Vision-Language Models", CVPRW 2024 (arXiv 2405.18541).
Released code: github.com/MaxZanella/CLIP-LoRA (no licence stated).

Differs from the release: the learning rate follows its cosine epoch by epoch and to 0 (there step by step, to 1e-6),
training ends with an epoch and leaves out its incomplete last batch, tokens that all classes share are computed once
and so have one dropout mask for all, logits are scaled as the backbone says (there by 100), and there is no addition to
the output projection. The release computes in what PREC calls amp.
Differs from the paper: in nothing known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clip.model import VisionTransformer
from clip.prompts import UNCHANGED, Layer, Prompts
from dassl.engine import TRAINER_REGISTRY
from support.user_error import ConfigError
from trainers.class_prompts import template_text
from trainers.method import PromptMethod
from trainers.options import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, OneOf, Options, option, precision
from trainers.templates import DEFAULT_TEMPLATE, TEMPLATES, choose_template
from trainers.trainer import MethodTrainer

ENCODERS = ("both", "text", "vision")
# From which layer and up to which (exclusive), as fractions of their number; the released code lists the layers.
POSITIONS = {
    "all": (0, 1),
    "bottom": (0, 1 / 3),
    "mid": (1 / 3, 2 / 3),
    "up": (2 / 3, 1),
    "half-bottom": (0, 1 / 2),
    "half-up": (1 / 2, 1),
}
TOP3 = "top3"  # the last three layers
RELEASED_TEMPLATES = dict.fromkeys(TEMPLATES, DEFAULT_TEMPLATE)  # the released code has one for all datasets


class LowRank(nn.Module):
    """scale * B A x for some of query, key and value. Learned: ``A`` (k, r, d), ``B`` (k, d, r) for k of the three."""

    def __init__(self, width: int, parts: str, rank: int, scale: float, dropout: float):
        super().__init__()
        self.parts, self.scale, self.dropout = parts, scale, dropout
        bound = width**-0.5  # Kaiming's uniform initialisation of a linear layer's weight
        self.A = nn.Parameter(torch.empty(len(parts), rank, width).uniform_(-bound, bound))
        self.B = nn.Parameter(torch.zeros(len(parts), width, rank))

    def forward(self, x: Tensor) -> Tensor:
        """(..., d) -> (..., 3 d), zeros for what is not adapted."""
        added = {part: torch.zeros_like(x) for part in "qkv"}
        for part, a, b in zip(self.parts, self.A.to(x.dtype), self.B.to(x.dtype), strict=True):
            low = F.linear(F.dropout(x, self.dropout, self.training), a)  # (..., r)
            added[part] = self.scale * F.linear(low, b)
        return torch.cat(list(added.values()), dim=-1)


class Adapters(PromptMethod):
    """Learned: a `LowRank` for each chosen layer, ``text.<layer>`` and ``vision.<layer>``, layers counted from 0.

    Raises:
        ConfigError: PARAMS or DROPOUT is out of range, or the image encoder is a ResNet and meant to be adapted.
    """

    @dataclass
    class Config(Options, node="CLIP_LORA"):
        RANK: int = option(2, "rank of the additions", AT_LEAST_ONE)
        ALPHA: float = option(1, "the additions are scaled by ALPHA / sqrt(RANK)", POSITIVE)
        DROPOUT: float = option(0.25, "on what the additions read, in training")
        ENCODER: str = option("both", "both, text or vision", OneOf(ENCODERS))
        PARAMS: str = option("q k v", "projections that get additions")
        POSITION: str = option(
            "all", "layers: all, bottom, mid, up, half-bottom, half-up or top3", OneOf((*POSITIONS, TOP3))
        )
        N_ITERS: int = option(
            0, "steps per shot, as many epochs as they fill; 0, or no shots: OPTIM.MAX_EPOCH epochs", NOT_NEGATIVE
        )
        PREC: str = precision("fp16")

    def __init__(self, config: Config, task, clip_model):
        super().__init__(config, task)
        if not 0 <= config.DROPOUT < 1:
            raise ConfigError(f"TRAINER.CLIP_LORA.DROPOUT is {config.DROPOUT}: it must be at least 0 and below 1")
        if config.ENCODER != "text" and not isinstance(clip_model.visual, VisionTransformer):
            raise ConfigError(
                f'TRAINER.CLIP_LORA.ENCODER is "{config.ENCODER}", but a ResNet image encoder has no transformer '
                "layers: choose text, or a ViT backbone"
            )
        parts, scale = adapted_parts(config.PARAMS), config.ALPHA / math.sqrt(config.RANK)

        def adapted(transformer) -> nn.ModuleDict:
            width, layers = transformer.width, adapted_layers(config.POSITION, transformer.layers)
            return nn.ModuleDict({str(i): LowRank(width, parts, config.RANK, scale, config.DROPOUT) for i in layers})

        self.text = adapted(clip_model.transformer) if config.ENCODER != "vision" else nn.ModuleDict()
        self.vision = adapted(clip_model.visual.transformer) if config.ENCODER != "text" else nn.ModuleDict()
        self.class_text = template_text(self.class_names, self.plain_templates()[0])

    @staticmethod
    def epochs(config: Config, shots: int, batches: int) -> int | None:
        steps = config.N_ITERS * shots
        return math.ceil(steps / batches) if steps > 0 and batches else None

    def plain_templates(self) -> list[str]:
        return [choose_template(self.task, RELEASED_TEMPLATES)]

    def forward(self) -> Prompts:
        return Prompts(text_layers=layers_of(self.text), visual_layers=layers_of(self.vision))


def adapted_layers(position: str, count: int) -> range:
    """Which of ``count`` layers a POSITION names."""
    if position == TOP3:
        return range(max(count - 3, 0), count)
    begin, end = POSITIONS[position]
    return range(round(begin * count), round(end * count))


def layers_of(adapted: nn.ModuleDict) -> list[Layer]:
    """The encoder's layers up to the last adapted one."""
    last = max((int(name) for name in adapted), default=-1)
    return [Layer(qkv=adapted[str(i)]) if str(i) in adapted else UNCHANGED for i in range(last + 1)]


def adapted_parts(params: str) -> str:
    """ "q v" as "qv": the projections that PARAMS names, in CLIP's order.

    Raises:
        UserError: it names none, or another one.
    """
    named = params.split()
    if not named or set(named) - set("qkv"):
        raise ConfigError(f'TRAINER.CLIP_LORA.PARAMS is "{params}": name one or more of q, k and v, as in "q k v"')
    return "".join(part for part in "qkv" if part in named)


@TRAINER_REGISTRY.register()
class CLIP_LoRA(MethodTrainer):
    Method = Adapters
