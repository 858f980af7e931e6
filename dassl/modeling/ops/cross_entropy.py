import torch.nn.functional as F
from torch import Tensor


def cross_entropy(input: Tensor, target: Tensor, label_smooth: float = 0, reduction: str = "mean") -> Tensor:
    """Cross-entropy of logits (B, C) with labels (B,), smoothed by ``label_smooth``."""
    return F.cross_entropy(input, target, label_smoothing=label_smooth, reduction=reduction)
