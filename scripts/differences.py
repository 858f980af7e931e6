"""How each method here differs from its released code and from its paper, as docs/differences.md.

    .venv/bin/python scripts/differences.py >docs/differences.md

The sentences are those of the methods' files: a docstring there names the code, as in "github.com/<owner>/<name>
(<licence>)", and has a paragraph "Differs from the release: ..." and one "Differs from the paper: ...".
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
FIRST = "trainers.mudpt"
COLUMNS = ("method", "differs from the release", "differs from the paper", "released code", "file")
DIFFERENCE = r"Differs from the {}: (.*?)\s*(?=Differs from the |\n\n|\Z)"
CODE = r"github\.com/([\w.-]+/[\w.-]+) \(([^)]+)\)"
HEADER = """\
# How the methods here differ from their releases and papers

Printed by `scripts/differences.py` from the docstrings of the methods' files. Where `tests/golden/` has numbers of a
released code, logits, losses and gradients here equal them on the same weights, in float32.

Common to all:

- What is learned stays float32 whatever `PREC` says; fp16 and amp scale the loss.
- A class's text is encoded up to its last token, not to 77, which changes features by rounding alone.
- Checkpoints hold what is learned and not CLIP.
- Nothing is chosen on test images.
- Training images that do not fill a batch sit out the epoch, as in Dassl.

The first line of every file in `configs/trainers/` says whether its settings are the paper's, the release's or chosen
here.
"""


@dataclass
class Entry:
    """The trainers of one file and what its docstring says."""

    trainers: list[str]
    module: str
    release: str
    paper: str
    code: str

    def row(self) -> list[str]:
        names = ", ".join(f"`{name}`" for name in self.trainers)
        return [names, self.release, self.paper, self.code, f"`{self.module.replace('.', '/')}.py`"]


def entries() -> list[Entry]:
    """Every file of methods, MuDPT first."""
    return sorted(_entries(), key=lambda entry: (entry.module != FIRST, entry.trainers[0].lower()))


def _entries() -> Iterator[Entry]:
    import trainers  # noqa: F401  registers the methods
    from dassl.engine import TRAINER_REGISTRY

    names: dict[str, list[str]] = {}
    for name in TRAINER_REGISTRY.registered_names():
        trainer = TRAINER_REGISTRY.get(name)
        if trainer.__module__.startswith("trainers.") and hasattr(trainer, "Method"):
            names.setdefault(trainer.__module__, []).append(name)
    for module, own in names.items():
        docstring = sys.modules[module].__doc__ or ""
        release, paper = (told(docstring, DIFFERENCE.format(what)) for what in ("release", "paper"))
        code = re.search(CODE, docstring)
        yield Entry(own, module, release, paper, f"{code[1]} ({code[2]})" if code else "–")


def told(docstring: str, pattern: str) -> str:
    """What a docstring says, in one line; "" where it does not."""
    found = re.search(pattern, docstring, flags=re.DOTALL)
    return " ".join(found[1].split()).replace("|", r"\|") if found else ""


def document() -> str:
    """docs/differences.md."""
    table = tabulate([entry.row() for entry in entries()], headers=COLUMNS, tablefmt="github", disable_numparse=True)
    lines = (re.sub(r"-{3,}", "---", re.sub(" {2,}", " ", line)) for line in table.splitlines())
    return f"{HEADER}\n" + "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    print(document(), end="")
