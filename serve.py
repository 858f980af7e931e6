"""A page on this computer where one drops an image and sees its classes, with bars.

    python serve.py output/image_folder-mine/MuDPT/tiny_16shots/seed1

Only this computer can open it (127.0.0.1). It needs the package gradio, whose analytics and sharing are off.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
from contextlib import redirect_stdout

from support import standard_streams
from support.user_error import ConfigError, DataError, OneLineParser, exit_code

# PyTorch takes seconds to import: what needs it is imported where it is used.

HOST = "127.0.0.1"
SHOWN = 10  # classes


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = OneLineParser(prog="serve.py", description="Classify images on a local page.")
    parser.add_argument("run", type=os.path.expanduser, help="output folder of a run, or of a saved model")
    parser.add_argument("--port", type=int, default=7860, help="of the page (7860)")
    parser.add_argument("--device", default="", help="cpu or cuda (default: a GPU where there is one)")
    return parser.parse_args(argv)


def page(tuned):
    """The page of a `TunedCLIP`, not yet served."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported
    import gradio

    def classify(path: str | None) -> tuple[str | None, dict[str, float] | None]:
        if path is None:
            return None, None
        try:
            image = tuned.preprocess.read(path)
        except DataError as error:
            raise gradio.Error(str(error).replace(path, os.path.basename(path)), print_exception=False) from error
        return path, dict(zip(tuned.class_names, tuned.probabilities(image[None])[0].tolist(), strict=True))

    title = f"{tuned.record.trainer}: {len(tuned.class_names)} classes"
    with gradio.Blocks(title=title, analytics_enabled=False) as blocks, gradio.Row():
        with gradio.Column():
            # gradio.Image would hand over a converted copy; this is the file, and is read as a test reads it
            file = gradio.File(label="Image", file_types=["image"])
            shown = gradio.Image(show_label=False, interactive=False, buttons=[])
        answer = gradio.Label(label="Classes", num_top_classes=SHOWN)
        file.change(classify, file, [shown, answer], api_visibility="private")
    return blocks


def serve(args: argparse.Namespace) -> int:
    """Show the page until the program is stopped."""
    if not 1 <= args.port <= 65535:
        raise ConfigError(f"--port {args.port}: choose one from 1 to 65535")
    if importlib.util.find_spec("gradio") is None:
        raise ConfigError("serve.py needs gradio, not installed here: pip install gradio")
    with redirect_stdout(sys.stderr):
        from trainers.tuned_clip import TunedCLIP

        tuned = TunedCLIP.load(args.run, device=args.device or None)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder  # dropped images end with the program
        blocks = launch(page(tuned), args.port)
        print(f"{blocks.local_url} shows {args.run}, Ctrl+C ends it", flush=True)
        blocks.block_thread()
    return 0


def launch(blocks, port: int):
    """Serve a page on this computer; returns it.

    Raises:
        ConfigError: the port is in use.
    """
    import gradio

    try:
        blocks.launch(
            server_name=HOST,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            theme=gradio.themes.Default(font="sans-serif", font_mono="monospace"),  # the usual fonts are fetched
            footer_links=[],
            ssr_mode=False,
            pwa=False,
        )
    except OSError as error:
        raise ConfigError(f"port {port} of {HOST} is in use: name another with --port") from error
    return blocks


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    return exit_code(lambda: serve(args))


if __name__ == "__main__":
    sys.exit(standard_streams.run(main))
