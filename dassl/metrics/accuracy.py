from collections.abc import Sequence

from torch import Tensor


def compute_accuracy(output: Tensor | Sequence[Tensor], target: Tensor, topk: Sequence[int] = (1,)) -> list[Tensor]:
    """Percentage of samples whose label is among the k highest scores.

    Args:
        output: scores, (B, C); of a tuple or list, its first entry.
        target: labels, (B,).
        topk: the values of k.

    Returns:
        list[Tensor]: for each k a tensor of shape (1,).
    """
    if isinstance(output, (tuple, list)):
        output = output[0]
    hits = output.topk(max(topk), dim=1).indices == target.unsqueeze(1)  # (B, max k)
    return [hits[:, :k].sum().float().reshape(1) * (100.0 / len(target)) for k in topk]
