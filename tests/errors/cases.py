"""The mistakes of a person at the command line, each with the message that it should end in."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.errors.person import Person

CASES: list[tuple[str, Callable[[Person], None]]] = []


def case(message: str) -> Callable[[Callable[[Person], None]], Callable[[Person], None]]:
    """Register a function, the last command of which ends in ``message``; "<...>" in it is any text."""

    def register(function: Callable[[Person], None]) -> Callable[[Person], None]:
        CASES.append((message, function))
        return function

    return register


def cases(command: Callable[..., None], table: dict[str, tuple]) -> None:
    """Register for each message the arguments of one of `Person`'s methods."""
    for message, arguments in table.items():
        case(message)(lambda person, arguments=arguments: command(person, *arguments))


def matches(message: str, line: str) -> bool:
    """Whether the line that a command printed is this message, perhaps behind the name of a file."""
    fixed = [re.escape(text) for text in re.split("<[^<>]*>", message)]
    return re.fullmatch(f"error: (.*: )?{'.*'.join(fixed)}", line) is not None
