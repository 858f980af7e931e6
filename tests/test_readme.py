"""What the README shows works as it is written there."""

import re
import shutil
import subprocess
import sys

import pytest


@pytest.fixture
def readme(root):
    return (root / "README.md").read_text()


def test_the_example_of_a_new_method_is_short_and_runs(readme, root, tmp_path):
    code = re.search(r"```python\n(.*?)```", readme, flags=re.DOTALL)[1]
    assert len(code.splitlines()) < 60
    for name in ("clip", "comparison", "dassl", "datasets", "support", "trainers", "configs"):
        shutil.copytree(root / name, tmp_path / name)
    for file in root.glob("*.py"):
        shutil.copy(file, tmp_path)
    (tmp_path / "trainers" / "visual_prompts.py").write_text(code)
    command = re.search(r"train\.py (--root data --seed 1 --trainer VisualPrompts.*?)\n\n", readme, flags=re.DOTALL)[1]
    arguments = command.replace("\\\n", " ").split()
    done = subprocess.run(
        [sys.executable, "train.py", *arguments, "OPTIM.MAX_EPOCH", "1"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "output/digits/VisualPrompts/tiny_16shots/seed1/results.json").is_file()


def test_every_file_it_names_exists(readme, root):
    named = set(re.findall(r"`((?:[\w.-]+/)*[\w.-]+\.(?:py|md|sh|yaml))`", readme))
    named |= set(re.findall(r"\]\(([^)#:]+)\)", readme))
    missing = [name for name in named if not (root / name).exists() and name not in ("trainers/visual_prompts.py",)]
    bare = [name for name in missing if "/" not in name]  # a file of a folder that the sentence names
    assert sorted(set(missing) - set(bare)) == []
