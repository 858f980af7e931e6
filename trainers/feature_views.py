"""Training on features of augmented views that are encoded once, before the first step: an epoch takes milliseconds.

images -> V augmented views of each -> frozen image encoder -> features (V, N, e) -> steps
                    once in a run                               each image in a view drawn at random
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dassl.utils.distributed import share


class FeatureViews(Dataset):
    """Features of every training image in several views.

    Args:
        features: (V, N, e); labels: (N,).
        paths: of the N images, which messages name.
    """

    def __init__(self, features: Tensor, labels: Tensor, paths: Sequence[str]):
        self.features, self.labels, self.paths = features, labels, paths

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, indices: list[int]) -> dict:
        """The batch of these images, each in one of its views; of several processes each gets its share."""
        views = torch.randint(len(self.features), (len(indices),))  # of all, so that processes draw alike
        own = share(len(indices))
        chosen = torch.tensor(indices)[own]
        return {
            "img": self.features[views[own], chosen],  # (B, e)
            "label": self.labels[chosen],
            "index": chosen,
            "impath": [self.paths[index] for index in chosen.tolist()],
        }

    def loader(self, images: DataLoader) -> DataLoader:
        """A loader of features with the batches that ``images`` has of images."""
        options = {"batch_size": images.batch_size, "sampler": images.sampler, "drop_last": images.drop_last}
        return DataLoader(self, collate_fn=_as_it_is, **options)


def _as_it_is(batch: dict) -> dict:
    return batch
