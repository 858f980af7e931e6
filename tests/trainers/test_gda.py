"""GDA: the released code's classifier, its alpha, and classes without an image."""

import math

import pytest
import torch
import torch.nn.functional as F
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from support.user_error import CheckpointError
from tests.golden_cases import assert_close, golden, seeded, tuned_clip
from trainers.gda import RELEASED_ALPHA, alpha_for, discriminant

GOLDEN = golden("gda")
NAMES = GOLDEN["class_names"]
DRAWN = seeded(GOLDEN["features"]["tensors"])
LABELS = torch.tensor(GOLDEN["features"]["labels"])
QUERIES = F.normalize(DRAWN["centres"] + DRAWN["query_noise"], dim=-1)


class Views:
    """Stands in for `TrainingFeatures`: each call gives the next view."""

    def __init__(self):
        self.views = iter(DRAWN["centres"][LABELS] + DRAWN["noise"])

    def train(self, augmented, description):
        assert augmented
        return next(self.views), LABELS


def fitted(names=NAMES, **options):
    method = tuned_clip("GDA", names, **{"VIEWS": len(DRAWN["noise"]), **options}).method
    method.text_weights = 100 * DRAWN["clip_weights"].t()[: len(names)]
    method.fit(Views())
    return method


def centred(values):
    values = torch.tensor(values)
    return values - values.mean(dim=0)


def test_the_released_codes_classifier():
    method = fitted()
    assert_close(method.weight, centred(GOLDEN["weight"]).tolist())
    assert_close(method.bias, centred(GOLDEN["bias"]).tolist())


@pytest.mark.parametrize("alpha", [alpha for alpha in GOLDEN["logits"] if alpha != "chosen"])
def test_the_released_codes_logits_but_for_what_all_classes_share(alpha):
    got = fitted(ALPHA=float(alpha))(3 * QUERIES)  # the length of a feature does not count
    wanted = torch.tensor(GOLDEN["logits"][alpha])
    assert_close(got - got.mean(dim=1, keepdim=True), (wanted - wanted.mean(dim=1, keepdim=True)).tolist())


def test_with_many_features_it_is_linear_discriminant_analysis():
    """Up to the scale of the precision, which the ridge estimate has by e / (N - 1) of the plain one."""
    classes, width, count = 4, 6, 20_000
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % classes
    mixing = torch.randn(width, width, generator=generator)
    features = (
        torch.randn(classes, width, generator=generator)[labels]
        + torch.randn(count, width, generator=generator) @ mixing
    )
    oracle = LinearDiscriminantAnalysis(solver="lsqr", priors=[1 / classes] * classes).fit(features, labels)
    weight, bias = discriminant(features, labels, classes)
    scale = (count - 1) / width
    got, wanted = scale * weight.numpy(), oracle.coef_
    assert abs(got - got.mean(axis=0) - (wanted - wanted.mean(axis=0))).max() < 0.03 * abs(wanted).max()  # of the ridge
    answers = (features.double() @ weight.t() + bias).argmax(dim=1).numpy()
    assert (answers == oracle.predict(features)).mean() > 0.99


@pytest.mark.parametrize(
    ("images", "alpha"), [(0.5, 0.001), (1, 0.001), (3, 0.1), (15.9, 1.0), (16, 10.0), (500, 10.0)]
)
def test_alpha_grows_with_the_images_per_class(images, alpha):
    assert alpha_for(images) == alpha
    assert list(RELEASED_ALPHA) == sorted(RELEASED_ALPHA)


def test_alpha_is_that_of_the_images_not_of_their_views_and_a_given_one_is_kept(capsys):
    assert fitted().alpha == pytest.approx(RELEASED_ALPHA[2])  # two images per class, in three views
    assert capsys.readouterr().out == "alpha is 0.1, for the images per class; TRAINER.GDA.ALPHA sets another\n"
    assert fitted(ALPHA=7.0).alpha == 7.0
    assert capsys.readouterr().out == ""


def test_one_image_of_each_class_in_one_view_leaves_zero_shot_clip():
    features = F.normalize(DRAWN["centres"], dim=-1)
    weight, bias = discriminant(features, torch.arange(len(features)), len(features))
    assert torch.equal(weight, torch.zeros_like(weight))
    assert torch.equal(bias, torch.full_like(bias, -math.log(len(features))))


def test_classes_keep_their_rows_and_new_ones_are_zero_shot(capsys):
    trained = fitted(ALPHA=2.0)
    names = ["new class", NAMES[4], NAMES[1]]
    method = tuned_clip("GDA", names).method
    capsys.readouterr()
    method.load_state_dict(method.select_classes(trained.state_dict(), NAMES))
    assert capsys.readouterr().out == "1 of the 3 classes were not trained on: they have zero-shot CLIP's logits\n"
    assert torch.equal(method.weight[1:], trained.weight[[4, 1]]) and torch.equal(method.bias[1:], trained.bias[[4, 1]])
    assert method.weight[0].abs().sum() == method.bias[0] == 0 and method.alpha == 2.0
    with pytest.raises(CheckpointError, match="train again"):
        method.select_classes(trained.state_dict(), NAMES[:2])
