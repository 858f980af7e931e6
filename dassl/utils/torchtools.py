"""Checkpoints and parameters.

A checkpoint is a dict with ``state_dict``, ``epoch`` (how many are done), ``optimizer``, ``scheduler`` and
``val_result``, in ``<folder>/model.pth.tar-<epoch>``, or ``model.pth.tar-<epoch>+<batches of the next>`` where it only
serves to go on from; the file ``<folder>/checkpoint`` holds the name of the last one and, in a second line, of the one
before, to go on from where the last is damaged.
"""

import io
import os.path as osp
import shutil
import zipfile
import zlib
from collections.abc import Iterable

import torch
import torch.nn as nn

from support.checkpoint_files import BEST, POINTER, checkpoint_of, last_checkpoint
from support.state_dicts import find_state_dict
from support.tensor_file import check_finite, is_archive, read_tensor_file, unreadable

from .atomic import atomic_write
from .distributed import is_main
from .errors import CheckpointError
from .lazy_names import lazy_names


def save_checkpoint(
    state: dict, save_dir: str, is_best: bool = False, remove_module_from_keys: bool = True, model_name: str = ""
) -> None:
    """Write ``state`` to ``save_dir`` and name it in the file ``checkpoint`` there. Of several processes one does.

    Args:
        state: at least ``state_dict`` and ``epoch``; of tensors, numbers, strings and containers of them.
        is_best: keep a copy as model-best.pth.tar.
        remove_module_from_keys: take DataParallel's "module." off the names.
        model_name: file name; default model.pth.tar-<epoch>.
    """
    if not is_main():
        return
    if remove_module_from_keys:
        state["state_dict"] = {key.removeprefix("module."): value for key, value in state["state_dict"].items()}
    path = osp.join(save_dir, model_name or f"model.pth.tar-{state['epoch']}")
    save_tensors(state, path)
    print(f"Checkpoint saved to {path}")
    newest_last = [osp.basename(file) for file in newest_checkpoints(save_dir)[:1]]
    name_checkpoints(save_dir, [osp.basename(path), *(name for name in newest_last if name != osp.basename(path))])
    if is_best:
        with atomic_write(osp.join(save_dir, BEST), "wb") as file, open(path, "rb") as saved:
            shutil.copyfileobj(saved, file)
        print(f"Best checkpoint saved to {osp.join(save_dir, BEST)}")


def save_tensors(content: object, path: str) -> None:
    """What `torch.save` writes, as `atomic_write` does.

    Raises:
        UserError: the file cannot be written. `torch.save` itself does not tell why where a disk is full.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with atomic_write(path, "wb") as file:
        file.write(buffer.getbuffer())


def name_checkpoints(directory: str, names: list[str]) -> None:
    """Write the file ``checkpoint``: which files of ``directory`` a run can go on from, the newest first."""
    with atomic_write(osp.join(directory, POINTER)) as file:
        file.writelines(f"{name}\n" for name in names)


def newest_checkpoints(directory: str) -> list[str]:
    """Paths of the files that a run can go on from, the newest first; those that ``checkpoint`` names and are there."""
    try:
        with open(osp.join(directory, POINTER), encoding="utf-8") as file:
            names = [osp.basename(line.strip()) for line in file]
    except (OSError, UnicodeDecodeError):
        return []
    return [osp.join(directory, name) for name in names if name and osp.isfile(osp.join(directory, name))]


def check_intact(fpath: str) -> None:
    """Compare a file that `torch.save` wrote with the checksums in it, which `torch.load` does not look at.

    Raises:
        ValueError: they differ; or another error of `zipfile`'s, for an archive that it cannot read.
    """
    if is_archive(fpath):  # not so before PyTorch 1.6, and in .safetensors
        with zipfile.ZipFile(fpath) as archive:
            if changed := archive.testzip():
                raise ValueError(f"{changed[:80]} in it differs from its checksum")


def load_checkpoint(fpath: str, advice: str = "take another, or train again") -> dict:
    """Read a checkpoint to the CPU without running any code from it.

    Args:
        advice: what to do where the file is damaged, or holds something else.

    Raises:
        UserError: the file is missing, damaged, or holds more than tensors and plain values.
    """
    if not osp.isfile(fpath):
        raise CheckpointError(f"checkpoint not found: {fpath}: correct the path")
    content = read_tensor_file(fpath, advice=advice)
    try:
        check_intact(fpath)  # after it is known that nothing in it is packed
        if isinstance(content, dict):
            _tidy_entries(content)
    except (
        OSError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise unreadable(fpath, error, advice) from error
    return content


def _tidy_entries(checkpoint: dict) -> None:
    """Leave out what is no tensor in ``state_dict``, and put None for an ``epoch`` or ``val_result`` that is no number.

    Raises:
        ValueError: ``state_dict`` holds no tensor.
    """
    if "state_dict" in checkpoint:
        state = checkpoint["state_dict"]
        items = state.items() if isinstance(state, dict) else ()
        tensors = {name: value for name, value in items if isinstance(value, torch.Tensor) and isinstance(name, str)}
        if not isinstance(state, dict) or (state and not tensors):
            raise ValueError('its "state_dict" does not map names to tensors')
        if len(tensors) < len(state):
            checkpoint["state_dict"] = tensors
    for key in checkpoint.keys() & {"epoch", "val_result"}:
        value = checkpoint[key]
        if isinstance(value, torch.Tensor) and value.numel() == 1:
            value = value.item()
        checkpoint[key] = value if type(value) in (int, float) else None
    epoch = checkpoint.get("epoch")
    if epoch is not None:
        checkpoint["epoch"] = int(epoch) if epoch >= 0 and epoch == epoch // 1 else None


def checkpoint_path(directory: str, epoch: int | None = None) -> str:
    """Return the checkpoint of ``epoch`` in ``directory``; without an epoch the best one, else the last one.

    Raises:
        UserError: there is none.
    """
    return checkpoint_of(directory, epoch)


def load_weights(model: nn.Module, checkpoint: dict, fpath: str) -> None:
    """Load ``checkpoint["state_dict"]`` into ``model``; every name and shape must fit.

    Args:
        fpath: where the checkpoint comes from, for the message.

    Raises:
        UserError: it belongs to another method, backbone or number of classes.
    """
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise CheckpointError(f'{fpath} is no checkpoint of a trainer: it has no "state_dict", take another')
    try:
        model.load_state_dict(checkpoint["state_dict"])
    except RuntimeError as error:  # a heading, then a line for each kind of mismatch
        first = (str(error).splitlines() + [""])[1].strip() or str(error)
        raise CheckpointError(
            f"{fpath} is of another method, backbone or setting ({first}): correct one of them, or the folder"
        ) from error


def restore_checkpoint(checkpoint: dict, fpath: str, model: nn.Module, optimizer=None, scheduler=None) -> int:
    """Put a checkpoint's state into model, optimizer and scheduler (each of the latter may be None).

    Returns:
        int: how many epochs are done.
    """
    load_weights(model, checkpoint, fpath)
    if checkpoint.get("epoch") is None:
        raise CheckpointError(f"cannot resume from {fpath}: it does not tell its epoch; only test it, or train again")
    for part, state in ((optimizer, checkpoint.get("optimizer")), (scheduler, checkpoint.get("scheduler"))):
        if part is None or state is None:
            continue
        try:
            part.load_state_dict(state)
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"cannot resume from {fpath}: its {type(part).__name__} state does not fit; correct "
                "OPTIM, or choose another OUTPUT_DIR"
            ) from error
    return checkpoint["epoch"]


def resume_from_checkpoint(fdir: str, model: nn.Module, optimizer=None, scheduler=None) -> int:
    """Restore the last checkpoint in the folder ``fdir``.

    Returns:
        int: how many epochs are done, the epoch (counted from 0) to begin with.
    """
    path = last_checkpoint(fdir)
    print(f'Loading checkpoint from "{path}"')
    epoch = restore_checkpoint(load_checkpoint(path), path, model, optimizer, scheduler)
    print(f"Previous epoch: {epoch}")
    return epoch


def load_pretrained_weights(model: nn.Module, weight_path: str) -> None:
    """Initialise ``model`` with those weights of a checkpoint or state dict whose name and shape fit.

    Raises:
        UserError: none does.
    """
    checkpoint = load_checkpoint(weight_path)
    given = find_state_dict(checkpoint)
    if given is None:
        raise CheckpointError(
            f'{weight_path} is no checkpoint: neither it nor a "state_dict" in it maps names to tensors, take another '
            "file"
        )
    wanted = model.state_dict()
    fitting = {key: value for key, value in given.items() if key in wanted and wanted[key].shape == value.shape}
    check_finite(fitting, weight_path, advice="take another file")
    if not fitting:
        raise CheckpointError(
            f"{weight_path} has no weight that fits {type(model).__name__} in name and shape: take another"
        )
    model.load_state_dict({**wanted, **fitting})
    print(f"Successfully loaded pretrained weights from {weight_path}")
    if len(fitting) < len(given):
        print(f"Left out, because name or shape does not fit: {sorted(given.keys() - fitting.keys())}")


def adjust_learning_rate(
    optimizer: torch.optim.Optimizer,
    base_lr: float,
    epoch: int,
    stepsize: int = 20,
    gamma: float = 0.1,
    linear_decay: bool = False,
    final_lr: float = 0,
    max_epoch: int = 100,
) -> None:
    """Set the rate of all groups: multiplied by ``gamma`` every ``stepsize`` epochs, or decayed linearly."""
    done = epoch / max_epoch
    rate = done * final_lr + (1 - done) * base_lr if linear_decay else base_lr * gamma ** (epoch // stepsize)
    for group in optimizer.param_groups:
        group["lr"] = rate


def set_bn_to_eval(m: nn.Module) -> None:
    """For ``model.apply``: batch norms keep their running statistics; their scale and shift are still trained."""
    if "BatchNorm" in type(m).__name__:
        m.eval()


def open_all_layers(model: nn.Module) -> None:
    """Train all of ``model``."""
    model.train()
    model.requires_grad_(True)


def open_specified_layers(model: nn.Module, open_layers: str | list[str]) -> None:
    """Train the children of ``model`` that ``open_layers`` names; freeze the others and put them in eval mode."""
    if isinstance(model, nn.DataParallel):
        model = model.module
    open_layers = [open_layers] if isinstance(open_layers, str) else open_layers
    children = dict(model.named_children())
    for name in open_layers:
        if name not in children:
            raise ValueError(f"{name} is no layer of {type(model).__name__}")
    for name, child in children.items():
        child.train(name in open_layers)
        child.requires_grad_(name in open_layers)


def count_num_param(model: nn.Module | None = None, params: Iterable | None = None) -> int:
    """Number of parameters of a model, or of an iterable of parameters or of dicts with "params"."""
    if model is not None:
        params = model.parameters()
    if params is None:
        raise ValueError("give a model or its parameters")
    return sum((entry["params"] if isinstance(entry, dict) else entry).numel() for entry in params)


def init_network_weights(model: nn.Module, init_type: str = "normal", gain: float = 0.02) -> None:
    """Initialise convolutions and linear layers by ``init_type`` (biases 0), and norms to the identity."""
    init = {
        "normal": lambda weight: nn.init.normal_(weight, 0.0, gain),
        "xavier": lambda weight: nn.init.xavier_normal_(weight, gain),
        "kaiming": lambda weight: nn.init.kaiming_normal_(weight, a=0, mode="fan_in"),
        "orthogonal": lambda weight: nn.init.orthogonal_(weight, gain),
    }[init_type]
    for module in model.modules():
        kind = type(module).__name__
        if "Conv" in kind or "Linear" in kind:
            fill = init
        elif "BatchNorm" in kind or "InstanceNorm" in kind:
            fill = nn.init.ones_
        else:
            continue
        if getattr(module, "weight", None) is not None:
            fill(module.weight)
        if getattr(module, "bias", None) is not None:
            nn.init.zeros_(module.bias)


__getattr__ = lazy_names(__name__, mkdir_if_missing="dassl.utils.tools")
