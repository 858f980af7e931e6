"""In which order the images of an epoch come."""

import random
from collections import defaultdict

from torch.utils.data import RandomSampler, Sampler, SequentialSampler

from dassl.utils import ConfigError, check_availability

AVAI_SAMPLERS = ["RandomSampler", "SequentialSampler", "RandomDomainSampler", "SeqDomainSampler", "RandomClassSampler"]


class _DrawnSampler(Sampler):
    """A sampler whose epochs are drawn batch by batch; ``_draw`` returns the indices of one.

    Draws differ in length, but the DataLoader needs to know it before it asks. So every epoch has the length of one
    fixed draw, and is drawn again where it falls short.
    """

    def __init__(self):
        self.length = len(self._draw(random.Random(0)))

    def _draw(self, rng) -> list[int]:
        raise NotImplementedError

    def __iter__(self):
        indices: list[int] = []
        while len(indices) < self.length:
            indices += self._draw(random)
        return iter(indices[: self.length])

    def __len__(self) -> int:
        return self.length


class _DomainSampler(_DrawnSampler):
    """Batches of as many images from each of ``n_domain`` domains, until one of these runs out."""

    def __init__(self, data_source, batch_size: int, n_domain: int):
        self._by_domain = defaultdict(list)
        for index, item in enumerate(data_source):
            self._by_domain[item.domain].append(index)
        self.domains = list(self._by_domain)
        self.n_domain = n_domain if n_domain and n_domain > 0 else len(self.domains)
        if batch_size % self.n_domain:
            raise ConfigError(
                f"DATALOADER: BATCH_SIZE {batch_size} is no multiple of the {self.n_domain} domains in it"
            )
        self.n_img_per_domain = batch_size // self.n_domain
        super().__init__()

    def _choose(self, rng) -> list[int]:
        raise NotImplementedError

    def _draw(self, rng) -> list[int]:
        left = {domain: rng.sample(indices, len(indices)) for domain, indices in self._by_domain.items()}
        drawn: list[int] = []
        while True:
            chosen = self._choose(rng)
            if any(len(left[domain]) < self.n_img_per_domain for domain in chosen):
                return drawn
            for domain in chosen:
                drawn += left[domain][: self.n_img_per_domain]
                del left[domain][: self.n_img_per_domain]


class RandomDomainSampler(_DomainSampler):
    """Each batch has ``batch_size // n_domain`` images from each of ``n_domain`` random domains (0: from all)."""

    def __init__(self, data_source, batch_size: int, n_domain: int):
        super().__init__(data_source, batch_size, n_domain)

    def _choose(self, rng) -> list[int]:
        return rng.sample(self.domains, self.n_domain)


class SeqDomainSampler(_DomainSampler):
    """Each batch has as many images from every domain, the domains in order."""

    def __init__(self, data_source, batch_size: int):
        super().__init__(data_source, batch_size, n_domain=0)

    def _choose(self, rng) -> list[int]:
        return sorted(self.domains)


class RandomClassSampler(_DrawnSampler):
    """Each batch has ``n_ins`` images from each of ``batch_size // n_ins`` random classes.

    A class with fewer than ``n_ins`` images repeats some.
    """

    def __init__(self, data_source, batch_size: int, n_ins: int):
        if n_ins < 1:
            raise ConfigError(f"DATALOADER: N_INS must be at least 1, got {n_ins}")
        if batch_size < n_ins:
            raise ConfigError(f"DATALOADER: BATCH_SIZE {batch_size} is below N_INS {n_ins}, the images per class")
        self._by_label = defaultdict(list)
        for index, item in enumerate(data_source):
            self._by_label[item.label].append(index)
        self.n_ins = n_ins
        self.ncls_per_batch = batch_size // n_ins
        if len(self._by_label) < self.ncls_per_batch:
            raise ConfigError(
                f"DATALOADER: a batch takes {self.ncls_per_batch} classes, there are {len(self._by_label)}: lower "
                "BATCH_SIZE or raise N_INS"
            )
        super().__init__()

    def _draw(self, rng) -> list[int]:
        groups = {}  # label: lists of n_ins indices
        for label, indices in self._by_label.items():
            if len(indices) < self.n_ins:
                indices = rng.choices(indices, k=self.n_ins)
            shuffled = rng.sample(indices, len(indices))
            whole = len(shuffled) // self.n_ins * self.n_ins
            groups[label] = [shuffled[start : start + self.n_ins] for start in range(0, whole, self.n_ins)]
        drawn: list[int] = []
        while len(groups) >= self.ncls_per_batch:
            for label in rng.sample(list(groups), self.ncls_per_batch):
                drawn += groups[label].pop()
                if not groups[label]:
                    del groups[label]
        return drawn


def build_sampler(
    sampler_type: str, cfg=None, data_source=None, batch_size: int = 32, n_domain: int = 0, n_ins: int = 16
) -> Sampler:
    """Build the sampler called ``sampler_type`` for the list ``data_source``."""
    check_availability(sampler_type, AVAI_SAMPLERS, "sampler")
    if sampler_type == "RandomSampler":
        return RandomSampler(data_source)
    if sampler_type == "SequentialSampler":
        return SequentialSampler(data_source)
    if sampler_type == "RandomDomainSampler":
        return RandomDomainSampler(data_source, batch_size, n_domain)
    if sampler_type == "SeqDomainSampler":
        return SeqDomainSampler(data_source, batch_size)
    return RandomClassSampler(data_source, batch_size, n_ins)
