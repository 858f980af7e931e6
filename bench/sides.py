"""Both sides of a comparison: one prompt learner and one CLIP, through the plain pass and through this project's.

Weights are random: no download is needed and the work is the same. The reference (`clip.reference`) encodes every
class padded to 77 tokens in every step, as the released codes do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

import clip
from bench.measure import DTYPES
from clip import reference
from clip.class_text import ClassText
from clip.model import CLIP, architecture, convert_weights
from clip.open_clip_module import open_clip_module
from clip.prompts import Prompts
from clip.weights import load_state_dict
from support.user_error import UserError
from trainers import cocoop, coop, mudpt
from trainers.cuda_graph import CapturedStep
from trainers.method import PromptMethod, Task
from trainers.tuned_clip import TunedCLIP

VIT_B16 = {
    "embed_dim": 512,
    "image_resolution": 224,
    "vision_layers": 12,
    "vision_width": 768,
    "vision_patch_size": 16,
    "context_length": 77,
    "vocab_size": 49408,
    "transformer_width": 512,
    "transformer_heads": 8,
    "transformer_layers": 12,
}
METHODS = {
    "mudpt": (mudpt.PromptLearner, {}),
    "coop": (coop.PromptLearner, {}),
    "cocoop": (cocoop.PromptLearner, {"CTX_INIT": "a photo of a"}),  # as published
}


def random_state(backbone: str = "ViT-B/16", seed: int = 0) -> dict[str, Tensor]:
    """A float32 state dict of a backbone's shapes with weights that keep activations of ordinary size.

    Raises:
        UserError: ``backbone`` is neither ViT-B/16 nor tiny.
    """
    if backbone not in ("ViT-B/16", "tiny"):
        raise UserError(f'--backbone is "{backbone}": choose ViT-B/16 or tiny')
    arguments = VIT_B16 if backbone == "ViT-B/16" else architecture(load_state_dict("tiny"))
    generator = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in CLIP(**arguments).state_dict().items()}
    state = {}
    for name, shape in shapes.items():
        if "ln_" in name and name.endswith("weight"):
            state[name] = torch.ones(shape)
        elif name == "logit_scale":
            state[name] = torch.tensor(100.0).log()
        else:
            std = 0.02 if "embedding" in name or len(shape) < 2 else shape[-1] ** -0.5
            state[name] = torch.randn(shape, generator=generator) * std
    return state


def class_names(count: int) -> list[str]:
    """ImageNet's names; beyond the 1,000 there are they come again with a number, so that all differ."""
    names = open_clip_module("zero_shot_metadata").IMAGENET_CLASSNAMES
    return [names[i % len(names)] + (f" {i // len(names)}" if i >= len(names) else "") for i in range(count)]


class PlainModel:
    """The reference: images in, logits out, every class padded to 77 tokens.

    Args:
        state: CLIP's tensors, in the precision to compute in.
        learner: gives the prompts, as for `TunedCLIP`; its context stands before the class names.
        names: of the classes.
    """

    def __init__(self, state: dict[str, Tensor], learner: PromptMethod, names: list[str]):
        self.state, self.learner = state, learner
        self.n = learner.ctx.shape[-2]
        context = " ".join(["X"] * self.n)
        embeddings = state["token_embedding.weight"]
        tokens = clip.tokenize([f"{context} {name.replace('_', ' ')}." for name in names]).long().to(embeddings.device)
        self.eot = tokens.argmax(-1)
        self.embedded = embeddings[tokens]  # (C, 77, d_t)

    def __call__(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C)."""
        images = images.to(self.embedded.dtype)
        if not self.learner.conditioned_on_image:
            prompts = self.learner()
            visual, visual_deep = self._cast(prompts.visual), self._cast(prompts.visual_deep)
            image = reference.image_features(self.state, images, visual, visual_deep)
            return reference.logits(self.state, image, self.text_features(prompts))
        image = reference.image_features(self.state, images)
        conditions = (image / image.norm(dim=-1, keepdim=True)).float()
        contexts = self.learner(conditions).text  # (B, 1, n, d_t)
        rows = []
        for feature, context in zip(image, contexts, strict=True):  # one image after the other, as the released code
            rows.append(reference.logits(self.state, feature[None], self.text_features(Prompts(text=context))))
        return torch.cat(rows)

    def text_features(self, prompts: Prompts) -> Tensor:
        """(C, e), not normalised."""
        context = self._cast(prompts.text).expand(len(self.embedded), -1, -1)
        embedded = torch.cat([self.embedded[:, :1], context, self.embedded[:, 1 + self.n :]], dim=1)
        return reference.text_features(self.state, embedded, self.eot, self._cast(prompts.text_deep))

    def _cast(self, tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.to(self.embedded.dtype)


@dataclass(frozen=True)
class Sides:
    """Everything that one comparison needs.

    Attributes:
        state: CLIP's tensors, which both sides read.
        learner: the one both compute their prompts with.
        names: of the classes.
        ours: images (B, 3, H, W) -> logits (B, C).
    """

    state: dict[str, Tensor]
    learner: PromptMethod
    names: list[str]
    ours: TunedCLIP

    @cached_property
    def reference(self) -> PlainModel:
        """Made when first asked for, so that what measures the memory of the other side does without it."""
        return PlainModel(self.state, self.learner, self.names)

    @property
    def text(self) -> ClassText:
        """The class names' layout, of which the needed work is counted."""
        return self.learner.class_text

    @property
    def deep_layers(self) -> int:
        """Before how many layers of each encoder the prompts are replaced."""
        return len(getattr(self.learner, "deep_ctx", ()))

    def images(self, count: int, seed: int = 1) -> Tensor:
        """(count, 3, H, W) random pixels."""
        generator = torch.Generator().manual_seed(seed)
        size = self.ours.clip.visual.input_resolution
        return torch.randn(count, 3, size, size, generator=generator).to(self.state["visual.proj"].device)

    def train_step(self, model: Callable[[Tensor], Tensor], batch: int) -> Callable[[], dict[str, Tensor]]:
        """One forward and backward pass of either side; gives the logits and all gradients as one vector.

        On a GPU this project's is a CUDA graph, as its trainers have it.
        """
        images = self.images(batch)
        labels = torch.arange(batch, device=images.device) % len(self.names)
        parameters = list(self.learner.parameters())

        def logits_and_gradients(images: Tensor, labels: Tensor) -> dict[str, Tensor]:
            self.learner.zero_grad()
            logits = model(images)
            F.cross_entropy(logits.float(), labels).backward()
            return {"logits": logits.detach()}

        is_graph = model is self.ours and images.device.type == "cuda"
        compute = CapturedStep(logits_and_gradients, parameters) if is_graph else logits_and_gradients

        def step() -> dict[str, Tensor]:
            outputs = compute(images, labels)
            gradients = (parameter.grad for parameter in parameters)  # None of a depth without layers
            return {
                **outputs,
                "gradients": torch.cat([gradient.flatten() for gradient in gradients if gradient is not None]),
            }

        return step

    @torch.no_grad()
    def evaluate(self, model: Callable[[Tensor], Tensor], images: Tensor) -> dict[str, Tensor]:
        """The logits (B, C) by either side, as a test computes them."""
        self.ours.eval()
        return {"logits": model(images)}

    def encode_image(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, e) by our image encoder, with the learner's prompts."""
        return self.ours.encode_image(images, self.learner())


def build(
    method: str,
    classes: int,
    backbone: str = "ViT-B/16",
    device: torch.device | str = "cpu",
    precision: str = "fp32",
    chunk_classes: int = 0,
    **options,
) -> Sides:
    """Both sides of ``method``, with the released configuration's values but for ``options``.

    Args:
        method: of `METHODS`.
        classes: their number.
        backbone: as `random_state`.
        precision: of `DTYPES`; what is learned stays float32.
        chunk_classes: how many classes this project's text encoder takes at a time; 0: all.
        options: keys of the method's configuration node.
    """
    torch.manual_seed(0)
    method_class, published = METHODS[method]
    state = random_state(backbone)
    names = class_names(classes)
    backbone_model = clip.build_model(dict(state)).requires_grad_(False)
    config = method_class.Config(**{**published, **options})
    learner = method_class(config, Task(names), backbone_model).to(device).train()
    state = {name: tensor.to(device, DTYPES[precision]) for name, tensor in state.items()}
    if precision != "fp32":
        convert_weights(backbone_model, DTYPES[precision])
    ours = TunedCLIP(backbone_model, learner, chunk_classes).to(device)
    return Sides(state, learner, names, ours)
