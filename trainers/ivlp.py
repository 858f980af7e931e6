"""IVLP: deep prompts in both encoders, or in the text encoder alone, that do not know of each other.

A baseline of Khattak, Rasheed, Maaz, Khan, Khan, "MaPLe: Multi-modal Prompt Learning", CVPR 2023 (arXiv 2210.03117).
Released code: github.com/muzairkhattak/multimodal-prompt-learning (MIT).
"""

from __future__ import annotations

from torch import nn

from dassl.engine import TRAINER_REGISTRY
from trainers.independent_prompts import two_encoder_prompts
from trainers.prompt_trainer import PromptTrainer


@TRAINER_REGISTRY.register()
class IVLP(PromptTrainer):
    config_node = "IVLP"
    released_folders = ("VLPromptLearner",)
    config_defaults = {
        "N_CTX_VISION": 2,  # prompts per layer of the image encoder
        "N_CTX_TEXT": 2,
        "CTX_INIT": "a photo of a",  # words for the shallow text prompts, for up to 4 of them; "": random
        "PREC": "fp16",  # fp32, fp16, bf16 or amp
        "PROMPT_DEPTH_VISION": 9,  # layers with prompts of their own, the first included; 0: text alone
        "PROMPT_DEPTH_TEXT": 9,
    }

    def build_prompt_learner(self, cfg, class_names, clip_model) -> nn.Module:
        return two_encoder_prompts("IVLP", "TRAINER.IVLP", self.node, class_names, clip_model)
