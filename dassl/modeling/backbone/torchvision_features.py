"""Networks of torchvision without their classifier."""

import torchvision
from torch import Tensor, nn

from dassl.utils.distributed import main_first

from .backbone import Backbone
from .build import BACKBONE_REGISTRY


def load_imagenet_weights(model: nn.Module, name: str) -> None:
    """Load torchvision's weights of ImageNet, as far as ``model`` has a place for them. They are downloaded once.

    Args:
        name: torchvision's name of the network.
    """
    weights = torchvision.models.get_model_weights(name).IMAGENET1K_V1
    with main_first():
        tensors = weights.get_state_dict(progress=False, check_hash=True)
    model.load_state_dict(tensors, strict=False)


class TorchvisionFeatures(Backbone):
    """A network of torchvision whose output are the features before its last linear layer.

    Args:
        name: torchvision's name of it.
    """

    def __init__(self, name: str):
        super().__init__()
        network = torchvision.models.get_model(name)
        *before, last = network.classifier
        self._out_features = last.in_features
        self.features = network.features
        self.avgpool = network.avgpool
        self.classifier = nn.Sequential(*before)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def register_features(name: str):
    """Register the torchvision network ``name`` as a backbone, and return the function that builds it."""

    def build(pretrained: bool = True, **kwargs) -> TorchvisionFeatures:
        model = TorchvisionFeatures(name)
        if pretrained:
            load_imagenet_weights(model, name)
        return model

    build.__name__ = build.__qualname__ = name
    return BACKBONE_REGISTRY.register(build)
