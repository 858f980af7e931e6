"""One MuDPT training step against the plain 77-token pass: `python -m bench.mudpt_step [--classes 100] [--batch 4]`."""

from bench import measure, training_step

if __name__ == "__main__":
    measure.run(lambda: training_step.compare(__doc__, "mudpt", "MuDPT", classes=100, batch=4))
