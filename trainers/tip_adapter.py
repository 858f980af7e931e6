"""Tip-Adapter and Tip-Adapter-F: zero-shot CLIP, corrected by a cache of the training images' features.

Zhang et al., "Tip-Adapter: Training-free Adaption of CLIP for Few-shot Classification", ECCV 2022 (arXiv 2207.09519,
before it 2111.03930). Released code: github.com/gaopengcuhk/Tip-Adapter (no licence stated).

Differs from the release: there Tip-Adapter-F is the epoch that is best on the *test* images, alpha and beta are
searched on the whole val split, on ImageNet on the test images. Here it is the last epoch, or with TEST.FINAL_MODEL
best_val the best on the run's val images, which are at most four per class, and they serve for alpha and beta, too;
ImageNet has none, and alpha and beta keep their initial values. An incomplete last batch sits out the epoch.
Differs from the paper: in nothing known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from dassl.engine import TRAINER_REGISTRY
from support.user_error import CheckpointError, ConfigError
from support.uses import SETTINGS
from trainers.class_rows import rows_of
from trainers.imagenet_templates import IMAGENET_TEMPLATES_SELECT
from trainers.method import HeadMethod
from trainers.options import AT_LEAST_ONE, NOT_NEGATIVE, Options, option, precision
from trainers.templates import DEFAULT_TEMPLATE, choose_template, zero_shot_weights
from trainers.trainer import MethodTrainer

SMALLEST = 0.1  # beta and alpha of the search
# The released settings: largest beta and alpha of the search, alpha before it. Datasets without any have ImageNet's.
RELEASED = {
    "ImageNet": (7.0, 3.0, 1.17),
    "Caltech101": (12.0, 5.0, 3.0),
    "DescribableTextures": (13.0, 13.0, 2.0),
    "EuroSAT": (12.0, 10.0, 2.0),
    "FGVCAircraft": (30.0, 30.0, 5.0),
    "Food101": (10.0, 10.0, 1.17),
    "OxfordFlowers": (50.0, 50.0, 10.0),
    "StanfordCars": (20.0, 10.0, 3.0),
    "SUN397": (12.0, 10.0, 1.17),
    "UCF101": (7.0, 3.0, 3.0),
}


class Cache(HeadMethod):
    """K keys, normalised features of training images, and their classes.

    The logits of a normalised feature f are those of zero-shot CLIP plus alpha * sum_k exp(-beta (1 - f.key_k)) for
    every key k of the class.
    """

    searches_on_val = True
    needs_training = True

    @dataclass
    class Config(Options, node="TIP_ADAPTER"):
        PREC: str = precision("fp16")
        AUGMENT_EPOCH: int = option(10, "augmented views of a training image whose mean is its key", AT_LEAST_ONE)
        SEARCH_SCALE: list = option([], "largest beta and alpha of the search; empty: the dataset's")
        SEARCH_STEP: list = option([200, 20], "number of betas and of alphas")
        INIT_BETA: float = option(1.0, "without val images, and in the training of Tip-Adapter-F", NOT_NEGATIVE)
        INIT_ALPHA: float = option(0.0, "likewise; 0: the dataset's", NOT_NEGATIVE)

        def __post_init__(self):
            super().__post_init__()
            numbers = [end for end in self.SEARCH_SCALE if type(end) in (int, float) and SMALLEST < end < math.inf]
            if len(self.SEARCH_SCALE) not in (0, 2) or len(numbers) < len(self.SEARCH_SCALE):
                raise ConfigError(
                    f"TRAINER.TIP_ADAPTER.SEARCH_SCALE is {self.SEARCH_SCALE}: give [] or largest beta and alpha, "
                    f"above {SMALLEST}"
                )
            if len(self.SEARCH_STEP) != 2 or not all(type(n) is int and n >= 1 for n in self.SEARCH_STEP):
                raise ConfigError(
                    f"TRAINER.TIP_ADAPTER.SEARCH_STEP is {self.SEARCH_STEP}: give the numbers of betas and of alphas, "
                    "both at least 1"
                )

    def __init__(self, config: Config, task, clip_model):
        super().__init__(config, task)
        templates = [choose_template(task)]
        if task.dataset.startswith("ImageNet") and templates == [DEFAULT_TEMPLATE]:
            templates = IMAGENET_TEMPLATES_SELECT
        weights = zero_shot_weights(clip_model, self.class_names, templates)  # (C, e)
        *largest, alpha = RELEASED.get(task.dataset, RELEASED["ImageNet"])
        self.largest = tuple(config.SEARCH_SCALE or largest)  # beta and alpha
        self.initial_alpha = config.INIT_ALPHA or alpha
        has_own = RELEASED.get(task.dataset, RELEASED["ImageNet"]) != RELEASED["ImageNet"]
        self.uses = (SETTINGS,) if has_own and not (config.SEARCH_SCALE and config.INIT_ALPHA) else ()
        self.keys = nn.Parameter(torch.zeros(task.images, weights.shape[1]))
        self.register_buffer("labels", torch.zeros(task.images, dtype=torch.long))
        self.register_buffer("alpha", torch.tensor(float(self.initial_alpha)))
        self.register_buffer("beta", torch.tensor(float(config.INIT_BETA)))
        self.register_buffer("text_weights", weights, persistent=False)  # of the class names, not of the cache

    def fit(self, features) -> None:
        """Fill the cache with the mean features of several augmented views."""
        count = self.config.AUGMENT_EPOCH
        passes = (features.train(True, f"cache, view {view + 1} of {count}") for view in range(count))
        total, labels = next(passes)
        self.fill(sum((more for more, _ in passes), total) / count, labels)

    @torch.no_grad()
    def fill(self, features: Tensor, labels: Tensor) -> None:
        """Store features (K, e), normalised here, and their labels (K,)."""
        self.keys.copy_(F.normalize(features, dim=-1))
        self.labels.copy_(labels)

    def begin_epoch(self) -> None:
        """Train with the initial alpha and beta, which the search after the epoch before has changed."""
        self.alpha.fill_(self.initial_alpha)
        self.beta.fill_(self.config.INIT_BETA)

    def end_epoch(self, features) -> None:
        """Choose alpha and beta on the val images, where there are any."""
        if (val := features.val(f"alpha {self.alpha:.4g} and beta {self.beta:.4g} are kept")) is not None:
            accuracy = self.search(*val, self.largest, tuple(self.config.SEARCH_STEP))
            print(f"alpha {self.alpha:.4g} and beta {self.beta:.4g} are best on the val images: {accuracy:.1f}%")

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


class FixedCache(Cache):
    """A cache that is filled once, and whose keys are not learned."""

    def __init__(self, config: Cache.Config, task, clip_model):
        super().__init__(config, task, clip_model)
        self.requires_grad_(False)


@TRAINER_REGISTRY.register()
class TipAdapter(MethodTrainer):
    """Training-free."""

    Method = FixedCache
    takes_steps = False


@TRAINER_REGISTRY.register()
class TipAdapterF(MethodTrainer):
    """Learns the keys. The rate falls along a cosine with every step; OPTIM's schedule and warm-up have no effect.

    As in every training here, the images that do not fill a batch sit out the epoch; the released code has a smaller
    last batch.
    """

    Method = Cache

    def build_schedule(self) -> LambdaLR:
        steps = self.max_epoch * len(self.train_loader_x)
        return LambdaLR(self.optim, lambda step: (1 + math.cos(math.pi * step / steps)) / 2)

    def forward_backward(self, batch: dict) -> dict:
        summary = super().forward_backward(batch)
        self.sched.step()
        return summary

    def update_lr(self, names=None) -> None:
        """Nothing at the end of an epoch: `forward_backward` steps the schedule."""
