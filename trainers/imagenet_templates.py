"""OpenAI's prompt templates for ImageNet, as open_clip publishes them, under the names that CoOp's trainers import."""

from __future__ import annotations

from clip.open_clip_module import open_clip_module

_published = open_clip_module("zero_shot_metadata")
# all 80, and the seven that do best as an ensemble, with "{}" in the place of the class name
IMAGENET_TEMPLATES = [fill("{}") for fill in _published.OPENAI_IMAGENET_TEMPLATES]
IMAGENET_TEMPLATES_SELECT = [fill("{}") for fill in _published.SIMPLE_IMAGENET_TEMPLATES]
