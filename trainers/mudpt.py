"""MuDPT: deep prompts in both encoders, fused in both directions by a small transformer.

Miao, Li, Tang, Wang, "MuDPT: Multi-modal Deep-symphysis Prompt Tuning for Large Pre-trained Vision-Language Models",
ICME 2023 (arXiv 2306.11400), figures 1 and 2.

Notation used for shapes: n prompts per layer, L deep layers, widths d_t (text) and d_v (vision).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from clip.model import QuickGELU
from clip.prompts import Prompts
from dassl.engine import TRAINER_REGISTRY
from trainers.class_prompts import (
    at_least_one,
    class_text,
    context_from_words,
    context_words,
    one_of,
    random_context,
)
from trainers.clip_trainer import require_vit
from trainers.consistency import consistency, frozen_ensemble
from trainers.independent_prompts import IndependentPrompts, prompt_depth
from trainers.options import NOT_NEGATIVE
from trainers.prompt_trainer import PromptTrainer

INJECTIONS = ("transformer", "cross", "linear", "none")
DIRECTIONS = ("both", "t2v", "v2t")
HEAD_WIDTH = 64


class Injection(nn.Module):
    """The Injection Model: deep prompts of one modality in, an addition to those of the other out.

    A post-norm transformer layer over the n prompts of each deep layer, then a projection to the other width.
    ``kind`` "transformer" is the paper's self-attention; with "cross" the receiving prompts are queries and residual
    and the sending ones keys and values; "linear" is the projection alone. With "cross" and two different widths the
    attention's input weights are three tensors (``attn.{q,k,v}_proj_weight``), because they cannot be one.
    """

    def __init__(self, kind: str, d_src: int, d_dst: int):
        super().__init__()
        self.kind = kind
        width = d_dst if kind == "cross" else d_src
        if kind != "linear":
            heads = max(1, width // HEAD_WIDTH)
            self.attn = nn.MultiheadAttention(width, heads, kdim=d_src, vdim=d_src, batch_first=True)
            self.norm1 = nn.LayerNorm(width)
            self.fc1 = nn.Linear(width, 4 * width)
            self.gelu = QuickGELU()
            self.fc2 = nn.Linear(4 * width, width)
            self.norm2 = nn.LayerNorm(width)
        self.proj = nn.Linear(width, d_dst)

    def forward(self, source: Tensor, receiver: Tensor) -> Tensor:
        """(L, n, d_src) and (L, n, d_dst) -> (L, n, d_dst)."""
        if self.kind == "linear":
            return self.proj(source)
        x = receiver if self.kind == "cross" else source
        x = self.norm1(x + self.attn(x, source, source, need_weights=False)[0])
        x = self.norm2(x + self.fc2(self.gelu(self.fc1(x))))
        return self.proj(x)


class PromptLearner(IndependentPrompts):
    """Learned: ``ctx`` (n, d_t), ``deep_ctx`` (L, n, d_t), ``visual_ctx`` (n, d_v), ``visual_deep_ctx`` (L, n, d_v)
    and one `Injection` per direction, shared by all deep layers.

    Raises:
        UserError: an option is out of its range, or the backbone is a ResNet.
    """

    def __init__(self, node, class_names: list[str], clip_model):
        visual = require_vit(clip_model, "MuDPT")
        n = at_least_one(node.N_CTX, "TRAINER.MUDPT.N_CTX")
        layers = min(clip_model.transformer.layers, visual.transformer.layers)
        depth = prompt_depth(node.DEEP_PROMPT_DEPTH, layers, "TRAINER.MUDPT.DEEP_PROMPT_DEPTH")
        injection = one_of(node, "INJECTION", INJECTIONS, "TRAINER.MUDPT")
        direction = one_of(node, "DIRECTION", DIRECTIONS, "TRAINER.MUDPT")
        d_t, d_v = clip_model.ln_final.weight.shape[0], visual.ln_pre.weight.shape[0]

        words = context_words(node)
        ctx = context_from_words(words, n, clip_model) if words else random_context(n, d_t)
        super().__init__("MuDPT", clip_model, class_text(class_names, n_ctx=n), ctx, depth, n, depth)
        fused = depth > 1 and injection != "none"
        self.inject_t2v = Injection(injection, d_t, d_v) if fused and direction != "v2t" else None
        self.inject_v2t = Injection(injection, d_v, d_t) if fused and direction != "t2v" else None

    def forward(self) -> Prompts:
        text, visual = self.deep_ctx, self.visual_deep_ctx
        to_visual = 0 if self.inject_t2v is None else self.inject_t2v(text, visual)  # (L, n, d_v)
        to_text = 0 if self.inject_v2t is None else self.inject_v2t(visual, text)  # (L, n, d_t)
        return Prompts(self.ctx, text + to_text, self.visual_ctx, visual + to_visual)


@TRAINER_REGISTRY.register()
class MuDPT(PromptTrainer):
    config_node = "MUDPT"
    config_defaults = {
        "N_CTX": 4,  # prompts per layer and modality
        "CTX_INIT": "a photo of a",  # words for the shallow text prompts; "": random
        "DEEP_PROMPT_DEPTH": 9,  # layers with prompts of their own, the first included
        "INJECTION": "transformer",  # transformer, cross, linear or none
        "DIRECTION": "both",  # both, t2v or v2t
        "PREC": "fp16",  # fp32, fp16, bf16 or amp
        # Not in the paper, measured in docs/mudpt_options.md:
        "TEXT_LOSS_WEIGHT": 0.0,  # of the distances to frozen CLIP's text features, image features and logits
        "IMAGE_LOSS_WEIGHT": 0.0,
        "LOGITS_LOSS_WEIGHT": 0.0,
    }
    config_ranges = dict.fromkeys(("TEXT_LOSS_WEIGHT", "IMAGE_LOSS_WEIGHT", "LOGITS_LOSS_WEIGHT"), NOT_NEGATIVE)

    def build_prompt_learner(self, cfg, class_names, clip_model) -> nn.Module:
        if any(self.consistency_weights):
            self.frozen_text = frozen_ensemble(clip_model, class_names)
        return PromptLearner(self.node, class_names, clip_model)

    @property
    def consistency_weights(self) -> tuple[float, float, float]:
        """Of text features, image features and logits."""
        return self.node.TEXT_LOSS_WEIGHT, self.node.IMAGE_LOSS_WEIGHT, self.node.LOGITS_LOSS_WEIGHT

    def loss(self, images, labels):
        if not any(self.consistency_weights):
            return super().loss(images, labels)
        outputs = self.model.outputs(images)
        apart = consistency(self.model, images, outputs, self.frozen_text).weighted(*self.consistency_weights)
        return F.cross_entropy(outputs.logits, labels) + apart, outputs.logits
