"""Which checkpoint a folder offers, and what of it a method learned: ours and those of the released codes.

CoOp-family codes save either their learner, with tensors of the class names, or the whole model: CLIP's own tensors
under ``image_encoder.`` and ``text_encoder.``, prompts inside them as ``VPT`` and ``VPT_shallow``, and the learner's
under ``prompt_learner.``.
"""

from __future__ import annotations

import os.path as osp
import re
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from clip.model import CLIP
from dassl.utils import last_checkpoint, load_checkpoint
from tensor_file import check_finite
from user_error import CheckpointError

# Tensors of the class names or of frozen CLIP in released learners. They belong to a training run, not to a method.
NOT_LEARNED = re.compile(r"token_(prefix|suffix|midfix)|ZS_image_encoder\..*")
OF_CLIP = {"image_encoder.": "visual.", "text_encoder.": "", "logit_scale": "logit_scale"}
ROUNDING = 0.05  # of a tensor's largest value: released averages of float16 weights are off by up to a hundredth


def find_checkpoint(directory: str, names: Sequence[str], epoch: int | None) -> str:
    """Path of the checkpoint of an epoch, or of the best, else the last one, else model.safetensors.

    Args:
        directory: output folder of a training run.
        names: folders in it that may hold the learner's; the first that exists does.

    Raises:
        UserError: there is none.
    """
    folders = [osp.join(directory, name) for name in names]
    folder = next(filter(osp.isdir, folders), folders[0])
    candidates = [f"model.pth.tar-{epoch}"] if epoch is not None else ["model-best.pth.tar"]
    if epoch is None:
        if osp.isfile(osp.join(folder, "checkpoint")):
            candidates.append(osp.basename(last_checkpoint(folder)))
        candidates.append("model.safetensors")  # the customary name of a file without epochs
    for candidate in candidates:
        if osp.isfile(osp.join(folder, candidate)):
            return osp.join(folder, candidate)
    raise CheckpointError(
        f"no {' or '.join(candidates)} in {folder}: correct --model-dir or --load-epoch, or train first"
    )


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds that a test needs.

    Attributes:
        tensors: by name, without DataParallel's "module.".
        epoch: how many epochs are done; None where the file does not say.
        run: what the run told of itself (`TrainerBase.run_state`); empty for other codes' files.
    """

    tensors: dict[str, Tensor]
    epoch: int | None
    run: dict


def read_checkpoint(path: str) -> Checkpoint:
    """Read a trainer's checkpoint, or a file that is a state dict alone.

    Raises:
        UserError: the file is damaged, holds something else, or a tensor in it is not finite.
    """
    content = load_checkpoint(path)
    content = content if isinstance(content, dict) else {"state_dict": content}
    tensors = content.get("state_dict", content)
    named = isinstance(tensors, dict) and all(isinstance(name, str) for name in tensors)
    if not named or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise CheckpointError(
            f'{path} is no checkpoint: neither it nor a "state_dict" in it maps names to tensors, take another file'
        )
    check_finite(tensors, path, advice="test another epoch, or train again")
    epoch, run = content.get("epoch"), content.get("run")
    return Checkpoint(
        {name.removeprefix("module."): tensor for name, tensor in tensors.items()},
        epoch if isinstance(epoch, int) else None,
        run if isinstance(run, dict) else {},
    )


def learned_tensors(state: dict[str, Tensor], clip_model: CLIP, path: str) -> dict[str, Tensor]:
    """What of a checkpoint was learned: without CLIP, without tensors of the class names, without the learner's prefix.

    Raises:
        UserError: the checkpoint holds a CLIP, and another one than this run's.
    """
    learned, frozen = {}, clip_model.state_dict()
    for name, tensor in state.items():
        prefix = next((prefix for prefix in OF_CLIP if name.startswith(prefix)), None)
        if prefix and "VPT" not in name:
            _check_same_clip(tensor, frozen.get(OF_CLIP[prefix] + name.removeprefix(prefix)), name, path)
            continue
        name = name.removeprefix("prompt_learner.")
        if not NOT_LEARNED.fullmatch(name):
            learned[name] = tensor
    return learned


def _check_same_clip(tensor: Tensor, own: Tensor | None, name: str, path: str) -> None:
    if own is not None and own.shape == tensor.shape:
        own = own.float().cpu()
        if (own - tensor.float().cpu()).abs().max() <= ROUNDING * own.abs().max():
            return
    raise CheckpointError(
        f"{path}: its {name} is not that of this run's backbone: set MODEL.BACKBONE to the one it was trained on"
    )


def check_fits(learned: dict[str, Tensor], wanted: dict[str, Tensor], path: str) -> None:
    """Compare names and shapes of a checkpoint with those of the learner.

    Raises:
        UserError: they differ.
    """
    for name in wanted:
        if name not in learned:
            raise CheckpointError(f"{path} has no {name}: it belongs to another method or another setting of this one")
    for name, tensor in learned.items():
        if name not in wanted:
            raise CheckpointError(
                f"{path} has an unknown {name}: it belongs to another method or another setting of this one"
            )
        if tensor.shape != wanted[name].shape:
            raise CheckpointError(
                f"{path}: {name} is {tuple(tensor.shape)} but this run needs {tuple(wanted[name].shape)}: it belongs "
                "to another backbone, prompt length, prompt depth or (class-specific context) list of classes"
            )
