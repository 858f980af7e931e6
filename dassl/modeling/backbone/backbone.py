from torch import nn


class Backbone(nn.Module):
    """A network from images to features. Subclasses set ``_out_features``."""

    _out_features: int | None = None

    def forward(self, *args, **kwargs):
        raise NotImplementedError

    @property
    def out_features(self) -> int | None:
        """Width of the features."""
        return self._out_features
