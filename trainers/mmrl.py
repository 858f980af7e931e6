"""MMRL: representation tokens of a learned space, projected into the upper layers of both encoders.

Guo, Gu, "MMRL: Multi-Modal Representation Learning for Vision-Language Models", CVPR 2025 (arXiv 2503.08497). Released
code: github.com/yunncheng/MMRL (MIT).

    learned tokens (n, r) -> a projection for each layer -> behind SOS in the text, behind the class token in the image
    class token's feature                            -> cosines with the texts: c ---- logits: ALPHA c + (1 - ALPHA) t
    mean of the tokens' outputs @ learned projection -> cosines with the texts: t

With PLUS_PLUS it is MMRL++ (Guo, Gu, "MMRL++: Parameter-Efficient and Interaction-Aware Representation Learning for
Vision-Language Models", arXiv 2505.10088; same repository): the projections of all layers share a weight, to which each
adds a low-rank one; the tokens' outputs are projected by CLIP's own projection and a low-rank addition; and a layer's
tokens are BETA times its own and 1 - BETA times what the layer below made of the tokens.

Classes that were not trained on are told apart by c alone. So the test rule depends on which classes are tested; the
log and results.json say so.

Differs from the release: logits are scaled as the backbone says (there by 100); the classes of
the training are known by name and dataset (there by the option TASK and the half that is tested); REG_WEIGHT and
REP_DIM are those of the configuration (there a table for each dataset goes before it: PUBLISHED_SETTINGS); layers that
an encoder lacks are left out; for cross-dataset transfer BETA is the same for all (there one for each tested dataset).
Differs from the paper: in nothing known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import clip
from clip.model import CLIP
from clip.prompts import Inserted, Prompts
from dassl.engine import TRAINER_REGISTRY
from support.user_error import ConfigError
from support.uses import SETTINGS, SPLIT
from trainers.class_prompts import random_context, template_text
from trainers.frozen_clip import require_vit
from trainers.method import Outputs, PromptMethod
from trainers.options import AT_LEAST_ONE, NOT_NEGATIVE, OneOf, Options, Range, option, precision
from trainers.templates import choose_template, frozen_text_features
from trainers.trainer import MethodTrainer

# What the released code sets for base-to-new and few-shot runs on a dataset, whatever its configuration says.
PUBLISHED_SETTINGS = {
    "Caltech101": {"REG_WEIGHT": 0.5},
    "DescribableTextures": {"REG_WEIGHT": 6.0},
    "EuroSAT": {"REG_WEIGHT": 0.01, "REP_DIM": 2048},
    "FGVCAircraft": {"REG_WEIGHT": 6.0},
    "Food101": {"REG_WEIGHT": 5.0},
    "ImageNet": {"REG_WEIGHT": 0.5},
    "OxfordFlowers": {"REG_WEIGHT": 4.0},
    "OxfordPets": {"REG_WEIGHT": 0.2},
    "StanfordCars": {"REG_WEIGHT": 7.0},
    "SUN397": {"REG_WEIGHT": 6.0},
    "UCF101": {"REG_WEIGHT": 3.0},
}
PUBLISHED_SETTINGS_PLUS_PLUS = {
    "Caltech101": {"BETA": 0.6, "REG_WEIGHT": 3.0},
    "DescribableTextures": {"BETA": 0.9, "REG_WEIGHT": 7.0},
    "EuroSAT": {"BETA": 0.2, "REG_WEIGHT": 0.01},
    "FGVCAircraft": {"BETA": 0.9, "REG_WEIGHT": 2.0},
    "Food101": {"BETA": 0.1, "REG_WEIGHT": 1.0},
    "ImageNet": {"BETA": 0.9, "REG_WEIGHT": 0.2},
    "OxfordFlowers": {"BETA": 0.4, "REG_WEIGHT": 7.0},
    "OxfordPets": {"BETA": 0.7, "REG_WEIGHT": 0.01},
    "StanfordCars": {"BETA": 0.7, "REG_WEIGHT": 6.0},
    "SUN397": {"BETA": 0.5, "REG_WEIGHT": 3.0},
    "UCF101": {"BETA": 0.9, "REG_WEIGHT": 3.0},
}
SAME_EMBEDDING = 0.01  # of the largest, as far as float16 rounds


class Projections(nn.ModuleList):
    """A linear map r -> d for each of L layers; all start alike."""

    def __init__(self, inputs: int, outputs: int, layers: int):
        linear = nn.Linear(inputs, outputs)
        super().__init__(deepcopy(linear) for _ in range(layers))

    def forward(self, tokens: Tensor) -> list[Tensor]:
        """(n, r) -> for each layer (n, d)."""
        return [project(tokens) for project in self]


class LowRank(nn.Module):
    """Learned: ``A`` (d, k), ``B`` (k, r), which starts from 0, and a ``bias`` (d)."""

    def __init__(self, inputs: int, rank: int, bias: Tensor):
        super().__init__()
        self.A, self.B = low_rank(len(bias), rank, inputs)
        self.bias = nn.Parameter(bias.detach().clone())


class SharedProjections(nn.Module):
    """A linear map r -> d for each of L layers: of one ``weight`` (d, r), and in ``srra`` what each layer adds."""

    def __init__(self, inputs: int, outputs: int, layers: int, rank: int):
        super().__init__()
        linear = nn.Linear(inputs, outputs)
        self.weight = nn.Parameter(linear.weight.detach().clone())
        self.srra = nn.ModuleList(LowRank(inputs, rank, linear.bias) for _ in range(layers))

    def forward(self, tokens: Tensor) -> list[Tensor]:
        """(n, r) -> for each layer (n, d)."""
        return [F.linear(tokens, self.weight + own.A @ own.B, own.bias) for own in self.srra]


class RepresentationLearner(PromptMethod):
    """Learned, under the released names: ``compound_rep_tokens`` (n, r); for each of L layers a projection of
    ``compound_rep_tokens_r2tproj`` r -> d_t and of ``compound_rep_tokens_r2vproj`` r -> d_v; ``proj_rep`` (d_v, e).
    With PLUS_PLUS: ``srra_r2tproj`` and ``srra_r2vproj`` for the projections, ``A`` (d_v, k) and ``B`` (k, e).

    Raises:
        ConfigError: the backbone is a ResNet, or has none of the layers.
    """

    released_folders = ("MultiModalRepresentationLearner",)
    released_inside_clip = ("image_encoder.proj_rep", "image_encoder.A", "image_encoder.B")
    reads_inserted = True

    @dataclass
    class Config(Options, node="MMRL"):
        ALPHA: float = option(0.7, "share of the class token's logits; the rest is the tokens'", Range(0, 1))
        REG_WEIGHT: float = option(1.0, "of the distances to frozen CLIP's image and text features", NOT_NEGATIVE)
        N_REP_TOKENS: int = option(5, "representation tokens per layer and encoder", AT_LEAST_ONE)
        REP_LAYERS: list = option([6, 7, 8, 9, 10, 11, 12], "layers with representation tokens, from 1, ascending")
        REP_DIM: int = option(512, "width of the space of the learned tokens", AT_LEAST_ONE)
        FUSE: str = option(
            "trained",
            "when a test uses the tokens' logits, too: trained (where all classes were trained on), always or never",
            OneOf(("trained", "always", "never")),
        )
        PUBLISHED_SETTINGS: bool = option(
            False, "whether the release's REG_WEIGHT, REP_DIM and BETA of the dataset replace those given"
        )
        PLUS_PLUS: bool = option(False, "whether it is MMRL++")
        BETA: float = option(0.9, "MMRL++: share of a layer's own tokens; the rest is the layer below's", Range(0, 1))
        RES_LORA_DIM: int = option(4, "MMRL++: rank of what each layer adds to the shared projection", AT_LEAST_ONE)
        PROJ_LORA_DIM: int = option(64, "MMRL++: rank of the addition to CLIP's image projection", AT_LEAST_ONE)
        PREC: str = precision("fp16")

        def __post_init__(self):
            super().__post_init__()
            named = self.REP_LAYERS
            if any(type(layer) is not int for layer in named) or [0, *named] != sorted({0, *named}):
                raise ConfigError(f"{self.key('REP_LAYERS')} is {named}: give ascending numbers of layers, from 1")

    def __init__(self, config: Config, task, clip_model):
        if config.PUBLISHED_SETTINGS:
            published = PUBLISHED_SETTINGS_PLUS_PLUS if config.PLUS_PLUS else PUBLISHED_SETTINGS
            config = replace(config, **published.get(task.dataset, {}))
        super().__init__(config, task)
        self.uses = (SETTINGS,) * config.PUBLISHED_SETTINGS + (SPLIT,) * (config.FUSE == "trained")
        visual = require_vit(clip_model, config)
        self.layers = layers_with_tokens(config, min(clip_model.transformer.layers, visual.transformer.layers))
        d_t, (d_v, e) = clip_model.ln_final.weight.shape[0], visual.proj.shape
        self.compound_rep_tokens = random_context(config.N_REP_TOKENS, config.REP_DIM)
        r, count = config.REP_DIM, len(self.layers)
        if config.PLUS_PLUS:
            self.srra_r2vproj = SharedProjections(r, d_v, count, config.RES_LORA_DIM)
            self.srra_r2tproj = SharedProjections(r, d_t, count, config.RES_LORA_DIM)
            self.A, self.B = low_rank(d_v, config.PROJ_LORA_DIM, e)
            self.register_buffer("clip_projection", visual.proj.detach().float().clone(), persistent=False)
        else:
            self.compound_rep_tokens_r2vproj = Projections(r, d_v, count)
            self.compound_rep_tokens_r2tproj = Projections(r, d_t, count)
            self.proj_rep = nn.Parameter(torch.randn(d_v, e) * d_v**-0.5)
        self.template = choose_template(task)
        self.class_text = template_text(self.class_names, self.template)
        embedded = embedded_sums(clip_model, self.class_names, self.template)  # (C, d_t)
        self.register_buffer("embedded_sums", embedded, persistent=False)

    def forward(self) -> Prompts:
        if self.config.PLUS_PLUS:
            to_text, to_vision = self.srra_r2tproj, self.srra_r2vproj
        else:
            to_text, to_vision = self.compound_rep_tokens_r2tproj, self.compound_rep_tokens_r2vproj
        return Prompts(text_inserted=self._inserted(to_text), visual_inserted=self._inserted(to_vision))

    def _inserted(self, projections: nn.Module) -> Inserted:
        tokens: list[Tensor | None] = [None] * self.layers[-1]
        for layer, projected in zip(self.layers, projections(self.compound_rep_tokens), strict=True):
            tokens[layer - 1] = projected
        return Inserted(tokens, kept=1 - self.config.BETA if self.config.PLUS_PLUS else 0.0)

    @property
    def fuses(self) -> bool:
        """Whether logits are those of class token and representation tokens together."""
        if self.training or self.config.FUSE != "trained":
            return self.training or self.config.FUSE == "always"
        return self.tests_trained_classes

    def classify(self, outputs: Outputs) -> Tensor:
        if not self.fuses:
            return outputs.logits
        return self.config.ALPHA * outputs.logits + (1 - self.config.ALPHA) * self.token_logits(outputs)

    def token_logits(self, outputs: Outputs) -> Tensor:
        """(B, C) of the mean of the representation tokens' outputs."""
        projection = self.clip_projection + self.A @ self.B if self.config.PLUS_PLUS else self.proj_rep  # (d_v, e)
        features = F.normalize(outputs.inserted.mean(dim=1) @ projection, dim=-1)  # (B, e)
        return outputs.logit_scale * features @ outputs.text_features.t()

    def test_rule(self) -> str:
        if self.config.FUSE != "trained":
            return ""
        if self.tests_trained_classes:
            return "These classes were trained on: MMRL tests by the logits of class token and representation tokens"
        return "Classes here were not trained on: MMRL tests by the class token alone"

    def prepare_losses(self, clip_model) -> None:
        self.frozen_text = frozen_text_features(clip_model, self.class_names, self.template)  # (C, e)

    def losses(self, outputs: Outputs, labels: Tensor) -> dict[str, Tensor]:
        alpha, weight = self.config.ALPHA, self.config.REG_WEIGHT
        class_logits = outputs.logit_scale * outputs.image_features @ outputs.text_features.t()
        image = 1 - F.cosine_similarity(outputs.image_features, outputs.frozen_image_features()).mean()
        text = 1 - F.cosine_similarity(outputs.text_features, self.frozen_text).mean()
        return {
            "cross_entropy": alpha * F.cross_entropy(class_logits, labels),
            "token_cross_entropy": (1 - alpha) * F.cross_entropy(self.token_logits(outputs), labels),
            "image_distance": weight * image,
            "text_distance": weight * text,
        }

    def trained_these_classes(self, tensors: Mapping[str, Tensor]) -> bool | None:
        """By the embedded texts of its classes (C, 77, d_t), which a released checkpoint holds."""
        saved = tensors.get("prompt_embeddings")
        if saved is None or saved.dim() != 3 or saved.shape[2] != self.embedded_sums.shape[1]:
            return None
        own, saved = self.embedded_sums.cpu(), saved.float().cpu().sum(dim=1)
        nearest = saved[torch.cdist(own, saved).argmin(dim=1)]
        return bool((own - nearest).abs().max() <= SAME_EMBEDDING * own.abs().max())

    def convert_state_dict(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {
            name.removeprefix("representation_learner.").removeprefix("image_encoder."): tensor
            for name, tensor in tensors.items()
            if name != "prompt_embeddings"
        }


def low_rank(rows: int, rank: int, columns: int) -> tuple[nn.Parameter, nn.Parameter]:
    """(rows, rank), by Kaiming's uniform initialisation of a linear layer, and (rank, columns) of zeros."""
    bound = rank**-0.5
    first = torch.empty(rows, rank).uniform_(-bound, bound)
    return nn.Parameter(first), nn.Parameter(torch.zeros(rank, columns))


@torch.no_grad()
def embedded_sums(clip_model: CLIP, class_names: Sequence[str], template: str) -> Tensor:
    """(C, d_t) float32 sums over the token embeddings of the classes' texts, by which their classes are told."""
    texts = [template.replace("{}", name.replace("_", " ")) for name in class_names]
    tokens = clip.tokenize(texts).to(clip_model.text_projection.device)
    return torch.stack([clip_model.token_embedding(each).float().sum(dim=0) for each in tokens])


def layers_with_tokens(config: RepresentationLearner.Config, layers: int) -> list[int]:
    """Those of REP_LAYERS that both encoders have, of ``layers``; a printed line says where it names more.

    Raises:
        ConfigError: these are none.
    """
    named, key = config.REP_LAYERS, config.key("REP_LAYERS")
    usable = [layer for layer in named if layer <= layers]
    if not usable:
        raise ConfigError(f"{key} is {named}: name one or more of the {layers} layers that both encoders have")
    if usable != named:
        print(f"{key} {named} names more than the {layers} layers there are: {usable}")
    return usable


@TRAINER_REGISTRY.register()
class MMRL(MethodTrainer):
    Method = RepresentationLearner
