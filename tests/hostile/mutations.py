"""Damage to files: edits of their bytes and of the structure of JSON-like values, as hypothesis strategies."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence

from hypothesis import strategies as st

# Numbers at which sizes, offsets and counts overflow, as four or eight bytes
_SMALL = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
_LARGE = [*_SMALL, 2**40, 2**63 - 1, 2**63, 2**64 - 1]
_NUMBERS = [
    number.to_bytes(size, order)
    for size, numbers in ((4, _SMALL), (8, _LARGE))
    for number in numbers
    for order in ("little", "big")
]
_TEXTS = [
    *(b"\x00", b"\n", b"\xff\xfe", b"../", b"/", b"\\", b"~", b"nan", b"-1", b"1e999", b"null", b"\xed\xb2\x80"),
    *(b"[" * 3000, b"{" * 1500, b"9" * 5000, b"- " * 2000, b"&a [*a]", b"<<: *a"),
    b"!!python/object/apply:os.system [x]",
]
_PLACE = st.integers(0, 2**20)  # of 2**20: a share of the file


def _edit(content: bytes, edit: tuple[str, int, int, bytes]) -> bytes:
    kind, place, length, new = edit
    at = place * len(content) >> 20
    if kind == "cut":
        return content[:at]
    if kind == "flip":
        return content[:at] + bytes(byte ^ (length & 255 or 1) for byte in content[at : at + 1]) + content[at + 1 :]
    if kind == "repeat":
        return content[: at + length] + content[at:]
    if kind == "remove":
        return content[:at] + content[at + length :]
    if kind == "insert":
        return content[:at] + new + content[at:]
    return content[:at] + new + content[at + len(new) :]


_EDITS = st.tuples(
    st.sampled_from(["flip", "flip", "write", "write", "insert", "remove", "repeat", "cut"]),
    _PLACE,
    st.integers(1, 300),
    st.sampled_from(_NUMBERS) | st.sampled_from(_TEXTS) | st.binary(min_size=1, max_size=12),
)


@st.composite
def damaged(draw, originals: Sequence[bytes]) -> bytes:
    """One of the files with one to six edits of its bytes."""
    content = draw(st.sampled_from(originals))
    for edit in draw(st.lists(_EDITS, min_size=1, max_size=6)):
        content = _edit(content, edit)
    return content


_NUMBERS_OF_JSON = [0, -1, 2**31, 2**63, 10**400, 1.5, -0.0, float("nan"), float("inf"), 1e308]
_TEXTS_OF_JSON = [
    *("", " ", "nan", "75", "../../x", "/etc/passwd", "a\x00b", "\ud800", "a\nb", "<script>", "$\\frac{", "{}", "%s"),
    *("(1, 2)", "({[]: 1})", "(b'x')", "({1})", "(" * 200, "x" * 100_000, "{0.__class__}"),
]
_SCALARS = (
    st.sampled_from([None, True, False, *_NUMBERS_OF_JSON, *_TEXTS_OF_JSON])
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
)
VALUES = st.recursive(
    _SCALARS,
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=8), parts, max_size=3),
    max_leaves=6,
)
_DEEP = st.integers(1, 100).map(lambda depth: json.loads("[" * depth + "]" * depth))


def _places(value: object, path: tuple = ()) -> list[tuple]:
    """The paths of all values below the top one."""
    if isinstance(value, Mapping):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    else:
        return []
    return [place for key, part in items for place in [(*path, key), *_places(part, (*path, key))]]


@st.composite
def restructured(draw, originals: Sequence[object], values: st.SearchStrategy = VALUES | _DEEP) -> object:
    """One of the values, dicts and lists, with one to four of its parts replaced, removed, renamed or doubled."""
    content = copy.deepcopy(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 4))):
        places = _places(content)
        if not places:
            return draw(values)
        *path, key = draw(st.sampled_from(places))
        parent = content
        for step in path:
            parent = parent[step]
        kind = draw(st.sampled_from(["replace", "replace", "replace", "remove", "rename", "double"]))
        if kind == "replace":
            parent[key] = draw(values)
        elif kind == "remove":
            del parent[key]
        elif isinstance(parent, list):
            parent.insert(key, parent[key])
        elif kind == "rename":
            parent[draw(st.text(max_size=8))] = parent.pop(key)
        else:
            parent[key] = [parent[key], parent[key]]
    return content
