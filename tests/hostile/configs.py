"""Config files with damaged bytes or other values, and KEY VALUE pairs of any text."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml
from hypothesis import strategies as st

import train
from dassl.config import all_items, get_cfg_default
from tests.hostile.attempts import Kind
from tests.hostile.mutations import VALUES, damaged, restructured

ROOT = Path(__file__).resolve().parents[2]


def originals() -> list[bytes]:
    files = sorted((ROOT / "configs").glob("*/**/*.yaml"))[::4]
    laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        laughs += f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    merged = "OPTIM: &a {LR: 1}\n" + "".join(f"k{i}: &k{i} {{<<: [*a, *a]}}\n" for i in range(9))
    return [*(file.read_bytes() for file in files), laughs.encode(), merged.encode(), b"? [a, b]\n: 1\n? {c: d}\n: 2\n"]


@cache
def _defaults():
    cfg = get_cfg_default()
    train.extend_cfg(cfg)
    return cfg


def load(content: bytes | object | tuple[str, str], folder: Path) -> None:
    cfg = _defaults().clone()
    if isinstance(content, tuple):
        cfg.merge_from_list(list(content))
    else:
        file = folder / "some.yaml"
        if not isinstance(content, bytes):
            content = yaml.safe_dump(content, allow_unicode=True).encode("utf-8", "surrogatepass")
        file.write_bytes(content)
        cfg.merge_from_file(file)
    str(cfg)


def pairs() -> st.SearchStrategy:
    keys = [key for key, value in all_items(_defaults()) if not isinstance(value, dict)]
    bombs = ["(" * 500, "-" * 3000 + "1", "9" * 5000, "[" * 99 + "]" * 99, "1" + "+1" * 3000]
    literals = st.sampled_from([*bombs, "{[]: 1}", "1e999", "'", "None", "()", "\x00", "1 is 1"])
    return st.tuples(st.sampled_from(keys) | st.text(max_size=20), literals | VALUES.map(str))


_FILES = originals()
CONFIGS = Kind(
    "configurations",
    damaged(_FILES) | restructured([yaml.safe_load(content) for content in _FILES[:-3]]) | pairs(),
    load,
    20,
)
