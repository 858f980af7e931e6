"""Choose a method's settings on validation images: base-to-new over a grid of configuration values.

    python tune.py MuDPT --datasets digits letters --grid OPTIM.LR=0.0025,0.01 OPTIM.MAX_EPOCH=10,20

Each point of the grid is trained on the base classes (16 shots, every seed) and scored on the whole validation split
of the base and of the new classes. No test image is opened. The last columns rank the points by H over all data sets.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tabulate import tabulate
from tqdm import tqdm

import train
from comparison.dataset_groups import expand_datasets, require_training_images
from comparison.statistics import harmonic_mean
from support import standard_streams
from support.user_error import ConfigError, exit_code

CONFIGS = Path(__file__).parent / "configs"


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = train.OneLineParser(prog="tune.py", description="Choose a method's settings on validation images.")
    parser.add_argument("trainer")
    parser.add_argument("--config", default="tiny", help="name of a file in configs/trainers/<trainer>/")
    parser.add_argument(
        "--datasets", nargs="+", required=True, help="names in configs/datasets/, or eleven, embedded and the like"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--shots", type=int, default=16)
    parser.add_argument("--root", type=os.path.expanduser, default="data")
    parser.add_argument("--grid", nargs="*", default=[], metavar="KEY=V1,V2", help="configuration values to try")
    return parser.parse_args(argv)


def grid_points(grid: list[str]) -> list[dict[str, str]]:
    """All combinations of ["KEY=V1,V2", ...] (values are separated by "," or, where they contain one, by ";").

    Raises:
        UserError: an entry has no "=".
    """
    axes = []
    for entry in grid:
        key, equals, values = entry.partition("=")
        if not equals:
            raise ConfigError(f'--grid "{entry}": write KEY=V1,V2')
        axes.append([(key, value) for value in values.split(";" if ";" in values else ",")])
    return [dict(point) for point in itertools.product(*axes)]


def build(args: argparse.Namespace, dataset: str, seed: int, point: dict[str, str], classes: str, output: str):
    """A trainer on the base or new ``classes``, and the loader of their whole validation split."""
    from dassl.data.data_manager import build_data_loader
    from dassl.data.transforms import build_transform
    from dassl.engine import build_trainer
    from dassl.utils import set_random_seed
    from datasets.splits import subsample_classes

    options = [item for pair in point.items() for item in pair]
    cfg = train.setup_cfg(
        train.parse_args(
            [
                f"--root={args.root}",
                f"--output-dir={output}",
                f"--seed={seed}",
                f"--trainer={args.trainer}",
                f"--dataset-config-file={CONFIGS}/datasets/{dataset}.yaml",
                f"--config-file={CONFIGS}/trainers/{args.trainer}/{args.config}.yaml",
                *["DATASET.NUM_SHOTS", str(args.shots), "DATASET.SUBSAMPLE_CLASSES", classes],
                *["TEST.NO_TEST", "True", "TEST.SPLIT", "val", *options],
            ]
        )
    )
    set_random_seed(seed)
    trainer = build_trainer(cfg)
    _, val, _ = subsample_classes(trainer.dm.dataset.load_split(), classes)
    size = cfg.DATALOADER.TEST.BATCH_SIZE
    return trainer, build_data_loader(
        cfg, data_source=val, batch_size=size, tfm=build_transform(cfg, False), is_train=False
    )


def score(trainer, loader) -> float:
    """Accuracy in percent over ``loader``."""
    trainer.test_loader = loader
    return trainer.test(split="test")


def base_and_new(args: argparse.Namespace, dataset: str, seed: int, point: dict[str, str]) -> tuple[float, float]:
    """Validation accuracies of one training run on base and on new classes."""
    with tempfile.TemporaryDirectory() as output, contextlib.redirect_stdout(io.StringIO()):
        trainer, base_loader = build(args, dataset, seed, point, "base", output)
        if trainer.get_model_names():
            trainer.train()
        base = score(trainer, base_loader)
        other, new_loader = build(args, dataset, seed, point, "new", output)
        if trainer.get_model_names():
            train.load_trained(other, output, None)
        return base, score(other, new_loader)


def tune(args: argparse.Namespace) -> int:
    points = grid_points(args.grid)
    args.datasets = expand_datasets(args.datasets, "--datasets")
    require_training_images(args.datasets, "--datasets")
    header = ["settings", *args.datasets, "base", "new", "H", "s per run"]
    rows = []
    bar = tqdm(total=len(points) * len(args.datasets) * len(args.seeds), unit="run")
    for point in points:
        started, means = time.perf_counter(), []
        for dataset in args.datasets:
            runs = []
            for seed in args.seeds:
                with contextlib.redirect_stderr(io.StringIO()):
                    runs.append(base_and_new(args, dataset, seed, point))
                bar.update()
            means.append([statistics.mean(column) for column in zip(*runs, strict=True)])
        base, new = (statistics.mean(column) for column in zip(*means, strict=True))
        overall = statistics.mean(harmonic_mean(*pair) for pair in means)
        label = " ".join(f"{key.rpartition('.')[2]}={value}" for key, value in point.items()) or "as configured"
        seconds = (time.perf_counter() - started) / (len(args.datasets) * len(args.seeds))
        cells = [f"{b:.1f} / {n:.1f} / {harmonic_mean(b, n):.1f}" for b, n in means]
        rows.append([label, *cells, base, new, overall, seconds])
        tqdm.write(f"{label}: H {overall:.2f}")
    bar.close()
    rows.sort(key=lambda row: -row[-2])
    print(f"{args.trainer}, validation images: base / new / H, mean over seeds {' '.join(map(str, args.seeds))}")
    print(tabulate(rows, header, floatfmt=".1f", tablefmt="github"))
    return 0


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        return exit_code(lambda: tune(args))
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(standard_streams.run(main))
