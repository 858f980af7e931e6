"""A tuned model as a file with no code of this project behind it: images in, logits out.

    images (N, 3, S, S) -> image encoder with its prompts -> features (N, e) -> x text weights (C, e) -> logits (N, C)
        normalised                                                                 constants

What does not depend on the image is computed once, here, and stands in the file as constants: text features of the
classes with their prompts, and the prompts of the image encoder. The text encoder is in it only where prompts differ
per image. All is float32, on the CPU.
"""

from __future__ import annotations

import copy
import importlib.util
import io
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clip.model import CLIP, Transformer
from clip.prompts import Layer
from dassl.utils import write_json
from support.json_file import json_if_readable
from support.user_error import CheckpointError, ConfigError, OutputError, cannot_write
from trainers.method import HeadMethod, Outputs
from trainers.model_record import MODEL, weights_hash
from trainers.templates import zero_shot_weights
from trainers.tuned_clip import TunedCLIP

Logits = Callable[[Tensor], Tensor]  # images (N, 3, S, S), normalised -> logits (N, C)

PACKAGES = ("onnx", "onnxscript", "onnxruntime")  # the extra "export" of setup.py
LARGEST_ONNX = 2**31 - 2**24  # bytes of tensors in a graph's own file, for a limit of protobuf; else a file beside it
TOLERANCE = 1e-3  # between a file's logits and the model's, more where they are above 100


class FixedText(nn.Module):
    """Cosine logits with text features that are constants."""

    def __init__(self, tuned: TunedCLIP):
        super().__init__()
        self.visual = tuned.clip.visual
        self.prompts = tuned.method()
        functions = (function for layer in self.prompts.visual_layers for function in layer.functions)
        self.in_layers = nn.ModuleList(function for function in functions if isinstance(function, nn.Module))
        weights = tuned.clip.logit_scale.exp() * tuned.encode_text(self.prompts)  # (C, e)
        self.register_buffer("text_weights", weights)

    def forward(self, images: Tensor) -> Tensor:
        return F.normalize(self.visual(images, self.prompts), dim=-1) @ self.text_weights.t()


class OwnRule(nn.Module):
    """Logits by a method's own rule from text features that are constants."""

    def __init__(self, tuned: TunedCLIP):
        super().__init__()
        self.visual = tuned.clip.visual
        self.method = tuned.method
        self.prompts = tuned.method()
        self.register_buffer("scale", tuned.clip.logit_scale.exp())
        self.register_buffer("text_features", tuned.encode_text(self.prompts))  # (C, e)

    def forward(self, images: Tensor) -> Tensor:
        features, inserted = self.visual.with_inserted(images, self.prompts)
        features = F.normalize(features, dim=-1)  # (N, e)
        logits = self.scale * features @ self.text_features.t()
        return self.method.classify(Outputs(features, self.text_features, logits, self.scale, None, inserted))


class TextPerImage(nn.Module):
    """Cosine logits with text features of prompts that are made for each image."""

    def __init__(self, tuned: TunedCLIP):
        super().__init__()
        self.clip = tuned.clip
        self.method = tuned.method

    def forward(self, images: Tensor) -> Tensor:
        image_features = F.normalize(self.clip.visual(images), dim=-1)  # (N, e)
        prompts = self.method(image_features)
        text_features = F.normalize(self.clip.encode_text(self.method.class_text, prompts), dim=-1)  # (N, C, e)
        return (text_features @ (self.clip.logit_scale.exp() * image_features)[:, :, None]).squeeze(-1)


class Head(nn.Module):
    """A method that classifies features of frozen CLIP."""

    def __init__(self, tuned: TunedCLIP):
        super().__init__()
        self.visual = tuned.clip.visual
        self.method = tuned.method

    def forward(self, images: Tensor) -> Tensor:
        return self.method(self.visual(images))


def any_batch_size() -> tuple:
    """The dynamic shapes of a program of images: their first dimension may have any size."""
    return ({0: torch.export.Dim("batch")},)  # made here, because it takes PyTorch half a second to import


@torch.no_grad()
def classifier(tuned: TunedCLIP) -> nn.Module:
    """The part of a float32 model that is needed for images (N, 3, S, S) -> logits (N, C)."""
    if isinstance(tuned.method, HeadMethod):
        return Head(tuned).eval()
    if tuned.method.conditioned_on_image:
        return TextPerImage(tuned).eval()
    if tuned.method.reads_inserted:
        return OwnRule(tuned).eval()
    return FixedText(tuned).eval()


def merged_clip(tuned: TunedCLIP) -> CLIP:
    """Plain CLIP, with what was learned added to its weights.

    Raises:
        ConfigError: what was learned is no change of CLIP's weights.
    """
    head = isinstance(tuned.method, HeadMethod)
    if not tuned.method.plain_templates():
        learned = "a classifier of CLIP's features" if head else "prompts or adapters of CLIP's encoders"
        raise ConfigError(
            f"{tuned.record.trainer} learns {learned}, and a state dict of CLIP has no place for them: choose --format "
            "onnx or torch"
        )
    merged = copy.deepcopy(tuned.clip)
    if not head:
        prompts = tuned.method()
        add_to_weights(merged.transformer, prompts.text_layers)
        if prompts.visual_layers:
            add_to_weights(merged.visual.transformer, prompts.visual_layers)
    return merged


def add_to_weights(transformer: Transformer, layers: Sequence[Layer]) -> None:
    """Add the layers' linear maps (d -> 3 d) to the weights of query, key and value."""
    for i, layer in enumerate(layers):
        if layer.qkv is not None:
            in_proj = transformer.resblocks[i].attn.in_proj_weight  # (3 d, d)
            in_proj += layer.qkv(torch.eye(transformer.width)).t()


def write_onnx(tuned: TunedCLIP, path: str) -> Logits:
    """Write an ONNX graph, `images` -> `logits`; returns onnxruntime's reading of it.

    Raises:
        CheckpointError: the exporter cannot write this method.
    """
    import onnxruntime

    module = classifier(tuned)
    size = sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())
    with exporting(tuned):
        torch.onnx.export(
            module,
            (example(tuned),),
            path,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=any_batch_size(),
            dynamo=True,
            external_data=size > LARGEST_ONNX,
            verbose=False,
        )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])


def write_program(tuned: TunedCLIP, path: str) -> Logits:
    """Write a `torch.export` program; returns what reads it back.

    Raises:
        CheckpointError: the exporter cannot write this method.
    """
    with exporting(tuned), torch.no_grad():
        program = torch.export.export(classifier(tuned), (example(tuned),), dynamic_shapes=any_batch_size())
    torch.export.save(program, path)
    return torch.export.load(path).module()


def write_state_dict(tuned: TunedCLIP, path: str) -> Logits:
    """Write `merged_clip` as a state dict in OpenAI's layout; returns zero-shot classification by it."""
    merged = merged_clip(tuned)
    torch.save(merged.state_dict(), path)
    merged.load_state_dict(torch.load(path, weights_only=True))
    weights = zero_shot_weights(merged, tuned.class_names, tuned.method.plain_templates())
    return lambda images: F.normalize(merged.visual(images), dim=-1) @ weights.t()


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        file: its name.
        write: of a float32 model on the CPU, to a path; returns what the file makes of images.
    """

    file: str
    write: Callable[[TunedCLIP, str], Logits]


FORMATS = {
    "onnx": Format("model.onnx", write_onnx),
    "torch": Format("model.pt2", write_program),
    "state_dict": Format("clip.pt", write_state_dict),
}


@torch.no_grad()
def export(tuned: TunedCLIP, folder: str, format: str) -> float:
    """Write a model into a folder, with model.json beside it.

    The file is read back and compared with the model before it gets its name. Several formats of one model may share a
    folder.

    Args:
        format: a key of `FORMATS`.

    Returns:
        The largest difference of a logit between file and model, on five random images.

    Raises:
        UserError: the method cannot be written so, a package is missing, or the folder holds something else.
    """
    check_packages(format)
    tuned = copy.deepcopy(tuned).float().cpu()
    description = describe(tuned)
    check_folder(folder, description)
    temporary = f"{os.path.abspath(folder)}.tmp-{os.getpid()}"
    try:
        os.makedirs(temporary)
        logits = FORMATS[format].write(tuned, os.path.join(temporary, FORMATS[format].file))
        difference = compare(tuned, logits)
        os.makedirs(folder, exist_ok=True)
        write_json(description, os.path.join(folder, MODEL))  # first: it tells whose folder this is
        for file in os.listdir(temporary):
            os.replace(os.path.join(temporary, file), os.path.join(folder, file))
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return difference


def describe(tuned: TunedCLIP) -> dict:
    """The content of model.json: the record, and what someone without this project needs.

    Raises:
        ConfigError: the model reads images in a way that mean and standard deviation do not tell.
    """
    preprocessing = tuned.preprocess
    if "instance_norm" in preprocessing.transforms:
        raise ConfigError(
            "this run was tested with instance_norm in INPUT.TRANSFORMS, which image_size, mean and std of model.json "
            "do not tell: train without it"
        )
    normalized = "normalize" in preprocessing.transforms
    return tuned.record.to_dict() | {
        "learned_hash": weights_hash(tuned.method),
        "image_size": tuned.clip.visual.input_resolution,
        "interpolation": preprocessing.interpolation.removeprefix("fast_"),  # Pillow's name of the filter
        "mean": preprocessing.mean if normalized else (0.0, 0.0, 0.0),
        "std": preprocessing.std if normalized else (1.0, 1.0, 1.0),
        "templates": tuned.method.plain_templates(),
    }


def check_packages(format: str) -> None:
    """Raises ConfigError where a format needs packages that are not installed."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None] if format == "onnx" else []
    if missing:
        raise ConfigError(
            f"--format onnx needs {', '.join(missing)}, not installed here: pip install {' '.join(PACKAGES)}"
        )


def check_folder(folder: str, description: dict) -> None:
    """Raises OutputError where a folder holds anything but files of this very model."""
    if not os.path.exists(folder):
        return
    if not os.path.isdir(folder):
        raise OutputError(f"{folder} is a file: name a folder for the exported model")
    own = {MODEL, *(f"{each.file}{ending}" for each in FORMATS.values() for ending in ("", ".data"))}
    others = sorted(set(os.listdir(folder)) - own)
    if others:
        raise OutputError(f"{folder} holds other files ({others[0]}): name a new folder for the exported model")
    if os.listdir(folder) and json_if_readable(os.path.join(folder, MODEL)) != json.loads(json.dumps(description)):
        raise OutputError(f"{folder} holds the export of another model: name a new folder, or delete that one")


def example(tuned: TunedCLIP, count: int = 5) -> Tensor:
    """Random images (count, 3, S, S), always the same."""
    size = tuned.clip.visual.input_resolution
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def compare(tuned: TunedCLIP, logits: Logits) -> float:
    """The largest difference between a file's logits and the model's.

    Raises:
        CheckpointError: it is more than rounding.
    """
    images = example(tuned)
    wanted, got = tuned(images), logits(images)
    difference = (got - wanted).abs().max().item()
    if not difference <= TOLERANCE * max(1.0, wanted.abs().max().item() / 100):  # true of nan, too
        raise CheckpointError(
            f"the exported {tuned.record.trainer} gives other logits than the model (by up to {difference:.2g}) and "
            "was not kept: choose another --format"
        )
    return difference


@contextmanager
def exporting(tuned: TunedCLIP) -> Iterator[None]:
    """Keep PyTorch's exporters quiet, and tell in one line what they, with errors of many kinds, cannot write."""
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    except OSError:
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointError(
            f"PyTorch's exporter cannot write {tuned.record.trainer} ({type(error).__name__}: {reason}): use the model "
            "through predict.py; MUDPT_DEBUG=1 shows where it fails"
        ) from error
