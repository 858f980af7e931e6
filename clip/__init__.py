"""CLIP with OpenAI's API; prompts are arguments of its encoders."""

from clip.clip import available_models, build_model, load, tokenize

__all__ = ["available_models", "build_model", "load", "tokenize"]
