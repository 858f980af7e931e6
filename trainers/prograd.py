"""ProGrad: learned context vectors, updated only in directions that do not contradict zero-shot CLIP.

Zhu, Niu, Han, Wu, Zhang, "Prompt-aligned Gradient for Prompt Tuning", ICCV 2023 (arXiv 2205.14865). Released code:
github.com/BeierZhu/Prompt-align (MIT).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clip.prompts import Prompts
from dassl.engine import TRAINER_REGISTRY
from dassl.metrics import compute_accuracy
from support.user_error import ConfigError
from trainers.class_prompts import at_least_one, class_text, context_from_words, random_context
from trainers.options import NOT_NEGATIVE, POSITIVE
from trainers.prompt_trainer import PromptTrainer
from trainers.templates import dataset_template, frozen_text_features

# Templates of the released code where they are not CoOp's: the class name stands last, after all words.
TEMPLATES = {
    "OxfordPets": "a type of pet, a photo of a {}.",
    "OxfordFlowers": "a type of flower, a photo of a {}.",
    "FGVCAircraft": "a type of aircraft, a photo of a {}.",
    "DescribableTextures": "a texture of {}.",
    "Food101": "a type of food, a photo of {}.",
}


class PromptLearner(nn.Module):
    """Learned: ``ctx`` (n, d_t).

    Args:
        words: as released, they initialise the last vectors, as many as there are words, and the others are zero.
    """

    def __init__(self, node, class_names: list[str], clip_model, words: str = ""):
        super().__init__()
        n_ctx, n_words = at_least_one(node.N_CTX, "TRAINER.PROGRAD.N_CTX"), len(words.split())
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
        self.class_text = class_text(class_names, " ".join(["X"] * (n_ctx - n_words) + [words]).strip(), n_ctx)

    def forward(self) -> Prompts:
        return Prompts(text=self.ctx)


@TRAINER_REGISTRY.register()
class ProGrad(PromptTrainer):
    config_node = "PROGRAD"
    config_defaults = {
        "N_CTX": 16,  # number of context vectors
        "CTX_INIT": True,  # begin with the words of the data set's template; False: random
        "T": 1.0,  # temperature of the divergence from zero-shot CLIP
        "LAMBDA": 1.0,  # share of the contradicting part that is taken out of the gradient
        "PREC": "fp16",  # fp32, fp16, bf16 or amp
    }
    config_ranges = {"T": POSITIVE, "LAMBDA": NOT_NEGATIVE}

    def build_prompt_learner(self, cfg, class_names, clip_model) -> nn.Module:
        template = dataset_template(cfg, self.dm.dataset, TEMPLATES)
        self.frozen_text = frozen_text_features(clip_model, class_names, template)  # (C, e)
        words = " ".join(template.partition("{}")[0].replace("_", " ").split()) if self.node.CTX_INIT else ""
        if self.node.CTX_INIT and not words:
            print(f'"{template}" has no words before the class name: the context is random')
        return PromptLearner(self.node, class_names, clip_model, words)

    def losses(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cross entropy, divergence from zero-shot CLIP, and the logits (B, C), for images (B, 3, H, W)."""
        outputs = self.model.outputs(images)
        with torch.no_grad():
            frozen = self.clip_model.logit_scale.float().exp() * outputs.image_features @ self.frozen_text.t()
        target = (frozen / self.node.T).softmax(dim=-1)
        divergence = F.cross_entropy(outputs.logits / self.node.T, target) * self.node.T**2
        return F.cross_entropy(outputs.logits, labels), divergence, outputs.logits

    def forward_backward(self, batch: dict) -> dict:
        images, labels = self.parse_batch_train(batch)
        with self.computing():
            loss, divergence, logits = self.losses(images, labels)
        self.prograd_backward_and_update(loss, divergence, self.node.LAMBDA, scaler=self.scaler)
        if self.batch_idx + 1 == self.num_batches:
            self.update_lr()
        return {
            "loss": loss.detach(),
            "divergence": divergence.detach(),
            "acc": compute_accuracy(logits, labels)[0],
            **self.zero_shot_on_last_epoch(images, labels),
        }
