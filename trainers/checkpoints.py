"""What a method learned, from a checkpoint: ours and those of the released codes.

CoOp-family codes save either their learner, with tensors of the class names, or the whole model: CLIP's own tensors
under ``image_encoder.`` and ``text_encoder.``, what is learned inside them as ``VPT``, ``VPT_shallow`` or
``visual_ctx``, and the learner's under ``prompt_learner.`` or ``<trainer>_prompt_learner.``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

import clip
from clip.model import CLIP
from dassl.utils import load_checkpoint
from support.checkpoint_files import find_checkpoint
from support.state_dicts import find_state_dict
from support.tensor_file import check_finite
from support.user_error import CheckpointError, UserError
from trainers.class_rows import rows_of, warn_of_repeated
from trainers.method import Method

LEARNED = "prompt_learner"  # the name under which every method is saved, as in CoOp
# Tensors of the class names or of frozen CLIP in released learners. They belong to a training run, not to a method.
NOT_LEARNED = re.compile(r"token_(prefix|suffix|midfix)|ZS_image_encoder\..*")
OF_CLIP = {"image_encoder.": "visual.", "text_encoder.": "", "logit_scale": "logit_scale"}
LEARNED_IN_CLIP = ("VPT", "visual_ctx")
OF_THE_LEARNER = re.compile(r"^(?:\w+_)?prompt_learner\.")
OF_A_LOOP = ("model.", "net.", "network.")
SAME_EMBEDDING = 0.01  # of its largest value, as far as float16 rounds a token's embedding
ROUNDING = 0.05  # of a tensor's largest value: released averages of float16 weights are off by up to a hundredth


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds that a test needs.

    Attributes:
        path: of the file.
        tensors: by name, without DataParallel's "module." and the like.
        epoch: how many epochs are done; None where the file does not say.
        run: what the run told of itself (`TrainerBase.run_state`); empty for other codes' files.
    """

    path: str
    tensors: dict[str, Tensor]
    epoch: int | None
    run: dict

    @property
    def settings(self) -> dict[str, str]:
        """The run's configuration, as far as training depends on it; empty where the file does not say."""
        settings = self.run.get("settings")
        return settings if isinstance(settings, dict) else {}

    @property
    def class_names(self) -> list[str] | None:
        """Those that its tensors are of, in the order of the run's labels; None where the file does not say."""
        return _names(self.run.get("class_names"))

    @property
    def trained_classes(self) -> list[str] | None:
        """Those that the run was trained on, if not `class_names`; None where the file does not say."""
        return _names(self.run.get("trained_classes")) or self.class_names


def _names(value: object) -> list[str] | None:
    is_list = isinstance(value, list) and all(isinstance(name, str) for name in value)
    return value if is_list and value else None


def read_checkpoint(path: str) -> Checkpoint:
    """Read a trainer's checkpoint, or a file that is a state dict alone.

    Raises:
        UserError: the file is damaged, holds something else, or a tensor in it is not finite.
    """
    content = load_checkpoint(path)
    tensors = find_state_dict(content)
    if tensors is None:
        raise CheckpointError(
            f'{path} is no checkpoint: neither it nor a "state_dict" in it maps names to tensors, take another file'
        )
    check_finite(tensors, path, advice="test another epoch, or train again")
    content = content if isinstance(content, dict) else {}
    epoch, run = content.get("epoch"), content.get("run")
    epoch = epoch if isinstance(epoch, int) else None
    return Checkpoint(path, _without_common(tensors), epoch, run if isinstance(run, dict) else {})


def _without_common(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names without the attribute of a training loop that all of them begin with."""
    for prefix in OF_A_LOOP:
        if all(name.startswith(prefix) for name in tensors):
            return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def learned_tensors(
    state: dict[str, Tensor], clip_model: CLIP, path: str, inside_clip: Sequence[str] = ()
) -> dict[str, Tensor]:
    """What of a checkpoint was learned: without CLIP, without tensors of the class names, without the learner's prefix.

    Args:
        inside_clip: names of learned tensors among CLIP's own, see `Method.released_inside_clip`.

    Raises:
        UserError: the checkpoint holds a CLIP, and another one than this run's.
    """
    learned, frozen = {}, clip_model.state_dict()
    for name, tensor in state.items():
        prefix = next((prefix for prefix in OF_CLIP if name.startswith(prefix)), None)
        inside = name in inside_clip or any(part in name for part in LEARNED_IN_CLIP)
        if prefix and not inside:
            _check_same_clip(tensor, frozen.get(OF_CLIP[prefix] + name.removeprefix(prefix)), name, path)
            continue
        name = OF_THE_LEARNER.sub("", name)
        if not NOT_LEARNED.fullmatch(name):
            learned[name] = tensor
    return learned


def load_folder(
    method: Method, directory: str, clip_model: CLIP, half: str = "all", epoch: int | None = None
) -> Checkpoint:
    """Load what a run learned into a method, also from a folder that the method's released code wrote.

    Args:
        directory: output folder of the run, or what stands for it, see `support.checkpoint_files`.
        half: see `load_learned`.
        epoch: default: the best model if there is one, else the last.

    Raises:
        UserError: there is no checkpoint, or one that `load_learned` refuses.
    """
    path = find_checkpoint(directory, (LEARNED, *method.released_folders), epoch)
    checkpoint = read_checkpoint(path)
    _print_differing_settings(method, checkpoint)
    load_learned(method, checkpoint, clip_model, half)
    print(f"Loaded {path}" + ("" if checkpoint.epoch is None else f" (epoch {checkpoint.epoch})"))
    return checkpoint


def _print_differing_settings(method: Method, checkpoint: Checkpoint) -> None:
    """Print in which of the method's settings a checkpoint's run, if it tells them, differs from this one."""
    before = checkpoint.settings
    now = {method.config.key(name): str(value) for name, value in vars(method.config).items() if name != "PREC"}
    differing = [f"{key} {before[key]}, tested with {now[key]}" for key in now if before.get(key, now[key]) != now[key]]
    if differing:
        print(f"Trained with {'; '.join(differing)}")


def load_learned(method: Method, checkpoint: Checkpoint, clip_model: CLIP, half: str = "all") -> None:
    """Load what a checkpoint learned into a method, for the classes that the method has.

    Args:
        half: DATASET.SUBSAMPLE_CLASSES of the run, which a checkpoint that names no classes is compared with.

    Raises:
        UserError: it is of another method, backbone or setting, or knows nothing of one of the classes.
    """
    path = checkpoint.path
    tensors = learned_tensors(checkpoint.tensors, clip_model, path, method.released_inside_clip)
    try:
        tensors = method.convert_state_dict(tensors)
        tensors = _select_classes(method, tensors, checkpoint, clip_model, half)
    except UserError as error:
        raise CheckpointError(f"{path}: {error}") from error
    check_fits(tensors, method.state_dict(), path)
    method.load_state_dict(tensors)
    method.tests_trained_classes = _were_trained(method, checkpoint, clip_model, half)


def _were_trained(method: Method, checkpoint: Checkpoint, clip_model: CLIP, half: str) -> bool:
    """Whether all classes of a method were trained on, in its dataset; new classes were not where nothing tells."""
    dataset = method.task.dataset
    if checkpoint.settings.get("DATASET.NAME", dataset) != dataset:
        return False
    trained = checkpoint.trained_classes or classes_by_suffix(checkpoint.tensors, method.class_names, clip_model)
    if trained is None:
        told = method.trained_these_classes(checkpoint.tensors)
        return half != "new" if told is None else told
    return None not in rows_of(method.class_names, trained)


def _select_classes(
    method: Method, tensors: dict[str, Tensor], checkpoint: Checkpoint, clip_model: CLIP, half: str
) -> dict[str, Tensor]:
    """The part of a checkpoint's tensors that belongs to the method's classes."""
    count = method.count_classes(tensors)
    if count is None:
        return tensors
    saved = checkpoint.class_names or classes_by_suffix(checkpoint.tensors, method.class_names, clip_model)
    if saved is None:
        trained_half = checkpoint.settings.get("DATASET.SUBSAMPLE_CLASSES", half)
        if count != len(method.class_names) or half != trained_half:
            raise CheckpointError(
                f"it is of {count} classes (DATASET.SUBSAMPLE_CLASSES {trained_half}) that it does not "
                f"name, and this run has {len(method.class_names)} ({half}): test it on those of its training"
            )
        print(f"warning: the checkpoint does not name its {count} classes, which are taken to be those of this run")
        saved = method.class_names
    warn_of_repeated(method.class_names, saved)
    return method.select_classes(tensors, saved)


def check_initial_classes(method: Method, path: str, clip_model: CLIP) -> None:
    """Raise a CheckpointError where MODEL.INIT_WEIGHTS ``path`` has tensors of other classes than the method's."""
    if not method.class_dims:
        return
    checkpoint, names = read_checkpoint(path), method.class_names
    saved = checkpoint.class_names or classes_by_suffix(checkpoint.tensors, names, clip_model) or names
    bound = sorted(method.class_dims.keys() & checkpoint.tensors.keys())
    if bound and rows_of(names, saved) != [*range(len(saved))]:
        raise CheckpointError(
            f"MODEL.INIT_WEIGHTS {path}: it has {' and '.join(bound)} for other classes, or for these in "
            "another order: take a checkpoint of these classes, or leave the key empty"
        )


def classes_by_suffix(tensors: dict[str, Tensor], class_names: Sequence[str], clip_model: CLIP) -> list[str] | None:
    """Names of the classes of a released prompt learner, told by its ``token_suffix``; None where it has none.

    The released codes save with a learner, for each class, the embeddings of what follows the context: the class name,
    ".", EOT and padding (C, t, d_t).

    Args:
        class_names: those that are looked for; another class is called by its number.
    """
    suffix = next((tensor for name, tensor in tensors.items() if name.endswith("token_suffix")), None)
    embedding = clip_model.token_embedding.weight.detach().float().cpu()
    length = len(clip_model.positional_embedding)
    if suffix is None or suffix.dim() != 3 or suffix.shape[2] != embedding.shape[1] or not 1 < suffix.shape[1] < length:
        return None
    suffix, before = suffix.float().cpu(), length - suffix.shape[1]  # SOS and the context
    prompts = [f"{'X ' * (before - 1)}{name.replace('_', ' ')}." for name in class_names]
    ours = embedding[clip.tokenize(prompts, length).long()[:, before:]]  # (C of this run, t, d_t)
    nearest = torch.cdist(suffix.flatten(1), ours.flatten(1)).argmin(dim=1).tolist()
    names = []
    for i, (near, saved) in enumerate(zip(nearest, suffix, strict=True)):
        is_same = (ours[near] - saved).abs().max() <= SAME_EMBEDDING * ours[near].abs().max()
        names.append(class_names[near] if is_same else f"class {i}")
    return names


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
