"""What a method is: its learned tensors, and how prompts, or logits, follow from them.

                    PromptMethod                                 HeadMethod
    learned tensors -> forward() -> Prompts          image features -> forward(features) -> logits
                       into both encoders            of frozen CLIP

`trainers.tuned_clip.TunedCLIP` joins a method with a frozen CLIP, `trainers.trainer.MethodTrainer` trains it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clip.class_text import ClassText
from clip.model import CLIP
from clip.prompts import Prompts
from support.user_error import CheckpointError, did_you_mean
from trainers.class_rows import rows_of
from trainers.options import Options

if TYPE_CHECKING:
    from trainers.training_features import TrainingFeatures


@dataclass(frozen=True)
class Task:
    """The classification that a method is made for.

    Attributes:
        class_names: in the order of the labels.
        dataset: DATASET.NAME, by which the released codes choose their templates.
        template: the user's or the dataset's own template; "": there is none, and a published one is taken.
        images: number of training images.
    """

    class_names: Sequence[str]
    dataset: str = ""
    template: str = ""
    images: int = 0


@dataclass(frozen=True)
class Outputs:
    """One forward pass.

    Attributes:
        image_features: (B, e), float32; normalised for prompts, as the encoder gives them for heads.
        text_features: (C, e), or (B, C, e) where the prompts differ per image; normalised, float32. None for heads.
        logits: (B, C).
        logit_scale: scalar, exp of CLIP's ``logit_scale``.
        frozen_image_features: gives frozen CLIP's normalised features (B, e) of the same images.
        inserted: (B, n, d_v), float32, what the image encoder made of `Prompts.visual_inserted`, behind its last
            normalisation; None where `PromptMethod.reads_inserted` is False.
    """

    image_features: Tensor
    text_features: Tensor | None
    logits: Tensor
    logit_scale: Tensor
    frozen_image_features: Callable[[], Tensor]
    inserted: Tensor | None = None


class Method(nn.Module):
    """Base of all methods. Its parameters and buffers are what is trained, saved and loaded.

    A method is `PromptMethod` or `HeadMethod`, has a `Config`, and overrides the members below that differ for it. Its
    constructor gets CLIP in float32 on the device of the run.

    Attributes:
        Config: dataclass of the keys TRAINER.<NODE>.
        released_folders: where the released code saves checkpoints, if not under "prompt_learner".
        released_inside_clip: what the released code learned among CLIP's own tensors, by the names in its checkpoints.
        searches_on_val: whether `end_epoch` or `fit` reads the validation images.
        needs_training: whether it classifies nothing before it is trained.
        uses: what results draw on beyond the labelled images of the shots, words of `support.uses`. Hand-written
            templates, which zero-shot CLIP has, too, are not counted.
        class_dims: of each tensor with one slice per class, by name, the dimension that counts classes.
        tests_trained_classes: whether all classes of the task were trained on, in its dataset. A checkpoint that is
            loaded decides it.
    """

    Config: type[Options] = Options
    released_folders: tuple[str, ...] = ()
    released_inside_clip: tuple[str, ...] = ()
    searches_on_val = False
    needs_training = False
    tests_trained_classes = True
    uses: tuple[str, ...] = ()

    def __init__(self, config: Options, task: Task):
        super().__init__()
        self.config = config
        self.task = task
        self.class_names = list(task.class_names)
        self.class_dims: dict[str, int] = {}

    @classmethod
    def knows_new_classes(cls, config: Options) -> bool:
        """Whether what is learned with these options serves classes that it was not trained on."""
        return True

    @staticmethod
    def epochs(config: Options, shots: int, batches: int) -> int | None:
        """How many epochs of so many batches the options ask for; None: OPTIM.MAX_EPOCH."""
        return None

    def epoch_weights(self, epochs: int) -> list[float] | None:
        """Weights of the epochs in the final tensors, which add up to 1; None: the last epoch's are final."""
        return None

    def prepare_losses(self, clip_model: CLIP) -> None:
        """Compute what `losses` compares with; called before training, with CLIP in float32."""

    def losses(self, outputs: Outputs, labels: Tensor) -> dict[str, Tensor]:
        """The terms whose sum training minimises, scalars by name, for labels (B,)."""
        return {"cross_entropy": F.cross_entropy(outputs.logits, labels)}

    def fit(self, features: TrainingFeatures) -> None:
        """Set the tensors from features of the training images, once, before the first step."""

    def plain_templates(self) -> list[str]:
        """Templates of the class names with which plain CLIP classifies as this method, see `trainers.export`.

        What is learned, if anything, is then a `Layer.qkv` that is linear. []: plain CLIP cannot do it.
        """
        return []

    def begin_epoch(self) -> None:
        """Called before the steps of every epoch."""

    def end_epoch(self, features: TrainingFeatures) -> None:
        """Called after the steps of every epoch."""

    def convert_state_dict(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """A released checkpoint's tensors under the names of this method; others keep theirs.

        Raises:
            CheckpointError: they are of another method.
        """
        return tensors

    def trained_these_classes(self, tensors: Mapping[str, Tensor]) -> bool | None:
        """Whether a checkpoint that names no classes was trained on those of this method; None: it does not tell."""
        return None

    def test_rule(self) -> str:
        """One line on how `tests_trained_classes` decides the logits; "": it does not."""
        return ""

    def count_classes(self, tensors: Mapping[str, Tensor]) -> int | None:
        """How many classes a checkpoint's tensors are of; None where none of them belongs to classes.

        Raises:
            CheckpointError: they are of different numbers of classes.
        """
        own = self.state_dict()
        counts = {
            name: tensors[name].shape[dim]
            for name, dim in self.class_dims.items()
            if name in tensors and tensors[name].dim() == own[name].dim()
        }
        if len(set(counts.values())) > 1:
            raise CheckpointError(f"its {' and '.join(counts)} are of different numbers of classes: train again")
        return counts.popitem()[1] if counts else None

    def select_classes(self, tensors: dict[str, Tensor], saved: Sequence[str]) -> dict[str, Tensor]:
        """A checkpoint's tensors of this method's classes, found by name.

        Args:
            saved: names of the checkpoint's classes.

        Raises:
            CheckpointError: it has none for one of these classes, or not as many as it names.
        """
        if (count := self.count_classes(tensors)) != len(saved):
            raise CheckpointError(
                f"it names {len(saved)} classes, but its {' and '.join(self.class_dims)} is of {count}: train again"
            )
        rows = rows_of(self.class_names, saved)
        missing = [name for name, row in zip(self.class_names, rows, strict=True) if row is None]
        if missing:
            raise CheckpointError(
                f"it has {' and '.join(self.class_dims)} for the {len(saved)} classes of its training alone, and class "
                f'"{missing[0]}"{did_you_mean(missing[0], saved)} is none of them ({len(missing)} of the '
                f"{len(self.class_names)} classes here are not): test it on classes of its training, or train on these"
            )
        return {
            name: tensor.index_select(self.class_dims[name], torch.tensor(rows, device=tensor.device))
            if name in self.class_dims
            else tensor
            for name, tensor in tensors.items()
        }


class PromptMethod(Method):
    """A method whose ``forward`` makes the prompts of both encoders.

    Attributes:
        class_text: token layout of the class names.
        conditioned_on_image: whether ``forward`` takes frozen CLIP's normalised image features (B, e), and makes
            prompts of its own for each image.
        reads_inserted: whether `losses` or `classify` reads what became of the prompts' ``visual_inserted``.
    """

    class_text: ClassText
    conditioned_on_image = False
    reads_inserted = False

    def forward(self, image_features: Tensor | None = None) -> Prompts:
        raise NotImplementedError

    def classify(self, outputs: Outputs) -> Tensor:
        """Logits (B, C), float32, of a forward pass whose ``logits`` are its scaled cosines."""
        return outputs.logits


class HeadMethod(Method):
    """A method whose ``forward`` classifies features of frozen CLIP."""

    def forward(self, features: Tensor) -> Tensor:
        """Image features (B, e), float32, not normalised -> logits (B, C)."""
        raise NotImplementedError
