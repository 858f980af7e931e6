"""Which numbers an option of a method may be; what a prompt learner needs of its own is checked where it is built."""

from __future__ import annotations

import math
from dataclasses import dataclass

from support.user_error import ConfigError


@dataclass(frozen=True)
class Range:
    """Finite numbers from ``least`` to ``most``; ``open`` leaves ``least`` itself out."""

    least: float = 0
    most: float = math.inf
    open: bool = False

    def check(self, value: float, key: str) -> None:
        """Raise a UserError where ``value`` lies outside; ``key`` names the configuration key."""
        above = self.least < value if self.open else self.least <= value
        if not (above and value <= self.most and math.isfinite(value)):
            wanted = f"{'above' if self.open else 'at least'} {self.least}"
            wanted += f" and at most {self.most}" if math.isfinite(self.most) else ""
            raise ConfigError(f"{key} is {value}: it must be {wanted}")


NOT_NEGATIVE = Range()
POSITIVE = Range(open=True)
