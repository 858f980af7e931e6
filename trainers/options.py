"""A method's configuration: a dataclass whose fields are the keys of the node TRAINER.<NODE>."""

from __future__ import annotations

import math
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar

from support.user_error import ConfigError, did_you_mean

PRECISIONS = ("fp32", "fp16", "bf16", "amp")


@dataclass(frozen=True)
class Range:
    """Finite numbers from ``least`` to ``most``; ``open`` leaves ``least`` itself out."""

    least: float = 0
    most: float = math.inf
    open: bool = False

    def check(self, value: float, key: str) -> None:
        """Raise a ConfigError where ``value`` lies outside; ``key`` names the configuration key."""
        above = self.least < value if self.open else self.least <= value
        if not (above and value <= self.most and math.isfinite(value)):
            wanted = f"{'above' if self.open else 'at least'} {self.least}"
            wanted += f" and at most {self.most}" if math.isfinite(self.most) else ""
            raise ConfigError(f"{key} is {value}: it must be {wanted}")


@dataclass(frozen=True)
class OneOf:
    """One of several words."""

    choices: tuple[str, ...]

    def check(self, value: str, key: str) -> None:
        """Raise a ConfigError where ``value`` is none of them; ``key`` names the configuration key."""
        if value not in self.choices:
            hint = did_you_mean(value, self.choices)
            choices = ", ".join(choice or '""' for choice in self.choices)
            raise ConfigError(f'{key} is "{value}"{hint}: choose one of {choices}')


AT_LEAST_ONE = Range(1)
NOT_NEGATIVE = Range()
POSITIVE = Range(open=True)


def option(default: Any, help: str, allowed: Range | OneOf | None = None) -> Any:
    """A field of `Options`: its default, one line of help and the values that it may have."""
    metadata = {"help": help, "allowed": allowed}
    if isinstance(default, list):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


def precision(default: str) -> Any:
    """The field PREC, which every method with a node has."""
    return option(default, "precision of the frozen encoders: fp32, fp16, bf16 or amp", OneOf(PRECISIONS))


@dataclass
class Options:
    """Base of the methods' configurations: ``@dataclass class Config(Options, node="COOP")``.

    Raises:
        ConfigError: a value is not among those allowed.
    """

    node: ClassVar[str] = ""

    def __init_subclass__(cls, node: str = "", **kwargs):
        super().__init_subclass__(**kwargs)
        cls.node = node or cls.node

    def __post_init__(self):
        for each in fields(self):
            if allowed := each.metadata["allowed"]:
                allowed.check(getattr(self, each.name), self.key(each.name))

    @classmethod
    def key(cls, name: str) -> str:
        """The full configuration key of a field."""
        return f"TRAINER.{cls.node}.{name}"

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Every field's default, by name."""
        return {each.name: each.default_factory() if each.default is MISSING else each.default for each in fields(cls)}

    @classmethod
    def from_cfg(cls, cfg) -> Options:
        """The options that a configuration has in TRAINER.<NODE>."""
        return cls(**{each.name: cfg.TRAINER[cls.node][each.name] for each in fields(cls)})
