"""CoOp: learned context vectors in place of a prompt's words.

Zhou, Yang, Loy, Liu, "Learning to Prompt for Vision-Language Models", IJCV 2022 (arXiv 2109.01134).
"""

from __future__ import annotations

from torch import nn

from clip.prompts import Prompts
from dassl.engine import TRAINER_REGISTRY
from support.user_error import ConfigError
from trainers.class_bound import ClassBound
from trainers.class_prompts import class_text, context_from_words, random_context, words_and_length
from trainers.clip_trainer import load_clip_to_cpu
from trainers.coop_nodes import COOP
from trainers.prompt_trainer import PromptTrainer

__all__ = ["CoOp", "load_clip_to_cpu"]  # CoOp's own zero-shot trainer imports the loader from here


class PromptLearner(ClassBound):
    """Learned: ``ctx``, (n, d_t) or with CSC (C, n, d_t)."""

    def __init__(self, node, class_names: list[str], clip_model):
        super().__init__(class_names, {"ctx": 0} if node.CSC else {})
        words, n_ctx = words_and_length(node, "TRAINER.COOP")
        if node.CSC and words:
            raise ConfigError(
                f'TRAINER.COOP.CSC True needs a random context, but CTX_INIT is "{words}": set TRAINER.COOP.CTX_INIT ""'
            )
        if words:
            self.ctx = context_from_words(words, n_ctx, clip_model)
        else:
            leading = (len(class_names),) if node.CSC else ()
            self.ctx = random_context(*leading, n_ctx, clip_model.ln_final.weight.shape[0])
        position, key = node.CLASS_TOKEN_POSITION, "TRAINER.COOP.CLASS_TOKEN_POSITION"
        self.class_text = class_text(class_names, words, n_ctx, position, node.CSC, key=key)

    def forward(self) -> Prompts:
        return Prompts(text=self.ctx)


@TRAINER_REGISTRY.register()
class CoOp(PromptTrainer):
    config_node = "COOP"
    config_defaults = COOP

    @classmethod
    def knows_new_classes(cls, cfg) -> bool:
        return not cfg.TRAINER.COOP.CSC

    def build_prompt_learner(self, cfg, class_names, clip_model) -> nn.Module:
        return PromptLearner(self.node, class_names, clip_model)
