"""Many runs: `base2new`, `few_shot`, `cross_dataset` and `domain_generalization` run them, `report` shows them.

    python benchmark.py base2new --trainers ZeroshotCLIP CoOp CoCoOp MuDPT --datasets digits shapes --seeds 1 2 3
    python benchmark.py few_shot --trainers CoOp MuDPT --datasets digits --shots 1 2 4 8 16
    python benchmark.py report output/ --html report.html

Runs are those of scripts/: what one of them has finished the other skips. What all runs need, images and weights, is
looked for before the first one starts. The exit code is 0, 1 where a run failed, 2 after a mistake of the user, in one
line `error: ...` (one for each thing that is missing), 130 after Ctrl-C and 143 after SIGTERM; the same command then
goes on.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from support import standard_streams
from support.user_error import ConfigError, UserError, exit_code, print_error, shorten
from train import OneLineParser

# What needs PyTorch or matplotlib, which take seconds to import, is imported where it is used.

PROTOCOLS = {
    "base2new": "train and test on the base classes, test on the new ones",
    "few_shot": "train on a few images of every class, test on all classes",
    "cross_dataset": "train on all classes of the source data set, test on others",
    "domain_generalization": "train on the source data set, test on its shifted versions",
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = OneLineParser(prog="benchmark.py", description="Run and compare methods.")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=OneLineParser)
    for protocol, what in PROTOCOLS.items():
        command = commands.add_parser(protocol, help=what, description=what.capitalize())
        add_plan_options(command, protocol)
        add_machine_options(command)
        add_report_options(command)
        command.set_defaults(run=run_protocol)
    command = commands.add_parser("report", help="show all finished runs", description="Show all finished runs")
    command.add_argument(
        "output", type=os.path.expanduser, help="the folder of the results (output/), ours or upstream CoOp's"
    )
    add_report_options(command)
    command.add_argument(
        "--metric", metavar="KEY", default="accuracy", help="show this figure of results.json's metrics (accuracy)"
    )
    command.add_argument(
        "--columns",
        nargs="+",
        metavar="COLUMN",
        default=[],
        help='these columns, in this order, as base new H "train s"',
    )
    command.add_argument(
        "--caption",
        metavar="TEXT",
        default="",
        help="of each table: LaTeX floats with caption and label, a line in Markdown",
    )
    command.set_defaults(run=report)
    return parser.parse_args(argv)


def add_plan_options(command: argparse.ArgumentParser, protocol: str) -> None:
    command.add_argument(
        "--trainers", nargs="+", required=True, metavar="TRAINER", help="trainers, as CoOp or VPT/tiny_shallow, or all"
    )
    evaluated = protocol in ("cross_dataset", "domain_generalization")
    command.add_argument(
        "--datasets",
        nargs="+",
        metavar="DATASET",
        default=[],
        required=not evaluated,
        help="names in configs/datasets/; or the field's eleven, imagenet_variants or fifteen, or embedded (or all)"
        + (" (default: the field's, for the source imagenet)" if evaluated else ""),
    )
    if evaluated:
        command.add_argument("--source", default="imagenet", help="data set to train on (imagenet)")
    if protocol == "few_shot":
        command.add_argument("--shots", nargs="+", type=positive, default=[1, 2, 4, 8, 16], help="images per class")
    else:
        command.add_argument("--shots", nargs=1, type=positive, default=[16], help="images per class (16)")
    command.add_argument("--seeds", nargs="+", type=seed, default=[1, 2, 3], metavar="SEED", help="(1 2 3)")
    command.add_argument("--output", type=os.path.expanduser, default="output", help="folder of the results (output/)")
    command.add_argument(
        "--data",
        type=os.path.expanduser,
        default=os.environ.get("DATA") or "data",
        help="folder of the datasets ($DATA, else data/)",
    )
    command.add_argument(
        "--variant", default=os.environ.get("VARIANT", ""), help="a name, and a folder, for other settings ($VARIANT)"
    )
    command.add_argument("--set", nargs="+", default=[], metavar="KEY VALUE", help="configuration of every run")


def add_machine_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--dry-run", action="store_true", help="list the runs and how long they will take")
    command.add_argument(
        "--no-check", action="store_true", help="do not look for images and weights before the first run starts"
    )
    command.add_argument("--jobs", type=positive, help="runs at a time (one per GPU, else per core; SLURM: no limit)")
    command.add_argument("--launcher", choices=("local", "slurm"), default="local")
    slurm = command.add_argument_group("with --launcher slurm")
    slurm.add_argument("--slurm-partition", help="partition (the cluster's default)")
    slurm.add_argument("--gpus-per-job", type=int, default=0, help="GPUs of a run (0)")
    slurm.add_argument("--cpus-per-job", type=positive, default=1, help="cores of a run (1)")
    slurm.add_argument("--time", default="24:00:00", help="time limit of a run, [HOURS:]MINUTES:SECONDS (24:00:00)")
    slurm.add_argument("--slurm", nargs="+", default=[], metavar="KEY=VALUE", help="options of sbatch, as account=mine")


def add_report_options(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("the report")
    group.add_argument("--format", choices=("terminal", "markdown", "latex", "csv"), default="terminal")
    group.add_argument("--against", metavar="TRAINER", help="compare with this method, by a paired test")
    group.add_argument(
        "--html", type=os.path.expanduser, metavar="FILE", help="write a report page: tables, pictures, every run's log"
    )
    group.add_argument("--plots", type=os.path.expanduser, metavar="FOLDER", help="write the pictures as PDF and SVG")


def positive(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f'must be a number above 0, not "{text}"')
    return int(text)


def seed(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f'must be a number, not "{text}"')
    return int(text)


# Running


def run_protocol(args: argparse.Namespace) -> int:
    from comparison.plan import Plan, default_datasets, jobs_of
    from comparison.preflight import missing
    from comparison.progress import Progress, clock
    from comparison.sweep import execute, tasks_of
    from comparison.tables import Baseline

    started = time.monotonic()
    source = getattr(args, "source", "imagenet")
    datasets = args.datasets or default_datasets(args.command, source)
    if not datasets:
        raise ConfigError(f"--datasets: name the data sets to test a model of {source} on")
    if len(args.set) % 2:
        raise ConfigError(f"--set needs pairs of KEY and VALUE, not {len(args.set)} words")
    plan = Plan(
        *(args.command, args.trainers, datasets, args.shots, args.seeds, source),
        *(os.environ.get("CFG", ""), args.variant, args.set, args.data, os.path.normpath(args.output)),
    )
    tasks = tasks_of(jobs_of(plan))
    if args.against:
        Baseline(args.against).check([task.job.spec for task in tasks])
    launcher = make_launcher(args)
    if args.dry_run:
        dry_run(tasks, launcher)
        return 0
    finished = sum(task.state == "finished before" for task in tasks)
    print(
        f"{args.command}: {len(tasks)} runs, {finished} finished before, {launcher}, logs in {tasks[0].job.log.parent}",
        flush=True,
    )
    lacking = missing(task.job for task in tasks if task.state == "waiting") if not args.no_check else []
    for line in lacking:
        print_error(line)
    if lacking:
        return 2
    progress = Progress(tasks, launcher.jobs)
    signal.signal(signal.SIGTERM, interrupt)
    if args.launcher == "local":  # a closed terminal ends the runs here, and leaves those of a cluster
        signal.signal(signal.SIGHUP, interrupt)
    try:
        execute(tasks, launcher, progress)
    except KeyboardInterrupt as stop:
        progress.say("interrupted; the same command goes on with what is left")
        return code_after(stop)
    finally:
        progress.close()

    code = report_of_plan(args, tasks)
    print(f"\nresults, models and logs of every run: {plan.output}    total time: {clock(time.monotonic() - started)}")
    return tell_failures(tasks) or code


def interrupt(number: int, frame) -> None:
    """Handler of a signal that is to end all as Ctrl-C does."""
    raise KeyboardInterrupt(number)


def code_after(stop: KeyboardInterrupt) -> int:
    """The exit code after Ctrl-C, or after a signal that `interrupt` has handled."""
    return 128 + (stop.args[0] if stop.args else signal.SIGINT)


def make_launcher(args: argparse.Namespace):
    if args.launcher == "slurm":
        from comparison.slurm import Cluster

        options = dict(pair.partition("=")[::2] for pair in args.slurm)
        if "" in options.values():
            raise ConfigError(f"--slurm takes KEY=VALUE, as account=mine, not {' '.join(args.slurm)}")
        return Cluster(
            Path(args.output) / "slurm",
            jobs=args.jobs,
            partition=args.slurm_partition,
            gpus_per_job=args.gpus_per_job,
            cpus_per_job=args.cpus_per_job,
            time_limit=args.time,
            options=options,
        )
    from comparison.workers import Workers

    return Workers(args.jobs)


def dry_run(tasks: list, launcher) -> None:
    """Print the runs, what identifies them, and how long they will take by what has finished under the same folder."""
    from tabulate import tabulate

    from comparison.progress import clock
    from comparison.sweep import Estimates

    estimates = Estimates(tasks)
    seconds = [None if task.state == "finished before" else estimates.seconds(task.job) for task in tasks]
    rows = [
        [task.job, task.job.key, "finished" if task.state == "finished before" else clock(time_)]
        for task, time_ in zip(tasks, seconds, strict=True)
    ]
    print(tabulate(rows, headers=["run", "settings", "time"], disable_numparse=True))
    waiting = [time_ for task, time_ in zip(tasks, seconds, strict=True) if task.state == "waiting"]
    known = [time_ for time_ in waiting if time_ is not None]
    print(f"\n{len(tasks)} runs, {len(waiting)} to do, {launcher}")
    if known:
        count = f" for the {len(known)} whose like has finished before" if len(known) < len(waiting) else ""
        print(f"about {clock(sum(known) / min(launcher.jobs, len(known)))}{count}")
    if len(known) < len(waiting):
        print('"?": no such run has finished yet; with one of them the others can be estimated')


def report_of_plan(args: argparse.Namespace, tasks: list) -> int:
    """Show the finished runs of the plan; returns 2 where they cannot be shown as asked for."""
    from comparison.runs import check_unmixed, read_run, without_copies

    runs = [read_run(task.job.folder, task.job.output) for task in tasks if task.state in ("done", "finished before")]
    runs = [run for run in runs if run is not None]
    if runs:
        print()
        try:
            check_unmixed(runs)
            show(without_copies(runs), args)
        except UserError as error:
            return print_error(error)
    return 0


def tell_failures(tasks: list) -> int:
    """Print the end of the logs of what failed; returns 1 where anything did."""
    failed = [task for task in tasks if task.state == "failed"]
    lost = sum(task.state == "not run" for task in tasks)
    for task in failed:
        print(f"\nfailed: {task.job}; the end of {task.job.log}:")
        print("\n".join(f"    {line}" for line in task.job.last_lines()))
    if failed:
        dependent = f", so that {lost} could not test their models" if lost else ""
        print(f"\n{len(failed)} of {len(tasks)} runs failed{dependent}; the same command tries them again")
    return 1 if failed else 0


# Reporting


def report(args: argparse.Namespace) -> int:
    from comparison.runs import read_runs

    show(read_runs(Path(args.output)), args, args.metric, args.columns, args.caption)
    return 0


def show(
    runs: list, args: argparse.Namespace, metric: str = "accuracy", columns: Sequence[str] = (), caption: str = ""
) -> None:
    """Print the tables of a metric, and write the page and the pictures that were asked for."""
    from comparison.rendering import render
    from comparison.tables import all_tables

    tables = all_tables(runs, args.against, metric)
    print(render(tables, args.format, columns, caption), end="")
    lacking = [str(run.folder) for run in runs if run.at_metric(metric).score is None]
    if lacking:
        print(f"notice: {len(lacking)} of {len(runs)} runs have no {metric}: {shorten(lacking)}", file=sys.stderr)
    if args.html:
        from comparison.page import write_page

        write_page(Path(args.html), runs, tables)
        print(f"report page: {args.html}", file=sys.stderr)
    if args.plots:
        from comparison.figures import all_figures, save

        # names that LaTeX and a shell take as they are
        figures = {
            re.sub(r"[^\w.+-]+", "_", title).strip("_"): figure
            for own in all_figures(runs).values()
            for title, figure in own.items()
        }
        files = [file for suffix in ("pdf", "svg") for file in save(figures, Path(args.plots), suffix)]
        print(f"{len(files)} pictures: {args.plots}", file=sys.stderr)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        return exit_code(lambda: args.run(args))
    except KeyboardInterrupt as stop:
        print("interrupted; the same command goes on with what is left", file=sys.stderr)
        return code_after(stop)


if __name__ == "__main__":
    sys.exit(standard_streams.run(main))
