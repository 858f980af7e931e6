"""The trainer of every method: a frozen CLIP, a method that alone is trained, one step, small checkpoints."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader

from clip.model import convert_weights
from dassl.engine import TrainerX
from dassl.metrics import compute_accuracy
from dassl.optim import build_lr_scheduler, build_optimizer
from dassl.utils import load_pretrained_weights, set_random_seed
from dassl.utils.distributed import world_size
from support.user_error import ConfigError
from trainers.checkpoints import LEARNED, check_initial_classes, load_folder
from trainers.collapse import collapse_warning
from trainers.cuda_graph import CapturedStep, CaptureError
from trainers.descriptions import FORM, descriptions_of_run
from trainers.epoch_average import EpochAverage
from trainers.feature_views import FeatureViews
from trainers.frozen_clip import HALF_PRECISIONS, computing_in, load_clip_to_cpu, usable_precision
from trainers.method import HeadMethod, Method, Task
from trainers.model_record import ModelRecord, weights_hash
from trainers.preprocessing import Preprocessing
from trainers.templates import choose_template, frozen_text_features, own_template
from trainers.training_features import TrainingFeatures
from trainers.tuned_clip import TunedCLIP

CUDA_GRAPH = ("auto", "on", "off")
ZERO_SHOT = "zero_shot_acc"  # among what the steps of the last epoch report
FIXED_TRANSFORMS = {"center_crop", "normalize", "instance_norm"}  # those that give an image the same pixels each time
MOST_CACHED_BYTES = 2**30  # of the training images' features
NO_EPOCH = 2**31  # in the place of an epoch's number, in the seed of what is drawn before the first


class MethodTrainer(TrainerX):
    """Trains a `Method`; a method's file makes it a Dassl trainer in two lines:

        @TRAINER_REGISTRY.register()
        class CoOp(MethodTrainer):
            Method = PromptLearner

    Where the method leaves the image encoder alone and images are not augmented, each is encoded once in a run; so are
    the augmented views of a method that asks for them.

    Attributes:
        Method: what is trained.
        takes_steps: False where an epoch has no steps, but only `Method.fit` and the like.
        method: the instance of ``Method`` for the classes of the run.
        model: the network, images (B, 3, H, W) -> logits (B, C).
        loaded_epoch: epoch of the checkpoint that `load_model` loaded, None where the file does not say.
    """

    Method: type[Method]
    takes_steps = True
    loaded_epoch: int | None = None
    _image_features: Tensor | None = None  # (N, e) of the training images, normalised
    _views: DataLoader | None = None  # of their features
    _zero_shot_text: Tensor | None = None  # (C, e)
    _captured: Callable[[Tensor, Tensor], dict[str, Tensor]] | None = None  # computes the gradients of a batch

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.config_node, cls.config_defaults = cls.Method.Config.node, cls.Method.Config.defaults()
        cls.released_folders, cls.searches_on_val = cls.Method.released_folders, cls.Method.searches_on_val

    @classmethod
    def knows_new_classes(cls, cfg) -> bool:
        """Whether what is learned with this configuration serves classes that it was not trained on."""
        return cls.Method.knows_new_classes(cls.Method.Config.from_cfg(cfg))

    # what is trained

    def check_cfg(self, cfg) -> None:
        name = type(self).__name__
        if cfg.DATALOADER.K_TRANSFORMS > 1:
            views = cfg.DATALOADER.K_TRANSFORMS
            raise ConfigError(f"DATALOADER.K_TRANSFORMS is {views}: {name} takes one view, set it to 1")
        if not self.takes_steps and cfg.OPTIM.MAX_EPOCH != 1:
            raise ConfigError(f"OPTIM.MAX_EPOCH is {cfg.OPTIM.MAX_EPOCH}: {name} has no epochs, set it to 1")
        if cfg.TRAIN.CHUNK_CLASSES < 0:
            chunk = cfg.TRAIN.CHUNK_CLASSES
            raise ConfigError(f"TRAIN.CHUNK_CLASSES is {chunk}: give a number of classes, or 0 for all at once")
        if cfg.TRAIN.CUDA_GRAPH not in CUDA_GRAPH:
            raise ConfigError(f"TRAIN.CUDA_GRAPH is {cfg.TRAIN.CUDA_GRAPH}: choose one of {', '.join(CUDA_GRAPH)}")
        if self.Method.needs_descriptions and not getattr(cfg.DATASET, "DESCRIPTIONS", ""):
            raise ConfigError(
                f"{name} needs descriptions of the classes: name a JSON file, {FORM}, in DATASET.DESCRIPTIONS"
            )
        self.Method.Config.from_cfg(cfg)

    def build_data_loader(self) -> None:
        super().build_data_loader()
        options = self.Method.Config.from_cfg(self.cfg)
        epochs = self.Method.epochs(options, self.cfg.DATASET.NUM_SHOTS, len(self.train_loader_x or ()))
        self.max_epoch = epochs or self.cfg.OPTIM.MAX_EPOCH

    def task(self) -> Task:
        """What the method is told of the data."""
        dataset = self.dm.dataset
        template, images = own_template(self.cfg, dataset), len(dataset.train_x or ())
        descriptions = descriptions_of_run(self.cfg, dataset.classnames)
        return Task(dataset.classnames, self.cfg.DATASET.NAME, template, images, descriptions)

    def build_model(self) -> None:
        cfg = self.cfg
        print(f"Loading CLIP (backbone: {cfg.MODEL.BACKBONE.NAME})")
        options, clip_model = self.Method.Config.from_cfg(cfg), load_clip_to_cpu(cfg)
        self.backbone_hash = weights_hash(clip_model)
        self.precision = usable_precision(options, clip_model, self.device)
        self.clip_model = clip_model.float().to(self.device)
        self.method = self.Method(options, self.task(), self.clip_model)
        self.method.prepare_losses(self.clip_model)
        self.model = TunedCLIP(self.clip_model, self.method, cfg.TRAIN.CHUNK_CLASSES)
        if self.precision in HALF_PRECISIONS:
            convert_weights(self.clip_model, HALF_PRECISIONS[self.precision])
        if cfg.MODEL.INIT_WEIGHTS:
            check_initial_classes(self.method, cfg.MODEL.INIT_WEIGHTS, self.clip_model)
            load_pretrained_weights(self.method, cfg.MODEL.INIT_WEIGHTS)
        self.model.to(self.device).eval()
        self.features = TrainingFeatures(self)
        if self.method.state_dict():
            self._build_optimizer()

    def _build_optimizer(self) -> None:
        cfg = self.cfg
        print(f"Learned parameters: {sum(p.numel() for p in self.method.parameters() if p.requires_grad):,}")
        self.optim = build_optimizer(self.method, cfg.OPTIM)
        self.sched = self.build_schedule()
        self.register_model(LEARNED, self.method, self.optim, self.sched)
        weights = self.method.epoch_weights(self.max_epoch)
        self.average = EpochAverage(weights) if weights else None
        # Gradients pass through float16 activations in both modes, so both need their loss scaled.
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision in ("fp16", "amp"))

    def build_schedule(self) -> torch.optim.lr_scheduler.LRScheduler:
        """The schedule of OPTIM over the epochs that the run has."""
        schedule = self.cfg.OPTIM.clone()
        schedule.defrost()
        schedule.MAX_EPOCH = self.max_epoch
        return build_lr_scheduler(self.optim, schedule)

    def describe_model(self) -> dict:
        """What `TunedCLIP.load` needs to know, for results.json."""
        cfg, task = self.cfg, self.method.task
        path = cfg.MODEL.BACKBONE.PATH
        return ModelRecord(
            trainer=cfg.TRAINER.NAME,
            settings=vars(self.method.config).copy(),
            backbone=cfg.MODEL.BACKBONE.NAME,
            backbone_path=os.path.abspath(os.path.expanduser(path)) if path else "",
            backbone_hash=self.backbone_hash,
            class_names=self.method.class_names,
            dataset=task.dataset,
            template=task.template,
            images=task.images,
            descriptions=dict(task.descriptions) if self.method.needs_descriptions else {},
            preprocessing=Preprocessing.from_cfg(cfg),
            temperature=self.temperature or 1.0,
        ).to_dict()

    # the loop

    def train(self) -> None:
        if not self.get_model_names():
            raise ConfigError(f"{self.cfg.TRAINER.NAME} has nothing to train: add --eval-only")
        super().train()

    def before_train(self) -> None:
        super().before_train()
        if self.max_epoch != self.cfg.OPTIM.MAX_EPOCH:
            print(
                f"TRAINER.{self.config_node} and {self.cfg.DATASET.NUM_SHOTS} shots ask for {self.max_epoch} epochs of "
                f"{len(self.train_loader_x)} steps instead of OPTIM.MAX_EPOCH {self.cfg.OPTIM.MAX_EPOCH}"
            )
        if self.average and self.cfg.TEST.FINAL_MODEL == "best_val" and not self.cfg.TEST.NO_TEST:
            print(
                "TEST.FINAL_MODEL best_val chooses among single epochs and, in the place of the last, their average; "
                "last_step tests the average"
            )
        self._encode_images_once()

    def _encode_images_once(self) -> None:
        """Keep the features of the training images, where neither prompts nor augmentation change them."""
        if isinstance(self.method, HeadMethod) and self.method.views and self.start_epoch < self.max_epoch:
            with self.counted():
                self._encode_views(self.method.views)
        transforms = set() if self.cfg.INPUT.NO_TRANSFORM else set(self.cfg.INPUT.TRANSFORMS)
        if isinstance(self.method, HeadMethod) or self.model.prompts_images or not transforms <= FIXED_TRANSFORMS:
            return
        if len(self.dm.dataset.train_x) * 4 * self.clip_model.text_projection.shape[1] > MOST_CACHED_BYTES:
            return
        print("No augmentation: the training images are encoded once")
        if self.start_epoch < self.max_epoch:  # in one order, so that no last bit depends on how the epochs mix them
            self._image_features = F.normalize(self.features.train(augmented=True)[0], dim=-1)

    def _encode_views(self, count: int) -> None:
        """Keep the features of several augmented views of the training images.

        Views are a function of SEED alone, so that a resumed run has the same. Without a seed it has others.
        """
        if self.cfg.SEED >= 0:
            set_random_seed(int(np.random.SeedSequence((self.cfg.SEED, NO_EPOCH)).generate_state(1)[0]))
        encoded = [self.features.train(True, f"view {view + 1} of {count}") for view in range(count)]
        features, labels = torch.stack([features for features, _ in encoded]), encoded[0][1]
        self.method.see_views(features, labels)
        paths = [item.impath for item in self.dm.dataset.train_x]
        self._views = FeatureViews(features, labels, paths).loader(self.train_loader_x)
        print(f"{count} views of each of the {len(paths)} training images were encoded once")

    def train_batches(self):
        return self._views or super().train_batches()

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Add the time that the block takes to the run's training time."""
        start = time.time()
        yield
        self.train_seconds += time.time() - start

    def run_epoch(self) -> None:
        with self.counted():
            if self.epoch == 0 and self.start_batch == 0:
                self.method.fit(self.features)
            self.method.begin_epoch()
        if self.takes_steps:
            super().run_epoch()
        with self.counted():
            self.method.end_epoch(self.features)

    def after_epoch(self) -> None:
        if self.average:
            self.average.add(self.method, self.epoch)
        super().after_epoch()

    def after_train(self) -> None:
        super().after_train()
        self.warn_of_collapse()

    # one step

    def computing(self):
        """The context of a forward pass: automatic mixed precision where PREC says so."""
        return computing_in(self.precision, self.device)

    def parse_batch_train(self, batch: dict) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W), or their features (B, e) where these are kept, and labels (B,)."""
        if self._image_features is not None:
            return self._image_features[self._to_device(batch["index"])], self._to_device(batch["label"])
        return self._to_device(batch["img"]), self._to_device(batch["label"])

    def forward_backward(self, batch: dict) -> dict:
        """One step of the optimizer; where float16 gradients overflow, the batch is repeated at a lower loss scale."""
        images, labels = self.parse_batch_train(batch)
        steps = self.optimizer_steps
        while True:
            numbers = self._backward(images, labels)
            self.detect_anomaly(numbers["loss"])
            self.scaler.step(self.optim)
            self.scaler.update()
            if not self.overflowed(steps):
                break
            print(f"float16 gradients overflowed: the batch is repeated at a loss scale of {self.loss_scale():g}")
        if self.batch_idx + 1 == self.num_batches:
            self.update_lr()
        return {**numbers, **self.zero_shot_on_last_epoch(images, labels)}

    def _backward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """`backward`, as a CUDA graph where TRAIN.CUDA_GRAPH asks for one and the step can be one."""
        if self._captured is None:
            self._captured = self.backward
            if reason := self.reason_against_a_graph():
                self._do_without_graph(reason)
            else:
                learned = [parameter for parameter in self.method.parameters() if parameter.requires_grad]
                self._captured = CapturedStep(self.backward, learned)
        try:
            return self._captured(images, labels)
        except CaptureError as error:
            self._do_without_graph(str(error))
            self._captured = self.backward
            return self.backward(images, labels)

    def reason_against_a_graph(self) -> str:
        """Why a step on this machine is not captured as a CUDA graph; "": it can be."""
        if self.device.type != "cuda":
            return "there is no GPU"
        if self.cfg.TRAIN.CUDA_GRAPH == "off":
            return "TRAIN.CUDA_GRAPH is off"
        if world_size() > 1:
            return "several processes average their gradients"
        return "TRAIN.CHUNK_CLASSES computes in parts" if self.cfg.TRAIN.CHUNK_CLASSES else ""

    def _do_without_graph(self, reason: str) -> None:
        mode = self.cfg.TRAIN.CUDA_GRAPH
        if mode == "on":
            raise ConfigError(f"TRAIN.CUDA_GRAPH is on, but a step cannot be a CUDA graph ({reason}): set it to auto")
        if self.device.type == "cuda" and mode == "auto":
            print(f"Steps are no CUDA graph: {reason}")

    def backward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Compute the gradients of a batch.

        Returns:
            Scalars to report: the loss, its terms where there are several, and the accuracy.
        """
        with self.computing():
            outputs = self.model.outputs(images)
        terms = self.method.losses(outputs, labels)
        loss = self.backward_of(terms)
        named = {name: term.detach() for name, term in terms.items()} if len(terms) > 1 else {}
        return {"loss": loss.detach(), **named, "acc": compute_accuracy(outputs.logits, labels)[0]}

    def backward_of(self, terms: dict[str, Tensor]) -> Tensor:
        """Leave the gradients of the sum of the loss terms in the parameters; returns the loss to report."""
        first, *others = terms.values()
        loss = sum(others, start=first)
        self.model_zero_grad()
        self.scaler.scale(loss).backward()
        return loss

    @torch.no_grad()
    def zero_shot_on_last_epoch(self, images: Tensor, labels: Tensor) -> dict:
        """Zero-shot CLIP's accuracy on a batch of the last epoch, which the method's is compared with; else {}.

        Args:
            images: (B, 3, H, W), or frozen CLIP's features (B, e) of them.
        """
        if self.epoch + 1 < self.max_epoch:
            return {}
        if self._zero_shot_text is None:
            task = self.method.task
            self._zero_shot_text = frozen_text_features(self.clip_model, task.class_names, choose_template(task))
        with self.computing():
            features = images if images.dim() == 2 else self.clip_model.encode_image(images)
        return {ZERO_SHOT: compute_accuracy(features.float() @ self._zero_shot_text.t(), labels)[0]}

    def warn_of_collapse(self) -> None:
        """One line where the method knows its own training images no better than zero-shot CLIP does."""
        meters = self.epoch_metrics.meters
        if {"acc", ZERO_SHOT} <= meters.keys():
            images = meters["acc"].count * min(self.cfg.DATALOADER.TRAIN_X.BATCH_SIZE, len(self.dm.dataset.train_x))
            norm = self.cfg.OPTIM.CLIP_GRAD_NORM
            if warning := collapse_warning(meters["acc"].avg, meters[ZERO_SHOT].avg, images, norm):
                print(warning)

    def test(self, split: str | None = None) -> float:
        """As upstream's; a line says first how the classes that are tested decide the logits, where they do."""
        if rule := self.method.test_rule():
            print(rule)
        return super().test(split)

    # checkpoints

    def run_state(self) -> dict:
        return {**super().run_state(), "average": self.average.state() if self.average else None}

    def load_run_state(self, state: dict) -> None:
        super().load_run_state(state)
        if self.average:
            self.average.load_state(state.get("average"), self.device)

    def load_model(self, directory: str, epoch: int | None = None) -> None:
        """Load the learned tensors from a run's folder, also one written by the method's released code.

        Args:
            directory: output folder of a training run, or what stands for it, see `checkpoint_files`.
            epoch: default: the best model if there is one, else the last.

        Raises:
            UserError: no checkpoint there, or one of another method, backbone or class count.
        """
        if not self.get_model_names():
            return
        if not directory and self.method.needs_training:
            name = type(self).__name__
            raise ConfigError(f"{name} without training cannot be tested: name a training run with --model-dir")
        if not directory:
            print("No --model-dir: the learned parameters keep their initial values")
            return
        half = self.cfg.DATASET.SUBSAMPLE_CLASSES
        self.loaded_epoch = load_folder(self.method, directory, self.clip_model, half, epoch).epoch
