"""GDA: Gaussian discriminant analysis of frozen CLIP's image features, added to zero-shot CLIP. Training-free.

Wang, Liang, Sheng, He, Wang, Tan, "A Hard-to-Beat Baseline for Training-free CLIP-based Adaptation", ICLR 2024 (arXiv
2402.04087). Released code: github.com/mrflogs/ICLR24 (no licence stated). Its few-shot code is what is here: the
same estimate of means and precision from ten augmented views of each training image.

Differs from the release: alpha, the weight of the Gaussian logits, is searched there on val images, on ImageNet on the
test images, from 0.0001 to 100 in powers of ten. Here no image is held out: ALPHA sets it, and 0, the default, takes
what the search of the released logs chose most often for as many images per class (`RELEASED_ALPHA`). New classes have
zero-shot CLIP's logits; the release makes Gaussians for them from the training features nearest to their text features,
with another estimate of the precision for base-to-new (the paper's average over new classes is 74.53 with them, that of
zero-shot CLIP 74.22), which would need all training features in the checkpoint.
Differs from the paper: as from the release.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dassl.engine import TRAINER_REGISTRY
from trainers.method import HeadMethod
from trainers.options import AT_LEAST_ONE, NOT_NEGATIVE, Options, option, precision
from trainers.templates import ensemble_templates, zero_shot_weights
from trainers.trainer import MethodTrainer

RELEASED_ALPHA = {1: 0.001, 2: 0.1, 4: 0.1, 8: 1.0, 16: 10.0}  # images per class -> alpha


def alpha_for(images_per_class: float) -> float:
    """The alpha of the largest number in `RELEASED_ALPHA` that is not above this one."""
    fitting = [alpha for shots, alpha in RELEASED_ALPHA.items() if shots <= images_per_class]
    return fitting[-1] if fitting else RELEASED_ALPHA[1]


def discriminant(features: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Weight (C, e) and bias (C,) of the log-likelihoods of C Gaussians with one covariance, equally probable.

    The precision is the ridge estimate of Kubokawa and Srivastava, e ((N - 1) S + tr(S) I)^-1 for the covariance S of
    the features around their means; it is pseudo-inverted, as one image in one view leaves S zero.

    Args:
        features: (N, e), normalised; labels: (N,), with every class in them.
    """
    features = features.double()
    counts = torch.bincount(labels, minlength=classes).double()
    means = features.new_zeros(classes, features.shape[1]).index_add_(0, labels, features) / counts[:, None]  # (C, e)
    centred = features - means[labels]
    count, width = centred.shape
    scatter = centred.t() @ centred  # (N - 1) S
    ridge = scatter.trace() / max(count - 1, 1)
    inverse = width * torch.linalg.pinv(scatter + ridge * torch.eye(width, dtype=scatter.dtype), hermitian=True)
    weight = means @ inverse
    return weight, -math.log(classes) - (weight * means).sum(dim=1) / 2


class GaussianClassifier(HeadMethod):
    """Logits of zero-shot CLIP plus alpha times ``weight`` f + ``bias`` of a normalised feature f.

    Not learned, but set once: weight (C, e), bias (C,), each without its mean over the classes, which changes no
    probability: so 0 is the middle, and what a class has of which no image was seen.
    """

    needs_training = True
    begins_as_zero_shot = True

    @dataclass
    class Config(Options, node="GDA"):
        PREC: str = precision("fp16")
        VIEWS: int = option(10, "augmented views of each training image, whose features are fitted", AT_LEAST_ONE)
        ALPHA: float = option(0.0, "weight of the Gaussian logits; 0: by the number of images per class", NOT_NEGATIVE)

    def __init__(self, config: Config, task, clip_model):
        super().__init__(config, task)
        text_weights = zero_shot_weights(clip_model, self.class_names, ensemble_templates(task))  # (C, e)
        self.class_dims = {"weight": 0, "bias": 0}
        self.weight = nn.Parameter(torch.zeros_like(text_weights), requires_grad=False)
        self.bias = nn.Parameter(text_weights.new_zeros(len(text_weights)), requires_grad=False)
        self.register_buffer("alpha", torch.tensor(float(config.ALPHA)))
        self.register_buffer("text_weights", text_weights, persistent=False)  # of the class names

    def fit(self, features) -> None:
        views = self.config.VIEWS
        encoded = [features.train(True, f"view {view + 1} of {views}") for view in range(views)]
        normalised, labels = (torch.cat(parts).cpu() for parts in zip(*encoded, strict=True))
        classes = len(self.class_names)
        weight, bias = discriminant(F.normalize(normalised, dim=-1), labels, classes)
        self.weight.copy_(weight - weight.mean(dim=0))
        self.bias.copy_(bias - bias.mean())
        if not self.config.ALPHA:
            self.alpha.fill_(alpha_for(len(labels) / views / classes))
            print(f"alpha is {self.alpha:.4g}, for the images per class; TRAINER.GDA.ALPHA sets another")

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, e) -> logits (B, C)."""
        features = F.normalize(features, dim=-1)
        return features @ self.text_weights.t() + self.alpha * F.linear(features, self.weight, self.bias)


@TRAINER_REGISTRY.register()
class GDA(MethodTrainer):
    """Fits once; OPTIM has no effect."""

    Method = GaussianClassifier
    takes_steps = False
