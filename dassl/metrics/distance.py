import torch.nn.functional as F
from torch import Tensor


def compute_distance_matrix(input1: Tensor, input2: Tensor, metric: str = "euclidean") -> Tensor:
    """Distances (M, N) between the rows of ``input1`` (M, d) and ``input2`` (N, d), squared Euclidean or cosine."""
    if input1.dim() != 2 or input2.dim() != 2 or input1.shape[1] != input2.shape[1]:
        raise ValueError(f"expected (M, d) and (N, d), got {tuple(input1.shape)} and {tuple(input2.shape)}")
    if metric == "euclidean":
        return euclidean_squared_distance(input1, input2)
    if metric == "cosine":
        return cosine_distance(input1, input2)
    raise ValueError(f'metric must be "euclidean" or "cosine", got "{metric}"')


def euclidean_squared_distance(input1: Tensor, input2: Tensor) -> Tensor:
    squares = input1.square().sum(1, keepdim=True) + input2.square().sum(1)  # (M, N)
    return squares - 2 * input1 @ input2.t()


def cosine_distance(input1: Tensor, input2: Tensor) -> Tensor:
    return 1 - F.normalize(input1, dim=1) @ F.normalize(input2, dim=1).t()
