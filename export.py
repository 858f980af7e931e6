"""Write a tuned model as a file that works without this project.

    python export.py output/image_folder-mine/MuDPT/tiny_16shots/seed1 exported --format onnx

docs/export.md tells what stands in FOLDER, how to use it, and which methods fit into which format.
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import redirect_stdout

from support import standard_streams
from support.user_error import OneLineParser, exit_code

# PyTorch takes seconds to import: what needs it is imported where it is used.


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    path = os.path.expanduser
    parser = OneLineParser(
        prog="export.py", description="Write a tuned model as a file that works without this project."
    )
    parser.add_argument("run", type=path, help="output folder of a run, or of a saved model")
    parser.add_argument("folder", type=path, help="folder to write, with model.json in it")
    parser.add_argument(
        "--format",
        choices=("onnx", "torch", "state_dict"),
        required=True,
        help="onnx: a graph for onnxruntime and others; torch: a program of torch.export; state_dict: CLIP's weights "
        "in OpenAI's layout, where what was learned is a change of them",
    )
    return parser.parse_args(argv)


def export(args: argparse.Namespace) -> int:
    """Write the file; returns the exit code."""
    with redirect_stdout(sys.stderr):
        from trainers.export import FORMATS, check_packages
        from trainers.export import export as write
        from trainers.tuned_clip import TunedCLIP

        check_packages(args.format)
        tuned = TunedCLIP.load(args.run, device="cpu")
        difference = write(tuned, args.folder, args.format)
    file = os.path.join(args.folder, FORMATS[args.format].file)
    print(f"{file}: read back, its logits differ from the model's by at most {difference:.1e}")
    return 0


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    return exit_code(lambda: export(args))


if __name__ == "__main__":
    sys.exit(standard_streams.run(main))
