"""Learned tensors that belong to classes: those of a checkpoint are found by the names of the classes, never by place.

So a test on a part of the classes, or on another order of them, has each class's own tensors, and a test on a class
without any is refused.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from clip.simple_tokenizer import SimpleTokenizer
from support.user_error import CheckpointError, did_you_mean

_tokenizer = SimpleTokenizer()


def rows_of(wanted: Sequence[str], known: Sequence[str]) -> list[int | None]:
    """Place among ``known`` of each name in ``wanted``, None where it is not there.

    Names are compared as CLIP reads them: "Polar_bear" is "polar bear". Of equal names, which ImageNet has, the k-th in
    one list is the k-th in the other.
    """
    places = defaultdict(list)
    for row, name in enumerate(known):
        places[_as_read(name)].append(row)
    rows = []
    for name in wanted:
        found = places.get(_as_read(name))
        rows.append(None if not found else found.pop(0) if len(found) > 1 else found[0])
    return rows


def _as_read(name: str) -> tuple[int, ...]:
    return tuple(_tokenizer.encode(name.replace("_", " ")))


def warn_of_repeated(wanted: Sequence[str], known: Sequence[str]) -> None:
    """Print the names that stand for a different number of classes in the two lists, so that one may be the other's."""
    here, there = (Counter(map(_as_read, names)) for names in (wanted, known))
    for name in dict.fromkeys(wanted):
        now, before = here[_as_read(name)], there[_as_read(name)]
        if now != before and max(now, before) > 1 and before:
            print(f'warning: "{name}" was the name of {before} classes in training and is that of {now} here')


class ClassBound(nn.Module):
    """A learner with tensors that have one slice per class.

    Args:
        class_names: of this run, in the order of its labels.
        class_dims: of each such tensor, by name, the dimension that counts classes; empty where there are none.
    """

    def __init__(self, class_names: Sequence[str], class_dims: Mapping[str, int]):
        super().__init__()
        self.class_names = list(class_names)
        self.class_dims = dict(class_dims)

    def count_classes(self, tensors: Mapping[str, Tensor]) -> int | None:
        """How many classes a checkpoint's tensors are of; None where they are not those of this learner.

        Raises:
            UserError: they are of different numbers of classes.
        """
        own = self.state_dict()
        counts = {
            name: tensors[name].shape[dim]
            for name, dim in self.class_dims.items()
            if name in tensors and tensors[name].dim() == own[name].dim()
        }
        if len(set(counts.values())) > 1:
            raise CheckpointError(f"its {' and '.join(counts)} are of different numbers of classes: train again")
        return counts.popitem()[1] if counts else None

    def select_classes(self, tensors: dict[str, Tensor], saved: Sequence[str]) -> dict[str, Tensor]:
        """A checkpoint's tensors of this run's classes.

        Args:
            saved: names of the checkpoint's classes.

        Raises:
            UserError: it has none for one of this run's, or not as many as it names.
        """
        if (count := self.count_classes(tensors)) != len(saved):
            raise CheckpointError(
                f"it names {len(saved)} classes, but its {' and '.join(self.class_dims)} is of {count}: train again"
            )
        rows = self._rows_in(saved)
        return {
            name: tensor.index_select(self.class_dims[name], torch.tensor(rows, device=tensor.device))
            if name in self.class_dims
            else tensor
            for name, tensor in tensors.items()
        }

    def _rows_in(self, saved: Sequence[str]) -> list[int]:
        """Place of each of this run's classes among ``saved``. Raises UserError where one is missing."""
        rows = rows_of(self.class_names, saved)
        missing = [name for name, row in zip(self.class_names, rows, strict=True) if row is None]
        if missing:
            raise CheckpointError(
                f"it has {' and '.join(self.class_dims)} for the {len(saved)} classes of its training alone, and class "
                f'"{missing[0]}"{did_you_mean(missing[0], saved)} is none of them ({len(missing)} of the '
                f"{len(self.class_names)} classes here are not): test it on classes of its training, or train on these"
            )
        return rows
