"""Write dataset_lists.json: what upstream CoOp's dataset classes list on the folders of tests/datasets/fake_trees.py.

    python tests/golden/make_dataset_lists.py --coop <clone of KaiyangZhou/CoOp> --dassl <clone of Dassl.pytorch>

For each folder the first run has seed 1 and all images, and saves the split file; the other runs read it.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

GOLDEN = Path(__file__).with_name("dataset_lists.json")
SHOWN = "1 1 new"  # the run whose lists are kept whole, so that a failure can be read
MADE_BY = (
    "tests/golden/make_dataset_lists.py: upstream's dataset classes on the folders of tests/datasets/fake_trees.py, "
    "with os.listdir sorted and without few-shot pickles. Lists are [train, val, test] of [path under the data root, "
    "label, class name]; keys are <shots> <seed> <classes>; a digest is the SHA-256 of json.dumps(lists, "
    "separators=(',', ':')); split is made with seed 1 and all images, before the other runs, and split_file is what "
    "its file holds."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--coop", type=Path, required=True, help="clone of github.com/KaiyangZhou/CoOp")
    parser.add_argument("--dassl", type=Path, required=True, help="clone of github.com/KaiyangZhou/Dassl.pytorch")
    args = parser.parse_args()
    import_upstream(args.coop, args.dassl)
    fake_trees = import_module("fake_trees")
    golden = {
        "source": {
            "repository": "github.com/KaiyangZhou/CoOp and github.com/KaiyangZhou/Dassl.pytorch",
            "commit": [commit_of(args.coop), commit_of(args.dassl)],
            "python": platform.python_version(),
            "made_by": MADE_BY,
        },
        "datasets": {},
    }
    for tree in fake_trees.TREES:
        with tempfile.TemporaryDirectory() as root:
            golden["datasets"][tree] = answers(fake_trees, tree, Path(root))
    text = json.dumps(golden, indent=1)
    text = re.sub(r"\[\s+([^][{}]*?)\s+\]", lambda found: "[" + re.sub(r",\s+", ", ", found[1]) + "]", text)
    GOLDEN.write_text(text + "\n")


def import_upstream(coop: Path, dassl: Path) -> None:
    """Import upstream's dataset files, which register their classes, in the place of this repository's."""
    sys.path[:0] = [str(coop.resolve()), str(dassl.resolve()), str(Path(__file__).parents[1] / "datasets")]
    for name in ("gdown", "dassl.data.datasets.da", "dassl.data.datasets.dg", "dassl.data.datasets.ssl"):
        sys.modules[name] = ModuleType(name)  # downloads and other datasets, which need more packages
    listdir = os.listdir  # its order is the file system's own
    os.listdir = lambda path=".": sorted(listdir(path))
    for path in coop.glob("datasets/*.py"):
        import_module(f"datasets.{path.stem}")


def commit_of(clone: Path) -> str:
    return subprocess.check_output(["git", "-C", clone, "rev-parse", "HEAD"], text=True).strip()


def answers(fake_trees: ModuleType, tree: str, root: Path) -> dict:
    """Return the entry of `tree`, which is made under `root`."""
    fake_trees.make_tree(tree, root)
    dataset_class = import_module("dassl.data.datasets").DATASET_REGISTRY.get(tree.split()[0])

    def ask(shots: int, seed: int, which: str) -> list:
        for folder in root.glob("*/split_fewshot"):
            shutil.rmtree(folder)
        import_module("dassl.utils").set_random_seed(seed)
        settings = SimpleNamespace(ROOT=str(root), NUM_SHOTS=shots, SUBSAMPLE_CLASSES=which)
        return fake_trees.as_lists(dataset_class(SimpleNamespace(DATASET=settings, SEED=seed)), root)

    split = fake_trees.digest_of(ask(-1, 1, "all"))
    files = [json.loads(path.read_text()) for path in root.glob("*/split_zhou_*.json")]
    lists = {key: ask(*fake_trees.arguments_of(key)) for key in fake_trees.KEYS}
    return {
        "split": split,
        "split_file": fake_trees.digest_of(files[0]) if files else None,
        "subsets": {key: fake_trees.digest_of(of) for key, of in lists.items()},
        "lists": {SHOWN: lists[SHOWN]} if len(json.dumps(lists[SHOWN])) < 10000 else {},
    }


if __name__ == "__main__":
    main()
