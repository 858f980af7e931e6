"""OpenAI's prompt templates for ImageNet, as open_clip publishes them, under the names that CoOp's trainers import."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def _open_clip_templates() -> tuple[list[str], list[str]]:
    """All 80 templates, and the seven that do best as an ensemble, with "{}" in the place of the class name."""
    # The module is loaded from its file: importing the whole of open_clip takes half a second in every run.
    folder = importlib.util.find_spec("open_clip").submodule_search_locations[0]
    spec = importlib.util.spec_from_file_location("_zero_shot_metadata", Path(folder) / "zero_shot_metadata.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    published = module.OPENAI_IMAGENET_TEMPLATES, module.SIMPLE_IMAGENET_TEMPLATES
    everything, selected = ([fill("{}") for fill in templates] for templates in published)
    return everything, selected


IMAGENET_TEMPLATES, IMAGENET_TEMPLATES_SELECT = _open_clip_templates()
