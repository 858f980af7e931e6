from torch import nn


class Sequential2(nn.Sequential):
    """A Sequential whose modules may take and return several things: a tuple becomes the next one's arguments."""

    def forward(self, *inputs):
        for module in self:
            inputs = module(*inputs) if isinstance(inputs, tuple) else module(inputs)
        return inputs
