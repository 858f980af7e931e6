from collections.abc import Sequence

from torch import Tensor, nn

from dassl.utils import check_availability

from .build import HEAD_REGISTRY

ACTIVATIONS = {"relu": nn.ReLU, "leaky_relu": nn.LeakyReLU}


class MLP(nn.Module):
    """Linear layers, each followed by batch normalisation, an activation and dropout.

    Args:
        hidden_layers: width of each layer; the last one is ``out_features``.
    """

    def __init__(
        self,
        in_features: int = 2048,
        hidden_layers: int | Sequence[int] = (),
        activation: str = "relu",
        bn: bool = True,
        dropout: float = 0.0,
    ):
        super().__init__()
        check_availability(activation, ACTIVATIONS, "MODEL.HEAD.ACTIVATION")
        widths = [hidden_layers] if isinstance(hidden_layers, int) else list(hidden_layers)
        assert widths, "MLP needs at least one hidden layer"
        layers: list[nn.Module] = []
        for before, width in zip([in_features, *widths], widths, strict=False):
            layers.append(nn.Linear(before, width))
            if bn:
                layers.append(nn.BatchNorm1d(width))
            layers.append(ACTIVATIONS[activation](inplace=True))
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
        self.mlp = nn.Sequential(*layers)
        self.out_features = widths[-1]

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(x)


@HEAD_REGISTRY.register()
def mlp(**kwargs) -> MLP:
    return MLP(**kwargs)
