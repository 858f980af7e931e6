import pytest
import torch

from dassl.metrics import compute_accuracy, compute_distance_matrix


def test_accuracy_counts_labels_among_the_k_highest():
    scores = torch.tensor([[0.1, 0.5, 0.4], [0.9, 0.0, 0.1], [0.2, 0.3, 0.5], [0.1, 0.2, 0.7]])
    label = torch.tensor([1, 2, 0, 2])
    top1, top2 = compute_accuracy(scores, label, topk=(1, 2))
    assert top1.shape == (1,) and top1.item() == 50.0
    assert top2.item() == 75.0
    assert compute_accuracy((scores, None), label)[0].item() == 50.0


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_distances_equal_their_definition(metric):
    torch.manual_seed(0)
    a, b = torch.randn(4, 5), torch.randn(3, 5)
    if metric == "euclidean":
        expected = torch.cdist(a, b) ** 2
    else:
        expected = 1 - torch.cosine_similarity(a[:, None], b[None], dim=2)
    torch.testing.assert_close(compute_distance_matrix(a, b, metric), expected)


def test_bad_distance_arguments_are_refused():
    with pytest.raises(ValueError, match="metric"):
        compute_distance_matrix(torch.zeros(1, 2), torch.zeros(1, 2), "manhattan")
    with pytest.raises(ValueError, match="expected"):
        compute_distance_matrix(torch.zeros(1, 2), torch.zeros(1, 3))
