"""Tip-Adapter and Tip-Adapter-F: zero-shot CLIP, corrected by a cache of the training images' features.

Zhang et al., "Tip-Adapter: Training-free Adaption of CLIP for Few-shot Classification", ECCV 2022 (arXiv 2207.09519,
before it 2111.03930). Released code: https://github.com/gaopengcuhk/Tip-Adapter (no licence stated). It differs in what
it chooses by: there Tip-Adapter-F is the epoch that is best on the *test* images, alpha and beta are searched on the
whole val split, on ImageNet on the test images. Here it is the last epoch, or with TEST.FINAL_MODEL best_val the best
on the run's val images, which are at most four per class, and they serve for alpha and beta, too; ImageNet has none,
and alpha and beta keep their initial values.
"""

from __future__ import annotations

import math

from torch.optim.lr_scheduler import LambdaLR

from dassl.engine import TRAINER_REGISTRY
from support.user_error import ConfigError
from trainers.clip_trainer import LEARNER
from trainers.closed_set import ClosedSetTrainer
from trainers.feature_adapter import zero_shot_weights
from trainers.feature_cache import SMALLEST, Cache
from trainers.imagenet_templates import IMAGENET_TEMPLATES_SELECT
from trainers.options import NOT_NEGATIVE, Range
from trainers.templates import DEFAULT_TEMPLATE, dataset_template

# The released settings: largest beta and alpha of the search, alpha before it. Data sets without any have ImageNet's.
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


class CacheTrainer(ClosedSetTrainer):
    """What Tip-Adapter and Tip-Adapter-F share."""

    searches_on_val = True
    config_node = "TIP_ADAPTER"
    config_defaults = {
        "PREC": "fp16",
        "AUGMENT_EPOCH": 10,  # augmented views of each training image whose mean is its key
        "SEARCH_SCALE": [],  # largest beta and alpha; empty: the data set's, see RELEASED
        "SEARCH_STEP": [200, 20],  # number of betas and of alphas
        "INIT_BETA": 1.0,  # without val images, and in the training of Tip-Adapter-F
        "INIT_ALPHA": 0.0,  # 0: the data set's, see RELEASED
    }

    config_ranges = {"AUGMENT_EPOCH": Range(1), "INIT_BETA": NOT_NEGATIVE, "INIT_ALPHA": NOT_NEGATIVE}

    def check_cfg(self, cfg) -> None:
        super().check_cfg(cfg)
        scale, step = cfg.TRAINER.TIP_ADAPTER.SEARCH_SCALE, cfg.TRAINER.TIP_ADAPTER.SEARCH_STEP
        numbers = [end for end in scale if type(end) in (int, float) and SMALLEST < end < math.inf]
        if len(scale) not in (0, 2) or len(numbers) < len(scale):
            raise ConfigError(
                f"TRAINER.TIP_ADAPTER.SEARCH_SCALE is {scale}: give [] or largest beta and alpha, above {SMALLEST}"
            )
        if len(step) != 2 or not all(type(count) is int and count >= 1 for count in step):
            raise ConfigError(
                f"TRAINER.TIP_ADAPTER.SEARCH_STEP is {step}: give the numbers of betas and of alphas, both at least 1"
            )

    @property
    def settings(self) -> tuple[tuple[float, float], float]:
        """Largest beta and alpha of the search, and alpha before it."""
        *largest, alpha = RELEASED.get(self.cfg.DATASET.NAME, RELEASED["ImageNet"])
        return tuple(self.node.SEARCH_SCALE or largest), self.node.INIT_ALPHA or alpha

    def build_head(self, cfg, class_names, clip_model) -> Cache:
        templates = [dataset_template(cfg, self.dm.dataset)]
        if cfg.DATASET.NAME.startswith("ImageNet") and templates == [DEFAULT_TEMPLATE]:
            templates = IMAGENET_TEMPLATES_SELECT
        weights = zero_shot_weights(clip_model, class_names, templates)
        return Cache(class_names, weights, len(self.dm.dataset.train_x), self.settings[1], self.node.INIT_BETA)

    def fill_cache(self) -> None:
        loader, count = self.all_train_images(augmented=True), self.node.AUGMENT_EPOCH
        passes = (self.encode(loader, f"cache, view {view + 1} of {count}") for view in range(count))
        features, labels = next(passes)
        self.learner.fill(sum((more for more, _ in passes), features) / count, labels)

    def search(self) -> None:
        """Choose alpha and beta on the val images, where there are any."""
        cache = self.learner
        if (val := self.val_features(f"alpha {cache.alpha:.4g} and beta {cache.beta:.4g} are kept")) is not None:
            accuracy = cache.search(*val, self.settings[0], tuple(self.node.SEARCH_STEP))
            print(f"alpha {cache.alpha:.4g} and beta {cache.beta:.4g} are best on the val images: {accuracy:.1f}%")


@TRAINER_REGISTRY.register()
class TipAdapter(CacheTrainer):
    """Training-free: the cache is filled once, and not learned."""

    def check_cfg(self, cfg) -> None:
        super().check_cfg(cfg)
        self.check_one_epoch(cfg)

    def build_head(self, cfg, class_names, clip_model) -> Cache:
        return super().build_head(cfg, class_names, clip_model).requires_grad_(False)

    def run_epoch(self) -> None:
        with self.counted():
            self.fill_cache()
            self.search()


@TRAINER_REGISTRY.register()
class TipAdapterF(CacheTrainer):
    """Learns the keys. The rate falls along a cosine with every step; OPTIM's schedule and warm-up have no effect.

    As in every training here, the images that do not fill a batch sit out the epoch; the released code has a smaller
    last batch.
    """

    def build_model(self) -> None:
        super().build_model()
        steps = self.max_epoch * len(self.train_loader_x)
        self.sched = LambdaLR(self.optim, lambda step: (1 + math.cos(math.pi * step / steps)) / 2)
        self._scheds[LEARNER] = self.sched

    def forward_backward(self, batch: dict) -> dict:
        summary = super().forward_backward(batch)
        self.sched.step()
        return summary

    def update_lr(self, names=None) -> None:
        """Nothing at the end of an epoch: `forward_backward` steps the schedule."""

    def run_epoch(self) -> None:
        with self.counted():
            if self.epoch == 0 and getattr(self, "start_batch", 0) == 0:  # upstream has none
                self.fill_cache()
        self.learner.alpha.fill_(self.settings[1])  # the search of the epoch before has changed them
        self.learner.beta.fill_(self.node.INIT_BETA)
        super().run_epoch()
        with self.counted():
            self.search()
