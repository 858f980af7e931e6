"""Sinkhorn divergence and minibatch energy distance: Genevay et al., AISTATS 2018; Salimans et al., ICLR 2018."""

from torch import Tensor, nn

from dassl.metrics import cosine_distance, euclidean_squared_distance
from dassl.utils import check_availability

_DISTANCES = {
    "cosine": cosine_distance,
    "euclidean": euclidean_squared_distance,
    "fast_euclidean": lambda a, b: (a.unsqueeze(-2) - b.unsqueeze(-3)).square().sum(-1),
}


class OptimalTransport(nn.Module):
    @staticmethod
    def distance(batch1: Tensor, batch2: Tensor, dist_metric: str = "cosine") -> Tensor:
        """Costs (M, N) between the rows of two batches; the Euclidean distances are squared."""
        check_availability(dist_metric, _DISTANCES, "distance")
        return _DISTANCES[dist_metric](batch1, batch2)


class SinkhornDivergence(OptimalTransport):
    """2 W(x, y) - W(x, x) - W(y, y) of two batches (M, d) and (N, d), W being the entropic cost of transport.

    Args:
        eps: weight of the entropy.
        max_iter: iterations at most; they end earlier below a change of ``thre``.
        bp_to_sinkhorn: let gradients go through the iterations, not only through the costs.
    """

    thre = 1e-3

    def __init__(self, dist_metric: str = "cosine", eps: float = 0.01, max_iter: int = 5, bp_to_sinkhorn: bool = False):
        super().__init__()
        self.dist_metric = dist_metric
        self.eps = eps
        self.max_iter = max_iter
        self.bp_to_sinkhorn = bp_to_sinkhorn

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return 2 * self.transport_cost(x, y) - self.transport_cost(x, x) - self.transport_cost(y, y)

    def transport_cost(self, x: Tensor, y: Tensor, return_pi: bool = False):
        """The cost; with ``return_pi`` also the plan (M, N)."""
        costs = self.distance(x, y, self.dist_metric)
        plan = self.sinkhorn_iterate(costs, self.eps, self.max_iter, self.thre)
        if not self.bp_to_sinkhorn:
            plan = plan.detach()
        cost = (plan * costs).sum()
        return (cost, plan) if return_pi else cost

    @staticmethod
    def sinkhorn_iterate(C: Tensor, eps: float, max_iter: int, thre: float) -> Tensor:
        """The transport plan between uniform distributions at costs ``C`` (M, N)."""
        log_mass = [C.new_tensor(1 / count + 1e-8).log() for count in C.shape]
        u, v = C.new_zeros(C.shape[0], 1), C.new_zeros(1, C.shape[1])
        for _ in range(max_iter):
            before = u
            u = u + eps * (log_mass[0] - ((u + v - C) / eps).logsumexp(1, keepdim=True))
            v = v + eps * (log_mass[1] - ((u + v - C) / eps).logsumexp(0, keepdim=True))
            if (u - before).abs().sum() < thre:
                break
        return ((u + v - C) / eps).exp()


class MinibatchEnergyDistance(SinkhornDivergence):
    """Costs between the halves of two batches, less twice those between the halves of the same one."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        (x1, x2), (y1, y2) = x.split(len(x) // 2), y.split(len(y) // 2)
        between = sum(self.transport_cost(a, b) for a in (x1, x2) for b in (y1, y2))
        return between - 2 * (self.transport_cost(x1, x2) + self.transport_cost(y1, y2))
