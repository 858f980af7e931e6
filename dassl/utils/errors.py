"""Mistakes that the person at the keyboard can mend, told in one line."""

from user_error import UserError, did_you_mean

__all__ = ["NonFiniteLossError", "UnknownNameError", "UserError", "did_you_mean"]


class UnknownNameError(UserError, KeyError):
    """A name that nothing is registered under."""


class NonFiniteLossError(UserError, FloatingPointError):
    """The training loss became NaN or infinite."""
