"""What a tuned model is, apart from its tensors: enough to use it without its dataset and its configuration.

A run writes it into results.json under "model", `TunedCLIP.save` into model.json.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field, fields

from torch import nn

from support.regular_file import regular_only
from support.user_error import CheckpointError
from trainers.descriptions import checked
from trainers.method import Task
from trainers.preprocessing import Preprocessing

RESULTS, MODEL = "results.json", "model.json"


@dataclass(frozen=True)
class ModelRecord:
    """A tuned model's description.

    Attributes:
        trainer: name of the trainer, and so of the method.
        settings: the method's options, by key.
        backbone, backbone_path: MODEL.BACKBONE.NAME, and the absolute path of MODEL.BACKBONE.PATH, "" without one.
        backbone_hash: see `weights_hash`.
        class_names, dataset, template, images: as `Task`.
        preprocessing: see `Preprocessing`.
        trained_classes: names of the classes that it was trained on; empty: those of ``class_names``.
        descriptions: as `Task`, where the method needs them; else empty.
        temperature: what logits are divided by before the softmax, see TEST.CALIBRATE.
        run: the run that trained it, as results.json has it; empty where it is not known.
    """

    trainer: str
    settings: dict
    backbone: str
    backbone_path: str
    backbone_hash: str
    class_names: list[str]
    dataset: str
    template: str
    images: int
    preprocessing: Preprocessing
    descriptions: dict[str, list[str]] = field(default_factory=dict)
    temperature: float = 1.0
    trained_classes: list[str] = field(default_factory=list)
    run: dict = field(default_factory=dict)

    @property
    def task(self) -> Task:
        return Task(self.class_names, self.dataset, self.template, self.images, self.descriptions or None)

    def to_dict(self) -> dict:
        return asdict(self)


def read_record(folder: str) -> ModelRecord:
    """The record of a saved model, or of a finished run.

    Raises:
        UserError: the folder is neither, or what it holds is damaged.
    """
    saved = os.path.join(folder, MODEL)
    file = saved if os.path.isfile(saved) else os.path.join(folder, RESULTS)
    above = os.path.dirname(os.path.abspath(folder))
    if not os.path.isfile(file) and any(os.path.isfile(os.path.join(above, name)) for name in (MODEL, RESULTS)):
        raise CheckpointError(f"{folder} is a part of {above}, which is a model's folder: name that one")
    if not os.path.isdir(folder):
        raise CheckpointError(f"no folder {folder}: name the output folder of a run, or of a saved model")
    if not os.path.isfile(file):
        raise CheckpointError(
            f"{folder} holds neither {RESULTS} nor {MODEL}: name the output folder of a finished run; one that was "
            "stopped ends with the command that began it"
        )
    try:
        with open(file, encoding="utf-8", opener=regular_only) as stream:
            content = json.load(stream)
        values = content if file == saved else content.get("model")
        run = None if file == saved else content.get("run")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{file} cannot be read ({error}): train again, or take another folder") from error
    if file != saved and values is None:
        raise CheckpointError(
            f"{file} does not describe its model: it is of a trainer without a Method, or of an earlier version; "
            "test it with train.py --eval-only"
        )
    if file != saved and (tested := (content.get("tested_model") or {}).get("model_dir")):
        raise CheckpointError(f"{folder} only tested the model of {tested}: name that folder")
    try:
        preprocessing = Preprocessing.from_dict(values["preprocessing"])
        known = {each.name for each in fields(ModelRecord)}
        descriptions = checked(values.get("descriptions", {}).items(), file)
        parts = {"preprocessing": preprocessing, "descriptions": descriptions}
        values = {key: values[key] for key in known & values.keys()} | parts
        return ModelRecord(**(values | {"run": run} if run else values))
    except (AttributeError, KeyError, TypeError) as error:
        raise CheckpointError(f"{file} is damaged ({error}): train again, or take another folder") from error


def weights_hash(model: nn.Module) -> str:
    """SHA-256 of a module's tensors as float32: the same whatever file, layout or precision they come from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().float().cpu().reshape(-1).numpy())
    return digest.hexdigest()
