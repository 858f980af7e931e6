"""The formats of CLIP's weights, one file for each; `clip.weights` is the door that chooses among them.

A format turns what it finds into a `Weights`: tensors by OpenAI's names, and what tensors do not tell of themselves.
Its module has these functions, and its place in `clip.weights.FORMATS`:

    takes(name)                      whether it has MODEL.BACKBONE.NAMEs of this form
    fetch(name, cache)               local path of the checkpoint of such a name, downloaded once, or a UserError
    recognises(tensors, name, file)  whether the tensors of a file are in its layout
    convert(tensors, name, file)     the `Weights`; a UserError where they are not what they should be
    normalization(name, path)        mean and std of the images it was trained on, None where the format cannot tell
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from clip.model import architecture
from support.user_error import CheckpointError

FIRST_LAYER = "visual.conv1.weight"  # of a ViT and of a ResNet, in OpenAI's layout
PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)  # of CLIP's pre-training images, RGB in 0..1
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Weights:
    """A checkpoint of a CLIP.

    Attributes:
        tensors: by OpenAI's names, on the CPU, in the precision of the file.
        arguments: those of `clip.model.CLIP`; None: those of OpenAI's models, which the shapes of the tensors tell.
        mean, std: of each channel, in 0..1, of the images that it was trained on.
        name: of the model, as results and tables have it; the door gives it.
        source: the path, or the name, that it came from, for messages; the door gives it.
    """

    tensors: dict[str, Tensor]
    arguments: dict | None = None
    mean: Sequence[float] = PIXEL_MEAN
    std: Sequence[float] = PIXEL_STD
    name: str = ""
    source: str = ""


def check_sizes(tensors: dict[str, Tensor], arguments: dict, message: str) -> None:
    """Compare the sizes that tensors tell with those that they should have.

    Args:
        tensors: by OpenAI's names.
        arguments: those of `clip.model.CLIP`.
        message: of the error, with {difference} for what is found.

    Raises:
        UserError: they differ.
        KeyError: the tensors are not those of a CLIP (see `clip.model.architecture`).
    """
    found = architecture(tensors)
    del found["transformer_heads"]  # of which the tensors tell nothing
    for key in found:
        wanted = arguments[key]
        if key == "image_resolution":  # the tensors tell how many patches there are, and pixels may be left over
            patch = arguments["vision_patch_size"] or 32
            wanted = wanted // patch * patch
        if found[key] != wanted:
            raise CheckpointError(message.format(difference=f"its {key} is {found[key]}, not {wanted}"))
