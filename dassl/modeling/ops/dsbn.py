"""Domain-specific batch normalisation: Chang et al., CVPR 2019."""

from torch import Tensor, nn


class _DSBN(nn.Module):
    """One batch norm per domain; ``select_bn`` chooses the one that is used.

    Args:
        bn_type: "1d" or "2d".
    """

    def __init__(self, num_features: int, n_domain: int, bn_type: str):
        super().__init__()
        norm = {"1d": nn.BatchNorm1d, "2d": nn.BatchNorm2d}[bn_type]
        self.bn = nn.ModuleList(norm(num_features) for _ in range(n_domain))
        self.n_domain = n_domain
        self.domain_idx = 0

    def select_bn(self, domain_idx: int = 0) -> None:
        assert 0 <= domain_idx < self.n_domain
        self.domain_idx = domain_idx

    def forward(self, x: Tensor) -> Tensor:
        return self.bn[self.domain_idx](x)


class DSBN1d(_DSBN):
    def __init__(self, num_features: int, n_domain: int):
        super().__init__(num_features, n_domain, "1d")


class DSBN2d(_DSBN):
    def __init__(self, num_features: int, n_domain: int):
        super().__init__(num_features, n_domain, "2d")
