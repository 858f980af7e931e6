"""Single modules of open_clip, which brings the vocabulary, templates and class names that nobody should copy."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType


def open_clip_module(name: str) -> ModuleType:
    """``open_clip.<name>``, from its file alone: the whole package imports timm and more, half a second a run."""
    package = importlib.util.find_spec("open_clip")
    try:
        file = Path(package.submodule_search_locations[0]) / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"clip._open_clip_{name}", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    except (AttributeError, ImportError, OSError):  # not installed, or laid out differently: import it as usual
        return importlib.import_module(f"open_clip.{name}")
