"""Tip-Adapter's cache, search and step against the numbers of its released code (tests/golden/)."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import clip
from tests.seeded_weights import seeded_images, seeded_state_dict, seeded_tensor
from trainers.imagenet_templates import IMAGENET_TEMPLATES_SELECT
from trainers.method import Task
from trainers.templates import zero_shot_weights
from trainers.tip_adapter import Cache, FixedCache

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "tip_adapter.json").read_text())
NAMES = GOLDEN["class_names"]
TOLERANCE = 2e-3  # relative


@pytest.fixture(scope="module")
def backbone():
    return clip.build_model(seeded_state_dict("vit")).requires_grad_(False)


def drawn(name):
    recipe = GOLDEN["features"]["tensors"][name]
    return seeded_tensor(tuple(recipe["shape"]), recipe["seed"], recipe["std"])


KEYS = F.normalize(drawn("keys"), dim=-1)
QUERIES = F.normalize(KEYS[GOLDEN["features"]["near_keys"]] + drawn("query_noise"), dim=-1)
VAL = F.normalize(KEYS.repeat(5, 1) + drawn("val_noise"), dim=-1)
LABELS = torch.tensor(GOLDEN["features"]["key_labels"])
IMAGES = len(LABELS)


def empty_cache(alpha=1.0, beta=1.0, names=NAMES, images=IMAGES, text_weights=None):
    """A cache for ``images``, with text weights (C, e) in the place of those of the class names."""
    backbone = clip.build_model(seeded_state_dict("vit"))
    cache = Cache(Cache.Config(INIT_ALPHA=alpha, INIT_BETA=beta), Task(names, images=images), backbone)
    if text_weights is not None:
        cache.text_weights = text_weights
    return cache


def cache(alpha=1.0, beta=1.0):
    """The golden cache and its text features times 100."""
    cache = empty_cache(alpha, beta, text_weights=100 * drawn("clip_weights").t())
    cache.fill(KEYS, LABELS)
    return cache


def assert_close(got, golden, scale=None):
    golden = torch.tensor(golden)
    assert (got - golden).abs().max() <= TOLERANCE * (scale or golden.abs().max())


def assert_shown(got, golden):
    assert abs(got.norm().item() - golden["norm"]) <= TOLERANCE * golden["norm"]
    assert_close(got.flatten()[golden["indices"]], golden["values"], golden["norm"])


def test_the_text_features_are_the_mean_of_the_templates(backbone):
    golden = GOLDEN["classifier"]
    assert_close(zero_shot_weights(backbone, NAMES, golden["templates"]).t() / 100, golden["weights"])


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: f"alpha{case['alpha']}-beta{case['beta']}")
def test_the_released_codes_logits_loss_gradients_and_step(case):
    model = cache(case["alpha"], case["beta"])
    logits = model(3 * QUERIES)  # the length of a feature does not count
    assert_close(logits, case["logits"])
    assert_close(logits.detach() - model.zero_shot(QUERIES), case["scaled_cache_logits"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=case["lr"], eps=1e-4)
    loss = F.cross_entropy(logits, torch.tensor(GOLDEN["features"]["query_labels"]))
    assert_close(loss, case["loss"])
    loss.backward()
    assert_shown(model.keys.grad, case["grads"]["weight"])
    optimizer.step()
    assert_shown(model.keys, case["weight_after_step"])


def test_the_search_finds_what_the_released_code_finds():
    golden, model = GOLDEN["search"], cache()
    accuracy = model.search(VAL, LABELS.repeat(5), tuple(golden["search_scale"]), tuple(golden["search_step"]))
    assert accuracy == pytest.approx(golden["accuracy"])
    assert (model.alpha.item(), model.beta.item()) == pytest.approx((golden["best_alpha"], golden["best_beta"]))


def test_the_search_is_that_of_two_loops_where_the_cache_matters():
    model, labels = cache(), torch.arange(len(VAL)) % len(NAMES)
    steps, largest = (6, 5), (4.0, 300.0)
    wanted = (-1, 0, 0)
    for i in range(steps[0]):
        for k in range(steps[1]):
            beta, alpha = 0.1 + i * 3.9 / 6, 0.1 + k * 299.9 / 5
            model.beta.fill_(beta), model.alpha.fill_(alpha)
            correct = (model(VAL).argmax(dim=-1) == labels).sum().item()
            wanted = max(wanted, (correct, alpha, beta), key=lambda found: found[0])  # the first of equals
    assert wanted[1] > 0.1  # or the test would tell nothing
    assert model.search(VAL, labels, largest, steps) == pytest.approx(100 * wanted[0] / len(VAL))
    assert (model.alpha.item(), model.beta.item()) == pytest.approx(wanted[1:])


def test_a_key_is_the_mean_of_an_images_views(backbone):
    golden = GOLDEN["cache"]
    views = [backbone.encode_image(seeded_images("vit", golden["image_count"], seed)) for seed in golden["image_seeds"]]
    model = empty_cache(names=["a", "b"], images=golden["image_count"])
    model.fill(torch.stack(views).mean(dim=0), torch.tensor(golden["labels"]))
    assert_close(model.keys, golden["keys"])
    assert F.one_hot(model.labels).tolist() == golden["values"]


def test_keys_of_unknown_classes_are_left_out_and_new_classes_stay_zero_shot(capsys):
    trained = cache(2.0, 5.5)
    names = ["new class", NAMES[4], NAMES[1]]
    weights = torch.cat([torch.ones(1, 32), trained.text_weights[[4, 1]]])
    model = empty_cache(names=names, images=3, text_weights=weights)
    tensors = model.select_classes(trained.state_dict(), NAMES)
    kept = sum(label in (1, 4) for label in LABELS.tolist())
    told = f"{kept} of {len(LABELS)} cached images are of classes of this test; 1 of its 3 classes have none\n"
    assert capsys.readouterr().out == told
    cache().select_classes(trained.state_dict(), NAMES)
    assert capsys.readouterr().out == ""
    model.load_state_dict(tensors)
    logits = model(QUERIES)
    torch.testing.assert_close(logits[:, 1:], trained(QUERIES)[:, [4, 1]])
    torch.testing.assert_close(logits[:, 0], model.zero_shot(QUERIES)[:, 0])


@pytest.mark.parametrize(
    ("dataset", "own", "templates"),
    [
        ("ImageNet", "", IMAGENET_TEMPLATES_SELECT),
        ("ImageNetSketch", "", IMAGENET_TEMPLATES_SELECT),
        ("ImageNet", "one {}.", ["one {}."]),
        ("EuroSAT", "", ["a centered satellite photo of {}."]),
    ],
)
def test_imagenet_has_seven_templates(dataset, own, templates, backbone):
    method = FixedCache(FixedCache.Config(), Task(NAMES, dataset, own, 3), backbone)
    torch.testing.assert_close(method.text_weights, zero_shot_weights(backbone, NAMES, templates))
    assert not any(parameter.requires_grad for parameter in method.parameters())
