"""VPT: learned prompts in the image encoder alone, beside fixed text; also deep ones, as a baseline of MaPLe's paper.

Jia et al., "Visual Prompt Tuning", ECCV 2022 (arXiv 2203.12119); for CLIP: Khattak, Rasheed, Maaz, Khan, Khan, "MaPLe:
Multi-modal Prompt Learning", CVPR 2023 (arXiv 2210.03117). Released code:
github.com/muzairkhattak/multimodal-prompt-learning (MIT).

Differs from the release: the words before the class name are the option CTX_INIT, and PREC is obeyed.
Differs from the paper: as released, CLIP's text features classify, not a trained head.
"""

from __future__ import annotations

from dataclasses import dataclass

from dassl.engine import TRAINER_REGISTRY
from trainers.class_prompts import context_words, template_text
from trainers.deep_prompts import DeepPrompts, prompt_depth
from trainers.frozen_clip import require_vit
from trainers.options import AT_LEAST_ONE, Options, option, precision
from trainers.trainer import MethodTrainer


class PromptLearner(DeepPrompts):
    """Learned: ``visual_ctx`` (n, d_v) and ``visual_deep_ctx`` (L, n, d_v)."""

    @dataclass
    class Config(Options, node="VPT"):
        N_CTX_VISION: int = option(2, "prompts per layer", AT_LEAST_ONE)
        CTX_INIT: str = option("a photo of a", "words before the class name, which the released code has in any case")
        PREC: str = precision("fp32")  # the released code computes in fp32 whatever its YAML says
        PROMPT_DEPTH_VISION: int = option(1, "layers with prompts, the first included; 1: shallow", AT_LEAST_ONE)

    def __init__(self, config: Config, task, clip_model):
        depth = prompt_depth(config, "PROMPT_DEPTH_VISION", require_vit(clip_model, config).transformer.layers)
        text = template_text(task.class_names, f"{context_words(config)} {{}}.".strip())
        super().__init__(config, task, clip_model, text, None, 0, config.N_CTX_VISION, depth)


@TRAINER_REGISTRY.register()
class VPT(MethodTrainer):
    Method = PromptLearner
