"""Which file a folder of checkpoints, and an epoch, stand for.

A run keeps the checkpoints of each model in ``<run>/<name of the model>/``: model.pth.tar-<epoch>, model-best.pth.tar,
and a file ``checkpoint`` whose first line names the last one. A person may name the folder inside, one above, or a
file, and bring files without the pointer: what can mean one file alone is taken, and else the message says what is
there.
"""

from __future__ import annotations

import os
import os.path as osp
import re
from collections.abc import Sequence

from support.user_error import CheckpointError, did_you_mean, shorten

BEST = "model-best.pth.tar"
POINTER = "checkpoint"
CUSTOMARY = "model.safetensors"  # of a file without epochs
LEVELS = 3  # below a folder, where runs are looked for
MOST_FOLDERS = 1000  # looked into
_ENDINGS = (".pth", ".pt", ".tar", ".ckpt", ".bin", ".safetensors")
_NUMBERED = re.compile(r"model\.pth\.tar-(\d+)(?:\+(\d+))?")


def numbered_checkpoints(folder: str) -> list[str]:
    """Paths of the checkpoints whose names tell epoch and batches, the newest first."""
    matches = filter(None, map(_NUMBERED.fullmatch, _files(folder)))
    numbers = {(int(found[1]), int(found[2] or 0)): found[0] for found in matches}
    return [osp.join(folder, numbers[number]) for number in sorted(numbers, reverse=True)]


def last_checkpoint(folder: str) -> str:
    """The path that the file ``checkpoint`` in a folder names.

    Raises:
        UserError: it cannot be read.
    """
    pointer = osp.join(folder, POINTER)
    try:
        with open(pointer, encoding="utf-8") as file:
            return osp.join(folder, osp.basename(file.readline().strip()))
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"no checkpoint in {folder}: cannot read {pointer}; correct the folder, or train again"
        ) from error


def find_checkpoint(path: str, names: Sequence[str], epoch: int | None, flag: str = "--model-dir") -> str:
    """Path of the checkpoint of an epoch; without one of the best, else of the last.

    Args:
        path: a run's folder, or what stands for it, see above.
        names: folders in it that may hold the model's.
        flag: what ``path`` was given by, for messages.

    Raises:
        UserError: there is none, or more than one that may be meant.
    """
    if osp.isfile(path) and osp.basename(path) != POINTER:
        found = _NUMBERED.fullmatch(osp.basename(path))
        if epoch is not None and not (found and int(found[1]) == epoch):
            raise CheckpointError(
                f"{path} is a file, and not of epoch {epoch}: leave out --load-epoch, or name the folder"
            )
        return path
    return checkpoint_of(model_folder(path, names, flag), epoch)


def model_folder(path: str, names: Sequence[str], flag: str = "--model-dir") -> str:
    """The folder that holds a model's checkpoints.

    Args:
        flag: what ``path`` was given by, for messages.

    Raises:
        UserError: there is none, or more than one that may be meant.
    """
    if osp.isfile(path):  # the pointer in it
        path = osp.dirname(path)
    if not osp.isdir(path):
        near = did_you_mean(osp.basename(osp.normpath(path)), _folders(osp.dirname(osp.normpath(path)) or "."))
        raise CheckpointError(f"no checkpoint folder {path}{near}: correct {flag}, or train first")
    inside = [osp.join(path, name) for name in names if osp.isdir(osp.join(path, name))]
    for folder in [*filter(_checkpoints, inside), path]:
        if _checkpoints(folder):
            return folder
    if inside:
        return inside[0]
    runs = _runs_below(path, names)
    if len(runs) == 1:
        return runs[0]
    if runs:
        folders = [osp.relpath(osp.dirname(run), path) for run in runs]
        raise CheckpointError(
            f"{path} is no run's folder but holds {len(runs)} of them ({shorten(folders, 5)}): name one by {flag}"
        )
    others = [name for name in _folders(path) if _checkpoints(osp.join(path, name))]
    there = f", but one of {' and '.join(others)}, as another method has it" if others else ""
    raise CheckpointError(f"no checkpoint of {' or '.join(names)} in {path}{there}: correct {flag}, or train first")


def run_folder(path: str, name: str, flag: str) -> str:
    """The folder of a run, which has its checkpoints in ``<run>/<name>/``; all else as `model_folder`."""
    if osp.isfile(path) and osp.basename(path) != POINTER:
        raise CheckpointError(f"{path} is a file: name by {flag} the run's folder, which holds {name}{os.sep}")
    folder = osp.normpath(model_folder(path, (name,), flag))
    if osp.basename(folder) != name:
        raise CheckpointError(
            f"{path} holds checkpoints, but not in a folder {name}: move them there, then correct {flag}"
        )
    return osp.dirname(folder) or "."


def checkpoint_of(folder: str, epoch: int | None) -> str:
    """As `find_checkpoint`, in the folder of the checkpoints itself."""
    if not osp.isdir(folder):
        raise CheckpointError(f"no checkpoint folder {folder}: correct --model-dir, or train first")
    there = _checkpoints(folder)
    numbered = [osp.basename(file) for file in numbered_checkpoints(folder)]
    if epoch is not None:
        wanted = [f"model.pth.tar-{epoch}"]
    elif POINTER in there and BEST not in there:
        wanted = [osp.basename(last_checkpoint(folder)), CUSTOMARY]
    else:
        wanted = [BEST, CUSTOMARY, *numbered[:1], *(there if len(there) == 1 else ())]
    for name in wanted:
        if name in there:
            return osp.join(folder, name)
    if not [name for name in there if name != POINTER]:
        raise CheckpointError(f"no checkpoint in {folder}: correct --model-dir, or train first")
    if epoch is None and POINTER not in there:
        raise CheckpointError(f"{folder} holds {_told(there, numbered)}: name one of these files by --model-dir")
    raise CheckpointError(
        f"no {wanted[0]} in {folder}, which holds {_told(there, numbered)}: correct --model-dir or --load-epoch"
    )


def _told(there: list[str], numbered: list[str]) -> str:
    """In words, which epochs and what other checkpoints are in a folder."""
    epochs = [name.rpartition("-")[2] for name in reversed(numbered) if "+" not in name]
    told = [f"epoch{'s' if len(epochs) > 1 else ''} {', '.join(epochs)}"] if epochs else []
    return " and ".join(told + [name for name in there if name not in numbered and name != POINTER])


def _checkpoints(folder: str) -> list[str]:
    """Names of the files in a folder that may be checkpoints."""
    return [name for name in _files(folder) if _NUMBERED.fullmatch(name) or name == POINTER or name.endswith(_ENDINGS)]


def _runs_below(path: str, names: Sequence[str]) -> list[str]:
    """The folders of a model's checkpoints up to `LEVELS` below a folder."""
    found, seen = [], 0
    for folder, folders, _ in os.walk(path):
        folders.sort()
        seen += 1
        found += [osp.join(folder, name) for name in names if name in folders and _checkpoints(osp.join(folder, name))]
        if osp.relpath(folder, path).count(os.sep) + (folder != path) >= LEVELS or seen > MOST_FOLDERS:
            folders.clear()
    return found


def _files(folder: str) -> list[str]:
    return _entries(folder, osp.isfile)


def _folders(folder: str) -> list[str]:
    return _entries(folder, osp.isdir)


def _entries(folder: str, kind) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if kind(osp.join(folder, name)))
    except OSError:
        return []
