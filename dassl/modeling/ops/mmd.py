"""Maximum mean discrepancy: Gretton et al., "A Kernel Two-Sample Test", JMLR 2012."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dassl.metrics import euclidean_squared_distance
from dassl.utils import check_availability


class MaximumMeanDiscrepancy(nn.Module):
    """Squared distance of two batches of features (M, d) and (N, d), by the mean of a kernel without its diagonal.

    Args:
        kernel_type: "linear", "poly" or "rbf".
        normalize: divide features by their length first.
    """

    def __init__(self, kernel_type: str = "rbf", normalize: bool = False):
        super().__init__()
        check_availability(kernel_type, ["linear", "poly", "rbf"], "kernel")
        self.kernel_type = kernel_type
        self.normalize = normalize

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        if self.normalize:
            x, y = F.normalize(x, dim=1), F.normalize(y, dim=1)
        return {"linear": self.linear_mmd, "poly": self.poly_mmd, "rbf": self.rbf_mmd}[self.kernel_type](x, y)

    def linear_mmd(self, x: Tensor, y: Tensor) -> Tensor:
        return self._discrepancy(x, y, lambda a, b: a @ b.t())

    def poly_mmd(self, x: Tensor, y: Tensor, alpha: float = 1.0, c: float = 2.0, d: float = 2) -> Tensor:
        return self._discrepancy(x, y, lambda a, b: (alpha * (a @ b.t()) + c).pow(d))

    def rbf_mmd(self, x: Tensor, y: Tensor) -> Tensor:
        return self._discrepancy(x, y, lambda a, b: self.rbf_kernel_mixture(self.euclidean_squared_distance(a, b)))

    def _discrepancy(self, x: Tensor, y: Tensor, kernel: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        within = sum(self.remove_self_distance(kernel(a, a)).mean() for a in (x, y))
        return within - 2 * kernel(x, y).mean()

    @staticmethod
    def euclidean_squared_distance(x: Tensor, y: Tensor) -> Tensor:
        return euclidean_squared_distance(x, y)

    @staticmethod
    def rbf_kernel_mixture(exponent: Tensor, sigmas: Sequence[float] = (1, 5, 10)) -> Tensor:
        """Sum of Gaussian kernels of squared distances."""
        return sum(torch.exp(-exponent / (2 * sigma**2)) for sigma in sigmas)

    @staticmethod
    def remove_self_distance(distmat: Tensor) -> Tensor:
        """The matrix (N, N) without its diagonal, (N, N - 1)."""
        count = len(distmat)
        return distmat[~torch.eye(count, dtype=torch.bool, device=distmat.device)].view(count, count - 1)
