"""CoCoOp's evaluation, where each image has prompts of its own: `python -m bench.cocoop_evaluation [--images 100]`.

The reference takes one image after the other, as the released code does, so its time for fewer images is enough:
with ``--reference-images`` both sides are compared by their time per image.
"""

from __future__ import annotations

import torch

from bench import flops, measure, sides


def main() -> None:
    parser = measure.argument_parser(__doc__, classes=100, batch=None)
    parser.add_argument("--images", type=measure.positive, default=100, help="one batch")
    parser.add_argument("--reference-images", type=measure.positive, help="default: all")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    both = sides.build("cocoop", args.classes, args.backbone, args.device, args.precision)
    rate = measure.matrix_rate(args.device, args.precision)
    images = both.images(args.images)
    few = images[: args.reference_images]
    pairs = measure.in_turns(
        lambda: both.evaluate(both.reference, few), lambda: both.evaluate(both.ours, images), args.pairs
    )
    pairs = pairs.per_image(len(few), len(images))
    rate = max(rate, measure.matrix_rate(args.device, args.precision))
    image, text = flops.image_encoder(both.state), flops.text_encoder(both.state, both.text)
    measure.print_table(
        f"CoCoOp evaluation, seconds per image, {args.backbone}, {args.classes} classes, {len(images)} image(s), "
        f"reference {len(few)}, {args.precision}, {args.pairs} pair(s); {measure.machine(args.threads, args.device)}",
        measure.comparison_rows(pairs, image.of_forward + text.of_forward, rate),
    )


if __name__ == "__main__":
    measure.run(main)
