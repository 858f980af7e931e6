"""Classify images with a tuned model: nothing but the run's folder is needed, no dataset and no configuration.

    python predict.py output/image_folder-mine/MuDPT/tiny_16shots/seed1 holiday/ cat.jpg --output predictions.csv

Images are files, folders with images anywhere below them, text files (.txt) with one path per line, or "-" for such a
list on standard input. The answer is a CSV file: path, prediction, probability, and for --top-k prediction_2,
probability_2 and so on. Images that cannot be read are listed at the end, on standard error; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout

from support import standard_streams
from support.folders import walk
from support.user_error import ConfigError, DataError, OneLineParser, exit_code

# PyTorch takes seconds to import: what needs it is imported where it is used.


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    path = os.path.expanduser
    parser = OneLineParser(prog="predict.py", description="Classify images with a tuned model.")
    parser.add_argument("run", type=path, help="output folder of a run, or of a saved model")
    parser.add_argument("images", type=path, nargs="+", help='files, folders, lists (.txt), or "-" for standard input')
    parser.add_argument("--output", type=path, default="", help="CSV file (default: standard output)")
    parser.add_argument("--top-k", type=int, default=1, help="how many classes to name for each image (1)")
    parser.add_argument("--classes", type=path, default="", help="text file with other class names, one per line")
    parser.add_argument("--batch-size", type=int, default=100, help="images per forward pass (100)")
    parser.add_argument("--workers", type=int, default=4, help="processes that read images (4), at most one a core")
    parser.add_argument("--device", default="", help="cpu or cuda (default: a GPU where there is one)")
    return parser.parse_args(argv)


def find_images(places: list[str]) -> list[str]:
    """Paths of the images that the command line names, in its order; those of a folder sorted.

    Raises:
        DataError: a folder or a list cannot be read, or there is no image.
    """
    paths = [path for place in places for path in _images_at(place)]
    if not paths:
        raise DataError(f"no images in {' '.join(places)}: name files, folders or lists of images")
    return paths


def _images_at(place: str) -> Iterator[str]:
    from dassl.utils.image_formats import is_image

    if place == "-":
        yield from _lines(sys.stdin.read())
    elif os.path.isdir(place):
        found = walk(place)
        yield from filter(is_image, sorted(found.files + found.dead))  # a dead link is an image that cannot be read
    elif place.lower().endswith(".txt"):
        yield from _lines(_read_text(place))
    else:
        yield place


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _read_text(path: str) -> str:
    from datasets.own_images import read_text

    return read_text(path)


def read_class_names(path: str) -> list[str]:
    """The lines of a text file. Raises DataError where there are fewer than two, or CLIP reads two as one."""
    from datasets.class_names import both, tokens

    names = _lines(_read_text(path))
    if len(names) < 2:
        raise DataError(f"{path} names {len(names)} class(es), two or more are needed: write one per line")
    first: dict[tuple[int, ...], str] = {}
    for name in names:
        if tokens(name) in first:
            raise DataError(f"{path} has one class twice, {both(first[tokens(name)], name)}: remove one")
        first[tokens(name)] = name
    return names


def header(top_k: int) -> list[str]:
    columns = ["path", "prediction", "probability"]
    for k in range(2, top_k + 1):
        columns += [f"prediction_{k}", f"probability_{k}"]
    return columns


def predict(args: argparse.Namespace) -> int:
    """Write the answers; returns the exit code."""
    if args.top_k < 1 or args.batch_size < 1 or args.workers < 0:
        raise ConfigError("--top-k and --batch-size must be at least 1, --workers at least 0")
    names = read_class_names(args.classes) if args.classes else None
    paths = find_images(args.images)
    with redirect_stdout(sys.stderr):
        from trainers.tuned_clip import TunedCLIP

        tuned = TunedCLIP.load(args.run, names, args.device or None)
    top_k = min(args.top_k, len(tuned.class_names))
    unread = []
    if args.output:
        from dassl.utils.atomic import atomic_write

        with atomic_write(args.output) as file:
            write_answers(file, tuned, paths, top_k, args, unread)
    else:
        write_answers(sys.stdout, tuned, paths, top_k, args, unread)
    for message in unread:
        print(message, file=sys.stderr)
    if unread:
        print(f"{len(unread)} of {len(paths)} images could not be read", file=sys.stderr)
    return 1 if unread else 0


def write_answers(file: io.TextIOBase, tuned, paths: list[str], top_k: int, args, unread: list[str]) -> None:
    """Write the CSV rows of the images that can be read, and collect the reasons of the others in ``unread``."""
    from dassl.utils import progress_bar

    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(header(top_k))
    answers = tuned.predict_files(paths, args.batch_size, min(args.workers, len(paths) // args.batch_size))
    for i, answer in progress_bar(answers, total=len(paths), desc="predict", unit="image"):
        if isinstance(answer, str):
            unread.append(answer)
            continue
        values, classes = answer.topk(top_k)
        row = [paths[i]]
        for value, label in zip(values.tolist(), classes.tolist(), strict=True):
            row += [tuned.class_names[label], f"{value:.6f}"]
        rows.writerow(row)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    return exit_code(lambda: predict(args))


if __name__ == "__main__":
    sys.exit(standard_streams.run(main))
