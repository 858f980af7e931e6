"""From a model's scores to the figures that are reported."""

import csv
import os.path as osp
from collections import OrderedDict

import numpy as np
import torch
from torch import Tensor

from dassl.utils import atomic_write, save_tensors
from dassl.utils.distributed import gather, is_main

from .build import EVALUATOR_REGISTRY
from .confusion_picture import save_confusion_picture


class EvaluatorBase:
    """Gathers what ``process`` is given; ``evaluate`` returns the metrics, the one to select a model by first."""

    def __init__(self, cfg):
        self.cfg = cfg

    def reset(self):
        raise NotImplementedError

    def process(self, mo, gt):
        raise NotImplementedError

    def evaluate(self):
        raise NotImplementedError


@EVALUATOR_REGISTRY.register()
class Classification(EvaluatorBase):
    """Accuracy and macro F1; per class and as a confusion matrix where ``cfg.TEST`` asks for it.

    Args:
        lab2cname: class name of each label, for the result per class.
    """

    def __init__(self, cfg, lab2cname: dict[int, str] | None = None, **kwargs):
        super().__init__(cfg)
        self._lab2cname = lab2cname or {}
        self.reset()

    def reset(self) -> None:
        self._y_true: list[Tensor] = []
        self._y_pred: list[Tensor] = []
        self._n_classes = 0  # that have a score

    def process(self, mo: Tensor, gt: Tensor) -> None:
        """Add a batch: scores ``mo`` (B, C) and labels ``gt`` (B,)."""
        self._n_classes = max(self._n_classes, mo.shape[1])
        self._y_true.append(gt)
        self._y_pred.append(mo.argmax(1))  # stays on its device: no wait for the GPU at every batch

    def gather(self) -> None:
        """Add what the evaluators of the other processes were given: afterwards all have all.

        A trainer that tests a share of the images in each process calls it before ``evaluate``. As it knows nothing of
        what a subclass keeps besides, a subclass is given all images in every process unless it defines its own.
        """
        none = torch.empty(0, dtype=torch.long)
        own = tuple(torch.cat([none, *(part.cpu() for part in parts)]) for parts in (self._y_true, self._y_pred))
        y_true, y_pred = zip(*gather(own), strict=True)
        self._y_true, self._y_pred = list(y_true), list(y_pred)

    def evaluate(self) -> OrderedDict:
        """Print and return accuracy, error_rate and macro_f1 in percent, and the counts correct and total."""
        y_true = torch.cat(self._y_true).cpu().numpy()
        y_pred = torch.cat(self._y_pred).cpu().numpy()
        total = len(y_true)
        n_labels = int(max(y_true.max(), y_pred.max())) + 1
        of_class = np.bincount(y_true, minlength=n_labels)  # images of each class
        correct_of_class = np.bincount(y_true[y_true == y_pred], minlength=n_labels)
        labels = np.flatnonzero(of_class)  # macro averages run over the classes that the split holds

        correct = int(correct_of_class.sum())
        accuracy = 100.0 * correct / total
        predicted = np.bincount(y_pred, minlength=n_labels)
        f1 = 2 * correct_of_class[labels] / (of_class + predicted)[labels]
        macro_f1 = 100.0 * float(f1.mean())
        results = OrderedDict(accuracy=accuracy, error_rate=100.0 - accuracy, macro_f1=macro_f1)
        print(
            "=> result\n"
            f"* total: {total:,}\n"
            f"* correct: {correct:,}\n"
            f"* accuracy: {accuracy:.1f}%\n"
            f"* error: {100.0 - accuracy:.1f}%\n"
            f"* macro_f1: {macro_f1:.1f}%"
        )

        if self.cfg.TEST.PER_CLASS_RESULT:
            results["perclass_accuracy"] = self._print_classes(labels, of_class, correct_of_class)
        if self.cfg.TEST.COMPUTE_CMAT and is_main():
            self._save_confusion_matrix(y_true, y_pred)
        results["correct"], results["total"] = correct, total
        return results

    def _print_classes(self, labels: np.ndarray, of_class: np.ndarray, correct_of_class: np.ndarray) -> float:
        print("=> per-class result")
        accuracies = []
        for label in labels.tolist():
            accuracies.append(100.0 * correct_of_class[label] / of_class[label])
            print(
                f"* class: {label} ({self._lab2cname.get(label, '?')})\t"
                f"total: {of_class[label]:,}\t"
                f"correct: {correct_of_class[label]:,}\t"
                f"acc: {accuracies[-1]:.1f}%"
            )
        mean = float(np.mean(accuracies))
        print(f"* average: {mean:.1f}%")
        return mean

    def _save_confusion_matrix(self, y_true: np.ndarray, y_pred: np.ndarray) -> None:
        """Row: true class, column: predicted one, all classes by label; each row is a share of its class.

        The row of a class without images is 0. Beside cmat.pt, cmat.csv has the same with the names of the classes,
        and cmat.png shows it.
        """
        n_classes = int(max(self._n_classes - 1, y_true.max(), y_pred.max(), *self._lab2cname)) + 1
        counts = np.bincount(n_classes * y_true + y_pred, minlength=n_classes**2).reshape(n_classes, n_classes)
        shares = counts / counts.sum(1, keepdims=True).clip(min=1)
        path = osp.join(self.cfg.OUTPUT_DIR, "cmat.pt")
        save_tensors(torch.from_numpy(shares), path)
        names = [self._lab2cname.get(label, str(label)) for label in range(n_classes)]
        with atomic_write(osp.join(self.cfg.OUTPUT_DIR, "cmat.csv")) as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["true class", *names])
            table.writerows([name, *row] for name, row in zip(names, shares.tolist(), strict=True))
        save_confusion_picture(shares, names, osp.join(self.cfg.OUTPUT_DIR, "cmat.png"))
        print(f"Confusion matrix is saved to {path}")
