"""What the methods share that leave both encoders as they are: a head that turns image features into logits."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from clip.model import CLIP
from trainers.clip_trainer import CLIPTrainer
from trainers.templates import ensemble_features


class FeatureClassifier(nn.Module):
    """A frozen CLIP and a head: images (B, 3, H, W) -> features (B, e), float32, not normalised -> logits (B, C)."""

    def __init__(self, clip_model: CLIP, head: nn.Module):
        super().__init__()
        self.clip = clip_model
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.clip.encode_image(images).float())


def zero_shot_weights(clip_model: CLIP, class_names: list[str], templates: Iterable[str]) -> Tensor:
    """(C, e) weights whose product with a normalised image feature is zero-shot CLIP's logits."""
    return clip_model.logit_scale.detach().float().exp() * ensemble_features(clip_model, class_names, templates)


class FeatureTrainer(CLIPTrainer):
    """Base of these methods; a method gives the member below, and those of `CLIPTrainer`."""

    def build_head(self, cfg, class_names: list[str], clip_model: CLIP) -> nn.Module:
        """What is trained, saved and loaded: features (B, e) -> logits (B, C)."""
        raise NotImplementedError

    def build_network(self, cfg, class_names, clip_model) -> tuple[nn.Module, nn.Module]:
        head = self.build_head(cfg, class_names, clip_model)
        return FeatureClassifier(clip_model, head), head
