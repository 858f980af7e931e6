"""Few-shot curves, one file per dataset and their average, as CoOp's script of this name draws them.

    python draw_curves.py                            output/ -> main_curves/<dataset>.pdf and main_curves/average.pdf
    python draw_curves.py OUTPUT --save-dir DIRECTORY --format png

CoOp's reads a spreadsheet of its authors; this one reads the finished few-shot runs themselves: this project's by their
results.json, those of CoOp and its followers by their log.txt.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from support import standard_streams
from support.user_error import OneLineParser, ResultsError, exit_code


def draw(output: Path, folder: Path, suffix: str) -> list[Path]:
    """Draw the curves of the few-shot runs under ``output`` into ``folder``; returns the files.

    Raises:
        UserError: there is no such folder, no few-shot run that trained, or a file cannot be written.
    """
    from comparison.figures import few_shot_curves, save
    from comparison.runs import read_runs

    figures = few_shot_curves(read_runs(output))
    if not figures:
        raise ResultsError(f"no few-shot run under {output}: scripts/<method>/few_shot.sh makes some")
    return save(figures, folder, suffix)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = OneLineParser(
        prog="draw_curves.py", description="Draw accuracy over shots, for each dataset and on average."
    )
    parser.add_argument(
        "output", type=os.path.expanduser, nargs="?", default="output", help="folder that the runs wrote into (output)"
    )
    parser.add_argument(
        "--save-dir", type=os.path.expanduser, default="main_curves", help="folder for the figures (main_curves)"
    )
    parser.add_argument("--format", choices=("pdf", "svg", "png"), default="pdf", help="kind of files (pdf)")
    return parser.parse_args(argv)


def draw_all(args: argparse.Namespace) -> int:
    print("\n".join(map(str, draw(Path(args.output), Path(args.save_dir), args.format))))
    return 0


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    return exit_code(lambda: draw_all(args))


if __name__ == "__main__":
    sys.exit(standard_streams.run(main))
