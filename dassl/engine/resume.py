"""From which of its checkpoints a run goes on."""

import os.path as osp

from dassl.utils import CheckpointError, checkpoint_path, last_checkpoint, load_checkpoint, newest_checkpoints

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
    earliest = min((path_and_content[1] for path_and_content in newest.values()), key=moment)
    found = {
        name: pair if moment(pair[1]) == moment(earliest) else _of_moment(folders[name], earliest)
        for name, pair in newest.items()
    }
    return earliest["epoch"], found


def _newest_intact(folder: str) -> tuple[str, dict]:
    paths = newest_checkpoints(folder) or [last_checkpoint(folder)]
    for path, older in zip(paths, [*paths[1:], ""], strict=True):
        try:
            return path, load_checkpoint(path)
        except CheckpointError as error:
            if not older:
                raise CheckpointError(f"{error}; to begin anew, delete {folder}") from error
            print(f"warning: {error}; going on from {older}")
    raise AssertionError("there is at least one path")


def _of_moment(folder: str, wanted: dict) -> tuple[str, dict]:
    """The checkpoint in ``folder`` that was saved together with ``wanted``."""
    for path in newest_checkpoints(folder)[1:]:
        checkpoint = load_checkpoint(path)
        if moment(checkpoint) == moment(wanted):
            return path, checkpoint
    path = checkpoint_path(folder, wanted["epoch"])
    checkpoint = load_checkpoint(path)
    if moment(checkpoint) != moment(wanted):
        raise CheckpointError(f"{osp.dirname(folder)}: its models were not saved at the same moment; begin anew")
    return path, checkpoint
