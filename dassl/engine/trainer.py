"""The trainers that methods derive from: data, testing and checkpoints; and the loop over an epoch's batches."""

import contextlib
import datetime
import functools
import glob
import hashlib
import io
import math
import os
import os.path as osp
import sys
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dassl.data import DataManager
from dassl.data.epoch_loader import EpochLoader, share_of_images
from dassl.evaluation import Predictions, build_evaluator
from dassl.evaluation.calibration import fit_temperature
from dassl.evaluation.predictions import PredictionRecorder
from dassl.optim import build_lr_scheduler, build_optimizer
from dassl.optim.gradient_norm import check_largest_norm, clip_gradient_norm
from dassl.utils import (
    AverageMeter,
    CheckpointError,
    ConfigError,
    MetricMeter,
    NonFiniteLossError,
    check_availability,
    count_num_param,
    load_pretrained_weights,
    name_checkpoints,
    newest_checkpoints,
    progress_bar,
    set_random_seed,
)
from dassl.utils.distributed import average_summary, barrier, broadcast, gather, is_main, rank, world_size
from dassl.utils.lazy_names import lazy_names
from dassl.utils.random_states import check_random_states, random_states, set_random_states
from dassl.utils.stop import StopRequest, deferred, stop_if_asked
from support.checkpoint_files import run_folder
from support.user_error import shorten

from .epoch_batches import EpochBatches
from .simple_net import SimpleNet
from .trainer_base import TrainerBase
from .val_use import chooses_epoch_on_val, tests_its_val_images

SHOWN_PATHS = 3  # of a batch's images in an error message
SMALLEST_LOSS_SCALE = 2.0**-16  # of mixed precision, which begins with 2**16 and halves at every overflow


@dataclass(frozen=True)
class Step:
    """What is known of a step that was taken.

    Attributes:
        batch_idx: number of its batch in the epoch, from 0.
        image_paths: of this process's images, empty where the batch does not tell.
        summary: what it reports, which may be on a GPU that has not come to it yet; None: nothing.
    """

    batch_idx: int
    image_paths: list[str]
    learning_rate: float
    summary: dict | None


def settings_of_training(cfg) -> dict[str, str]:
    """What of a config decides on the course of a training run, by full key."""

    def flatten(prefix: str, node) -> dict[str, str]:
        if not isinstance(node, dict):
            return {prefix: str(node)}
        return {key: value for name in node for key, value in flatten(f"{prefix}.{name}", node[name]).items()}

    loader = {key: cfg.DATALOADER[key] for key in ("TRAIN_X", "EXACT_DECODING") if key in cfg.DATALOADER}
    chosen = {"DATALOADER": loader, "SEED": cfg.SEED}
    others = (*chosen, "TRAIN", "TEST")
    chosen |= {name: cfg[name] for name in cfg if isinstance(cfg[name], dict) and name not in others}  # also new nodes
    settings = {key: value for name, node in chosen.items() for key, value in flatten(name, node).items()}
    for key in ("DATASET.ROOT", "OPTIM.MAX_EPOCH"):  # data folders may move; a run may be made longer
        del settings[key]
    return settings


def class_names_of(trainer: TrainerBase) -> list[str] | None:
    """Of a trainer's data, in the order of the labels; None where they are of a kind of its own."""
    names = getattr(getattr(getattr(trainer, "dm", None), "dataset", None), "classnames", None)
    return None if names is None else list(names)


class SimpleTrainer(TrainerBase):
    """A trainer with the data, evaluator, checkpoints and test of a config; subclasses build the model.

    Attributes:
        dm, train_loader_x, train_loader_u, val_loader, test_loader, num_classes, lab2cname: the data.
        evaluator: what the test uses.
        best_result: highest accuracy on the val split so far.
        test_results: all metrics of the last test.
        predictions: what the last test answered, None where its scores are of another kind than (B, C).
        temperature: that TEST.CALIBRATE found for the last test, None where it does not apply.
        epoch_metrics: averages over the last epoch, so far, of what its steps report.
        train_seconds: time spent in epochs, without tests, of the resumed run too.
        test_seconds: duration of the last test.
        optimizer_steps: number of steps that the registered optimizers have taken in this process.
    """

    optimizer_steps = 0
    _training_peak = 0  # bytes of GPU memory

    def __init__(self, cfg):
        super().__init__()
        self.check_cfg(cfg)
        check_availability(cfg.TEST.FINAL_MODEL, ["last_step", "best_val"], "TEST.FINAL_MODEL")
        check_availability(cfg.TEST.SPLIT, ["test", "val"], "TEST.SPLIT")
        check_availability(cfg.TRAIN.NONFINITE_LOSS, ["stop", "skip"], "TRAIN.NONFINITE_LOSS")
        check_largest_norm(cfg.OPTIM.CLIP_GRAD_NORM)
        self.device = torch.device("cuda" if torch.cuda.is_available() and cfg.USE_CUDA else "cpu")
        self.max_epoch = cfg.OPTIM.MAX_EPOCH
        self.output_dir = cfg.OUTPUT_DIR
        self.cfg = cfg
        self.build_data_loader()
        if cfg.TEST.CALIBRATE:
            self._check_calibration()
        self.build_model()
        for model in self._models.values():
            if model is not None:
                broadcast(model)
        self.evaluator = build_evaluator(cfg, lab2cname=self.lab2cname)
        self.best_result = -math.inf
        self.test_results: dict[str, float] = {}
        self.predictions: Predictions | None = None
        self.temperature: float | None = None
        self.epoch_metrics = MetricMeter()
        self.train_seconds = self.test_seconds = 0.0
        self.batches: EpochBatches | None = None  # those of an epoch that has begun
        self._position: dict | None = None  # in the epoch that a resumed run begins in the middle of
        self._random: list[dict] = []  # states of every process's generators, where a run without a seed goes on
        self._image_paths: list[str] = []  # of the batch that is worked on
        self.skipped_batches = {"nonfinite_loss": 0, "float16_overflow": 0}
        self._bar = progress_bar(disable=True)

    def check_cfg(self, cfg) -> None:
        """Raise an error if the config does not suit the trainer."""

    def build_data_loader(self) -> None:
        self.dm = DataManager(self.cfg)
        self.train_loader_x = self.dm.train_loader_x
        self.train_loader_u = self.dm.train_loader_u
        self.val_loader = self.dm.val_loader
        self.test_loader = self.dm.test_loader
        self.num_classes = self.dm.num_classes
        self.num_source_domains = self.dm.num_source_domains
        self.lab2cname = self.dm.lab2cname

    def build_model(self) -> None:
        """Build ``self.model`` and register what is trained of it. By default it is the image network of MODEL."""
        cfg = self.cfg
        self.model = SimpleNet(cfg, cfg.MODEL, self.num_classes)
        if cfg.MODEL.INIT_WEIGHTS:
            load_pretrained_weights(self.model, cfg.MODEL.INIT_WEIGHTS)
        self.model.to(self.device)
        print(f"# params: {count_num_param(self.model):,}")
        self.optim = build_optimizer(self.model, cfg.OPTIM)
        self.sched = build_lr_scheduler(self.optim, cfg.OPTIM)
        self.register_model("model", self.model, self.optim, self.sched)

    def register_model(self, name: str = "model", model=None, optim=None, sched=None) -> None:
        """As `TrainerBase.register_model`; the optimizer's gradients are clipped where OPTIM.CLIP_GRAD_NORM is set."""
        if optim is not None and not any(optim is known for known in self._optims.values()):
            if self.cfg.OPTIM.CLIP_GRAD_NORM > 0:
                clip_gradient_norm(optim, self.cfg.OPTIM.CLIP_GRAD_NORM)
            if isinstance(optim, torch.optim.Optimizer):
                optim.register_step_post_hook(self._count_step)
        super().register_model(name, model, optim, sched)

    def _count_step(self, *_) -> None:
        self.optimizer_steps += 1

    @property
    def peak_memory(self) -> int:
        """Most bytes in use so far: on a GPU those of the training, if there was one; else those of the process."""
        if self.device.type == "cuda":
            return self._training_peak or torch.cuda.max_memory_allocated(self.device)
        import resource  # not on every system

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

    def run_state(self) -> dict:
        state = {
            "class_names": class_names_of(self),
            "best_result": float(self.best_result),
            "epoch_metrics": self.epoch_metrics.state_dict(),
            "train_seconds": self.train_seconds,
            "skipped_batches": dict(self.skipped_batches),
            "settings": settings_of_training(self.cfg),
            "train_images": self._train_images,
            "position": self.batches.state() if self.batches else None,
        }
        if self.cfg.SEED < 0 and not self.batches:  # else an epoch's numbers follow from the seed, see `seed_epoch`
            state["random"] = gather(random_states(with_gpus=True))
        if getattr(self, "scaler", None) is not None:  # the loss scale of mixed precision
            state["scaler"] = self.scaler.state_dict()
        return state

    def check_resumable(self, state: dict, path: str) -> None:
        """A learned tensor may belong to classes, and the optimizer's state with it."""
        before, now = state.get("class_names"), class_names_of(self)
        if before is None or now is None or before == now:
            return
        if isinstance(before, list) and len(before) == len(now):
            old, new = next((old, new) for old, new in zip(before, now, strict=True) if old != new)
            difference = f'"{old}", now "{new}"'
        else:
            difference = f"{len(before) if isinstance(before, list) else before}, now {len(now)}"
        raise CheckpointError(
            f"cannot resume from {path}: it was trained on other classes ({difference}): choose another OUTPUT_DIR, or "
            "begin with its weights alone by MODEL.INIT_WEIGHTS"
        )

    def load_run_state(self, state: dict) -> None:
        self._compare_settings(state.get("settings", {}))
        self._compare_images(state.get("train_images"))
        self.best_result = state.get("best_result", self.best_result)
        self.epoch_metrics = MetricMeter()
        self.epoch_metrics.load_state_dict(state.get("epoch_metrics", {}))
        self.train_seconds = state.get("train_seconds", self.train_seconds)
        self.skipped_batches.update(state.get("skipped_batches", {}))
        self._position, self._random = state.get("position"), state.get("random", [])
        if self._position:
            check_random_states(self._position["beginning"], self._position["common"], *self._position["own"])
        check_random_states(*self._random)
        if state.get("scaler") and getattr(self, "scaler", None) is not None:
            self.scaler.load_state_dict(state["scaler"])

    def _compare_settings(self, before: dict[str, str]) -> None:
        """A run that goes on by itself must be the one that was begun; RESUME may change it, with a printed line."""
        now = settings_of_training(self.cfg)
        changed = [f"{key} {before[key]}, now {now[key]}" for key in before if now.get(key, before[key]) != before[key]]
        if not changed:
            return
        shown = "; ".join(changed[:3]) + ("; ..." if len(changed) > 3 else "")
        if not self.cfg.RESUME:
            raise CheckpointError(
                f"{self.output_dir} holds an unfinished run with other settings ({shown}): choose another OUTPUT_DIR, "
                "or delete the folder"
            )
        print(f"Settings changed on resuming: {shown}")

    @functools.cached_property
    def _train_images(self) -> str | None:
        """Number and hash of the training images, by name and label: their folder may move. None for data of others."""
        images = getattr(getattr(getattr(self, "dm", None), "dataset", None), "train_x", None)
        if images is None:
            return None
        digest = hashlib.sha256()
        for item in images:
            digest.update(f"{osp.basename(item.impath)}\0{item.label}\0".encode("utf-8", "surrogateescape"))
        return f"{len(images)} {digest.hexdigest()}"

    def _compare_images(self, before: str | None) -> None:
        """As `_compare_settings` for the training images. Without a seed they may be drawn anew."""
        if self._train_images is None:
            return
        dataset = self.dm.dataset
        if before is None and getattr(dataset, "lacks_val", False) and not dataset.val:
            print("notice: the checkpoint names no training images: an earlier version took a fifth of them for val")
        if before in (None, self._train_images):
            return
        counts = f"{before.split()[0]}, now {self._train_images.split()[0]}"
        if not self.cfg.RESUME and self.cfg.SEED >= 0:
            raise CheckpointError(
                f"{self.output_dir} holds an unfinished run on other training images ({counts}): choose another "
                "OUTPUT_DIR, or delete the folder"
            )
        print(f"Training images changed on resuming: {counts}")

    def train(self) -> None:
        try:
            with progress_bar(desc="train", unit="batch") as self._bar:
                super().train(self.start_epoch, self.max_epoch)
        finally:
            for name in ("train_loader_x", "train_loader_u"):
                if isinstance(loader := getattr(self, name, None), EpochLoader):
                    loader.close()

    def before_train(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self._check_selection()
        self.start_epoch = self.resume_model_if_exist(self._folder_to_resume())
        if self.cfg.RESUME and not self.resumed_from:
            names = " and ".join(self.get_model_names())
            raise CheckpointError(f"RESUME: there is no checkpoint of {names} in {self.cfg.RESUME}: correct the folder")
        if self.start_epoch > self.max_epoch:
            raise CheckpointError(
                f"{self.cfg.RESUME or self.output_dir} holds a run of {self.start_epoch} epochs, more than "
                f"OPTIM.MAX_EPOCH {self.max_epoch}; choose another OUTPUT_DIR"
            )
        barrier()  # rank 0 must not write what the others would take for a run to resume
        if self.cfg.TRAIN.CHECKPOINT_STEPS < 0:
            raise ConfigError(
                f"TRAIN.CHECKPOINT_STEPS is {self.cfg.TRAIN.CHECKPOINT_STEPS}: give a number of batches, or 0 for none"
            )
        self._forget_damaged_checkpoints()
        self.init_writer(osp.join(self.output_dir, "tensorboard"))
        self.time_start = time.time()

    def _folder_to_resume(self) -> str:
        """The folder of the run that RESUME names, or this run's own."""
        names = self.get_model_names()
        return run_folder(self.cfg.RESUME, names[0], "RESUME") if self.cfg.RESUME and names else self.output_dir

    def _forget_damaged_checkpoints(self) -> None:
        """What this run goes on from counts as its newest checkpoint, and not one that could not be read."""
        for name, path in self.resumed_from.items() if is_main() else ():
            own = osp.abspath(osp.dirname(path)) == osp.abspath(osp.join(self.output_dir, name))
            if own and newest_checkpoints(osp.dirname(path))[:1] != [path]:
                name_checkpoints(osp.dirname(path), [osp.basename(path)])

    @property
    def _chooses_on_val(self) -> bool:
        return chooses_epoch_on_val(self.cfg)

    def _check_selection(self) -> None:
        if self._chooses_on_val and self.val_loader is None:
            raise ConfigError(
                f"TEST.FINAL_MODEL best_val: {self.cfg.DATASET.NAME} has no val split to choose by; use last_step"
            )

    def _check_calibration(self) -> None:
        """Refuse TEST.CALIBRATE, before anything is trained, without val images that are not tested themselves."""
        name, what = self.cfg.DATASET.NAME, "TEST.CALIBRATE True fits the temperature on val images"
        if self.cfg.TEST.SPLIT == "val":
            raise ConfigError(f"{what}, which TEST.SPLIT val tests: set one of the two back")
        if self.val_loader is None:
            raise ConfigError(f"{what}, but {name} has none here: add some, or set it to False")
        if tests_its_val_images(self.dm.dataset):
            raise ConfigError(f"{what}, but those of {name} are its test images: set it to False")

    def seed_epoch(self) -> None:
        """Make an epoch's random numbers a function of SEED and its number, so that a resumed run draws the same.

        Without a seed it draws on where it was stopped.
        """
        if self.cfg.SEED >= 0:
            set_random_seed(int(np.random.SeedSequence((self.cfg.SEED, self.epoch)).generate_state(1)[0]))
        elif len(self._random) == world_size():
            set_random_states(self._random[rank()])
        self._random = []

    def after_epoch(self) -> None:
        """Keep the best model on the val split, if it is wanted, and a checkpoint to resume from."""
        self.batches = None
        if self._chooses_on_val:
            result = self.test(split="val")
            if result > self.best_result:
                self.best_result = result
                self.save_model(self.epoch, self.output_dir, val_result=result, model_name="model-best.pth.tar")
        with deferred():
            if self._is_kept(self.epoch + 1):
                self.save_model(self.epoch, self.output_dir)
            else:
                self._save_for_resuming(self.epoch + 1, 0)
            self._remove_for_resuming(but_newest=True)
        stop_if_asked()

    def save_within_epoch(self) -> None:
        """Write a checkpoint of an epoch that has begun, to go on after those of its batches that are done."""
        self._save_for_resuming(self.epoch, self.batches.done)
        self._remove_for_resuming(but_newest=True)

    def _save_for_resuming(self, epochs: int, batches: int) -> None:
        """Write checkpoints of so many epochs and batches of the next, which only serve to go on from."""
        with contextlib.redirect_stdout(io.StringIO()):  # no word of what does not stay
            self.save_model(epochs - 1, self.output_dir, model_name=f"model.pth.tar-{epochs}+{batches}")

    def _remove_for_resuming(self, but_newest: bool) -> None:
        """Remove checkpoints that only serve to go on from, but for the last two. Of several processes one does."""
        for name in self.get_model_names() if is_main() else ():
            folder = osp.join(self.output_dir, name)
            newest = newest_checkpoints(folder) if but_newest else []
            for path in glob.glob(osp.join(glob.escape(folder), "model.pth.tar-*+*")):
                if path not in newest:
                    with contextlib.suppress(FileNotFoundError):
                        os.remove(path)

    def _is_kept(self, done: int) -> bool:
        """Whether the checkpoint of ``done`` epochs stays, or only serves to resume a run that was killed."""
        frequency = self.cfg.TRAIN.CHECKPOINT_FREQ
        return done == self.max_epoch or (frequency > 0 and done % frequency == 0)

    def after_train(self) -> None:
        print("Finish training")
        if self.device.type == "cuda":
            self._training_peak = torch.cuda.max_memory_allocated(self.device)
        if not self.cfg.TEST.NO_TEST:
            if self.cfg.TEST.FINAL_MODEL == "best_val":
                print("Deploy the model with the best val performance")
                barrier()  # rank 0 may still be writing it
                self.load_model(self.output_dir)
            else:
                print("Deploy the last-epoch model")
            self.test()
        self._remove_for_resuming(but_newest=False)
        print(f"Elapsed: {datetime.timedelta(seconds=round(time.time() - self.time_start))}")
        self.close_writer()

    @torch.no_grad()
    def test(self, split: str | None = None) -> float:
        """Evaluate on the test split, or on "val" where there is one; TEST.SPLIT is the default.

        Of several processes each tests a share of the images, if the evaluator can gather the predictions of all.
        With TEST.CALIBRATE the probabilities on the test split are those at a temperature fitted on the val split.

        Returns:
            float: the evaluator's first metric, the accuracy. ``test_results`` has them all.
        """
        start = time.time()
        self.set_model_mode("eval")
        self.evaluator.reset()
        split = split or self.cfg.TEST.SPLIT
        if split == "val" and self.val_loader is not None:
            loader = self.val_loader
        else:
            split, loader = "test", self.test_loader

        calibrates = self.cfg.TEST.CALIBRATE and split == "test"
        self.temperature = self._fit_temperature() if calibrates else None
        print(f"Evaluate on the *{split}* set")
        part = share_of_images(loader) if "gather" in vars(type(self.evaluator)) else loader
        recorder = PredictionRecorder(self.temperature or 1.0)
        for batch in progress_bar(part, desc=split, unit="batch"):
            images, label = self.parse_batch_test(batch)
            output = self.model_inference(images)
            self.evaluator.process(output, label)
            recorder.add(output, label, batch)
        if part is not loader:
            self.evaluator.gather()
        self.test_results = dict(self.evaluator.evaluate())
        self.predictions = recorder.collect(is_shared=part is not loader)
        if self.predictions is not None:
            self._add_metrics(self.predictions.metrics())
        self.test_seconds = time.time() - start
        for metric, value in self.test_results.items():
            self.write_scalar(f"{split}/{metric}", value, self.epoch)
        return next(iter(self.test_results.values()))

    def _add_metrics(self, metrics: dict[str, float]) -> None:
        """Print and keep those that the evaluator does not have itself, in the form that parse_test_res.py reads."""
        for name, value in metrics.items():
            if name not in self.test_results:
                print(f"* {name}: {value:.4f}" if name == "brier_score" else f"* {name}: {value:.1f}%")
        self.test_results = {**self.test_results, **metrics, **self.test_results}

    def _fit_temperature(self) -> float:
        """The temperature that fits the val images best. Their scores are kept in memory: N * C * 4 bytes."""
        part = share_of_images(self.val_loader)
        scores, labels = [], []
        for batch in progress_bar(part, desc="val", unit="batch"):
            images, label = self.parse_batch_test(batch)
            scores.append(self.model_inference(images).float().cpu())
            labels.append(label.cpu())
        own = (torch.cat(scores), torch.cat(labels)) if scores else None
        parts = [own for own in (gather(own) if part is not self.val_loader else [own]) if own is not None]
        scores, labels = (torch.cat(column) for column in zip(*parts, strict=True))
        temperature = fit_temperature(scores, labels)
        print(f"Temperature {temperature:.4f}, fitted on {len(labels)} val images")
        return temperature

    def model_inference(self, input: Tensor) -> Tensor:
        """Scores (B, C) of images (B, 3, H, W)."""
        return self.model(input)

    def parse_batch_test(self, batch: dict) -> tuple[Tensor, Tensor]:
        return self._to_device(batch["img"]), self._to_device(batch["label"])

    def _to_device(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, non_blocking=True)

    def get_current_lr(self, names=None) -> float:
        """Learning rate of the first parameter group of the first model."""
        return self._optims[self.get_model_names(names)[0]].param_groups[0]["lr"]


class TrainerX(SimpleTrainer):
    """A trainer on labelled data: forward_backward(batch) takes a step and returns what to report of it."""

    @property
    def start_batch(self) -> int:
        """Number of batches that a run which goes on within an epoch has done in it; 0 everywhere else."""
        return self._position["batches"] if self._position else 0

    def run_epoch(self) -> None:
        """A step on every batch.

        Ctrl-C and SIGTERM wait until a step is taken. Then, and after every TRAIN.CHECKPOINT_STEPS batches, there is a
        checkpoint to go on from.
        """
        self.set_model_mode("train")
        loader = self.train_batches()
        self.num_batches = len(loader)
        self.batches, self._position = EpochBatches(loader, self._position), None
        if not self.batches.first:
            self.epoch_metrics = MetricMeter()
        self._bar.total = self.max_epoch * self.num_batches
        # a resumed run begins further on
        self._bar.n = max(self._bar.n, self.epoch * self.num_batches + self.batches.done)
        # Images that this process loads itself draw from the generators, and several processes stop together.
        whole = world_size() > 1 or not getattr(loader, "num_workers", 0)
        overflows = self.skipped_batches["float16_overflow"]
        try:
            with deferred(whole):
                self._run_batches()
                if overflows := self.skipped_batches["float16_overflow"] - overflows:
                    print(
                        f"float16 overflowed in {overflows} of {self.num_batches} steps, which were left out; the loss "
                        f"scale is now {self.scaler.get_scale():g}"
                    )
                if self._chooses_on_val:
                    self.save_within_epoch()  # the test that follows may take longer than the epoch
            stop_if_asked()
        except StopRequest:
            if self.batches.done > self.batches.first:  # else the last checkpoint has it all
                self.save_within_epoch()
            raise

    def train_batches(self):
        """What an epoch iterates over."""
        return self.train_loader_x

    def parts_of(self, batch) -> tuple:
        """The arguments of forward_backward that an entry of ``train_batches`` has."""
        return (batch,)

    def _run_batches(self) -> None:
        batch_time, data_time = AverageMeter(), AverageMeter()
        every = self.cfg.TRAIN.CHECKPOINT_STEPS
        end = time.time()
        unread: list[Step] = []
        try:
            for batch_idx, batch in enumerate(self.batches, start=self.batches.done):
                with deferred():
                    data_time.update(time.time() - end)
                    unread.append(self._step(batch_idx, batch))
                    print_freq = self.cfg.TRAIN.PRINT_FREQ
                    is_printed = self.num_batches < print_freq or (print_freq > 0 and (batch_idx + 1) % print_freq == 0)
                    is_last = batch_idx + 1 == self.num_batches
                    is_saved = every > 0 and (batch_idx + 1) % every == 0 and not is_last
                    if is_printed or is_saved or is_last or self.reads_every_step:
                        self._read(unread)
                    batch_time.update(time.time() - end)
                    if is_printed:
                        print(self._progress_line(batch_time, data_time))
                    self._bar.set_postfix_str(str(self.epoch_metrics), refresh=False)
                    self._bar.update()
                    self.batches.done = batch_idx + 1
                    self.train_seconds += time.time() - end
                    if is_saved:
                        self.save_within_epoch()
                    end = time.time()
                stop_if_asked()
        except StopRequest:
            self._read(unread)  # before it is saved
            raise

    @property
    def reads_every_step(self) -> bool:
        """Whether what a step reports is read at once. That waits for a GPU, which could go on, so there it is not."""
        return self.device.type == "cpu"

    def detect_anomaly(self, loss: Tensor) -> None:
        """As `TrainerBase.detect_anomaly`; where that would wait for a GPU, only if such a batch is to be left out.

        Elsewhere the run stops as soon as what the step reports is read.
        """
        if self.reads_every_step or self.leaves_out_nonfinite_losses:
            super().detect_anomaly(loss)

    @property
    def leaves_out_nonfinite_losses(self) -> bool:
        """Whether a batch whose loss is NaN or infinite is left out and counted, where else the run stops."""
        return self.cfg.TRAIN.NONFINITE_LOSS == "skip"

    def _step(self, batch_idx: int, batch) -> Step:
        """Take a step, or leave it out."""
        self.batch_idx = batch_idx
        parts = self.parts_of(batch)
        self._image_paths = [path for part in parts if isinstance(part, dict) for path in part.get("impath", ())]
        steps = self.optimizer_steps
        try:
            summary = self.forward_backward(*parts)
        except NonFiniteLossError as error:
            if not self.leaves_out_nonfinite_losses:
                raise
            summary = None
            self._leave_out("nonfinite_loss", str(error))
            if batch_idx + 1 == self.num_batches:
                self.update_lr()  # as forward_backward would have done
        else:
            if self.overflowed(steps):
                self._leave_out("float16_overflow")
                self.loss_scale()
        return Step(batch_idx, self._image_paths, self.get_current_lr(), summary)

    def overflowed(self, steps: int) -> bool:
        """Whether float16 gradients were not finite, so that the scaler left out the step that was to follow.

        Waits for a GPU in that case alone.

        Args:
            steps: `optimizer_steps` before the step.
        """
        scaler = getattr(self, "scaler", None)
        if scaler is None or not scaler.is_enabled() or self.optimizer_steps > steps:
            return False
        return scaler.state_dict().get("_growth_tracker") == 0  # else the trainer took none: it adds gradients up

    def loss_scale(self) -> float:
        """The scaler's, after an overflow.

        Raises:
            NonFiniteLossError: it is so small that the gradients overflow whatever it is.
        """
        scale = self.scaler.get_scale()
        if scale < SMALLEST_LOSS_SCALE:
            raise self.nonfinite_error("gradients are NaN or infinite, whatever the loss scale,")
        return scale

    def _leave_out(self, reason: str, message: str = "") -> None:
        """Count a batch that changed nothing."""
        self.skipped_batches[reason] += 1
        if message:
            print(f"left out, the {self.skipped_batches[reason]}. such batch: {message}")
            learned = (p for model in self._models.values() if model is not None for p in model.parameters())
            if not all(bool(torch.isfinite(p).all()) for p in learned if p.requires_grad):
                raise self.nonfinite_error("learned tensors are NaN or infinite")

    def _read(self, steps: list[Step]) -> None:
        """Add what steps report to averages and curves; stop at a loss that is not finite. Empties ``steps``."""
        while steps:
            step = steps.pop(0)
            self.batch_idx, self._image_paths = step.batch_idx, step.image_paths  # which the message of an error names
            summary = average_summary(step.summary)
            self.epoch_metrics.update(summary)
            self._check_finite(summary)
            number = self.epoch * self.num_batches + self.batch_idx
            for name, meter in self.epoch_metrics.meters.items():
                self.write_scalar(f"train/{name}", meter.avg, number)
            self.write_scalar("train/lr", step.learning_rate, number)

    def _check_finite(self, summary: dict | None) -> None:
        """Stop at a loss that is not finite in trainers that do not go through model_backward, too."""
        for name, value in (summary or {}).items():
            if name.startswith("loss") and not math.isfinite(value):
                super().detect_anomaly(torch.as_tensor(value))

    def nonfinite_error(self, what: str, can_be_left_out: bool = False) -> NonFiniteLossError:
        paths = [path for own in gather(self._image_paths) for path in own]
        images = f" (images {shorten(paths, SHOWN_PATHS)})" if paths else ""
        if len(paths) > SHOWN_PATHS:
            print(f"Images of the batch: {', '.join(paths)}")
        folders = [osp.join(self.output_dir, name) for name in self.get_model_names()]
        newest = [path for folder in folders for path in newest_checkpoints(folder)]
        good = f"the last good checkpoint is {newest[0]}" if newest else "there is no checkpoint yet"
        is_a_choice = can_be_left_out and not self.leaves_out_nonfinite_losses
        or_leave_out = ", or leave such batches out with TRAIN.NONFINITE_LOSS skip" if is_a_choice else ""
        return NonFiniteLossError(
            f"{what} in epoch {self.epoch + 1}, batch {self.batch_idx + 1}{images}; {good}; lower OPTIM.LR, or set the "
            f"trainer's PREC to fp32{or_leave_out}"
        )

    def _progress_line(self, batch_time: AverageMeter, data_time: AverageMeter) -> str:
        batches_left = self.num_batches * (self.max_epoch - self.epoch) - self.batch_idx - 1
        return (
            f"epoch [{self.epoch + 1}/{self.max_epoch}] "
            f"batch [{self.batch_idx + 1}/{self.num_batches}] "
            f"time {batch_time.val:.3f} ({batch_time.avg:.3f}) "
            f"data {data_time.val:.3f} ({data_time.avg:.3f}) "
            f"{self.epoch_metrics} "
            f"lr {self.get_current_lr():.4e} "
            f"eta {datetime.timedelta(seconds=int(batch_time.avg * batches_left))}"
        )

    def parse_batch_train(self, batch: dict) -> tuple[Tensor, Tensor, Tensor]:
        """Images (B, 3, H, W), labels (B,) and domains (B,)."""
        return tuple(self._to_device(batch[key]) for key in ("img", "label", "domain"))


__getattr__ = lazy_names(
    __name__,
    SummaryWriter="dassl.engine.summary_writer",
    TrainerXU="dassl.engine.trainer_xu",
    nn="torch",
    tqdm="tqdm",
    **dict.fromkeys(["build_backbone", "build_head"], "dassl.modeling"),
    **dict.fromkeys(
        ["load_checkpoint", "mkdir_if_missing", "resume_from_checkpoint", "save_checkpoint", "tolist_if_not"],
        "dassl.utils",
    ),
)
