"""A frozen CLIP and a method, joined: images in, logits out."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clip.model import CLIP
from clip.prompts import Prompts
from trainers.method import HeadMethod, Method, Outputs


class TunedCLIP(nn.Module):
    """A frozen CLIP with what a method has learned.

    Args:
        clip_model: CLIP, in the precision to compute in.
        method: a `PromptMethod` or a `HeadMethod`.
        chunk_classes: in training, how many classes to encode at a time, see `encode_class_text`; 0: all.
    """

    def __init__(self, clip_model: CLIP, method: Method, chunk_classes: int = 0):
        super().__init__()
        self.clip = clip_model
        self.method = method
        self.chunk_classes = chunk_classes
        self._text_features: tuple[tuple, Tensor] | None = None

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C) logits."""
        return self.outputs(images).logits

    def outputs(self, images: Tensor) -> Outputs:
        """Features and logits of images (B, 3, H, W), or of frozen CLIP's features (B, e) of them."""
        scale = self.clip.logit_scale.float().exp()
        frozen = partial(self.frozen_image_features, images)
        if isinstance(self.method, HeadMethod):
            image_features = self.clip.encode_image(images).float()
            return Outputs(image_features, None, self.method(image_features), scale, frozen)
        if self.method.conditioned_on_image:
            image_features = self.encode_image(images)
            text_features = self.encode_text(self.method(image_features))
        else:
            prompts = self.method()
            image_features = self.encode_image(images, prompts)
            text_features = self.cached_text_features(prompts)
        scaled = scale * image_features
        if text_features.dim() == 2:
            logits = scaled @ text_features.t()
        else:
            logits = (text_features @ scaled[:, :, None]).squeeze(-1)
        return Outputs(image_features, text_features, logits, scale, frozen)

    @property
    def prompts_images(self) -> bool:
        """Whether the image encoder's features differ from frozen CLIP's."""
        if isinstance(self.method, HeadMethod) or self.method.conditioned_on_image:
            return False
        return self.method().changes_images

    @torch.no_grad()
    def frozen_image_features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> frozen CLIP's normalised features (B, e), float32."""
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
        state = (*state, device, torch.is_autocast_enabled(device.type))  # a test is not one of mixed precision
        if self._text_features is None or self._text_features[0] != state:
            with torch.no_grad():
                self._text_features = state, self.encode_text(prompts)
        return self._text_features[1]
