"""CuPL: zero-shot CLIP whose classes are sentences that describe them, rather than filled templates.

Pratt, Covert, Liu, Farhadi, "What does a platypus look like? Generating customized prompts for zero-shot image
classification", ICCV 2023 (arXiv 2209.03320). Released code: github.com/sarahpratt/CuPL (no licence stated). As there,
a class is the normalised mean of the normalised features of its sentences, and sentences that are too long are cut.

Differs from the release: the sentences, there a language model's, come from the file DATASET.DESCRIPTIONS, and none are
in this repository; its second variant, which adds 80 templates to the sentences, is not here.
Differs from the paper: as from the release.
"""

from __future__ import annotations

from dassl.engine import TRAINER_REGISTRY
from support.uses import DESCRIPTIONS
from trainers.descriptions import description_features, sentences_of
from trainers.text_classifier import TextClassifier
from trainers.trainer import MethodTrainer


class DescribedClasses(TextClassifier):
    """Nothing is learned: logits from the mean text feature of each class's sentences."""

    needs_descriptions = True
    uses = (DESCRIPTIONS,)

    def __init__(self, config, task, clip_model):
        super().__init__(config, task, clip_model, description_features(clip_model, sentences_of(task)))


@TRAINER_REGISTRY.register()
class CuPL(MethodTrainer):
    Method = DescribedClasses
