"""MuDPT: deep prompts in both encoders, fused in both directions by a small transformer.

Miao, Li, Tang, Wang, "MuDPT: Multi-modal Deep-symphysis Prompt Tuning for Large Pre-trained Vision-Language Models",
ICME 2023 (arXiv 2306.11400), figures 1 and 2. Released code: github.com/Mechrev0/MuDPT (MIT).

Differs from the release: its four trainers do not compute what the paper describes. By default this is the paper's
method; RELEASE mudpt, umudpt, uumudpt or mpt computes what one of them does, see `trainers.mudpt_released`. Even then
vectors without a word are random (there EOT and padding, and class names lose tokens), the depth is at most the
encoders', linear maps to text end in the text's width (there in the embedding's, which is the same on ViT-B/16), and
mpt has one length and one depth for both encoders and no words for more than 4 vectors.
Differs from the paper: in nothing known; heads of 64, a feed-forward part four times as wide and QuickGELU are CLIP's.

Notation used for shapes: n prompts per layer, L deep layers, widths d_t (text) and d_v (vision).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from clip.class_text import ClassText
from clip.model import QuickGELU
from clip.prompts import Prompts
from dassl.engine import TRAINER_REGISTRY
from support.user_error import CheckpointError, ConfigError
from trainers.class_prompts import class_text, context_from_words, context_words, random_context
from trainers.consistency import consistency_losses, frozen_ensemble
from trainers.deep_prompts import DeepPrompts, prompt_depth, worded_context
from trainers.frozen_clip import require_vit
from trainers.mudpt_released import FOLDERS, RELEASES, ReleasedFusion, convert_names, release_of
from trainers.options import AT_LEAST_ONE, NOT_NEGATIVE, OneOf, Options, option, precision
from trainers.trainer import MethodTrainer

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


class PromptLearner(DeepPrompts):
    """Learned: ``ctx`` (n, d_t), ``deep_ctx`` (L, n, d_t), ``visual_ctx`` (n, d_v), ``visual_deep_ctx`` (L, n, d_v)
    and one `Injection` per direction, shared by all deep layers; with RELEASE in its place ``fusion``, a
    `ReleasedFusion`, for "mpt" none.

    Raises:
        ConfigError: the backbone is a ResNet, or INJECTION or DIRECTION is set beside RELEASE.
    """

    released_folders = FOLDERS

    @dataclass
    class Config(Options, node="MUDPT"):
        N_CTX: int = option(4, "prompts per layer and modality", AT_LEAST_ONE)
        CTX_INIT: str = option("a photo of a", "words for the shallow text prompts; empty: random")
        DEEP_PROMPT_DEPTH: int = option(9, "layers with prompts, the first included", AT_LEAST_ONE)
        INJECTION: str = option("transformer", "transformer, cross, linear or none", OneOf(INJECTIONS))
        DIRECTION: str = option("both", "both, t2v or v2t", OneOf(DIRECTIONS))
        RELEASE: str = option(
            "", "the authors' released trainer: mudpt, umudpt, uumudpt or mpt; empty: the paper", OneOf(("", *RELEASES))
        )
        PREC: str = precision("fp16")
        # Not in the paper, measured in docs/mudpt_options.md: weights of distances to frozen CLIP.
        TEXT_LOSS_WEIGHT: float = option(0.0, "of the distance to frozen CLIP's text features", NOT_NEGATIVE)
        IMAGE_LOSS_WEIGHT: float = option(0.0, "of the distance to frozen CLIP's image features", NOT_NEGATIVE)
        LOGITS_LOSS_WEIGHT: float = option(0.0, "of the divergence from frozen CLIP's logits", NOT_NEGATIVE)

        def __post_init__(self):
            super().__post_init__()
            for name, value in (("INJECTION", self.INJECTION), ("DIRECTION", self.DIRECTION)):
                if self.RELEASE and value != self.defaults()[name]:
                    raise ConfigError(
                        f"{self.key(name)} is {value}, but {self.key('RELEASE')} {self.RELEASE} decides that: "
                        "set one of the two alone"
                    )

    def __init__(self, config: Config, task, clip_model):
        visual = require_vit(clip_model, config)
        layers = min(clip_model.transformer.layers, visual.transformer.layers)
        n, depth = config.N_CTX, prompt_depth(config, "DEEP_PROMPT_DEPTH", layers)
        d_t, d_v = clip_model.ln_final.weight.shape[0], visual.ln_pre.weight.shape[0]

        ctx, text = self._context(config, task, clip_model)
        has_visual = config.RELEASE != "umudpt"
        super().__init__(config, task, clip_model, text, ctx, depth, n, depth if has_visual else 0)
        released, fused = config.RELEASE, depth > 1 and config.INJECTION != "none" and not config.RELEASE
        self.inject_t2v = Injection(config.INJECTION, d_t, d_v) if fused and config.DIRECTION != "v2t" else None
        self.inject_v2t = Injection(config.INJECTION, d_v, d_t) if fused and config.DIRECTION != "t2v" else None
        self.fusion = ReleasedFusion(released, d_t, d_v) if released not in ("", "mpt") else None

    @staticmethod
    def _context(config: Config, task, clip_model) -> tuple[nn.Parameter, ClassText]:
        """Shallow text prompts and layout. In "mpt" words of CTX_INIT beyond N_CTX tokens stay before the name."""
        if config.RELEASE == "mpt":
            return worded_context(config, config.N_CTX, task, clip_model)
        n, words = config.N_CTX, context_words(config)
        width = clip_model.ln_final.weight.shape[0]
        ctx = context_from_words(words, n, clip_model) if words else random_context(n, width)
        return ctx, class_text(task.class_names, n_ctx=n)

    def forward(self) -> Prompts:
        text, visual = self.deep_ctx, self.visual_deep_ctx
        if self.fusion is not None:
            return self.fusion(Prompts(self.ctx, text, self.visual_ctx, visual))
        to_visual = 0 if self.inject_t2v is None else self.inject_t2v(text, visual)  # (L, n, d_v)
        to_text = 0 if self.inject_v2t is None else self.inject_v2t(visual, text)  # (L, n, d_t)
        return Prompts(self.ctx, text + to_text, self.visual_ctx, visual + to_visual)

    def convert_state_dict(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a checkpoint that RELEASE's trainer wrote, under our names; others keep theirs.

        Raises:
            CheckpointError: another of the released trainers wrote it.
        """
        release = release_of(tensors)
        if release and release != self.config.RELEASE:
            raise CheckpointError(
                f"the authors' trainer {release} wrote it: set {self.config.key('RELEASE')} {release}"
            )
        return super().convert_state_dict(convert_names(tensors, release) if release else tensors)

    @property
    def consistency_weights(self) -> tuple[float, float, float]:
        """Of text features, image features and logits."""
        return self.config.TEXT_LOSS_WEIGHT, self.config.IMAGE_LOSS_WEIGHT, self.config.LOGITS_LOSS_WEIGHT

    def prepare_losses(self, clip_model) -> None:
        if any(self.consistency_weights):
            self.frozen_text = frozen_ensemble(clip_model, self.class_names)  # (C, e)

    def losses(self, outputs, labels):
        if not any(self.consistency_weights):
            return super().losses(outputs, labels)
        return consistency_losses(outputs, labels, self.frozen_text, *self.consistency_weights)


@TRAINER_REGISTRY.register()
class MuDPT(MethodTrainer):
    Method = PromptLearner
