"""PromptSRC: independent deep prompts in both encoders, kept near frozen CLIP and averaged over epochs.

Khattak, Wasim, Naseer, Khan, Yang, Khan, "Self-regulating Prompts: Foundational Model Adaptation without Forgetting",
ICCV 2023 (arXiv 2307.06948). Released code: github.com/muzairkhattak/PromptSRC (MIT).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

from dassl.engine import TRAINER_REGISTRY
from trainers.consistency import consistency, frozen_ensemble
from trainers.epoch_average import gaussian_weights
from trainers.independent_prompts import two_encoder_prompts
from trainers.options import NOT_NEGATIVE
from trainers.prompt_trainer import PromptTrainer


@TRAINER_REGISTRY.register()
class PromptSRC(PromptTrainer):
    config_node = "PROMPTSRC"
    released_folders = ("VLPromptLearner",)
    config_defaults = {
        "N_CTX_VISION": 4,  # prompts per layer of the image encoder
        "N_CTX_TEXT": 4,
        "CTX_INIT": "a photo of a",  # words for the shallow text prompts; "": random
        "PROMPT_DEPTH_VISION": 9,  # layers with prompts of their own, the first included
        "PROMPT_DEPTH_TEXT": 9,
        "TEXT_LOSS_WEIGHT": 25.0,  # of the distance to frozen CLIP's text features
        "IMAGE_LOSS_WEIGHT": 10.0,
        "GPA_MEAN": 15.0,  # of the Gaussian over epochs whose weights average the prompts
        "GPA_STD": 1.0,
        "PREC": "fp16",  # fp32, fp16, bf16 or amp
    }
    config_ranges = {"TEXT_LOSS_WEIGHT": NOT_NEGATIVE, "IMAGE_LOSS_WEIGHT": NOT_NEGATIVE}

    def build_prompt_learner(self, cfg, class_names, clip_model) -> nn.Module:
        self.frozen_text = frozen_ensemble(clip_model, class_names)
        return two_encoder_prompts("PromptSRC", "TRAINER.PROMPTSRC", self.node, class_names, clip_model)

    def epoch_weights(self) -> list[float]:
        return gaussian_weights(self.max_epoch, self.node.GPA_MEAN, self.node.GPA_STD, "TRAINER.PROMPTSRC.GPA")

    def loss(self, images, labels):
        outputs = self.model.outputs(images)
        apart = consistency(self.model, images, outputs, self.frozen_text)
        apart = apart.weighted(self.node.TEXT_LOSS_WEIGHT, self.node.IMAGE_LOSS_WEIGHT, logits=1.0)
        return F.cross_entropy(outputs.logits, labels) + apart, outputs.logits
