"""The loop over epochs, and the models, optimizers and schedulers that it trains."""

import os.path as osp

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dassl.utils import (
    CheckpointError,
    NonFiniteLossError,
    checkpoint_path,
    load_checkpoint,
    load_weights,
    restore_checkpoint,
    save_checkpoint,
    tolist_if_not,
)
from dassl.utils.distributed import average, average_gradients, is_main
from support.checkpoint_files import POINTER, numbered_checkpoints

from .resume import latest_common


class TrainerBase:
    """Hooks around a loop over epochs; subclasses fill them in.

    A run calls before_train, then for each epoch before_epoch, run_epoch and after_epoch, then after_train. What is
    registered by register_model is switched between training and evaluation, saved and loaded under its name.
    """

    def __init__(self):
        self._models: dict[str, nn.Module] = {}
        self._optims: dict[str, torch.optim.Optimizer | None] = {}
        self._scheds: dict[str, torch.optim.lr_scheduler.LRScheduler | None] = {}
        self._writer = None
        self.resumed_from: dict[str, str] = {}  # paths of the checkpoints, by model
        self.start_epoch = self.epoch = self.max_epoch = self.batch_idx = self.num_batches = 0

    # models

    def register_model(self, name: str = "model", model=None, optim=None, sched=None) -> None:
        """Register a model with its optimizer and scheduler, if it has any.

        Of several processes each averages the gradients of its parameters over all.

        Args:
            name: also the folder of its checkpoints.
        """
        assert name not in self._models, f'a model is already registered as "{name}"'
        self._models[name] = model
        self._optims[name] = optim
        self._scheds[name] = sched
        if model is not None:
            average_gradients(model)

    def get_model_names(self, names: str | list[str] | None = None) -> list[str]:
        """Return ``names`` as a list, or all registered names."""
        if names is None:
            return list(self._models)
        names = tolist_if_not(names)
        for name in names:
            assert name in self._models, f'no model is registered as "{name}", only {list(self._models)}'
        return names

    def set_model_mode(self, mode: str = "train", names=None) -> None:
        """Put models in "train" or "eval" ("test") mode."""
        if mode not in ("train", "test", "eval"):
            raise KeyError(mode)
        for name in self.get_model_names(names):
            self._models[name].train(mode == "train")

    # checkpoints

    def save_model(self, epoch: int, directory: str, is_best: bool = False, val_result=None, model_name: str = ""):
        """Write a checkpoint of every model to ``<directory>/<name>/``.

        Args:
            epoch: the epoch just finished, counted from 0.
            val_result: accuracy of this checkpoint on the val split, if known.
            model_name: file name; default model.pth.tar-<epoch + 1>.
        """
        for name, model in self._models.items():
            optim, sched = self._optims[name], self._scheds[name]
            state = {
                "state_dict": model.state_dict(),
                "epoch": epoch + 1,
                "optimizer": None if optim is None else optim.state_dict(),
                "scheduler": None if sched is None else sched.state_dict(),
                "val_result": None if val_result is None else float(val_result),
                "run": self.run_state(),
            }
            save_checkpoint(state, osp.join(directory, name), is_best=is_best, model_name=model_name)

    def resume_model_if_exist(self, directory: str) -> int:
        """Restore the last checkpoint of every model, where there is one; the one before where it is damaged.

        Returns:
            int: the epoch, counted from 0, to go on with.

        Raises:
            UserError: there are checkpoints, but none is intact, or the models have none of the same moment.
        """
        folders = {name: osp.join(directory, name) for name in self.get_model_names()}
        named = (osp.isfile(osp.join(folder, POINTER)) or numbered_checkpoints(folder) for folder in folders.values())
        if not folders or not all(named):
            print("No checkpoint found, train from scratch")
            return 0
        print(f"Found checkpoint at {directory} (will resume training)")
        done, found = latest_common(folders)
        self.resumed_from = {name: path for name, (path, _) in found.items()}
        for name, (path, checkpoint) in found.items():
            self.check_resumable(checkpoint.get("run", {}), path)
            restore_checkpoint(checkpoint, path, self._models[name], self._optims[name], self._scheds[name])
            print(f"Loaded {path} (epoch = {done})")
            try:
                self.load_run_state(checkpoint.get("run", {}))
            except (
                ArithmeticError,
                AttributeError,
                IndexError,
                KeyError,
                RuntimeError,
                TypeError,
                ValueError,
            ) as error:
                raise CheckpointError(
                    f"cannot resume from {path}: the state of its run does not fit ({type(error).__name__}: {error}); "
                    "to begin anew, choose another OUTPUT_DIR"
                ) from error
        return done

    def load_model(self, directory: str, epoch: int | None = None) -> None:
        """Load the weights of every model from ``<directory>/<name>/``.

        Args:
            directory: output folder of a run; an empty one loads nothing.
            epoch: how many epochs the checkpoint has; default the best on the val split, or else the last one.
        """
        if not directory:
            print("Note: no model is loaded, as no folder is given")
            return
        for name, model in self._models.items():
            path = checkpoint_path(osp.join(directory, name), epoch)
            checkpoint = load_checkpoint(path)
            load_weights(model, checkpoint, path)
            result = checkpoint.get("val_result")
            shown = "" if result is None else f", val_result = {result:.1f}"
            print(f'Loading weights to {name} from "{path}" (epoch = {checkpoint.get("epoch")}{shown})')

    def run_state(self) -> dict:
        """What a resumed run needs beside models, optimizers and schedulers; goes into every checkpoint."""
        return {}

    def check_resumable(self, state: dict, path: str) -> None:
        """Raise a UserError where a checkpoint's `run_state` is of a run that this one does not continue."""

    def load_run_state(self, state: dict) -> None:
        pass

    # one step

    def update_lr(self, names=None) -> None:
        """Step the schedulers: once per epoch."""
        for name in self.get_model_names(names):
            if self._scheds[name] is not None:
                self._scheds[name].step()

    def detect_anomaly(self, loss: Tensor) -> None:
        """Raise NonFiniteLossError if the loss is NaN or infinite, in any process."""
        if not torch.isfinite(average(loss.detach())).all():
            raise self.nonfinite_error("the loss is NaN or infinite", can_be_left_out=True)

    def nonfinite_error(self, what: str, can_be_left_out: bool = False) -> NonFiniteLossError:
        """The error to raise where ``what`` has happened in a step; whether a run may go on without the batch."""
        return NonFiniteLossError(f"{what} in epoch {self.epoch + 1}, batch {self.batch_idx + 1}; lower OPTIM.LR")

    def model_zero_grad(self, names=None) -> None:
        for name in self.get_model_names(names):
            if self._optims[name] is not None:
                self._optims[name].zero_grad()

    def model_backward(self, loss: Tensor) -> None:
        self.detect_anomaly(loss)
        loss.backward()

    def model_update(self, names=None) -> None:
        for name in self.get_model_names(names):
            if self._optims[name] is not None:
                self._optims[name].step()

    def model_backward_and_update(self, loss: Tensor, names=None) -> None:
        """One optimisation step on ``loss``."""
        self.model_zero_grad(names)
        self.model_backward(loss)
        self.model_update(names)

    def prograd_backward_and_update(self, loss_a: Tensor, loss_b: Tensor, lambda_=1, names=None, scaler=None) -> None:
        """One optimisation step on ``loss_a`` that, to first order, does not raise ``loss_b``.

        A parameter's gradient a of ``loss_a`` that points against its gradient b of ``loss_b`` becomes
        a - lambda_ (a . b) b / |b|^2; any other stays as it is. (Zhu et al., arXiv 2205.14865.)

        Args:
            loss_a, loss_b: scalars, which may share one graph.
            scaler: the `torch.amp.GradScaler` where the forward pass was one of mixed precision.
        """
        self.detect_anomaly(loss_a)
        self.detect_anomaly(loss_b)
        scaler = scaler or torch.amp.GradScaler(enabled=False)
        self.prograd_backward(loss_a, loss_b, lambda_, names, scaler)
        for name in self.get_model_names(names):
            if self._optims[name] is not None:
                scaler.step(self._optims[name])
        scaler.update()

    def prograd_backward(self, loss_a: Tensor, loss_b: Tensor, lambda_, names=None, scaler=None) -> None:
        """The gradients of `prograd_backward_and_update`, without its step; nothing here waits for a GPU."""
        scaler = scaler or torch.amp.GradScaler(enabled=False)
        names = [name for name in self.get_model_names(names) if self._optims[name] is not None]
        parameters = [p for name in names for p in self._models[name].parameters() if p.requires_grad]
        of_b = torch.autograd.grad(scaler.scale(loss_b), parameters, retain_graph=True, allow_unused=True)
        of_b = [b if b is None else average(b) for b in of_b]  # the gradients of a are averaged as usual
        self.model_zero_grad(names)
        scaler.scale(loss_a).backward()
        for parameter, b in zip(parameters, of_b, strict=True):
            if parameter.grad is not None and b is not None:
                direction = F.normalize(b.flatten().float(), dim=0)  # 0 of a gradient that is 0
                along = parameter.grad.flatten().float() @ direction
                # Where b overflowed, ``along`` and the gradient become NaN, and a scaler leaves the step out.
                against = torch.where(along >= 0, torch.zeros_like(along), lambda_ * along) * direction
                parameter.grad -= against.view_as(parameter).to(parameter.grad.dtype)

    # tensorboard

    def init_writer(self, log_dir: str) -> None:
        """Begin to write curves to ``log_dir``, if tensorboard is installed."""
        if self._writer is not None or not is_main():
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        print(f"Initialize tensorboard (log_dir={log_dir})")
        self._writer = SummaryWriter(log_dir=log_dir)

    def close_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def write_scalar(self, tag: str, scalar_value, global_step: int | None = None) -> None:
        if self._writer is not None:
            self._writer.add_scalar(tag, scalar_value, global_step)

    # the loop and its hooks

    def train(self, start_epoch: int, max_epoch: int) -> None:
        """Train from ``start_epoch``, which before_train may change, up to ``max_epoch``."""
        self.start_epoch = start_epoch
        self.max_epoch = max_epoch
        self.before_train()
        for epoch in range(self.start_epoch, self.max_epoch):
            self.epoch = epoch
            self.seed_epoch()
            self.before_epoch()
            self.run_epoch()
            self.after_epoch()
        self.after_train()

    def seed_epoch(self) -> None:
        """Called at the beginning of every epoch, before before_epoch."""

    def before_train(self):
        pass

    def after_train(self):
        pass

    def before_epoch(self):
        pass

    def after_epoch(self):
        pass

    def run_epoch(self):
        raise NotImplementedError

    def test(self):
        raise NotImplementedError

    def parse_batch_train(self, batch):
        raise NotImplementedError

    def parse_batch_test(self, batch):
        raise NotImplementedError

    def forward_backward(self, batch):
        raise NotImplementedError

    def model_inference(self, input):
        raise NotImplementedError
