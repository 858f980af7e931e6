"""MixStyle: Zhou et al., "Domain Generalization with MixStyle", ICLR 2021."""

from functools import partial

from torch import Tensor

from .style_mixing import StyleMixing, run_with, run_without, switches


class MixStyle(StyleMixing):
    """Mixes the means and standard deviations of each channel."""

    def mix_styles(self, x: Tensor, kept: Tensor, lenders: Tensor) -> Tensor:
        mean = x.mean((2, 3), keepdim=True).detach()
        std = (x.var((2, 3), keepdim=True) + self.eps).sqrt().detach()
        mixed_mean = kept * mean + (1 - kept) * mean[lenders]
        mixed_std = kept * std + (1 - kept) * std[lenders]
        return (x - mean) / std * mixed_std + mixed_mean


activate_mixstyle, deactivate_mixstyle, random_mixstyle, crossdomain_mixstyle = switches(MixStyle)
run_with_mixstyle = partial(run_with, MixStyle)
run_without_mixstyle = partial(run_without, MixStyle)
