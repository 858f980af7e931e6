"""From which of its checkpoints a run goes on."""

import itertools
import os.path as osp

from dassl.utils import CheckpointError, load_checkpoint, newest_checkpoints
from support.checkpoint_files import numbered_checkpoints
from support.tensor_file import unreadable

Found = dict[str, tuple[str, dict]]  # of each model the path of its checkpoint and what it holds


def moment(checkpoint: dict) -> tuple[int, int]:
    """When it was saved: how many epochs were done, and how many batches of the next."""
    position = checkpoint.get("run", {}).get("position")
    return checkpoint["epoch"], position["batches"] if position else 0


def latest_common(folders: dict[str, str]) -> tuple[int, Found]:
    """The newest intact checkpoints of all models that were saved at the same moment, and how many epochs they have.

    A run may have been killed when some models' files were written and others' not, and a file may be damaged: for
    such a file there is a printed warning.

    Args:
        folders: of the models' checkpoints, by name.

    Raises:
        UserError: there are none.
    """
    newest = {name: _newest_intact(folder) for name, folder in folders.items()}
    earliest = min((checkpoint for _, checkpoint in newest.values()), key=moment)
    found = {
        name: pair if moment(pair[1]) == moment(earliest) else _of_moment(folders[name], earliest)
        for name, pair in newest.items()
    }
    return earliest["epoch"], found


def _newest_intact(folder: str) -> tuple[str, dict]:
    paths = newest_checkpoints(folder) or numbered_checkpoints(folder)
    if not paths:
        raise CheckpointError(f"{folder}/checkpoint names no file that is there: to begin anew, move {folder} away")
    for path, older in itertools.pairwise(paths):
        try:
            return path, _load(path, advice=f"going on from {older}")
        except CheckpointError as error:
            print(f"warning: {error}")
    return paths[-1], _load(paths[-1], advice=f"to begin anew, move {folder} away")


def _of_moment(folder: str, wanted: dict) -> tuple[str, dict]:
    """The checkpoint in ``folder`` that was saved together with ``wanted``."""
    run = osp.dirname(folder)
    kept = osp.join(folder, f"model.pth.tar-{wanted['epoch']}")
    for path in [*newest_checkpoints(folder)[1:], *([kept] if osp.isfile(kept) else [])]:
        checkpoint = _load(path, advice=f"to begin anew, move {run} away")
        if moment(checkpoint) == moment(wanted):
            return path, checkpoint
    raise CheckpointError(
        f"the models in {run} were not saved at the same moment: to begin anew, choose another OUTPUT_DIR"
    )


def _load(path: str, advice: str) -> dict:
    """A checkpoint that tells its `moment`."""
    checkpoint = load_checkpoint(path, advice)
    try:
        epochs, batches = moment(checkpoint)
    except (AttributeError, KeyError, TypeError):
        epochs = batches = None
    if not (type(epochs) is type(batches) is int and epochs >= 0 and batches >= 0):
        raise unreadable(path, ValueError("it does not tell its epoch"), advice)
    return checkpoint
