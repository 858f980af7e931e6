"""A whole MuDPT evaluation against its image encoder alone: `python -m bench.mudpt_evaluation [--classes 1000]`.

Ours encodes the class names once and then the images, in batches; it is timed against the image encoder alone (also
ours, with the same prompts), batch by batch in turns. The reference encodes all names again for every batch, as the
released code does, so its time for fewer batches is enough.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import torch
from torch import Tensor

from bench import flops, measure, sides


def main() -> None:
    parser = measure.argument_parser(__doc__, classes=1000, batch=100)
    parser.add_argument("--images", type=measure.positive, default=1000)
    parser.add_argument("--reference-batches", type=measure.positive, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    both = sides.build("mudpt", args.classes, args.backbone, args.device, args.precision)
    rate = measure.matrix_rate(args.device, args.precision)
    batches = both.images(args.images).split(args.batch)
    few = batches[: args.reference_batches]

    both.evaluate(both.ours, batches[0])  # warm-up
    seconds, shares = [], []
    for _ in range(args.pairs):
        timed = [measure.timed(lambda images=images: both.evaluate(both.reference, images)) for images in few]
        whole, encoder, found = evaluation(both, batches)
        seconds.append((sum(part for part, _ in timed) / sum(map(len, few)), whole / args.images))
        shares.append(whole / encoder)
    rate = max(rate, measure.matrix_rate(args.device, args.precision))
    pairs = measure.Pairs(seconds, timed[0][1], found)

    image = flops.image_encoder(both.state, both.text.n_ctx, both.deep_layers).of_forward
    text = flops.text_encoder(both.state, both.text, both.deep_layers).of_forward / args.images
    measure.print_table(
        f"MuDPT evaluation, seconds per image, {args.backbone}, {args.classes} classes, {args.images} image(s) in "
        f"batches of {args.batch}, reference {len(few)} batch(es), {args.precision}, {args.pairs} pair(s); "
        f"{measure.machine(args.threads, args.device)}",
        [
            *measure.comparison_rows(pairs, image + text, rate),
            ["this project / its image encoder alone", statistics.median(shares)],
            ["the same of the operations needed", (image + text) / image],
        ],
    )


def evaluation(both: sides.Sides, batches: Sequence[Tensor]) -> tuple[float, float, dict[str, Tensor]]:
    """Seconds of a whole evaluation and of its image encoder alone, in turns, and the first batch's logits."""
    with torch.no_grad():
        both.learner.ctx.mul_(1)  # as a step of training would, this has the class names encoded anew
    encoders, wholes = [], []
    for images in batches:
        alone = measure.timed(lambda images=images: both.evaluate(both.encode_image, images))
        encoders.append(alone[0])
        wholes.append(measure.timed(lambda images=images: both.evaluate(both.ours, images)))
    return sum(seconds for seconds, _ in wholes), sum(encoders), wholes[0][1]


if __name__ == "__main__":
    measure.run(main)
