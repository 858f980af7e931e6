"""mixup: Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018."""

import torch
from torch import Tensor


def mixup(
    x1: Tensor, x2: Tensor, y1: Tensor, y2: Tensor, beta: float, preserve_order: bool = False
) -> tuple[Tensor, Tensor]:
    """Mixed images (B, C, H, W) and label distributions (B, n).

    Args:
        beta: both parameters of the Beta distribution that an image's share is drawn from.
        preserve_order: ``x1`` and ``y1`` have the larger share.
    """
    share = torch.distributions.Beta(beta, beta).sample((len(x1), 1, 1, 1))
    if preserve_order:
        share = share.maximum(1 - share)
    share = share.to(x1.device)
    labels_share = share[:, :, 0, 0]
    return share * x1 + (1 - share) * x2, labels_share * y1 + (1 - labels_share) * y2
