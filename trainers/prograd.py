"""ProGrad: learned context vectors, updated only in directions that do not contradict zero-shot CLIP.

Zhu, Niu, Han, Wu, Zhang, "Prompt-aligned Gradient for Prompt Tuning", ICCV 2023 (arXiv 2205.14865). Released code:
github.com/BeierZhu/Prompt-align (MIT).

Differs from the release: a template with more words than N_CTX is refused.
Differs from the paper: in nothing known; as released, context vectors before the template's words begin as zeros.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clip.prompts import Prompts
from dassl.engine import TRAINER_REGISTRY
from support.user_error import ConfigError
from trainers.class_prompts import class_text, context_from_words, random_context
from trainers.method import PromptMethod
from trainers.options import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, Options, option, precision
from trainers.templates import choose_template, frozen_text_features
from trainers.trainer import MethodTrainer

# Templates of the released code where they are not CoOp's: the class name stands last, after all words.
TEMPLATES = {
    "OxfordPets": "a type of pet, a photo of a {}.",
    "OxfordFlowers": "a type of flower, a photo of a {}.",
    "FGVCAircraft": "a type of aircraft, a photo of a {}.",
    "DescribableTextures": "a texture of {}.",
    "Food101": "a type of food, a photo of {}.",
}


class PromptLearner(PromptMethod):
    """Learned: ``ctx`` (n, d_t).

    As released, the words of the template initialise the last vectors, as many as there are words, and the others are
    zero.

    Raises:
        ConfigError: the template has more words than N_CTX.
    """

    @dataclass
    class Config(Options, node="PROGRAD"):
        N_CTX: int = option(16, "number of context vectors", AT_LEAST_ONE)
        CTX_INIT: bool = option(True, "begin with the words of the dataset's template; False: random")
        T: float = option(1.0, "temperature of the divergence from zero-shot CLIP", POSITIVE)
        LAMBDA: float = option(1.0, "share of the contradicting part that is taken out of the gradient", NOT_NEGATIVE)
        PREC: str = precision("fp16")

    def __init__(self, config: Config, task, clip_model):
        super().__init__(config, task)
        template = choose_template(task, TEMPLATES)
        words = " ".join(template.partition("{}")[0].replace("_", " ").split()) if config.CTX_INIT else ""
        if config.CTX_INIT and not words:
            print(f'"{template}" has no words before the class name: the context is random')
        n_ctx, n_words = config.N_CTX, len(words.split())
        if n_words > n_ctx:
            raise ConfigError(
                f'TRAINER.PROGRAD.N_CTX is {n_ctx}, but the template begins with the {n_words} words "{words}": '
                "raise N_CTX, or set TRAINER.PROGRAD.CTX_INIT False"
            )
        if words:
            context = context_from_words(words, n_words, clip_model).detach()
            self.ctx = nn.Parameter(F.pad(context, (0, 0, n_ctx - n_words, 0)))
        else:
            self.ctx = random_context(n_ctx, clip_model.ln_final.weight.shape[0])
        # A word may have several tokens: those beyond the context stay in the prompt.
        self.class_text = class_text(self.class_names, " ".join(["X"] * (n_ctx - n_words) + [words]).strip(), n_ctx)

    def forward(self) -> Prompts:
        return Prompts(text=self.ctx)

    def prepare_losses(self, clip_model) -> None:
        template = choose_template(self.task, TEMPLATES)
        self.frozen_text = frozen_text_features(clip_model, self.class_names, template)  # (C, e)

    def losses(self, outputs, labels) -> dict[str, Tensor]:
        """Cross-entropy, and the divergence from zero-shot CLIP, which no step may raise."""
        temperature = self.config.T
        with torch.no_grad():
            frozen = outputs.logit_scale * outputs.image_features @ self.frozen_text.t()  # (B, C)
        target = (frozen / temperature).softmax(dim=-1)
        divergence = F.cross_entropy(outputs.logits / temperature, target) * temperature**2
        return {"cross_entropy": F.cross_entropy(outputs.logits, labels), "divergence": divergence}


@TRAINER_REGISTRY.register()
class ProGrad(MethodTrainer):
    Method = PromptLearner

    def backward_of(self, terms: dict[str, Tensor]) -> Tensor:
        """Gradients of the cross-entropy that, to first order, do not raise the divergence; returns the former."""
        loss, divergence = terms["cross_entropy"], terms["divergence"]
        self.prograd_backward(loss, divergence, self.method.config.LAMBDA, scaler=self.scaler)
        return loss
