"""Mistakes that the person at the keyboard can mend, told in one line."""

from support.user_error import (
    CheckpointError,
    ConfigError,
    DataError,
    OutputError,
    ProcessError,
    TrainingError,
    UserError,
    cannot_write,
    did_you_mean,
)

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "NonFiniteLossError",
    "OutputError",
    "ProcessError",
    "UnknownNameError",
    "UserError",
    "cannot_write",
    "did_you_mean",
]


class UnknownNameError(ConfigError, KeyError):
    """A name that nothing is registered under."""


class NonFiniteLossError(TrainingError, FloatingPointError):
    """The training loss became NaN or infinite."""
