"""torchvision's ResNets without the classifier, also with MixStyle or EFDMix behind their first layers."""

from collections.abc import Callable, Sequence

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from dassl.modeling.ops import EFDMix, MixStyle

from .backbone import Backbone
from .build import BACKBONE_REGISTRY
from .torchvision_features import load_imagenet_weights

LAYERS = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3], 101: [3, 4, 23, 3], 152: [3, 8, 36, 3]}


class ResNet(Backbone):
    """Features (B, 512 or 2048) of images (B, 3, H, W).

    Args:
        block, layers: as of torchvision's ResNet.
        ms_class: MixStyle or EFDMix.
        ms_layers: the layers that it follows, of "layer1", "layer2" and "layer3".
        ms_p, ms_a: its probability and the parameter of its Beta distribution.
    """

    def __init__(
        self,
        block: type[nn.Module],
        layers: list[int],
        ms_class: type[nn.Module] | None = None,
        ms_layers: Sequence[str] = (),
        ms_p: float = 0.5,
        ms_a: float = 0.1,
        **kwargs,
    ):
        super().__init__()
        assert set(ms_layers) <= {"layer1", "layer2", "layer3"}
        network = torchvision.models.ResNet(block, layers)
        self._out_features = network.fc.in_features
        for name, child in network.named_children():
            if name != "fc":
                self.add_module(name, child)
        self.ms_layers = tuple(ms_layers)
        self.mixstyle = ms_class(p=ms_p, alpha=ms_a) if ms_layers else None

    def featuremaps(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for name in ("layer1", "layer2", "layer3", "layer4"):
            x = getattr(self, name)(x)
            if name in self.ms_layers:
                x = self.mixstyle(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        return torch.flatten(self.avgpool(self.featuremaps(x)), 1)


def _register(depth: int, mix: str = "", places: str = "") -> Callable[..., ResNet]:
    """Register a ResNet as ``resnet<depth>``, or as ``resnet<depth>_<mix>_l<places>``.

    Args:
        mix: "ms" for MixStyle, "efdmix" for EFDMix.
        places: digits of the layers that it follows.
    """

    def build(pretrained: bool = True, **kwargs) -> ResNet:
        model = ResNet(
            BasicBlock if depth < 50 else Bottleneck,
            LAYERS[depth],
            ms_class=EFDMix if mix == "efdmix" else MixStyle,
            ms_layers=[f"layer{place}" for place in places],
        )
        if pretrained:
            load_imagenet_weights(model, f"resnet{depth}")
        return model

    build.__name__ = build.__qualname__ = f"resnet{depth}" + (f"_{mix}_l{places}" if mix else "")
    return BACKBONE_REGISTRY.register(build)


resnet18 = _register(18)
resnet34 = _register(34)
resnet50 = _register(50)
resnet101 = _register(101)
resnet152 = _register(152)
resnet18_ms_l1 = _register(18, "ms", "1")
resnet18_ms_l12 = _register(18, "ms", "12")
resnet18_ms_l123 = _register(18, "ms", "123")
resnet50_ms_l1 = _register(50, "ms", "1")
resnet50_ms_l12 = _register(50, "ms", "12")
resnet50_ms_l123 = _register(50, "ms", "123")
resnet101_ms_l1 = _register(101, "ms", "1")
resnet101_ms_l12 = _register(101, "ms", "12")
resnet101_ms_l123 = _register(101, "ms", "123")
resnet18_efdmix_l1 = _register(18, "efdmix", "1")
resnet18_efdmix_l12 = _register(18, "efdmix", "12")
resnet18_efdmix_l123 = _register(18, "efdmix", "123")
resnet50_efdmix_l1 = _register(50, "efdmix", "1")
resnet50_efdmix_l12 = _register(50, "efdmix", "12")
resnet50_efdmix_l123 = _register(50, "efdmix", "123")
resnet101_efdmix_l1 = _register(101, "efdmix", "1")
resnet101_efdmix_l12 = _register(101, "efdmix", "12")
resnet101_efdmix_l123 = _register(101, "efdmix", "123")
