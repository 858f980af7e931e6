"""CoOp: learned context vectors in place of a prompt's words.

Zhou, Yang, Loy, Liu, "Learning to Prompt for Vision-Language Models", IJCV 2022 (arXiv 2109.01134).
Released code: github.com/KaiyangZhou/CoOp (MIT).

Differs from the release: CSC together with CTX_INIT is refused, where the release drops CSC without a word.
Differs from the paper: in nothing known.
"""

from __future__ import annotations

from dataclasses import dataclass

from clip.class_text import POSITIONS
from clip.prompts import Prompts
from dassl.engine import TRAINER_REGISTRY
from support.user_error import ConfigError
from trainers.class_prompts import class_text, random_context, shared_context, words_and_length
from trainers.frozen_clip import load_clip_to_cpu
from trainers.method import PromptMethod
from trainers.options import AT_LEAST_ONE, OneOf, Options, option, precision
from trainers.trainer import MethodTrainer

__all__ = ["CoOp", "load_clip_to_cpu"]  # CoOp's own zero-shot trainer imports the loader from here


class PromptLearner(PromptMethod):
    """Learned: ``ctx``, (n, d_t) or with CSC (C, n, d_t)."""

    @dataclass
    class Config(Options, node="COOP"):
        N_CTX: int = option(16, "number of context vectors", AT_LEAST_ONE)
        CSC: bool = option(False, "a context of its own for each class")
        CTX_INIT: str = option("", "words that initialise the context; their number replaces N_CTX; empty: random")
        PREC: str = precision("fp16")
        CLASS_TOKEN_POSITION: str = option("end", "where the class name is: end, middle or front", OneOf(POSITIONS))

    def __init__(self, config: Config, task, clip_model):
        super().__init__(config, task)
        words, n_ctx = words_and_length(config)
        if config.CSC and words:
            raise ConfigError(
                f'TRAINER.COOP.CSC True needs a random context, but CTX_INIT is "{words}": set TRAINER.COOP.CTX_INIT ""'
            )
        if config.CSC:
            self.class_dims = {"ctx": 0}
            self.ctx = random_context(len(self.class_names), n_ctx, clip_model.ln_final.weight.shape[0])
        else:
            self.ctx = shared_context(config, clip_model)
        self.class_text = class_text(self.class_names, words, n_ctx, config.CLASS_TOKEN_POSITION, config.CSC)

    @classmethod
    def knows_new_classes(cls, config: Config) -> bool:
        return not config.CSC

    def forward(self) -> Prompts:
        return Prompts(text=self.ctx)


@TRAINER_REGISTRY.register()
class CoOp(MethodTrainer):
    Method = PromptLearner
