"""Zero-shot CLIP: CoOp's templates, a data set's own, and the ensemble."""

import pytest
import torch
import torch.nn.functional as F

import clip
from tests.golden_cases import tuned_clip
from tests.seeded_weights import seeded_images
from trainers.imagenet_templates import IMAGENET_TEMPLATES, IMAGENET_TEMPLATES_SELECT

NAMES = ["dog", "golden_retriever"]


def plain_features(backbone, template):
    with torch.no_grad():
        tokens = clip.tokenize([template.format(name.replace("_", " ")) for name in NAMES])
        return F.normalize(backbone.encode_text(tokens), dim=-1)


@pytest.mark.parametrize(
    ("dataset", "own", "template"),
    [
        ("EuroSAT", "", "a centered satellite photo of {}."),
        ("Caltech101", "", "a photo of a {}."),
        ("Patterns", "a photo of a {} pattern.", "a photo of a {} pattern."),
    ],
)
def test_logits_of_one_template(dataset, own, template):
    tuned = tuned_clip("ZeroshotCLIP", NAMES, dataset, template=own)
    images = seeded_images("vit", 3)
    with torch.no_grad():
        features = F.normalize(tuned.clip.encode_image(images), dim=-1)
        wanted = 100 * features @ plain_features(tuned.clip, template).t()
        torch.testing.assert_close(tuned(images), wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("dataset", "count"), [("ImageNet", 7), ("EuroSAT", 8)])
def test_the_ensemble_is_the_mean_of_its_templates(dataset, count):
    tuned = tuned_clip("ZeroshotCLIP2", NAMES, dataset)
    templates = tuned.method.plain_templates()
    assert len(templates) == count
    mean = torch.stack([plain_features(tuned.clip, template) for template in templates]).mean(dim=0)
    torch.testing.assert_close(tuned.method.text_features, F.normalize(mean, dim=-1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("trainer", ["ZeroshotCLIP", "ZeroshotCLIP2"])
def test_a_model_prints_nothing(trainer, capsys):
    tuned_clip(trainer, NAMES, "EuroSAT")
    assert capsys.readouterr().out == ""


def test_openais_templates_have_a_place_for_the_name():
    assert len(IMAGENET_TEMPLATES) == 80 and len(IMAGENET_TEMPLATES_SELECT) == 7
    assert all(template.count("{}") == 1 for template in IMAGENET_TEMPLATES)
    assert "a origami {}." in IMAGENET_TEMPLATES_SELECT
