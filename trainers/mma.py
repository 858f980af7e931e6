"""MMA: bottlenecks beside the upper layers of both encoders, through a projection that text and vision share.

Yang, Zhang, Wang, Xie, "MMA: Multi-Modal Adapter for Vision-Language Models", CVPR 2024. Released code:
github.com/ZjjConan/VLM-MultiModalAdapter (MIT).

Differs from the release: ADAPTER_START 0, an adapter of the embeddings, is not there; layers that an encoder lacks are
left out.
Differs from the paper: in nothing known; as released, gradients of the adapters' weights do not know their scale.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clip.prompts import UNCHANGED, Layer, Prompts
from dassl.engine import TRAINER_REGISTRY
from support.user_error import ConfigError
from trainers.class_prompts import template_text
from trainers.frozen_clip import require_vit
from trainers.method import PromptMethod
from trainers.options import AT_LEAST_ONE, POSITIVE, Options, option, precision
from trainers.trainer import MethodTrainer

OF_CLASS_NAMES = ("token_embedding", "tokenized_prompts")  # in released checkpoints


class _ScaledGradient(torch.autograd.Function):
    """The identity, whose backward pass multiplies by ``factor``."""

    @staticmethod
    def forward(ctx, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.factor, None


class Adapter(nn.Module):
    """scale * up(relu(shared(relu(down(x))))), d -> w -> w -> d.

    Gradients of its weights are those of scale 1, so that the learning rate need not know the scale; what flows back
    to x is the derivative.
    """

    def __init__(self, own: nn.ModuleDict, shared: nn.Module, scale: float):
        super().__init__()
        self.own, self.shared, self.scale = own, shared, scale

    def forward(self, x: Tensor) -> Tensor:
        """(..., d) -> (..., d)."""
        x = x.float()
        if not torch.is_grad_enabled():
            return self.scale * self.own["up"](self.shared(self.own["down"](x)))
        x = _ScaledGradient.apply(x, self.scale)
        x = self.scale * self.own["up"](self.shared(self.own["down"](x)))
        return _ScaledGradient.apply(x, 1 / self.scale)


class Adapters(PromptMethod):
    """Learned, under the released names, for each adapted layer i from 1: ``text_adapter.i`` and ``visual_adapter.i``,
    each with ``down.0`` d -> w and ``up`` w -> d, and ``shared_adapter.i.0`` w -> w.

    Raises:
        ConfigError: the backbone is a ResNet, or has none of the layers.
    """

    released_folders = ("adapter_learner",)

    @dataclass
    class Config(Options, node="MMADAPTER"):
        TEXT_CTX_INIT: str = option("a photo of a", "words before the class name; none of them is learned")
        ADAPTER_START: int = option(5, "first layer with an adapter, from 1", AT_LEAST_ONE)
        ADAPTER_END: int = option(12, "last layer with an adapter", AT_LEAST_ONE)
        ADAPTER_DIM: int = option(32, "width of the adapters", AT_LEAST_ONE)
        ADAPTER_SCALE: float = option(0.001, "factor of what the adapters add", POSITIVE)
        PREC: str = precision("amp")

    def __init__(self, config: Config, task, clip_model):
        super().__init__(config, task)
        text, vision = clip_model.transformer, require_vit(clip_model, config).transformer
        self.layers = adapted_layers(config, min(text.layers, vision.layers))
        width = config.ADAPTER_DIM
        self.text_adapter = nn.ModuleDict({str(i): bottleneck(text.width, width) for i in self.layers})
        self.visual_adapter = nn.ModuleDict({str(i): bottleneck(vision.width, width) for i in self.layers})
        self.shared_adapter = nn.ModuleDict({str(i): hidden(width, width) for i in self.layers})
        words = " ".join(config.TEXT_CTX_INIT.replace("_", " ").split())
        self.class_text = template_text(self.class_names, f"{words} {{}}.".strip())

    def forward(self) -> Prompts:
        return Prompts(text_layers=self._beside(self.text_adapter), visual_layers=self._beside(self.visual_adapter))

    def _beside(self, adapters: nn.ModuleDict) -> list[Layer]:
        scale, shared = self.config.ADAPTER_SCALE, self.shared_adapter
        adapted = [Layer(block=Adapter(adapters[str(i)], shared[str(i)], scale)) for i in self.layers]
        return [UNCHANGED] * (self.layers[0] - 1) + adapted

    def convert_state_dict(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor for name, tensor in tensors.items() if name not in OF_CLASS_NAMES}


def hidden(inputs: int, outputs: int) -> nn.Sequential:
    """A linear layer with Kaiming's normal weights and no bias to begin with, and ReLU."""
    return nn.Sequential(_linear(inputs, outputs), nn.ReLU())


def bottleneck(width: int, hidden_width: int) -> nn.ModuleDict:
    """The parts of an adapter that belong to one encoder."""
    return nn.ModuleDict(OrderedDict(down=hidden(width, hidden_width), up=_linear(hidden_width, width)))


def _linear(inputs: int, outputs: int) -> nn.Linear:
    linear = nn.Linear(inputs, outputs)
    nn.init.kaiming_normal_(linear.weight, mode="fan_out", nonlinearity="relu")
    nn.init.zeros_(linear.bias)
    return linear


def adapted_layers(config: Adapters.Config, layers: int) -> range:
    """ADAPTER_START to ADAPTER_END, from 1, of ``layers``; a printed line says where the end is another.

    Raises:
        ConfigError: these are none.
    """
    first, last = config.ADAPTER_START, min(config.ADAPTER_END, layers)
    if first > last:
        raise ConfigError(
            f"{config.key('ADAPTER_START')} is {first} and ADAPTER_END {config.ADAPTER_END}: name layers from 1 to "
            f"{layers}, which both encoders have"
        )
    if last < config.ADAPTER_END:
        print(f"{config.key('ADAPTER_END')} {config.ADAPTER_END} is more than the {layers} layers there are: {last}")
    return range(first, last + 1)


@TRAINER_REGISTRY.register()
class MMA(MethodTrainer):
    Method = Adapters
