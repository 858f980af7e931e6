"""What the README shows works as it is written there."""

import re

import pytest

from tests import warm_command
from tests.small_data import few_digits
from tests.tree import copy_tree


@pytest.fixture
def readme(root):
    return (root / "README.md").read_text()


def test_the_example_of_a_new_method_is_short_and_runs(readme, root, tmp_path):
    code = re.search(r"## A new method in one file.*?```python\n(.*?)```", readme, flags=re.DOTALL)[1]
    assert len(code.splitlines()) < 60
    few_digits(copy_tree(tmp_path) / "data")
    (tmp_path / "trainers" / "visual_prompts.py").write_text(code)
    typed = re.search(r"train\.py (--root data --seed 1 --trainer VisualPrompts.*?)\n\n", readme, flags=re.DOTALL)[1]
    arguments = typed.replace("\\\n", " ").split()
    done = warm_command.run(["train.py", *arguments, "OPTIM.MAX_EPOCH", "1", "DATASET.NUM_SHOTS", "4"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "output/digits/VisualPrompts/tiny_16shots/seed1/results.json").is_file()


def test_every_file_it_names_exists(readme, root):
    named = set(re.findall(r"`((?:[\w.-]+/)*[\w.-]+\.(?:py|md|sh|yaml))`", readme))
    named |= set(re.findall(r"\]\(([^)#:]+)\)", readme))
    missing = [name for name in named if not (root / name).exists() and name not in ("trainers/visual_prompts.py",)]
    bare = [name for name in missing if "/" not in name]  # a file of a folder that the sentence names
    assert sorted(set(missing) - set(bare)) == []
