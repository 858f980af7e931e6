"""Every place in the source that makes an error for the user: its kind, and the fixed text of its message."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOT_THE_USERS = ("bench", "tests", "scripts", "build", "data", "output", "setup.py")


@dataclass(frozen=True)
class Site:
    """One place.

    Attributes:
        where: "<file>:<line>".
        kind: the class in user_error.py, also where a subclass is raised.
        text: the message, "<>" for each variable part.
    """

    where: str
    kind: str
    text: str

    @property
    def passes_on(self) -> bool:
        """Whether it has no words of its own, but hands on the message of another error or program."""
        return not re.search("[a-z]", self.text)


@cache
def sites() -> list[Site]:
    """All of them, in the order of files and lines."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in _files()}
    kinds = _kinds(trees.values())
    return [
        Site(f"{path.relative_to(ROOT).as_posix()}:{call.lineno}", kinds[_name(call)], text)
        for path, tree in trees.items()
        for call in sorted(_calls(tree, kinds), key=lambda call: call.lineno)
        for text in _texts(call.args[0])
    ]


def fixed_text(message: str) -> str:
    """The message of a site or a row of the table with each variable part, "<...>", as "<>"."""
    return re.sub(r"(<>)+", "<>", re.sub(r"<[^<>]*>", "<>", message))


def _files() -> list[Path]:
    files = sorted([*ROOT.glob("*.py"), *ROOT.glob("[a-z]*/**/*.py")])
    return [file for file in files if file.relative_to(ROOT).parts[0] not in NOT_THE_USERS]


def _kinds(trees) -> dict[str, str]:
    """{class of error: the kind in user_error.py that it is}."""
    bases = {
        node.name: [base.id for base in node.bases if isinstance(base, ast.Name)]
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    kinds, more = {}, {"UserError": "UserError"} | {name: name for name, own in bases.items() if "UserError" in own}
    while more:
        kinds |= more
        derived = ((name, base) for name, own in bases.items() for base in own if base in kinds and name not in kinds)
        more = {name: kinds[base] for name, base in derived}
    return kinds


def _calls(tree: ast.Module, kinds: dict[str, str]) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node) in kinds and node.args:
            yield node


def _name(call: ast.Call) -> str:
    """Of the class or function that is called, without its module."""
    return getattr(call.func, "id", getattr(call.func, "attr", ""))


def _texts(node: ast.expr) -> list[str]:
    """The texts that an expression can be; of a condition or an "or" each of its sides."""
    if isinstance(node, ast.BoolOp):
        return [text for value in node.values for text in _texts(value)]
    if isinstance(node, ast.IfExp):
        return [*_texts(node.body), *_texts(node.orelse)]
    if isinstance(node, ast.Constant):
        return [fixed_text(str(node.value))]
    if isinstance(node, ast.JoinedStr):
        parts = (_texts(value)[0] if isinstance(value, ast.Constant) else "<>" for value in node.values)
        return [fixed_text("".join(parts))]
    return ["<>"]


def shell_sites() -> list[str]:
    """The fixed texts of the errors that scripts/ print themselves."""
    found = []
    for file in sorted((ROOT / "scripts").glob("**/*.sh")):
        text = file.read_text(encoding="utf-8")
        for message in re.findall(r'(?:\bdie |echo "error: )"?((?:\\"|[^"\n]|"\$base")+)"', text):
            message = re.sub(r"\$\{(?:[^{}]|\{[^{}]*\})*\}|\$\([^()]*\)|\$\w+|\$\*", "<>", message.replace('\\"', '"'))
            if message != "<>":
                found.append(fixed_text(message))
    return found
