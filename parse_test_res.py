"""Mean and spread of a figure over the log.txt files of several runs, as CoOp's script of this name prints them.

What has no log yet, or no figure in it, is left out with a warning.

    python parse_test_res.py DIRECTORY               DIRECTORY/<seed>/log.txt: runs that trained
    python parse_test_res.py DIRECTORY --test-log    the same for --eval-only runs
    python parse_test_res.py DIRECTORY --multi-exp   DIRECTORY/<experiment>/<seed>/log.txt

Reads logs of this project and of upstream Dassl.
"""

from __future__ import annotations

import argparse
import os
import sys

import numpy as np

from comparison.logs import AFTER_TEST, AFTER_TRAINING, LOG, final_value
from support import standard_streams
from support.user_error import OneLineParser, ResultsError, exit_code, user_message


def visible(directory: str) -> list[str]:
    return sorted(name for name in os.listdir(directory) if not name.startswith("."))


def summarize(directory: str, keyword: str, signal: str, ci95: bool) -> float:
    """Print the figure of every run in `directory` and their mean and spread; return the mean.

    Raises:
        UserError: no log has the figure.
    """
    names = visible(directory)
    print(f"Parsing files in {directory}")
    values, missing = [], []
    for name in names:
        log = os.path.join(directory, name, LOG)
        try:
            value = final_value(log, keyword, signal)
        except (FileNotFoundError, NotADirectoryError):  # a run that waits for its turn, or a file beside the runs
            missing.append(log)
            print(f"warning: no {log}, left out", file=sys.stderr)
            continue
        if value is None:
            print(f'warning: no "{keyword}" after "{signal}" in {log}, left out', file=sys.stderr)
        else:
            print(f"file: {log}. {keyword}: {value:.2f}%. ")
            values.append(value)
    if not values and missing:
        raise ResultsError(f"no {missing[0]} (for a folder of one folder per experiment: --multi-exp)")
    if not values:
        raise ResultsError(f'no "{keyword}" found in the logs of {directory} (for runs that only tested: --test-log)')
    mean, spread = np.mean(values), np.std(values)
    if ci95:
        spread = 1.96 * spread / np.sqrt(len(values))
    print(f"===\nSummary of directory: {directory}\n* {keyword}: {mean:.2f}% +- {spread:.2f}%\n===")
    return mean


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = OneLineParser(
        prog="parse_test_res.py", description="Mean and spread over the log.txt files of several runs."
    )
    parser.add_argument("directory", type=os.path.expanduser, help="folder with one folder per run")
    parser.add_argument("--ci95", action="store_true", help="95 %% confidence interval instead of standard deviation")
    parser.add_argument("--test-log", action="store_true", help="logs of runs that only tested")
    parser.add_argument("--multi-exp", action="store_true", help="the folder holds one folder per experiment")
    parser.add_argument("--keyword", default="accuracy", help="figure to read (accuracy, error, macro_f1, ...)")
    return parser.parse_args(argv)


def summarize_all(args: argparse.Namespace) -> int:
    signal = AFTER_TEST if args.test_log else AFTER_TRAINING
    if not args.multi_exp:
        summarize(args.directory, args.keyword, signal, args.ci95)
        return 0
    folders = [os.path.join(args.directory, name) for name in visible(args.directory)]
    means = []
    for folder in folders:
        try:
            means.append(summarize(folder, args.keyword, signal, args.ci95))
        except (NotADirectoryError, ResultsError) as error:
            print(f"warning: left out: {user_message(error)}", file=sys.stderr)
    if not means:
        raise ResultsError(f'no "{args.keyword}" found in the experiments of {args.directory}')
    print(f"Average performance\n* {args.keyword}: {np.mean(means):.2f}%")
    return 0


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    return exit_code(lambda: summarize_all(args))


if __name__ == "__main__":
    sys.exit(standard_streams.run(main))
