"""Fetch and lay out the data sets that a program can fetch, and say what is left for you to bring.

    python -m datasets.prepare dtd eurosat           into $DATA or data/
    python -m datasets.prepare caltech101 --root /path/to/data

Archives come over HTTPS into <root>/downloads/<data set>/ and are checked against their published hashes. One that you
put there yourself, under its published name, is checked and used in the same way: so StanfordCars can be prepared,
which its authors no longer serve. A download that was stopped goes on where it was. Nothing that is in a data set's
folder is changed; Fashion-MNIST's images are written as PNG files beside the published ones. ImageNet, UCF101's frames
and CoOp's split files need an account or a browser: you are told what to put where.

Exit code: 0 if all that a program can fetch is there, 1 if something failed, 2 for wrong arguments.
"""

import argparse
import os
import sys

from datasets.check.inspection import canonical_name, inspect, located, resolve
from datasets.check.report import render
from datasets.generated_dataset import GeneratedDataset
from datasets.sources import SOURCES
from support import standard_streams
from support.user_error import DataError, OneLineParser, exit_code

from .layout import lay_out


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = OneLineParser(
        prog="python -m datasets.prepare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    root = os.environ.get("DATA") or "data"
    parser.add_argument("names", nargs="+", metavar="NAME", help=f"data set: {', '.join(SOURCES)}")
    parser.add_argument(
        "--root", type=os.path.expanduser, default=root, help="folder of the datasets ($DATA, else data)"
    )
    parser.add_argument("--keep-archives", action="store_true", help="do not delete what was downloaded")
    return parser.parse_args(argv)


def prepare(name: str, root: str, keep_archives: bool = False, scheme: str = "https") -> bool:
    """Lay out a data set and print what is there then; return whether all its images can be read.

    Raises:
        UserError: see `lay_out`; or what was laid out, and is to become images, is damaged.
    """
    name, cfg = resolve(name, root)
    dataset, source = located(cfg), SOURCES[name]
    if source.archives and not source.missing_archives(dataset.dataset_dir):
        print(f"{name}: already laid out in {dataset.dataset_dir}")
    lay_out(name, source, root, dataset.dataset_dir, keep_archives, scheme)
    if isinstance(dataset, GeneratedDataset):
        dataset.prepare()
    found = inspect(name, cfg)
    print(render([found]), flush=True)
    return not found.unreadable


def prepare_all(args: argparse.Namespace) -> int:
    names = dict.fromkeys(canonical_name(name) for name in args.names)
    for name in names:
        if name not in SOURCES:
            raise DataError(f'"{name}" needs no preparation: choose {", ".join(SOURCES)}')
    codes = [exit_code(lambda name=name: int(not prepare(name, args.root, args.keep_archives))) for name in names]
    return int(any(codes))


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        return exit_code(lambda: prepare_all(args))
    except KeyboardInterrupt:
        print("stopped: the same command goes on from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(standard_streams.run(main))
