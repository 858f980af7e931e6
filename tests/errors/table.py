"""The rows of docs/errors.md."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.errors.sites import ROOT

ROW = re.compile(r"\| `(?P<message>.+?)` \|")
HEADING = re.compile(r"## (?P<kind>.+)")


@dataclass(frozen=True)
class Row:
    """A message, with "<...>" for its variable parts, and the heading it stands under."""

    kind: str
    message: str

    def matches(self, line: str) -> bool:
        """Whether the line that a command printed is this message, perhaps behind the name of a file."""
        fixed = [re.escape(part) for part in re.split("<[^<>]*>", self.message)]
        return re.fullmatch(f"error: (.*: )?{'.*'.join(fixed)}", line) is not None


def rows() -> list[Row]:
    """All of them, in the order of the document."""
    found, kind = [], ""
    for line in (ROOT / "docs" / "errors.md").read_text(encoding="utf-8").splitlines():
        if heading := HEADING.fullmatch(line):
            kind = heading["kind"]
        elif row := ROW.match(line):
            found.append(Row(kind, row["message"]))
    return found
