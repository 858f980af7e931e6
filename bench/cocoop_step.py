"""One CoCoOp training step against the plain 77-token pass: `python -m bench.cocoop_step [--classes 100]`."""

from bench import measure, training_step

if __name__ == "__main__":
    measure.run(lambda: training_step.compare(__doc__, "cocoop", "CoCoOp", classes=100, batch=1))
