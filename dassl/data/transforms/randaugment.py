"""RandAugment by torchvision, under upstream's names: Cubuk et al., NeurIPS 2020."""

from torchvision.transforms import v2


class RandAugment(v2.RandAugment):
    """``n`` random operations of strength ``m``, from 0 to 30."""

    def __init__(self, n: int = 2, m: int = 10):
        super().__init__(n, m)


class RandAugment2(v2.Compose):
    """``n`` random operations of random strength, each done with probability ``p``."""

    def __init__(self, n: int = 2, p: float = 0.6):
        super().__init__([v2.RandomApply([v2.TrivialAugmentWide()], p=p) for _ in range(n)])


class RandAugmentFixMatch(RandAugment2):
    """``n`` random operations of random strength."""

    def __init__(self, n: int = 2):
        super().__init__(n, p=1.0)
