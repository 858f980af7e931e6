"""The images that upstream CoOp lists for training, validation and test are the images listed here."""

import json
import random
from pathlib import Path

import pytest

from tests.datasets.fake_trees import TREES, arguments_of, as_lists, digest_of, make_tree

GOLDEN = json.loads(Path(__file__).parents[1].joinpath("golden/dataset_lists.json").read_text())["datasets"]
WITH_SPLIT_FILE = [tree for tree, golden in GOLDEN.items() if golden["split_file"]]


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """Return a function that gives the data root of a tree, made once."""
    made = {}

    def root_of(tree):
        if tree not in made:
            made[tree] = tmp_path_factory.mktemp("data")
            make_tree(tree, made[tree])
        return made[tree]

    return root_of


@pytest.fixture
def lists(build, roots):
    """Return a function that gives the lists of a tree for a key."""

    def lists(tree, key, root=None):
        root = root or roots(tree)
        return as_lists(build(tree.split()[0], *arguments_of(key), root=root), root)

    return lists


def test_every_tree_has_an_answer():
    assert list(GOLDEN) == list(TREES)
    assert all(len(golden["subsets"]) == 18 for golden in GOLDEN.values())


@pytest.mark.parametrize("tree", GOLDEN)
def test_the_split_is_upstreams_whatever_the_seed_of_the_run(tree, lists):
    assert digest_of(lists(tree, "-1 2 all")) == GOLDEN[tree]["split"]


@pytest.mark.parametrize("tree", GOLDEN)
def test_listed_few_shot_subsets_are_upstreams(tree, lists):
    for key, expected in GOLDEN[tree]["lists"].items():
        assert lists(tree, key) == expected, key


@pytest.mark.parametrize("tree", GOLDEN)
def test_few_shot_subsets_are_upstreams(tree, lists):
    random.seed(99)  # the subset must not depend on the global generator
    for key, digest in GOLDEN[tree]["subsets"].items():
        assert digest_of(lists(tree, key)) == digest, key
    assert random.random() == random.Random(99).random(), "the global generator was used"


@pytest.mark.parametrize("tree", WITH_SPLIT_FILE)
def test_a_split_file_that_upstream_wrote_is_enough(tree, lists, tmp_path):
    """Here is what upstream writes; without annotations the same images are drawn from it."""
    make_tree(tree, tmp_path)
    lists(tree, "-1 1 all", tmp_path)
    (path,) = tmp_path.glob("*/split_zhou_*.json")
    content = json.loads(path.read_text())
    assert digest_of(content) == GOLDEN[tree]["split_file"]
    path.write_text(json.dumps(content, indent=4, separators=(",", ": ")))
    for other in tmp_path.rglob("*.*"):
        if other.suffix in (".txt", ".mat", ".json") and other != path:
            other.unlink()
    for key in ("1 2 all", "16 3 base", "16 1 new"):
        assert digest_of(lists(tree, key, tmp_path)) == GOLDEN[tree]["subsets"][key], key
