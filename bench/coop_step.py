"""One CoOp training step against the plain 77-token pass: `python -m bench.coop_step [--classes 100] [--batch 32]`."""

from bench import measure, training_step

if __name__ == "__main__":
    measure.run(lambda: training_step.compare(__doc__, "coop", "CoOp", classes=100, batch=32))
