"""VPT: learned prompts in the image encoder alone, beside fixed text; also deep ones, as a baseline of MaPLe's paper.

Jia et al., "Visual Prompt Tuning", ECCV 2022 (arXiv 2203.12119); for CLIP: Khattak, Rasheed, Maaz, Khan, Khan, "MaPLe:
Multi-modal Prompt Learning", CVPR 2023 (arXiv 2210.03117). Released code:
github.com/muzairkhattak/multimodal-prompt-learning (MIT).
"""

from __future__ import annotations

from torch import nn

from dassl.engine import TRAINER_REGISTRY
from trainers.class_prompts import at_least_one, context_words, template_text
from trainers.clip_trainer import require_vit
from trainers.independent_prompts import IndependentPrompts, prompt_depth
from trainers.prompt_trainer import PromptTrainer


class PromptLearner(IndependentPrompts):
    """Learned: ``visual_ctx`` (n, d_v) and ``visual_deep_ctx`` (L, n, d_v).

    Raises:
        UserError: an option is out of its range, or the backbone is a ResNet.
    """

    def __init__(self, node, class_names: list[str], clip_model):
        layers = require_vit(clip_model, "VPT").transformer.layers
        length = at_least_one(node.N_CTX_VISION, "TRAINER.VPT.N_CTX_VISION")
        depth = prompt_depth(node.PROMPT_DEPTH_VISION, layers, "TRAINER.VPT.PROMPT_DEPTH_VISION")
        text = template_text(class_names, f"{context_words(node)} {{}}.".strip())
        super().__init__("VPT", clip_model, text, ctx=None, depth=0, visual_length=length, visual_depth=depth)


@TRAINER_REGISTRY.register()
class VPT(PromptTrainer):
    config_node = "VPT"
    config_defaults = {
        "N_CTX_VISION": 2,  # prompts per layer
        "CTX_INIT": "a photo of a",  # words before the class name; the released code has these, whatever is set
        "PREC": "fp32",  # fp32, fp16, bf16 or amp; the released code computes in fp32 whatever its YAML says
        "PROMPT_DEPTH_VISION": 1,  # layers with prompts of their own, the first included; 1: shallow
    }

    def build_prompt_learner(self, cfg, class_names, clip_model) -> nn.Module:
        return PromptLearner(self.node, class_names, clip_model)
