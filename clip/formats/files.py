"""The tensors of a checkpoint file, whatever kind of file it is. Nothing in it is run."""

from __future__ import annotations

import json
import os
import zipfile

from torch import Tensor

from clip.formats import recognition, torchscript
from support.regular_file import regular_only
from support.state_dicts import find_state_dict
from support.tensor_file import read_tensor_file
from support.user_error import CheckpointError

INDEX = ".index.json"  # ends the name of the file that says which file each tensor of a sharded checkpoint is in
LARGEST_JSON = 2**26  # bytes


def read_tensors(file: str) -> dict[str, Tensor]:
    """The tensors of a TorchScript archive, a file of `torch.save`, a .safetensors, or all that an index names.

    They are on the CPU, as they are stored, by the names in the file without those of wrappers.

    Raises:
        UserError: the file is missing, damaged or holds no state dict.
    """
    return _read_shards(file) if file.endswith(INDEX) else _tensors_in(file)


def _tensors_in(file: str) -> dict[str, Tensor]:
    content = _read(file)
    tensors = find_state_dict(content)
    if tensors is None:
        if known := recognition.recognise_content(content):
            raise CheckpointError(f"{file} holds {known[0]}: {known[1]}")
        raise CheckpointError(f"{file} is not a state dict: save one with torch.save(model.state_dict(), ...)")
    return tensors


def read_json(file: str) -> dict:
    """The JSON object in a file.

    Raises:
        UserError: it cannot be read, is damaged, or holds something else.
    """
    try:
        with open(file, encoding="utf-8", opener=regular_only) as opened:
            if os.fstat(opened.fileno()).st_size > LARGEST_JSON:
                raise ValueError(f"it has more than {LARGEST_JSON:,} bytes")
            content = json.load(opened)
        if not isinstance(content, dict):
            raise ValueError("it is no JSON object")
    except OSError as error:
        raise CheckpointError(
            f"cannot read {file}: {error.strerror or error}; check the file and its permissions"
        ) from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file} is damaged ({str(error)[:160]}): get it again") from error
    return content


def shards_of(index: str) -> list[str]:
    """Names of the files that an index names; they lie beside it.

    Raises:
        UserError: it is damaged, or names none.
    """
    shard_of = read_json(index).get("weight_map")
    names = list(shard_of.values()) if isinstance(shard_of, dict) else []
    if not names or not all(isinstance(name, str) and name and os.path.basename(name) == name for name in names):
        raise CheckpointError(f"{index} does not name the files of a checkpoint: get it again")
    return sorted(set(names))


def _read_shards(index: str) -> dict[str, Tensor]:
    """The tensors of all files that an index names, which lie beside it."""
    tensors = {}
    for shard in shards_of(index):
        file = os.path.join(os.path.dirname(index), shard)
        if not os.path.isfile(file):
            raise CheckpointError(f"{index} names {shard}, which is not beside it: get all files of the checkpoint")
        tensors |= _tensors_in(file)
    if missing := sorted(read_json(index)["weight_map"].keys() - tensors.keys()):
        raise CheckpointError(f"{index} names the tensor {missing[0][:80]}, which its files lack: get them again")
    return tensors


def _read(file: str) -> object:
    try:
        known = recognition.recognise_file(file)
    except (OSError, zipfile.BadZipFile):
        known = None  # which reading it will tell
    if known:
        raise CheckpointError(f"{file} is {known}")
    if torchscript.is_torchscript(file):
        return torchscript.read_state_dict(file)
    return read_tensor_file(file)
