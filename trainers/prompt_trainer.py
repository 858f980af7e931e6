"""What every prompt-tuning method shares: one forward pass through a frozen CLIP with its prompts.

A method adds a prompt learner: a module whose ``forward`` returns `Prompts`, and whose ``class_text`` is the token
layout of the class names.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clip.model import CLIP
from clip.prompts import Prompts
from support.user_error import ConfigError
from trainers.clip_trainer import CLIPTrainer

FIXED_TRANSFORMS = {"center_crop", "normalize", "instance_norm"}  # those that give an image the same pixels each time
MOST_CACHED_BYTES = 2**30  # of the training images' features


@dataclass(frozen=True)
class Outputs:
    """One forward pass; features are normalised and float32.

    Attributes:
        image_features: (B, e).
        text_features: (C, e), or (B, C, e) where the prompts differ per image.
        logits: (B, C), exp(logit_scale) * cos(image feature, text feature).
    """

    image_features: Tensor
    text_features: Tensor
    logits: Tensor


class PromptedCLIP(nn.Module):
    """A frozen CLIP and a prompt learner: images in, logits out.

    Args:
        chunk_classes: in training, how many classes to encode at a time, see `encode_class_text`; 0: all.
    """

    def __init__(self, clip_model: CLIP, prompt_learner: nn.Module, chunk_classes: int = 0):
        super().__init__()
        self.clip = clip_model
        self.prompt_learner = prompt_learner
        self.chunk_classes = chunk_classes
        self._text_features: tuple[tuple, Tensor] | None = None

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C) logits."""
        return self.outputs(images).logits

    @property
    def conditioned_on_image(self) -> bool:
        """Whether the learner makes prompts of its own for each image, from frozen CLIP's feature of it."""
        return getattr(self.prompt_learner, "conditioned_on_image", False)

    @property
    def prompts_images(self) -> bool:
        """Whether the image encoder's features differ from frozen CLIP's."""
        return not self.conditioned_on_image and self.prompt_learner().changes_images

    def outputs(self, images: Tensor) -> Outputs:
        """Features and logits of images (B, 3, H, W), or of frozen CLIP's features (B, e) of them."""
        if self.conditioned_on_image:
            image_features = self.encode_image(images)
            text_features = self.encode_text(self.prompt_learner(image_features))
        else:
            prompts = self.prompt_learner()
            image_features = self.encode_image(images, prompts)
            text_features = self.cached_text_features(prompts)
        scaled = self.clip.logit_scale.float().exp() * image_features
        if text_features.dim() == 2:
            logits = scaled @ text_features.t()
        else:
            logits = (text_features @ scaled[:, :, None]).squeeze(-1)
        return Outputs(image_features, text_features, logits)

    def encode_image(self, images: Tensor, prompts: Prompts | None = None) -> Tensor:
        """(B, 3, H, W) -> normalised (B, e), float32; without prompts frozen CLIP's own features.

        Such features of its own are given back as they are.
        """
        if images.dim() == 2:
            return images
        return F.normalize(self.clip.encode_image(images, prompts).float(), dim=-1)

    def encode_text(self, prompts: Prompts) -> Tensor:
        """Normalised text features of all classes, (C, e), or (B, C, e) where they differ per image; float32."""
        features = self.clip.encode_text(self.prompt_learner.class_text, prompts, self.chunk_classes)
        return F.normalize(features.float(), dim=-1)

    def cached_text_features(self, prompts: Prompts) -> Tensor:
        """Text features (C, e): encoded once for a test run, or once for all where the prompts leave the text alone."""
        if not prompts.changes_text:
            state = ()
        elif torch.is_grad_enabled() or self.training or self.prompt_learner.training:
            return self.encode_text(prompts)
        else:
            state = tuple((id(p), p._version) for p in self.prompt_learner.parameters())
        device = self.clip.text_projection.device
        state = (*state, device, torch.is_autocast_enabled(device.type))  # a test is not one of mixed precision
        if self._text_features is None or self._text_features[0] != state:
            with torch.no_grad():
                self._text_features = state, self.encode_text(prompts)
        return self._text_features[1]


class PromptTrainer(CLIPTrainer):
    """Base of all prompt-tuning trainers; a method gives the member below, and those of `CLIPTrainer`.

    Where the method leaves the image encoder alone and images are not augmented, each is encoded once in a run.
    """

    _image_features: Tensor | None = None  # (N, e) of the training images

    def build_prompt_learner(self, cfg, class_names: list[str], clip_model: CLIP) -> nn.Module:
        """The method's learner for these classes; ``clip_model`` is on the run's device in float32."""
        raise NotImplementedError

    def build_network(self, cfg, class_names, clip_model) -> tuple[nn.Module, nn.Module]:
        learner = self.build_prompt_learner(cfg, class_names, clip_model)
        chunk_classes = getattr(cfg.TRAIN, "CHUNK_CLASSES", 0)
        if chunk_classes < 0:
            raise ConfigError(f"TRAIN.CHUNK_CLASSES is {chunk_classes}: give a number of classes, or 0 for all at once")
        return PromptedCLIP(clip_model, learner, chunk_classes), learner

    def before_train(self) -> None:
        super().before_train()
        transforms = set() if self.cfg.INPUT.NO_TRANSFORM else set(self.cfg.INPUT.TRANSFORMS)
        if self.model.prompts_images or not transforms <= FIXED_TRANSFORMS:
            return
        if len(self.dm.dataset.train_x) * 4 * self.clip_model.text_projection.shape[1] <= MOST_CACHED_BYTES:
            print("No augmentation: the training images are encoded once")
            if (
                self.start_epoch < self.max_epoch
            ):  # in one order, so that no last bit depends on how the epochs mix them
                features, _ = self.encode(self.all_train_images(augmented=True), "train features")
                self._image_features = F.normalize(features, dim=-1)

    def parse_batch_train(self, batch: dict) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W), or their features (B, e) where these are kept, and labels (B,)."""
        if self._image_features is None:
            return super().parse_batch_train(batch)
        return self._image_features[batch["index"].to(self.device)], batch["label"].to(self.device)
