"""Running averages of what a training step reports."""

from collections import defaultdict

import torch


class AverageMeter:
    """The last value ``val`` and the average ``avg`` over all updates.

    Args:
        ema: make ``avg`` an exponential moving average (0.9 old, 0.1 new, from 0).
    """

    def __init__(self, ema: bool = False):
        self.ema = ema
        self.reset()

    def reset(self) -> None:
        self.val = self.avg = self.sum = self.count = 0

    def update(self, val: float | torch.Tensor, n: int = 1) -> None:
        """Add ``val``, the mean of ``n`` samples."""
        self.val = val.item() if isinstance(val, torch.Tensor) else val
        self.sum += self.val * n
        self.count += n
        self.avg = 0.9 * self.avg + 0.1 * self.val if self.ema else self.sum / self.count


class MetricMeter:
    """One AverageMeter per name; as text ``loss 0.5000 (0.6000) acc 75.0000 (70.0000)``, last value and average."""

    def __init__(self, delimiter: str = " "):
        self.meters = defaultdict(AverageMeter)
        self.delimiter = delimiter

    def update(self, input_dict: dict[str, float | torch.Tensor] | None) -> None:
        if input_dict is None:
            return
        if not isinstance(input_dict, dict):
            raise TypeError(f"expected a dict of metrics, got {type(input_dict).__name__}")
        for name, value in input_dict.items():
            self.meters[name].update(value)

    def state_dict(self) -> dict[str, tuple[float, int]]:
        """Sum and number of the values, by name."""
        return {name: (meter.sum, meter.count) for name, meter in self.meters.items()}

    def load_state_dict(self, state: dict[str, tuple[float, int]]) -> None:
        for name, (total, count) in state.items():
            meter = self.meters[name]
            meter.sum, meter.count = float(total), int(count)
            meter.val = meter.avg = meter.sum / max(meter.count, 1)

    def __str__(self) -> str:
        return self.delimiter.join(f"{name} {meter.val:.4f} ({meter.avg:.4f})" for name, meter in self.meters.items())
