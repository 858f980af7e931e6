"""IVLP: deep prompts in both encoders, or in the text encoder alone, that do not know of each other.

A baseline of Khattak, Rasheed, Maaz, Khan, Khan, "MaPLe: Multi-modal Prompt Learning", CVPR 2023 (arXiv 2210.03117).
Released code: github.com/muzairkhattak/multimodal-prompt-learning (MIT).

Differs from the release: vectors without a word are random, and a depth is at most the encoder's.
Differs from the paper: in nothing known.
"""

from __future__ import annotations

from dataclasses import dataclass

from dassl.engine import TRAINER_REGISTRY
from trainers.deep_prompts import TwoEncoderPrompts
from trainers.options import AT_LEAST_ONE, NOT_NEGATIVE, Options, option, precision
from trainers.trainer import MethodTrainer


class PromptLearner(TwoEncoderPrompts):
    """Learned: see `DeepPrompts`."""

    released_folders = ("VLPromptLearner",)

    @dataclass
    class Config(Options, node="IVLP"):
        N_CTX_VISION: int = option(2, "prompts per layer of the image encoder", NOT_NEGATIVE)
        N_CTX_TEXT: int = option(2, "prompts per layer of the text encoder", AT_LEAST_ONE)
        CTX_INIT: str = option("a photo of a", "words for the shallow text prompts, for up to 4; empty: random")
        PREC: str = precision("fp16")
        PROMPT_DEPTH_VISION: int = option(9, "layers with prompts, the first included; 0: text alone", NOT_NEGATIVE)
        PROMPT_DEPTH_TEXT: int = option(9, "layers with prompts, the first included", AT_LEAST_ONE)


@TRAINER_REGISTRY.register()
class IVLP(MethodTrainer):
    Method = PromptLearner
