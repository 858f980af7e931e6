"""CoCoOp: context vectors shifted per image by a small network on the image feature.

Zhou, Yang, Loy, Liu, "Conditional Prompt Learning for Vision-Language Models", CVPR 2022 (arXiv 2203.05557).
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from clip.prompts import Prompts
from dassl.engine import TRAINER_REGISTRY
from trainers.class_prompts import class_text, context_from_words, random_context, words_and_length
from trainers.coop_nodes import COCOOP
from trainers.prompt_trainer import PromptTrainer

REDUCTION = 16  # the network's bottleneck is this much narrower than the joint embedding


class PromptLearner(nn.Module):
    """Learned: ``ctx`` (n, d_t) and ``meta_net``, which maps a normalised image feature (e) to a shift (d_t)."""

    conditioned_on_image = True

    def __init__(self, node, class_names: list[str], clip_model):
        super().__init__()
        width, embed_dim = clip_model.ln_final.weight.shape[0], clip_model.visual.output_dim
        words, n_ctx = words_and_length(node, "TRAINER.COCOOP")
        self.ctx = context_from_words(words, n_ctx, clip_model) if words else random_context(n_ctx, width)
        self.meta_net = nn.Sequential(
            OrderedDict(
                linear1=nn.Linear(embed_dim, embed_dim // REDUCTION),
                relu=nn.ReLU(),
                linear2=nn.Linear(embed_dim // REDUCTION, width),
            )
        )
        self.class_text = class_text(class_names, words, n_ctx)

    def forward(self, image_features: Tensor) -> Prompts:
        """(B, e) -> one context per image, (B, 1, n, d_t)."""
        shift = self.meta_net(image_features)  # (B, d_t)
        return Prompts(text=self.ctx + shift[:, None, None])


@TRAINER_REGISTRY.register()
class CoCoOp(PromptTrainer):
    config_node = "COCOOP"
    config_defaults = COCOOP

    def build_prompt_learner(self, cfg, class_names, clip_model) -> nn.Module:
        return PromptLearner(self.node, class_names, clip_model)
