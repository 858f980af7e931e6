"""Are the datasets there, and are they what was published? Nothing is written, but for the picture of --sheet.

    python -m datasets.check                         the fifteen data sets of CoOp's paper, under $DATA or data/
    python -m datasets.check dtd imagenet --root /path/to/data
    python -m datasets.check mine/ lists/birds.csv   your own images: a folder (ImageFolder) or a list (ImageList)
    python -m datasets.check mine/ --sheet sheet.png a picture of them, as the program sees them

Counts images and classes and compares them with the published numbers, tells CoOp's split files from splits that were
made here, and decodes a sample of the images. Exit code: 0 if all that was asked for is usable and complete, 1 if
something is not, 2 for wrong arguments.
"""

import argparse
import os
import sys

from dassl.utils import progress_bar
from support import standard_streams
from support.user_error import ConfigError, OneLineParser, exit_code

from .inspection import SAMPLE, inspect, published_names, resolve
from .report import render


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = OneLineParser(
        prog="python -m datasets.check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="data sets, as in configs/datasets; folders or lists of your own")
    parser.add_argument(
        "--root",
        type=os.path.expanduser,
        default=os.environ.get("DATA") or "data",
        help="folder of the datasets ($DATA or data)",
    )
    parser.add_argument("--all", action="store_true", help=f"decode every image, not {SAMPLE} of each data set")
    parser.add_argument(
        "--sheet", metavar="FILE.png", help="write a contact sheet: images of each class, as they are read"
    )
    parser.add_argument("--verbose", action="store_true", help="whole hashes of the splits, images of every class")
    return parser.parse_args(argv)


def check(args: argparse.Namespace) -> int:
    if args.sheet and len(args.names) != 1:
        raise ConfigError(f"--sheet shows one dataset, but {len(args.names) or 'none'} is named: name one")
    if args.sheet and not args.sheet.lower().endswith(".png"):
        raise ConfigError(f"--sheet {args.sheet}: the picture is a PNG, so let its name end in .png")
    configs = dict(resolve(name, args.root) for name in args.names or published_names())
    with progress_bar(configs.items(), unit=" data sets") as bar:
        inspections = [inspect(name, cfg, args.all) for name, cfg in bar]
    print(render(inspections, args.verbose))
    if args.sheet:
        from .sheet import write_sheet

        print(f"\n{write_sheet(inspections[0], os.path.expanduser(args.sheet))}")
    return 0 if all(found.is_usable for found in inspections) else 1


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        return exit_code(lambda: check(args))
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(standard_streams.run(main))
