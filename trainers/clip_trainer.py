"""What every method shares: a frozen CLIP, a learner that alone is trained, one step, small checkpoints."""

from __future__ import annotations

from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clip.model import CLIP, VisionTransformer, convert_weights
from clip.weights import load_clip, report_normalization
from dassl.data import build_data_loader
from dassl.engine import TrainerX
from dassl.metrics import compute_accuracy
from dassl.optim import build_lr_scheduler, build_optimizer
from dassl.utils import load_pretrained_weights, progress_bar
from support.checkpoint_files import find_checkpoint
from support.user_error import CheckpointError, ConfigError, UserError
from trainers.checkpoints import (
    Checkpoint,
    check_fits,
    classes_by_suffix,
    learned_tensors,
    read_checkpoint,
)
from trainers.class_bound import ClassBound, rows_of, warn_of_repeated
from trainers.collapse import collapse_warning
from trainers.epoch_average import EpochAverage
from trainers.options import Range
from trainers.templates import dataset_template, frozen_text_features

PRECISIONS = ("fp32", "fp16", "bf16", "amp")
ZERO_SHOT = "zero_shot_acc"  # among what the steps of the last epoch report
LEARNER = "prompt_learner"  # the name under which every method registers its learner, as in CoOp


def load_clip_to_cpu(cfg) -> CLIP:
    """The frozen CLIP that ``cfg.MODEL.BACKBONE`` names, in its checkpoint's precision.

    Raises:
        UserError: as `clip.weights.load_clip`, or INPUT.SIZE is not the backbone's resolution.
    """
    model = load_clip(cfg.MODEL.BACKBONE.NAME, getattr(cfg.MODEL.BACKBONE, "PATH", ""))
    report_normalization(cfg.MODEL.BACKBONE.NAME, cfg.INPUT.PIXEL_MEAN, cfg.INPUT.PIXEL_STD)
    resolution = model.visual.input_resolution
    if tuple(cfg.INPUT.SIZE) != (resolution, resolution):
        raise ConfigError(
            f"INPUT.SIZE {tuple(cfg.INPUT.SIZE)} does not fit the backbone: set INPUT.SIZE ({resolution}, {resolution})"
        )
    return model.requires_grad_(False)


def usable_precision(precision: str, key: str, device: torch.device) -> str:
    """``precision``, or "fp32" with a printed line where a CPU could not profit from it.

    Raises:
        UserError: ``precision`` is none of `PRECISIONS`; ``key`` names the configuration key.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f'{key} is "{precision}": choose one of {", ".join(PRECISIONS)}')
    if device.type == "cpu" and precision in ("fp16", "amp"):
        print(f"{key} {precision} needs a GPU: computing in fp32")
        return "fp32"
    return precision


class CLIPTrainer(TrainerX):
    """Base of all trained methods. A method gives the first three members below, and `loss` where it is not plain.

    ``config_defaults`` become ``cfg.TRAINER.<config_node>``; a key PREC among them is required. ``config_ranges`` are
    the numbers that some of these keys may be. ``released_folders`` are where the method's released code saves its
    checkpoints, if not under the name `LEARNER`.

    Attributes:
        model: the network, images (B, 3, H, W) -> logits (B, C).
        learner: the part of it that is trained, saved and loaded.
        loaded_epoch: epoch of the checkpoint that `load_model` loaded, None where the file does not say.
    """

    config_node = ""
    config_defaults: dict = {}
    config_ranges: dict[str, Range] = {}
    released_folders: tuple[str, ...] = ()
    loaded_epoch: int | None = None
    _zero_shot_text: Tensor | None = None  # (C, e)

    def build_network(self, cfg, class_names: list[str], clip_model: CLIP) -> tuple[nn.Module, nn.Module]:
        """The network and its learner for these classes; ``clip_model`` is on the run's device in float32."""
        raise NotImplementedError

    @classmethod
    def knows_new_classes(cls, cfg) -> bool:
        """Whether what is learned with this configuration serves classes that it was not trained on."""
        return True

    def check_cfg(self, cfg) -> None:
        if cfg.DATALOADER.K_TRANSFORMS > 1:
            views = cfg.DATALOADER.K_TRANSFORMS
            raise ConfigError(f"DATALOADER.K_TRANSFORMS is {views}: {type(self).__name__} takes one view, set it to 1")
        for key, allowed in self.config_ranges.items():
            allowed.check(cfg.TRAINER[self.config_node][key], f"TRAINER.{self.config_node}.{key}")

    def epochs(self, batches: int) -> int:
        """How many epochs of so many batches this configuration trains."""
        return self.cfg.OPTIM.MAX_EPOCH

    def build_data_loader(self) -> None:
        super().build_data_loader()
        self.max_epoch = self.epochs(len(self.train_loader_x or ()))

    @property
    def node(self):
        """The method's own part of the configuration."""
        return self.cfg.TRAINER[self.config_node]

    def build_model(self) -> None:
        cfg = self.cfg
        self.precision = usable_precision(self.node.PREC, f"TRAINER.{self.config_node}.PREC", self.device)
        print(f"Loading CLIP (backbone: {cfg.MODEL.BACKBONE.NAME})")
        self.clip_model = load_clip_to_cpu(cfg).float().to(self.device)
        self.model, self.learner = self.build_network(cfg, self.dm.dataset.classnames, self.clip_model)
        if self.precision in ("fp16", "bf16"):
            convert_weights(self.clip_model, torch.float16 if self.precision == "fp16" else torch.bfloat16)
        if cfg.MODEL.INIT_WEIGHTS:
            self.check_initial_classes(cfg.MODEL.INIT_WEIGHTS)
            load_pretrained_weights(self.learner, cfg.MODEL.INIT_WEIGHTS)
        self.model.to(self.device).eval()
        print(f"Learned parameters: {sum(p.numel() for p in self.learner.parameters() if p.requires_grad):,}")

        self.optim = build_optimizer(self.learner, cfg.OPTIM)
        schedule = cfg.OPTIM.clone()
        schedule.defrost()
        schedule.MAX_EPOCH = self.max_epoch
        self.sched = build_lr_scheduler(self.optim, schedule)
        self.register_model(LEARNER, self.learner, self.optim, self.sched)
        weights = self.epoch_weights()
        self.average = EpochAverage(weights) if weights else None
        # Gradients pass through float16 activations in both modes, so both need their loss scaled.
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision in ("fp16", "amp"))

    def loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """What training minimises, and the logits (B, C), for images (B, 3, H, W) and labels (B,)."""
        logits = self.model(images)
        return F.cross_entropy(logits, labels), logits

    def epoch_weights(self) -> list[float] | None:
        """Weights of the epochs in the final learner; None: it is the last epoch's."""
        return None

    def before_train(self) -> None:
        super().before_train()
        if self.average and self.cfg.TEST.FINAL_MODEL == "best_val" and not self.cfg.TEST.NO_TEST:
            print(
                "TEST.FINAL_MODEL best_val chooses among single epochs and, in the place of the last, their average; "
                "last_step tests the average"
            )

    def after_epoch(self) -> None:
        if self.average:
            self.average.add(self.learner, self.epoch)
        super().after_epoch()

    def run_state(self) -> dict:
        return {**super().run_state(), "average": self.average.state() if self.average else None}

    def load_run_state(self, state: dict) -> None:
        super().load_run_state(state)
        if self.average:
            self.average.load_state(state.get("average"), self.device)

    def computing(self):
        """The context of a forward pass: automatic mixed precision where PREC says so."""
        return torch.autocast(self.device.type) if self.precision == "amp" else nullcontext()

    def forward_backward(self, batch: dict) -> dict:
        images, labels = self.parse_batch_train(batch)
        with self.computing():
            loss, logits = self.loss(images, labels)
        if getattr(self, "leaves_out_nonfinite_losses", False):  # upstream Dassl's trainers have no such choice
            self.detect_anomaly(loss)
        self.model_zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optim)
        self.scaler.update()
        if self.batch_idx + 1 == self.num_batches:
            self.update_lr()
        return {
            "loss": loss.detach(),
            "acc": compute_accuracy(logits, labels)[0],
            **self.zero_shot_on_last_epoch(images, labels),
        }

    @torch.no_grad()
    def zero_shot_on_last_epoch(self, images: Tensor, labels: Tensor) -> dict:
        """Zero-shot CLIP's accuracy on a batch of the last epoch, which the method's is compared with; else {}.

        Args:
            images: (B, 3, H, W), or frozen CLIP's features (B, e) of them.
        """
        if self.epoch + 1 < self.max_epoch:
            return {}
        if self._zero_shot_text is None:
            template = dataset_template(self.cfg, self.dm.dataset)
            self._zero_shot_text = frozen_text_features(self.clip_model, self.dm.dataset.classnames, template)
        with self.computing():
            features = images if images.dim() == 2 else self.clip_model.encode_image(images)
        return {ZERO_SHOT: compute_accuracy(features.float() @ self._zero_shot_text.t(), labels)[0]}

    def after_train(self) -> None:
        super().after_train()
        self.warn_of_collapse()

    def warn_of_collapse(self) -> None:
        """One line where the method knows its own training images no better than zero-shot CLIP does."""
        meters = self.epoch_metrics.meters if hasattr(self, "epoch_metrics") else {}  # upstream's trainers have none
        if {"acc", ZERO_SHOT} <= meters.keys():
            images = meters["acc"].count * min(self.cfg.DATALOADER.TRAIN_X.BATCH_SIZE, len(self.dm.dataset.train_x))
            norm = self.cfg.OPTIM.CLIP_GRAD_NORM
            if warning := collapse_warning(meters["acc"].avg, meters[ZERO_SHOT].avg, images, norm):
                print(warning)

    def parse_batch_train(self, batch: dict) -> tuple[Tensor, Tensor]:
        return tuple(batch[key].to(self.device, non_blocking=True) for key in ("img", "label"))

    @torch.no_grad()
    def encode(self, loader, description: str) -> tuple[Tensor, Tensor]:
        """Features (N, e), float32, not normalised, and labels (N,) of a loader's images, in its order."""
        features, labels = [], []
        for batch in progress_bar(loader, desc=description, unit="batch"):
            with self.computing():
                features.append(self.clip_model.encode_image(batch["img"].to(self.device)).float())
            labels.append(batch["label"].to(self.device))
        return torch.cat(features), torch.cat(labels)

    def all_train_images(self, augmented: bool):
        """A loader of every training image once, in a fixed order."""
        return build_data_loader(
            self.cfg,
            data_source=self.dm.dataset.train_x,
            batch_size=self.cfg.DATALOADER.TEST.BATCH_SIZE,
            tfm=(self.train_loader_x if augmented else self.test_loader).dataset.transform,
            is_train=False,
        )

    def load_model(self, directory: str, epoch: int | None = None) -> None:
        """Load the learned tensors from a run's folder, also one written by the method's released code.

        Args:
            directory: output folder of a training run, or what stands for it, see `checkpoint_files`.
            epoch: default: the best model if there is one, else the last.

        Raises:
            UserError: no checkpoint there, or one of another method, backbone or class count.
        """
        if not directory:
            print("No --model-dir: the learned parameters keep their initial values")
            return
        path = find_checkpoint(directory, (LEARNER, *self.released_folders), epoch)
        checkpoint = read_checkpoint(path)
        self.before_loading(checkpoint)
        learned = learned_tensors(checkpoint.tensors, self.clip_model, path)
        try:
            learned = getattr(self.learner, "convert_state_dict", lambda tensors: tensors)(learned)
            learned = self.select_classes(learned, checkpoint)
        except UserError as error:
            raise CheckpointError(f"{path}: {error}") from error
        check_fits(learned, self.learner.state_dict(), path)
        self.learner.load_state_dict(learned)
        self.loaded_epoch = checkpoint.epoch
        print(f"Loaded {path}" + ("" if checkpoint.epoch is None else f" (epoch {checkpoint.epoch})"))

    def select_classes(self, learned: dict[str, Tensor], checkpoint: Checkpoint) -> dict[str, Tensor]:
        """What a checkpoint learned, with the part of this run's classes of each tensor that belongs to classes.

        Raises:
            UserError: it knows nothing of one of them, or not which classes its tensors are of.
        """
        learner = self.learner
        count = learner.count_classes(learned) if isinstance(learner, ClassBound) else None
        if count is None:
            return learned
        saved = checkpoint.class_names or classes_by_suffix(checkpoint.tensors, learner.class_names, self.clip_model)
        if saved is None:
            half = self.cfg.DATASET.SUBSAMPLE_CLASSES
            trained_half = checkpoint.settings.get("DATASET.SUBSAMPLE_CLASSES", half)
            if count != len(learner.class_names) or half != trained_half:
                raise CheckpointError(
                    f"it is of {count} classes (DATASET.SUBSAMPLE_CLASSES {trained_half}) that it does not "
                    f"name, and this run has {len(learner.class_names)} ({half}): test it on those of its training"
                )
            print(f"warning: the checkpoint does not name its {count} classes, which are taken to be those of this run")
            saved = learner.class_names
        warn_of_repeated(learner.class_names, saved)
        return learner.select_classes(learned, saved)

    def check_initial_classes(self, path: str) -> None:
        """UserError where MODEL.INIT_WEIGHTS would give tensors of other classes to this run's."""
        if not getattr(self.learner, "class_dims", None):
            return
        checkpoint = read_checkpoint(path)
        names = self.learner.class_names
        saved = checkpoint.class_names or classes_by_suffix(checkpoint.tensors, names, self.clip_model) or names
        bound = sorted(self.learner.class_dims.keys() & checkpoint.tensors.keys())
        if bound and rows_of(names, saved) != [*range(len(saved))]:
            raise CheckpointError(
                f"MODEL.INIT_WEIGHTS {path}: it has {' and '.join(bound)} for other classes, or for these in "
                "another order: take a checkpoint of these classes, or leave the key empty"
            )

    def before_loading(self, checkpoint: Checkpoint) -> None:
        """Print in which of the method's settings a checkpoint's run differs from this one."""
        if not (before := checkpoint.settings):
            return
        now = {f"TRAINER.{self.config_node}.{key}": str(value) for key, value in self.node.items() if key != "PREC"}
        differing = [
            f"{key} {before[key]}, tested with {value}" for key, value in now.items() if before.get(key, value) != value
        ]
        if differing:
            print(f"Trained with {'; '.join(differing)}")


def require_vit(clip_model: CLIP, method: str) -> VisionTransformer:
    """The image encoder, where it can hold visual prompts.

    Raises:
        UserError: it is a ResNet.
    """
    if not isinstance(clip_model.visual, VisionTransformer):
        raise ConfigError(f"{method} prompts the image encoder, which a ResNet has no place for: choose a ViT backbone")
    return clip_model.visual
