"""Class names as CLIP's tokenizer reads them, and which of them are codes."""

import re
import unicodedata
from functools import cache

from clip.simple_tokenizer import SimpleTokenizer

_CODE = re.compile(
    r"""  n? \d [\d.,:/ -]*                                # 7, 0.0, 2021-03, n02085620
        | [a-z] \d{1,2}                                  # c0, b12
        | (class|cls|label|category|cat|type|group|cluster|item|object|id|idx|index|no|nr|number) [ .:#-]* \d+
        | (n? \d{3,} | \d+ [ .)-] | n\d{5,} ) [ .)-]* \S .*  # 001.Black footed Albatross, 01 cat, n02085620-Chihuahua
        | .* \S [ .(-]+ ( n\d{5,} | 0\d+ ) \)?           # Chihuahua-n02085620, cat 01
    """,
    re.IGNORECASE | re.VERBOSE,
)


@cache
def _tokenizer() -> SimpleTokenizer:
    return SimpleTokenizer()  # takes a moment


def tokens(name: str) -> tuple[int, ...]:
    """Return the tokens of a class name in a prompt; two names with the same ones give the same prompts.

    The tokenizer reads lower case, one Unicode normal form, curly quotes as straight ones, "&amp;" as "&", and no
    difference in spaces; prompts read "_" as a space.
    """
    return tuple(_tokenizer().encode(name.replace("_", " ")))


def normal_form(text: str) -> str:
    """Return `text` in Unicode's normal form C: a Mac writes the "é" of file names as "e" and an accent."""
    return unicodedata.normalize("NFC", text)


def both(one: str, other: str) -> str:
    """Return two names that CLIP reads as one, for messages."""
    if one == other:
        return f'"{one}"'
    alike = normal_form(one) == normal_form(other)
    return f'"{one}" and "{other}"' + (", which differ in Unicode normal form only" if alike else "")


def is_code(name: str) -> bool:
    """Whether a class name is a code or holds one beside its words, "_" read as a space."""
    return _CODE.fullmatch(" ".join(name.replace("_", " ").split())) is not None
