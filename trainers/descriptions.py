"""Sentences about classes: read from a JSON file, found by class name, encoded by frozen CLIP.

{"lynx": ["A lynx has tufts of black hair on its ears.", "..."], "puma": ["..."]}
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

import clip
from clip.class_text import ClassText
from clip.clip import TextTooLongError
from clip.model import CLIP
from support.regular_file import regular_only
from support.user_error import DataError, did_you_mean, shorten
from trainers.class_rows import as_read, rows_of
from trainers.method import Task

Descriptions = dict[str, list[str]]  # class name -> sentences

MOST_BYTES = 2**26  # of a file; CuPL's published sentences for a thousand classes have 6 million
SHOWN_NAMES = 10  # in messages
FORM = '{"class name": ["sentence", ...], ...}'


def read_descriptions(path: str) -> Descriptions:
    """The descriptions in a JSON file, of whatever classes.

    Raises:
        DataError: the file cannot be read, is too large, or is no JSON object of non-empty lists of non-empty texts.
    """
    try:
        with open(path, "rb", opener=regular_only) as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check DATASET.DESCRIPTIONS") from error
    if len(content) > MOST_BYTES:
        raise DataError(f"{path} has more than {MOST_BYTES >> 20} MiB: give fewer sentences per class")
    try:
        pairs = json.loads(content.decode("utf-8-sig"), object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON in UTF-8 ({error}): expected {FORM}") from error
    if not isinstance(pairs, _Pairs):
        raise DataError(f"{path} holds {type(pairs).__name__} where an object is expected: {FORM}")
    return checked(pairs, path)


class _Pairs(list):
    """The members of a JSON object, with those that stand in it twice."""


def checked(pairs: Iterable[tuple[object, object]], path: str) -> Descriptions:
    """The descriptions that pairs of a name and its sentences are.

    Raises:
        DataError: a name or a sentence is no text, a name has no list of sentences or stands there twice.
    """
    pairs = list(pairs)
    for name, sentences in pairs:
        if reason := _fault(name, sentences):
            raise DataError(f"{path}, class {name!a}: {reason}: expected {FORM}")
    _check_distinct([name for name, _ in pairs], path)
    return dict(pairs)


def _fault(name: object, sentences: object) -> str:
    """Why this is no entry of descriptions, "" where it is one."""
    if not isinstance(sentences, list) or isinstance(sentences, _Pairs):
        return (
            f"its sentences are {'an object' if isinstance(sentences, _Pairs) else type(sentences).__name__}, no list"
        )
    if not sentences:
        return "it has no sentence"
    for text in (name, *sentences):
        if not isinstance(text, str):
            return f"{str(text)[:60]} is no text"
        if not text.replace("_", " ").strip():
            return "a text is empty"
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            return "a text holds half of a UTF-16 pair"
    return ""


def _check_distinct(names: Sequence[str], path: str) -> None:
    """Raises DataError where two names are one as CLIP reads them."""
    earlier: dict[tuple[int, ...], str] = {}
    for name in names:
        tokens = as_read(name)
        if (first := earlier.get(tokens)) is not None:
            raise DataError(f'{path}: "{first}" and "{name}" are one class as CLIP reads them: remove one')
        earlier[tokens] = name


def descriptions_of(
    class_names: Sequence[str], known: Descriptions, path: str, tells_extra: bool = True
) -> Descriptions:
    """The descriptions of these classes, under their own names; names are compared as CLIP reads them.

    Args:
        known: descriptions of these classes and maybe others.
        path: of the file, for messages.
        tells_extra: whether names that are none of the classes are printed in a notice.

    Raises:
        DataError: a class has none.
    """
    listed = list(known)
    rows = rows_of(class_names, listed)
    if missing := [name for name, row in zip(class_names, rows, strict=True) if row is None]:
        named = [f'"{name}"{did_you_mean(name, listed)}' for name in missing]
        raise DataError(
            f"{path} describes {len(class_names) - len(missing)} of the {len(class_names)} classes; without a sentence "
            f"are {shorten(named, SHOWN_NAMES)}: add them"
        )
    extra = sorted(set(listed) - {listed[row] for row in rows})
    if extra and tells_extra:
        names = shorten([f'"{name}"{did_you_mean(name, class_names)}' for name in extra], SHOWN_NAMES)
        print(f"notice: {path} describes {len(extra)} name(s) that are no class here: {names}")
    return {name: known[listed[row]] for name, row in zip(class_names, rows, strict=True)}


def descriptions_of_run(cfg, class_names: Sequence[str]) -> Descriptions | None:
    """The descriptions of a run's classes from the file DATASET.DESCRIPTIONS, None where the key is empty.

    The path is absolute, or under the data root. A run on base or new classes takes those of its classes in silence.

    Raises:
        DataError: as `read_descriptions` and `descriptions_of`.
    """
    file = getattr(cfg.DATASET, "DESCRIPTIONS", "")
    if not file:
        return None
    root = os.path.abspath(os.path.expanduser(cfg.DATASET.ROOT))
    path = os.path.normpath(os.path.join(root, os.path.expanduser(file)))
    whole = getattr(cfg.DATASET, "SUBSAMPLE_CLASSES", "all") == "all"
    return descriptions_of(class_names, read_descriptions(path), path, tells_extra=whole)


def sentences_of(task: Task) -> list[Sequence[str]]:
    """The sentences of each of a task's classes, in their order.

    Raises:
        DataError: a class has none.
    """
    found = descriptions_of(task.class_names, dict(task.descriptions or {}), "the model", tells_extra=False)
    return [found[name] for name in task.class_names]


@torch.no_grad()
def description_features(clip_model: CLIP, descriptions: Sequence[Sequence[str]]) -> Tensor:
    """(C, e) normalised mean of frozen CLIP's normalised features of the sentences of each of C classes, float32.

    Sentences with more tokens than CLIP reads are cut; a notice tells how many these are.
    """
    length, device = len(clip_model.positional_embedding), clip_model.text_projection.device
    features, cut = [], 0
    for sentences in descriptions:
        tokens = clip.tokenize(list(sentences), length, truncate=True)
        cut += sum(_is_longer(sentence, length) for sentence, row in zip(sentences, tokens, strict=True) if row[-1])
        each = clip_model.encode_text(ClassText(tokens).to(device)).float()  # (S, e)
        features.append(F.normalize(F.normalize(each, dim=-1).mean(dim=0), dim=-1))
    if cut:
        total = sum(map(len, descriptions))
        print(f"notice: {cut} of {total} descriptions have more than {length} tokens, after which they are cut")
    return torch.stack(features)


def _is_longer(sentence: str, length: int) -> bool:
    try:
        clip.tokenize(sentence, length)
    except TextTooLongError:
        return True
    return False
