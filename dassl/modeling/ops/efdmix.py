"""EFDMix: Zhang et al., "Exact Feature Distribution Matching for Arbitrary Style Transfer and Domain Generalization",
CVPR 2022.
"""

from functools import partial

from torch import Tensor

from .style_mixing import StyleMixing, run_with, run_without, switches


class EFDMix(StyleMixing):
    """Mixes the sorted values of each channel: the k-th largest with the other image's k-th largest."""

    def mix_styles(self, x: Tensor, kept: Tensor, lenders: Tensor) -> Tensor:
        values, order = x.flatten(2).sort()
        matched = values[lenders].gather(-1, order.argsort(-1)).view_as(x)
        return x + (1 - kept) * (matched - x.detach())


activate_efdmix, deactivate_efdmix, random_efdmix, crossdomain_efdmix = switches(EFDMix)
run_with_efdmix = partial(run_with, EFDMix)
run_without_efdmix = partial(run_without, EFDMix)
