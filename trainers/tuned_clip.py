"""A frozen CLIP and a method, joined: images in, logits out.

tuned = TunedCLIP.load("output/image_folder-mine/MuDPT/tiny_16shots/seed1")
probabilities = tuned.predict(["a.jpg", "b.jpg"])  # (2, C)

images -> preprocessing -> image encoder  <- prompts <- method
                                |
                         image features x text features of the class names -> logits
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from clip.casts import autocast_dtype
from clip.model import CLIP, convert_weights
from clip.prompts import Prompts
from clip.weights import load_clip
from dassl.engine import TRAINER_REGISTRY
from dassl.utils import write_json
from dassl.utils.atomic import atomic_write
from support.user_error import CheckpointError, ConfigError, DataError, shorten
from trainers.checkpoints import Checkpoint, load_folder, load_learned, read_checkpoint
from trainers.frozen_clip import HALF_PRECISIONS, computing_in, usable_precision
from trainers.method import HeadMethod, Method, Outputs, Task
from trainers.model_record import MODEL, ModelRecord, read_record, weights_hash
from trainers.preprocessing import Images, Preprocessing

TENSORS = "learned.safetensors"
BATCH_SIZE = 100


class _RowProducts(torch.autograd.Function):
    """Products of each image (B, e) with its own texts (B, C, e), (B, C).

    `torch.bmm` would leave the outer product of the backward pass on a GPU to a compiler that is not everywhere.
    """

    @staticmethod
    def forward(ctx, texts: Tensor, images: Tensor) -> Tensor:
        ctx.save_for_backward(texts, images)
        return (texts @ images[:, :, None]).squeeze(-1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor]:
        texts, images = ctx.saved_tensors
        return gradient[:, :, None] * images[:, None], (texts.transpose(1, 2) @ gradient[:, :, None]).squeeze(-1)


class TunedCLIP(nn.Module):
    """A frozen CLIP with what a method has learned.

    Args:
        clip_model: CLIP, in the precision to compute in.
        method: a `PromptMethod` or a `HeadMethod`.
        chunk_classes: in training, how many classes to encode at a time, see `encode_class_text`; 0: all.

    Attributes:
        record: what the model is; None within a training run.
        precision: fp32, fp16, bf16 or amp.
    """

    record: ModelRecord | None = None
    precision = "fp32"

    def __init__(self, clip_model: CLIP, method: Method, chunk_classes: int = 0):
        super().__init__()
        self.clip = clip_model
        self.method = method
        self.chunk_classes = chunk_classes
        self._text_features: dict[tuple, tuple[tuple, Tensor]] = {}

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C) logits."""
        return self.outputs(images).logits

    def outputs(self, images: Tensor) -> Outputs:
        """Features and logits of images (B, 3, H, W), or of frozen CLIP's features (B, e) of them.

        Such features are normalised for prompts, and as the encoder gives them for heads.
        """
        scale = self.clip.logit_scale.float().exp()
        autocast = autocast_dtype(images.device) is not None
        frozen = partial(self.frozen_image_features, images, autocast)
        if isinstance(self.method, HeadMethod):
            image_features = images if images.dim() == 2 else self.clip.encode_image(images).float()
            normalised = partial(F.normalize, image_features, dim=-1)
            return Outputs(image_features, None, self.method(image_features).float(), scale, normalised)
        inserted = None
        if self.method.conditioned_on_image:
            image_features = self.encode_image(images)
            text_features = self.encode_text(self.method(image_features))
        else:
            prompts = self.method()
            if self.method.reads_inserted:
                image_features, inserted = self.clip.encode_image_and_inserted(images, prompts)
                image_features = F.normalize(image_features.float(), dim=-1)
            else:
                image_features = self.encode_image(images, prompts)
            text_features = self.cached_text_features(prompts)
        # Logits reach 100, where float16 would round them to 0.06.
        with torch.autocast(images.device.type, enabled=False) if autocast else nullcontext():
            scaled = scale * image_features
            if text_features.dim() == 2:
                logits = scaled @ text_features.t()
            else:
                logits = _RowProducts.apply(text_features, scaled)
            outputs = Outputs(image_features, text_features, logits, scale, frozen, inserted)
            return replace(outputs, logits=self.method.classify(outputs))

    @property
    def prompts_images(self) -> bool:
        """Whether the image encoder's features differ from frozen CLIP's."""
        if isinstance(self.method, HeadMethod) or self.method.conditioned_on_image:
            return False
        return self.method().changes_images

    @torch.no_grad()
    def frozen_image_features(self, images: Tensor, autocast: bool = False) -> Tensor:
        """(B, 3, H, W) -> frozen CLIP's normalised features (B, e), float32; with ``autocast`` in mixed precision."""
        with torch.autocast(images.device.type) if autocast else nullcontext():
            return self.encode_image(images)

    def encode_image(self, images: Tensor, prompts: Prompts | None = None) -> Tensor:
        """(B, 3, H, W) -> normalised (B, e), float32; without prompts frozen CLIP's own features.

        Such features of its own are given back as they are.
        """
        if images.dim() == 2:
            return images
        return F.normalize(self.clip.encode_image(images, prompts).float(), dim=-1)

    def encode_text(self, prompts: Prompts) -> Tensor:
        """Normalised text features of all classes, (C, e), or (B, C, e) where they differ per image; float32."""
        features = self.clip.encode_text(self.method.class_text, prompts, self.chunk_classes)
        return F.normalize(features.float(), dim=-1)

    def cached_text_features(self, prompts: Prompts) -> Tensor:
        """Text features (C, e): encoded once for a test run, or once for all where the prompts leave the text alone."""
        if not prompts.changes_text:
            state = ()
        elif torch.is_grad_enabled() or self.training or self.method.training:
            return self.encode_text(prompts)
        else:
            state = tuple((id(p), p._version) for p in self.method.parameters())
        device = self.clip.text_projection.device
        place = (device, autocast_dtype(device))  # a test is not one of mixed precision
        if place not in self._text_features or self._text_features[place][0] != state:
            with torch.no_grad():
                self._text_features[place] = state, self.encode_text(prompts)
        return self._text_features[place][1]

    # a finished model

    def __repr__(self) -> str:
        if self.record is None:
            return super().__repr__()
        names = shorten(self.class_names, 6)
        return f"TunedCLIP({self.record.trainer} on {self.record.backbone}, {len(self.class_names)} classes: {names})"

    @property
    def class_names(self) -> list[str]:
        """In the order of the columns of `predict`."""
        return list(self.method.class_names)

    @property
    def device(self) -> torch.device:
        return self.clip.text_projection.device

    @property
    def preprocess(self) -> Preprocessing:
        """What turns an image into the network's input."""
        return self.record.preprocessing

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike,
        class_names: Sequence[str] | None = None,
        device: torch.device | str | None = None,
        backbone_path: str = "",
    ) -> TunedCLIP:
        """The model of a finished run, or one that `save` wrote; nothing else is needed but CLIP's weights.

        Args:
            folder: a run's output folder, or a saved model's.
            class_names: other classes than those it was trained on, where the method can.
            device: default: a GPU where there is one.
            backbone_path: where CLIP's checkpoint is now, if it has moved.

        Raises:
            UserError: there is no such model or device, CLIP's weights are missing or others, or nothing was learned
                for one of the classes.
        """
        import trainers  # noqa: F401  registers the methods

        folder = os.path.expanduser(folder)
        record = read_record(folder)
        method_class = _method_of(record, folder)
        device = _usable_device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        clip_model = load_clip(record.backbone, backbone_path or record.backbone_path).requires_grad_(False)
        if (found := weights_hash(clip_model)) != record.backbone_hash:
            raise CheckpointError(
                f"{folder} was trained on another CLIP than {backbone_path or record.backbone_path or record.backbone} "
                f"(SHA-256 of its tensors {found[:12]}..., of the other {record.backbone_hash[:12]}...): name the "
                "checkpoint it was trained on"
            )
        options = method_class.Config(**record.settings)
        precision = usable_precision(options, clip_model, device)
        task = record.task if class_names is None else _task_of(record, class_names)
        clip_model = clip_model.float().to(device)
        method = method_class(options, task, clip_model)
        if method.state_dict():
            _load_tensors(method, folder, record, clip_model)
        trained = record.trained_classes or record.class_names
        if precision in HALF_PRECISIONS:
            convert_weights(clip_model, HALF_PRECISIONS[precision])
        tuned = cls(clip_model, method).to(device).eval()
        tuned.record = replace(record, class_names=task.class_names, trained_classes=trained)
        tuned.precision = precision
        return tuned

    def with_classes(self, class_names: Sequence[str]) -> TunedCLIP:
        """The same model for other classes, on the same frozen CLIP.

        Raises:
            UserError: nothing was learned for one of the classes, or these are no list of names.
        """
        task = _task_of(self.record, class_names)
        trained = self.record.trained_classes or self.record.class_names
        method = type(self.method)(self.method.config, task, self.clip).to(self.device)
        if tensors := self.method.state_dict():
            run = {"class_names": self.class_names, "trained_classes": trained}
            load_learned(method, Checkpoint("the model", tensors, None, run), self.clip)
        tuned = TunedCLIP(self.clip, method).eval()
        tuned.record = replace(self.record, class_names=task.class_names, trained_classes=trained)
        tuned.precision = self.precision
        return tuned

    def save(self, folder: str | os.PathLike) -> None:
        """Write the learned tensors (learned.safetensors) and the record (model.json) into a folder."""
        from safetensors.torch import save

        folder = os.path.expanduser(folder)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.method.state_dict().items()}
        with atomic_write(os.path.join(folder, TENSORS), "wb") as file:
            file.write(save(tensors))
        write_json(self.record.to_dict(), os.path.join(folder, MODEL))

    @torch.inference_mode()
    def probabilities(self, images: Tensor) -> Tensor:
        """Preprocessed images (B, 3, H, W) -> probabilities (B, C), float32, on the CPU."""
        with computing_in(self.precision, self.device):
            logits = self(images.to(self.device))
        return (logits.float() / self.record.temperature).softmax(dim=-1).cpu()

    def predict(
        self, images: str | os.PathLike | Image.Image | Iterable | Tensor, batch_size: int = BATCH_SIZE
    ) -> Tensor:
        """Probabilities (N, C), float32, of images.

        Args:
            images: paths and Pillow images, one or many of them, or a preprocessed tensor (N, 3, H, W).

        Raises:
            DataError: an image cannot be read, or is none of these.
        """
        if isinstance(images, Tensor):
            self._check_preprocessed(images)
            batches = images.split(batch_size) if len(images) else ()
            return torch.cat([torch.zeros(0, len(self.class_names)), *map(self.probabilities, batches)])
        images = [images] if isinstance(images, (str, os.PathLike, Image.Image)) else list(images)
        for image in images:
            if not isinstance(image, (str, os.PathLike, Image.Image)):
                raise DataError(
                    f"an image is given as {type(image).__name__}: give a path, a Pillow image (Image.fromarray makes "
                    "one of an array), or one tensor of all images that tuned.preprocess.of_image has made"
                )
        answers = [answer for _, answer in self.predict_files(images, batch_size)]
        if unread := [answer for answer in answers if isinstance(answer, str)]:
            raise DataError(unread[0])
        return torch.stack(answers) if answers else torch.zeros(0, len(self.class_names))

    def _check_preprocessed(self, images: Tensor) -> None:
        wanted = (3, *self.preprocess.size)
        if images.dim() != 4 or images.shape[1:] != wanted or not images.is_floating_point():
            raise DataError(
                f"images are a tensor {tuple(images.shape)} of {images.dtype}: give (N, {', '.join(map(str, wanted))}) "
                "of floating-point numbers, as tuned.preprocess.of_image makes them, or paths or Pillow images"
            )

    def predict_files(
        self, images: Sequence[str | os.PathLike | Image.Image], batch_size: int = BATCH_SIZE, workers: int = 0
    ) -> Iterator[tuple[int, Tensor | str]]:
        """For each image, in order: its number and its probabilities (C,), or why its file cannot be read.

        Args:
            images: paths or Pillow images.
            workers: processes that read images; never more than there are cores.
        """
        first = 0
        for batch, reasons in Images(images, self.preprocess).loader(batch_size, workers, self.device):
            # Zeros stand for what cannot be read. A batch of nothing else is not computed.
            answers = self.probabilities(batch) if "" in reasons else reasons
            for i, (answer, reason) in enumerate(zip(answers, reasons, strict=True), start=first):
                yield i, reason or answer
            first += len(reasons)


def _usable_device(name: torch.device | str) -> torch.device:
    """The device of this name. Raises ConfigError where nothing can be computed on it."""
    try:
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # of what PyTorch was built without, or lacks
        raise ConfigError(f'device "{name}" cannot be used here: take cpu, or cuda where there is a GPU') from error


def _task_of(record: ModelRecord, class_names: Sequence[str]) -> Task:
    """The task of a record with other classes. Raises ConfigError where these are no list of names."""
    names = class_names if isinstance(class_names, str) else list(class_names)
    if isinstance(names, str) or not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise ConfigError(f"class names are {names!r}: give a list of one text or more, none of them empty")
    return replace(record.task, class_names=names)


def _method_of(record: ModelRecord, folder: str) -> type[Method]:
    """The class of a record's method.

    Raises:
        CheckpointError: there is no such method here, or it has other settings.
    """
    known = record.trainer in TRAINER_REGISTRY.registered_names()
    method = getattr(TRAINER_REGISTRY.get(record.trainer), "Method", None) if known else None
    if method is None:
        raise CheckpointError(f"{folder} is of {record.trainer}, which no file in trainers/ defines as a Method")
    if record.settings.keys() != method.Config.defaults().keys():
        differing = sorted(record.settings.keys() ^ method.Config.defaults().keys())
        raise CheckpointError(
            f"{folder} is of a {record.trainer} with other settings ({', '.join(differing)}): use the version of the "
            "project that trained it"
        )
    return method


def _load_tensors(method: Method, folder: str, record: ModelRecord, clip_model: CLIP) -> None:
    """Load what was learned, for the classes that the method has."""
    if not os.path.isfile(os.path.join(folder, MODEL)):
        load_folder(method, folder, clip_model)
        return
    path = os.path.join(folder, TENSORS)
    if not os.path.isfile(path):
        raise CheckpointError(f"{folder} holds {MODEL}, but no {TENSORS}: save the model again")
    run = {"class_names": record.class_names, "trained_classes": record.trained_classes}
    load_learned(method, replace(read_checkpoint(path), run=run), clip_model)
