"""The linear probe: scikit-learn's regression as a module, and the search for its strength."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import clip
from tests.seeded_weights import seeded_state_dict
from trainers.linear_probe import LinearClassifier, best_c, fit
from trainers.method import Task


def clouds(classes, seed, count=30, width=5):
    """Overlapping Gaussian clouds: features (N, width) and labels (N,)."""
    random = np.random.RandomState(seed)
    labels = np.arange(count) % classes
    centres = np.random.RandomState(9).standard_normal((classes, width))
    return centres[labels] + 1.5 * random.standard_normal((count, width)), labels


@pytest.mark.parametrize("classes", [2, 4])
def test_the_module_gives_the_regressions_probabilities(classes):
    backbone = clip.build_model(seeded_state_dict("vit"))
    width = backbone.text_projection.shape[1]
    features, labels = clouds(classes, seed=0, width=width)
    wanted = LogisticRegression(C=0.3, max_iter=1000).fit(features, labels)
    names = [str(label) for label in range(classes)]
    module = LinearClassifier(LinearClassifier.Config(), Task(names), backbone)
    module.set_to(fit(features, labels, 0.3))
    new, _ = clouds(classes, seed=1, width=width)
    got = module(torch.from_numpy(new).float()).softmax(dim=-1).detach()
    np.testing.assert_allclose(got, wanted.predict_proba(new), atol=1e-4)


def search_as_written(accuracy):
    """The published search, step by step: both ends are asked for anew each time."""
    grid = [1e6, 1e4, 1e2, 1, 1e-2, 1e-4, 1e-6]
    peak = grid[int(np.argmax([accuracy(c) for c in grid]))]
    low, high = peak / 10, peak * 10
    for _ in range(8):
        middle = np.sqrt(low * high)
        if accuracy(low) < accuracy(high):
            chosen, low = high, middle
        else:
            chosen, high = low, middle
    return chosen


CURVES = {
    "peak": lambda c: -((np.log10(c) - 2.4) ** 2),
    "lower end": lambda c: -((np.log10(c) + 4.9) ** 2),
    "flat": lambda c: 0.5,
    "largest": lambda c: np.log10(c),
    "steps": lambda c: round(np.sin(np.log10(c)), 1),
}


@pytest.mark.parametrize("curve", CURVES)
def test_the_search_ends_where_the_published_one_does(curve):
    assert best_c(CURVES[curve]) == pytest.approx(search_as_written(CURVES[curve]), rel=1e-9)


def test_the_search_on_features_ends_where_the_published_one_does():
    (features, labels), (val_features, val_labels) = clouds(3, seed=2), clouds(3, seed=3)

    def accuracy(c):
        return LogisticRegression(C=c, max_iter=1000).fit(features, labels).score(val_features, val_labels)

    got = best_c(lambda c: fit(features, labels, c).score(val_features, val_labels))
    assert got == pytest.approx(search_as_written(accuracy), rel=1e-9)


def test_no_strength_is_tried_twice():
    tried = []
    best_c(lambda c: tried.append(c) or 0.0)
    assert len(tried) == len(set(tried)) <= 7 + 2 + 7
