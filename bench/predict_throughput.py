"""predict.py against the test of a run: `python -m bench.predict_throughput [--images 3000] [--workers 2]`.

Both sides answer the same generated JPEGs of 300x200 with the same model, batch and number of workers, in turns, in one
process, so without imports. The reference is the test of `train.py --eval-only`, without making its model and its
lists; this project's side is `predict.py` with a folder, listing it and the CSV file included, without loading the
model.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import torch

import predict
import train
from bench import measure
from bench.loader import available_cores, noise, write_image
from trainers.tuned_clip import TunedCLIP

ROOT = Path(__file__).parents[1]
SIZE = (300, 200)
TRAINING = 4  # images of each class


def write_folder(data: Path, images: int) -> None:
    """data/photos/{train,test}/{a,b}/: few images to train on, ``images`` to test."""
    texture = noise(*SIZE)
    with ProcessPoolExecutor(available_cores()) as pool:
        for part, count in (("train", 2 * TRAINING), ("test", images)):
            for name, numbers in (("a", range(0, count, 2)), ("b", range(1, count, 2))):
                folder = data / "photos" / part / name
                folder.mkdir(parents=True)
                list(pool.map(partial(write_image, str(folder), texture), numbers))


def call_train(*arguments: str) -> None:
    if code := train.run(list(arguments)):
        raise SystemExit(code)


def seconds_of_test(run: Path, data: Path, shared: list[str]) -> float:
    tested = run.parent / "tested"
    call_train("--eval-only", "--model-dir", str(run), "--root", str(data), "--output-dir", str(tested), *shared)
    return json.loads((tested / "results.json").read_text())["seconds"]["test"]


def seconds_of_predict(run: Path, data: Path, batch: int, workers: int) -> float:
    loading, load = [], TunedCLIP.load

    def timed_load(*arguments):
        seconds, tuned = measure.timed(partial(load, *arguments))
        loading.append(seconds)
        return tuned

    words = [str(run), str(data / "photos/test"), "--output", str(run.parent / "answers.csv")]
    words += ["--batch-size", str(batch), "--workers", str(workers)]
    TunedCLIP.load = timed_load
    try:
        seconds, code = measure.timed(partial(predict.main, words))
    finally:
        TunedCLIP.load = load
    if code:
        raise SystemExit(code)
    return seconds - sum(loading)


def main() -> None:
    parser = measure.argument_parser(__doc__, classes=None, batch=100, backbone=None, gpu=False)
    parser.add_argument("--images", type=measure.positive, default=3000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--trainer", default="CoOp")
    parser.add_argument("--weights", default="", help="a checkpoint of CLIP (default: the embedded one)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    shared = ["DATALOADER.NUM_WORKERS", str(args.workers), "DATALOADER.TEST.BATCH_SIZE", str(args.batch)]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        data, run = Path(folder, "data"), Path(folder, "run")
        write_folder(data, args.images)
        training = ["--root", str(data), "--seed", "1", "--trainer", args.trainer, "--output-dir", str(run)]
        training += ["--dataset-config-file", str(ROOT / "configs/datasets/image_folder.yaml")]
        training += ["--config-file", str(ROOT / f"configs/trainers/{args.trainer}/tiny.yaml")]
        training += ["DATASET.DIR", "photos", "DATASET.NUM_SHOTS", str(TRAINING), "OPTIM.MAX_EPOCH", "1"]
        if args.weights:
            training += ["MODEL.BACKBONE.NAME", "", "MODEL.BACKBONE.PATH", args.weights, "INPUT.SIZE", "(224, 224)"]
        call_train(*training, "TEST.NO_TEST", "True", *shared)
        seconds_of_predict(run, data, args.batch, args.workers)  # warms up
        seconds = []
        for _ in range(args.pairs):
            tested = seconds_of_test(run, data, shared)
            seconds.append((tested, seconds_of_predict(run, data, args.batch, args.workers)))
    pairs = measure.Pairs(seconds, {}, {})
    measure.print_table(
        f"{args.images} images of 300x200, {args.workers} workers; {measure.machine(args.threads)}",
        [
            ["test, images/s", args.images / pairs.reference],
            ["predict.py, images/s", args.images / pairs.ours],
            ["ratio (median of pairs)", pairs.ratio],
        ],
    )


if __name__ == "__main__":
    measure.run(main)
