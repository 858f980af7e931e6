"""The cases, one or more, by the row of docs/errors.md that they trigger."""

from __future__ import annotations

from collections.abc import Callable

from tests.errors.person import Person

CASES: dict[str, list[Callable[[Person], None]]] = {}


def case(message: str) -> Callable[[Callable[[Person], None]], Callable[[Person], None]]:
    """Register a function as a case of a row: what it does last ends in this message."""

    def register(function: Callable[[Person], None]) -> Callable[[Person], None]:
        CASES.setdefault(message, []).append(function)
        return function

    return register


def cases(command: Callable[..., None], table: dict[str, tuple]) -> None:
    """Register for each message the arguments of one of `Person`'s methods."""
    for message, arguments in table.items():
        case(message)(lambda person, arguments=arguments: command(person, *arguments))
