"""The worked port in docs/porting.md trains and is loaded again as it is written there."""

import json
import re

import pytest

from tests import warm_command
from tests.small_data import few_digits
from tests.tree import copy_tree

SHORT = ["OPTIM.MAX_EPOCH", "1", "OPTIM.WARMUP_EPOCH", "0", "DATASET.NUM_SHOTS", "4"]


@pytest.fixture
def document(root):
    return (root / "docs/porting.md").read_text()


def test_the_worked_port_trains_and_its_checkpoint_tests_the_same(document, root, tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", document, flags=re.DOTALL)
    assert len(code.splitlines()) <= 60
    few_digits(copy_tree(tmp_path) / "data")
    (tmp_path / "trainers" / "adapters.py").write_text(code)
    command = re.search(r"train\.py (--root data --seed 1 --trainer Adapters.*?)\n\n", document, flags=re.DOTALL)[1]
    arguments = [*command.replace("\\\n", " ").split(), *SHORT]
    at = arguments.index("--output-dir") + 1
    trained = arguments[at]

    def run(arguments):
        done = warm_command.run(["train.py", *arguments], tmp_path)
        assert done.returncode == 0, done.stderr
        results = json.loads((tmp_path / arguments[at] / "results.json").read_text())
        assert results["learned_parameters"] > 0
        return results["metrics"]

    first = run(arguments)
    model = tmp_path / trained / "prompt_learner"
    assert first["accuracy"] > 50 and (model / "model.pth.tar-1").is_file()
    arguments[at] = "output/tested"
    assert run([*arguments[: at + 1], "--eval-only", "--model-dir", trained, *arguments[at + 1 :]]) == first


def test_every_file_it_names_exists(document, root):
    named = set(re.findall(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|md|sh|yaml))`", document)) - {"trainers/adapters.py"}
    assert named and [name for name in sorted(named) if not (root / name).exists()] == []
