"""Fetch and lay out the data sets that a program can fetch, and say what is left for you to bring.

    python -m datasets.prepare dtd eurosat           into $DATA or data/
    python -m datasets.prepare caltech101 --root /path/to/data
    python -m datasets.prepare sun397 --from huggingface         a copy that others keep, with CoOp's split file
    python -m datasets.prepare all --from huggingface            all fourteen of them: every one but ImageNet

Archives come over HTTPS into <root>/downloads/<data set>/ and are checked against their published hashes. One that you
put there yourself, under its published name, is checked and used in the same way: so StanfordCars can be prepared,
which its authors no longer serve. A download that was stopped goes on where it was. Nothing that is in a data set's
folder is changed; Fashion-MNIST's images are written as PNG files beside the published ones. ImageNet, UCF101's frames
and CoOp's split files need an account or a browser: you are told what to put where.

With --from huggingface they come from one repository of the Hugging Face Hub, or of the mirror that HF_ENDPOINT names,
and are checked against the hashes that the Hub tells, which are not those of the datasets' authors. Sizes are listed
and free space is looked at before the first byte is fetched.

Exit code: 0 if all that a program can fetch is there, 1 if something failed, 2 for wrong arguments.
"""

import argparse
import os
import sys

from datasets.check.inspection import canonical_name, inspect, located, resolve
from datasets.check.report import render
from datasets.generated_dataset import GeneratedDataset
from datasets.hub_copies import HUB_COPIES
from datasets.sources import SOURCES, Archive, Source
from support import standard_streams
from support.user_error import DataError, OneLineParser, exit_code

from .from_hub import announce, lay_out_copy, listing, scheme_of
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
    parser.add_argument(
        "--from",
        dest="origin",
        choices=("authors", "huggingface"),
        default="authors",
        help="whom to fetch from: the datasets' authors, or the repository that has copies of fourteen",
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
    return report(name, cfg)


def prepare_copy(name: str, root: str, archive: Archive | None, keep_archives: bool = False) -> bool:
    """Lay out a dataset from its archive on the Hub, None where all is there; otherwise as `prepare`."""
    name, cfg = resolve(name, root)
    dataset = located(cfg)
    if archive is None:
        print(f"{name}: already laid out in {dataset.dataset_dir}")
        return report(name, cfg)
    lay_out(
        name,
        Source(archives=(archive,)),
        root,
        dataset.dataset_dir,
        keep_archives,
        scheme_of(archive),
        unpack_archive=lambda archive, file, staging: lay_out_copy(archive, file, staging, dataset),
    )
    return report(name, cfg)


def report(name: str, cfg) -> bool:
    """Print what is there of a dataset; return whether all its images can be read."""
    found = inspect(name, cfg)
    print(render([found]), flush=True)
    return not found.unreadable


def prepare_all(args: argparse.Namespace) -> int:
    known = HUB_COPIES if args.origin == "huggingface" else SOURCES
    if args.names == ["all"] and args.origin == "huggingface":
        names = list(HUB_COPIES)
    else:
        names = list(dict.fromkeys(canonical_name(name) for name in args.names))
    for name in names:
        if name not in SOURCES:
            raise DataError(f'"{name}" needs no preparation: choose {", ".join(SOURCES)}')
        if name not in known:
            raise DataError(
                f'"{name}" is not in the repository of --from huggingface: choose {", ".join(known)}, or all'
            )
    if args.origin == "huggingface":
        return prepare_copies(names, args)
    codes = [exit_code(lambda name=name: int(not prepare(name, args.root, args.keep_archives))) for name in names]
    return int(any(codes))


def prepare_copies(names: list[str], args: argparse.Namespace) -> int:
    """Lay out datasets from the Hub, after all that is to be fetched was listed and has room."""

    def is_missing(name: str) -> bool:
        dataset = located(resolve(name, args.root)[1])
        return not Archive("", "", 0, parts=HUB_COPIES[name].needs).is_laid_out(dataset.dataset_dir)

    archives: dict[str, Archive] = {}

    def list_all() -> int:
        archives.update(listing(filter(is_missing, names)))
        announce(archives, args.root)
        return 0

    if any(map(is_missing, names)) and exit_code(list_all):
        return 1
    codes = [
        exit_code(lambda name=name: int(not prepare_copy(name, args.root, archives.get(name), args.keep_archives)))
        for name in names
    ]
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
