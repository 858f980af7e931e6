"""Tip-Adapter's cache: features of training images as keys, their classes as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from support.user_error import CheckpointError
from trainers.class_bound import ClassBound, rows_of

SMALLEST = 0.1  # beta and alpha of the search


class Cache(ClassBound):
    """K keys, normalised features of training images, and their classes.

    The logits of a normalised feature f are those of zero-shot CLIP plus alpha * sum_k exp(-beta (1 - f.key_k)) for
    every key k of the class.

    Args:
        text_weights: (C, e), see `zero_shot_weights`.
    """

    def __init__(self, class_names: list[str], text_weights: Tensor, size: int, alpha: float, beta: float):
        super().__init__(class_names, {})
        self.keys = nn.Parameter(torch.zeros(size, text_weights.shape[1]))
        self.register_buffer("labels", torch.zeros(size, dtype=torch.long))
        self.register_buffer("alpha", torch.tensor(float(alpha)))
        self.register_buffer("beta", torch.tensor(float(beta)))
        self.register_buffer("text_weights", text_weights, persistent=False)  # of the class names, not of the cache

    @torch.no_grad()
    def fill(self, features: Tensor, labels: Tensor) -> None:
        """Store features (K, e), normalised here, and their labels (K,)."""
        self.keys.copy_(F.normalize(features, dim=-1))
        self.labels.copy_(labels)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, e) -> logits (B, C)."""
        features = F.normalize(features, dim=-1)
        return self.zero_shot(features) + self.alpha * self.votes(features @ self.keys.t(), self.beta)

    def zero_shot(self, features: Tensor) -> Tensor:
        return features @ self.text_weights.t()

    def votes(self, affinity: Tensor, beta: float | Tensor) -> Tensor:
        """Affinity (B, K) of features and keys -> sum (B, C) over the keys of each class."""
        return torch.exp(-beta * (1 - affinity)) @ F.one_hot(self.labels, len(self.class_names)).to(affinity.dtype)

    @torch.no_grad()
    def search(self, features: Tensor, labels: Tensor, largest: tuple[float, float], steps: tuple[int, int]) -> float:
        """Set beta and alpha to the first of a grid that are best for features (N, e) and labels (N,); betas go first.

        Args:
            largest: beta and alpha, where the grid ends; it does not hold them.
            steps: number of betas and of alphas.

        Returns:
            The accuracy, in %.
        """
        betas, alphas = (
            [SMALLEST + i * (end - SMALLEST) / count for i in range(count)]
            for end, count in zip(largest, steps, strict=True)
        )
        features = F.normalize(features, dim=-1)
        zero_shot, affinity = self.zero_shot(features), features @ self.keys.t()
        weights = torch.tensor(alphas, device=features.device)[:, None, None]
        best = (-1, 0.0, 0.0)
        for beta in betas:
            logits = zero_shot + weights * self.votes(affinity, beta)  # (alphas, N, C)
            correct = (logits.argmax(dim=-1) == labels).sum(dim=-1).tolist()
            if max(correct) > best[0]:
                best = max(correct), beta, alphas[correct.index(max(correct))]
        self.beta.fill_(best[1])
        self.alpha.fill_(best[2])
        return 100 * best[0] / len(labels)

    def count_classes(self, tensors: Mapping[str, Tensor]) -> int | None:
        """One more than the largest label: every class of a training has images."""
        labels = tensors.get("labels")
        return int(labels.max()) + 1 if labels is not None and labels.numel() else None

    def select_classes(self, tensors: dict[str, Tensor], saved: Sequence[str]) -> dict[str, Tensor]:
        """A checkpoint's keys of this run's classes, for which this makes room. Other classes have zero-shot logits.

        Raises:
            UserError: its keys and its labels, or these and its classes, are not of one cache.
        """
        if not {"keys", "labels"} <= tensors.keys():
            return tensors
        known = tensors["labels"].flatten().long().tolist()
        if len(known) != len(tensors["keys"]) or not set(known) <= set(range(len(saved))):
            raise CheckpointError(
                f"its cache has {len(tensors['keys'])} keys, {len(known)} labels and {len(saved)} classes "
                "that do not belong together: train again"
            )
        label_of = torch.full((len(saved),), -1)
        for label, row in enumerate(rows_of(self.class_names, saved)):
            if row is not None:
                label_of[row] = label
        labels = label_of[known]
        tensors = {**tensors, "keys": tensors["keys"][labels >= 0], "labels": labels[labels >= 0]}
        self.keys = nn.Parameter(self.keys.new_zeros(len(tensors["keys"]), self.keys.shape[1]), self.keys.requires_grad)
        self.labels = self.labels.new_zeros(len(self.keys))
        missing = len(self.class_names) - len(tensors["labels"].unique())
        if missing or len(self.keys) < len(known):
            print(
                f"{len(self.keys)} of {len(known)} cached images are of classes of this test; "
                f"{missing} of its {len(self.class_names)} classes have none"
            )
        return tensors
