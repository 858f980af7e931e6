"""PromptSRC: independent deep prompts in both encoders, kept near frozen CLIP and averaged over epochs.

Khattak, Wasim, Naseer, Khan, Yang, Khan, "Self-regulating Prompts: Foundational Model Adaptation without Forgetting",
ICCV 2023 (arXiv 2307.06948). Released code: github.com/muzairkhattak/PromptSRC (MIT).

Differs from the release: there is no second copy of the frozen image encoder, whose features are the same; vectors
without a word are random.
Differs from the paper: in nothing known.
"""

from __future__ import annotations

from dataclasses import dataclass

from dassl.engine import TRAINER_REGISTRY
from trainers.consistency import consistency_losses, frozen_ensemble
from trainers.deep_prompts import TwoEncoderPrompts
from trainers.epoch_average import gaussian_weights
from trainers.options import AT_LEAST_ONE, NOT_NEGATIVE, Options, option, precision
from trainers.trainer import MethodTrainer


class PromptLearner(TwoEncoderPrompts):
    """Learned: see `DeepPrompts`."""

    released_folders = ("VLPromptLearner",)

    @dataclass
    class Config(Options, node="PROMPTSRC"):
        N_CTX_VISION: int = option(4, "prompts per layer of the image encoder", NOT_NEGATIVE)
        N_CTX_TEXT: int = option(4, "prompts per layer of the text encoder", AT_LEAST_ONE)
        CTX_INIT: str = option("a photo of a", "words for the shallow text prompts; empty: random")
        PROMPT_DEPTH_VISION: int = option(9, "layers with prompts, the first included; 0: text alone", NOT_NEGATIVE)
        PROMPT_DEPTH_TEXT: int = option(9, "layers with prompts, the first included", AT_LEAST_ONE)
        TEXT_LOSS_WEIGHT: float = option(25.0, "of the distance to frozen CLIP's text features", NOT_NEGATIVE)
        IMAGE_LOSS_WEIGHT: float = option(10.0, "of the distance to frozen CLIP's image features", NOT_NEGATIVE)
        GPA_MEAN: float = option(15.0, "mean of the Gaussian over epochs whose weights average the prompts")
        GPA_STD: float = option(1.0, "standard deviation of that Gaussian")
        PREC: str = precision("fp16")

    def prepare_losses(self, clip_model) -> None:
        self.frozen_text = frozen_ensemble(clip_model, self.class_names)  # (C, e)

    def losses(self, outputs, labels):
        weights = self.config.TEXT_LOSS_WEIGHT, self.config.IMAGE_LOSS_WEIGHT, 1.0
        return consistency_losses(outputs, labels, self.frozen_text, *weights)

    def epoch_weights(self, epochs: int) -> list[float]:
        return gaussian_weights(epochs, self.config.GPA_MEAN, self.config.GPA_STD, "TRAINER.PROMPTSRC.GPA")


@TRAINER_REGISTRY.register()
class PromptSRC(MethodTrainer):
    Method = PromptLearner
