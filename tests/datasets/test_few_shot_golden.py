"""The images that upstream CoOp draws for a seed are the images drawn here."""

import hashlib
import json
import random
from pathlib import Path

import pytest

GOLDEN = json.loads(Path(__file__).parents[1].joinpath("golden/few_shot_subsets.json").read_text())


@pytest.fixture
def trees(tmp_path, make_images):
    for folder, classes in GOLDEN["images"].items():
        make_images(folder, classes)
    for path, text in GOLDEN["texts"].items():
        tmp_path.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
        tmp_path.joinpath(path).write_text(text)


def digest_of(lists):
    return hashlib.sha256(json.dumps(lists, separators=(",", ":")).encode()).hexdigest()


@pytest.mark.parametrize("name", GOLDEN["datasets"])
def test_the_split_is_upstreams_whatever_the_seed_of_the_run(name, trees, build, as_lists):
    assert digest_of(as_lists(build(name, seed=2))) == GOLDEN["datasets"][name]["split"]


@pytest.mark.parametrize("name", GOLDEN["datasets"])
def test_listed_few_shot_subsets_are_upstreams(name, trees, build, as_lists):
    for key, lists in GOLDEN["datasets"][name]["lists"].items():
        shots, seed, subsample = key.split()
        assert as_lists(build(name, int(shots), int(seed), subsample)) == lists


@pytest.mark.parametrize("name", GOLDEN["datasets"])
def test_few_shot_subsets_are_upstreams(name, trees, build, as_lists):
    random.seed(99)  # the subset must not depend on the global generator
    for key, digest in GOLDEN["datasets"][name]["subsets"].items():
        shots, seed, subsample = key.split()
        assert digest_of(as_lists(build(name, int(shots), int(seed), subsample))) == digest, key
    assert random.random() == random.Random(99).random(), "the global generator was used"
