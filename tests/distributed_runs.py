"""Runs of train.py one after the other in the processes of one torchrun, with a third party's trainers and evaluator.

    torchrun --nproc_per_node=2 distributed_runs.py RUNS.json CODES

RUNS.json holds the argument lists; CODES.<rank> gets the exit codes. The tests import this file to run
these trainers in one process.
"""

import json
import os
import signal
import sys
from collections import OrderedDict
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parents[1]))

import train
from dassl.data.datasets import DATASET_REGISTRY
from dassl.engine import TRAINER_REGISTRY, TrainerX
from dassl.evaluation import EVALUATOR_REGISTRY, Classification
from dassl.metrics import compute_accuracy
from datasets.digits import Digits

RANK = os.environ.get("RANK", "0")


@DATASET_REGISTRY.register(force=True)
class OneTestImage(Digits):
    def __init__(self, cfg):
        super().__init__(cfg)
        self._test = self._test[:1]


@EVALUATOR_REGISTRY.register(force=True)
class ImagesSeen(Classification):
    """Knows nothing of other processes."""

    def process(self, mo, gt):
        super().process(mo, gt)
        self.seen = getattr(self, "seen", 0) + len(gt)

    def evaluate(self):
        return OrderedDict(accuracy=super().evaluate()["accuracy"], total=self.seen)


@TRAINER_REGISTRY.register(force=True)
class CoOpStyle(TrainerX):
    """A linear layer on the pixels, trained with a scaler of its own, without `model_backward_and_update`.

    Writes into the output folder what each process was given and drew.
    """

    def build_model(self):
        self.model = torch.nn.Linear(3 * 32 * 32, self.num_classes).to(self.device)
        self.optim = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)
        self.sched = torch.optim.lr_scheduler.ConstantLR(self.optim)
        self.register_model("classifier", self.model, self.optim, self.sched)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.device.type == "cuda")
        self.record = []

    def forward_backward(self, batch):
        images, labels, _ = self.parse_batch_train(batch)
        output = self.model_inference(images)
        loss = F.cross_entropy(output, labels) + self.failure()
        self.optim.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optim)
        self.scaler.update()
        self.record.append({"images": batch["index"].tolist(), "drawn": torch.rand(1).item()})
        return {"loss": loss.item(), "acc": compute_accuracy(output, labels)[0].item()}

    def failure(self):
        return 0.0

    def model_inference(self, images):
        return self.model(images.flatten(1))

    def after_train(self):
        super().after_train()
        record = {"steps": self.record, "weights": self.model.weight.double().sum().item()}
        Path(self.output_dir, f"rank{RANK}.json").write_text(json.dumps(record))


@TRAINER_REGISTRY.register(force=True)
class NaNOnOne(CoOpStyle):
    def failure(self):
        return float("nan") if RANK == "1" and self.epoch == 1 else 0.0


@TRAINER_REGISTRY.register(force=True)
class BugOnOne(CoOpStyle):
    def failure(self):
        if RANK == "1":
            raise ZeroDivisionError("a bug in one process")
        return 0.0


@TRAINER_REGISTRY.register(force=True)
class StoppedOnOne(CoOpStyle):
    """Once, in its second epoch."""

    def failure(self):
        if RANK == "1" and self.start_epoch == 0 and (self.epoch, self.batch_idx) == (1, 1):
            os.kill(os.getpid(), signal.SIGTERM)
        return 0.0


def code_of(arguments: list[str]) -> int:
    try:
        return train.run(arguments)
    except ZeroDivisionError as error:
        print(f"traceback: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    codes = [code_of(arguments) for arguments in json.loads(Path(sys.argv[1]).read_text())]
    Path(f"{sys.argv[2]}.{RANK}").write_text(json.dumps(codes))
