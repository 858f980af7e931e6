"""KgCoOp: learned context vectors, with text features kept near those of hand-written prompts.

Yao, Zhang, Xu, "Visual-Language Prompt Tuning with Knowledge-guided Context Optimization", CVPR 2023
(arXiv 2303.13283). Released code: github.com/htyao89/KgCoOp (MIT).

Differs from the release: CTX_INIT holds the words, which there are "a photo of a" wherever CTX_INIT is true; the weight
of the distance is the option W; what the release saves and never trains or uses (bias_vectors, meta_net) is not here.
Differs from the paper: in nothing known.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from clip.prompts import Prompts
from dassl.engine import TRAINER_REGISTRY
from trainers.class_prompts import class_text, shared_context, words_and_length
from trainers.consistency import near_text_losses
from trainers.method import PromptMethod
from trainers.options import AT_LEAST_ONE, NOT_NEGATIVE, Options, option, precision
from trainers.templates import choose_template, frozen_text_features
from trainers.trainer import MethodTrainer

# Templates of the released code where they are not CoOp's.
TEMPLATES = {"DescribableTextures": "a photo of a {}, a type of texture."}


class PromptLearner(PromptMethod):
    """Learned: ``ctx`` (n, d_t)."""

    @dataclass
    class Config(Options, node="KGCOOP"):
        N_CTX: int = option(4, "number of context vectors", AT_LEAST_ONE)
        CTX_INIT: str = option(
            "a photo of a", "words that initialise the context; their number replaces N_CTX; empty: random"
        )
        W: float = option(8.0, "weight of the distance to frozen CLIP's text features", NOT_NEGATIVE)
        PREC: str = precision("fp16")

    def __init__(self, config: Config, task, clip_model):
        super().__init__(config, task)
        self.ctx = shared_context(config, clip_model)
        self.class_text = class_text(self.class_names, *words_and_length(config))

    def forward(self) -> Prompts:
        return Prompts(text=self.ctx)

    def prepare_losses(self, clip_model) -> None:
        template = choose_template(self.task, TEMPLATES)
        self.frozen_text = frozen_text_features(clip_model, self.class_names, template)  # (C, e)

    def losses(self, outputs, labels):
        return near_text_losses(outputs, labels, self.frozen_text, self.config.W)

    def convert_state_dict(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """A released checkpoint without the modules that the released code saves but never trains or uses.

        Its ``bias_vectors`` tell it from another method's checkpoint, whose ``meta_net`` was trained.
        """
        if "bias_vectors" not in tensors:
            return tensors
        return {name: tensor for name, tensor in tensors.items() if not name.startswith(("bias_vectors", "meta_net."))}


@TRAINER_REGISTRY.register()
class KgCoOp(MethodTrainer):
    Method = PromptLearner
