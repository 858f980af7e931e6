"""Zero-shot CLIP: CoOp's templates, a data set's own, and the ensemble."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

import clip
from tests.seeded_weights import seeded_images, seeded_state_dict
from trainers import zsclip
from trainers.imagenet_templates import IMAGENET_TEMPLATES, IMAGENET_TEMPLATES_SELECT

NAMES = ["dog", "golden_retriever"]


def build(kind, dataset, monkeypatch, **attributes):
    backbone = clip.build_model(seeded_state_dict("vit"))
    monkeypatch.setattr(zsclip, "load_clip_to_cpu", lambda cfg: backbone)
    trainer = kind.__new__(kind)
    names = SimpleNamespace(DATASET=SimpleNamespace(NAME=dataset))
    names.MODEL = SimpleNamespace(BACKBONE=SimpleNamespace(NAME="seeded"))
    trainer.cfg, trainer.device = names, torch.device("cpu")
    trainer.dm = SimpleNamespace(dataset=SimpleNamespace(classnames=NAMES, **attributes))
    trainer.build_model()
    return trainer, backbone


def plain_features(backbone, template):
    with torch.no_grad():
        tokens = clip.tokenize([template.format(name.replace("_", " ")) for name in NAMES])
        return F.normalize(backbone.encode_text(tokens), dim=-1)


@pytest.mark.parametrize(
    ("dataset", "attributes", "template"),
    [
        ("EuroSAT", {}, "a centered satellite photo of {}."),
        ("Caltech101", {}, "a photo of a {}."),
        ("Patterns", {"template": "a photo of a {} pattern."}, "a photo of a {} pattern."),
    ],
)
def test_logits_of_one_template(dataset, attributes, template, monkeypatch):
    trainer, backbone = build(zsclip.ZeroshotCLIP, dataset, monkeypatch, **attributes)
    images = seeded_images("vit", 3)
    with torch.no_grad():
        features = F.normalize(backbone.encode_image(images), dim=-1)
        wanted = 100 * features @ plain_features(backbone, template).t()
        torch.testing.assert_close(trainer.model_inference(images), wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("dataset", "count"), [("ImageNet", 7), ("EuroSAT", 8)])
def test_the_ensemble_is_the_mean_of_its_templates(dataset, count, monkeypatch):
    trainer, backbone = build(zsclip.ZeroshotCLIP2, dataset, monkeypatch)
    assert len(trainer.templates()) == count
    mean = torch.stack([plain_features(backbone, template) for template in trainer.templates()]).mean(dim=0)
    torch.testing.assert_close(trainer.text_features, F.normalize(mean, dim=-1), rtol=1e-4, atol=1e-5)


def test_openais_templates_have_a_place_for_the_name():
    assert len(IMAGENET_TEMPLATES) == 80 and len(IMAGENET_TEMPLATES_SELECT) == 7
    assert all(template.count("{}") == 1 for template in IMAGENET_TEMPLATES)
    assert "a origami {}." in IMAGENET_TEMPLATES_SELECT
