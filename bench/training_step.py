"""What the comparisons of one training step share: both sides in turns, then the table."""

from __future__ import annotations

import torch

from bench import flops, measure, sides


def compare(description: str, method: str, title: str, classes: int, batch: int) -> None:
    """Measure one forward and backward pass of ``method`` on both sides, by the options of the command line.

    Args:
        description: of the script, for its --help.
        method: of `sides.METHODS`.
        title: of the method, for the table.
        classes, batch: defaults of the options.
    """
    args = measure.argument_parser(description, classes, batch).parse_args()
    torch.set_num_threads(args.threads)
    both = sides.build(method, args.classes, args.backbone, args.device, args.precision)
    rate = measure.matrix_rate(args.device, args.precision)
    pairs = measure.in_turns(
        both.train_step(both.reference, args.batch), both.train_step(both.ours, args.batch), args.pairs
    )
    rate = max(rate, measure.matrix_rate(args.device, args.precision))
    operations = flops.train_step(both.state, both.text, args.batch, method, both.deep_layers)
    measure.print_table(
        f"{title} step, {args.backbone}, {args.classes} classes, batch {args.batch}, {args.precision}, "
        f"{args.pairs} pair(s); {measure.machine(args.threads, args.device)}",
        measure.comparison_rows(pairs, operations.total, rate),
    )
