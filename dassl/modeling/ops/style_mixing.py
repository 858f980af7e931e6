"""What MixStyle and EFDMix share: when they act, and which image of the batch lends another its style."""

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn

from dassl.utils import check_availability

CHOICES = ["random", "crossdomain"]


class StyleMixing(nn.Module):
    """In training, and with probability ``p``, mixes the style of each feature map with that of another image.

    Args:
        alpha: of the Beta distribution of how much of its own style a feature map keeps.
        eps: added to variances.
        mix: "random": any image of the batch lends its style; "crossdomain": one of the other half of the batch.
    """

    def __init__(self, p: float = 0.5, alpha: float = 0.1, eps: float = 1e-6, mix: str = "random"):
        super().__init__()
        self.p = p
        self.alpha = alpha
        self.eps = eps
        self.beta = torch.distributions.Beta(alpha, alpha)
        self._activated = True
        self.update_mix_method(mix)

    def extra_repr(self) -> str:
        return f"p={self.p}, alpha={self.alpha}, eps={self.eps}, mix={self.mix}"

    def set_activation_status(self, status: bool = True) -> None:
        self._activated = status

    def update_mix_method(self, mix: str = "random") -> None:
        check_availability(mix, CHOICES, "way of mixing styles")
        self.mix = mix

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps (B, C, H, W) to feature maps."""
        if not self.training or not self._activated or random.random() > self.p:
            return x
        kept = self.beta.sample((len(x), 1, 1, 1)).to(x.device)
        return self.mix_styles(x, kept, self._lenders(len(x)))

    def _lenders(self, count: int) -> Tensor:
        if self.mix == "random":
            return torch.randperm(count)
        second, first = torch.arange(count - 1, -1, -1).chunk(2)
        second = second[torch.randperm(len(second))]
        return torch.cat([second, first[torch.randperm(len(first))]])

    def mix_styles(self, x: Tensor, kept: Tensor, lenders: Tensor) -> Tensor:
        """
        Args:
            kept: share of its own style that each keeps, (B, 1, 1, 1).
            lenders: index of the image that lends each its style, (B,).
        """
        raise NotImplementedError


Switch = Callable[[nn.Module], None]


def switches(kind: type[StyleMixing]) -> tuple[Switch, Switch, Switch, Switch]:
    """Functions for ``model.apply``: activate, deactivate, mix at random, mix across domains."""

    def calling(method: str, *arguments) -> Switch:
        def switch(m: nn.Module) -> None:
            if type(m) is kind:
                getattr(m, method)(*arguments)

        return switch

    return (
        calling("set_activation_status", True),
        calling("set_activation_status", False),
        calling("update_mix_method", "random"),
        calling("update_mix_method", "crossdomain"),
    )


def run_with(kind: type[StyleMixing], model: nn.Module, mix: str | None = None) -> AbstractContextManager[None]:
    """In the block the modules of ``kind`` act, in the way ``mix`` if it is given; after it they do not."""
    activate, deactivate, at_random, across_domains = switches(kind)
    if mix is not None:
        check_availability(mix, CHOICES, "way of mixing styles")
        model.apply(at_random if mix == "random" else across_domains)
    return _switched(model, activate, deactivate)


def run_without(kind: type[StyleMixing], model: nn.Module) -> AbstractContextManager[None]:
    """In the block the modules of ``kind`` do nothing; after it they act."""
    activate, deactivate, *_ = switches(kind)
    return _switched(model, deactivate, activate)


@contextmanager
def _switched(model: nn.Module, before: Switch, after: Switch) -> Iterator[None]:
    model.apply(before)
    try:
        yield
    finally:
        model.apply(after)
