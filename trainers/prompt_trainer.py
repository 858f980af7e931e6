"""What every prompt-tuning method shares: a frozen CLIP, one forward pass, one training step, small checkpoints.

A method adds a prompt learner: a module whose parameters are all that is trained, saved and loaded, whose ``forward``
returns `Prompts`, and whose ``class_text`` is the token layout of the class names.
"""

from __future__ import annotations

import os.path as osp
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clip.model import CLIP, VisionTransformer, convert_weights
from clip.weights import load_clip
from dassl.engine import TrainerX
from dassl.metrics import compute_accuracy
from dassl.optim import build_lr_scheduler, build_optimizer
from dassl.utils import load_checkpoint, load_pretrained_weights
from user_error import UserError

PRECISIONS = ("fp32", "fp16", "bf16", "amp")
LEARNER = "prompt_learner"  # the name under which every method registers its learner, as in CoOp
PROMPTS_AT_ONCE = 10_000  # class prompts that a test encodes together where each image has its own
# Buffers in checkpoints of CoOp's own trainers. They belong to the class names of the training run, not to the method.
CLASS_NAME_BUFFERS = ("token_prefix", "token_suffix")


def load_clip_to_cpu(cfg) -> CLIP:
    """The frozen CLIP that ``cfg.MODEL.BACKBONE`` names, in its checkpoint's precision.

    Raises:
        UserError: as `clip.weights.load_clip`, or INPUT.SIZE is not the backbone's resolution.
    """
    model = load_clip(cfg.MODEL.BACKBONE.NAME, getattr(cfg.MODEL.BACKBONE, "PATH", ""))
    resolution = model.visual.input_resolution
    if tuple(cfg.INPUT.SIZE) != (resolution, resolution):
        raise UserError(
            f"INPUT.SIZE {tuple(cfg.INPUT.SIZE)} does not fit the backbone: set INPUT.SIZE ({resolution}, {resolution})"
        )
    return model.requires_grad_(False)


def usable_precision(precision: str, key: str, device: torch.device) -> str:
    """``precision``, or "fp32" with a printed line where a CPU could not profit from it.

    Raises:
        UserError: ``precision`` is none of `PRECISIONS`; ``key`` names the configuration key.
    """
    if precision not in PRECISIONS:
        raise UserError(f'{key} is "{precision}": choose one of {", ".join(PRECISIONS)}')
    if device.type == "cpu" and precision in ("fp16", "amp"):
        print(f"{key} {precision} needs a GPU: computing in fp32")
        return "fp32"
    return precision


class PromptedCLIP(nn.Module):
    """A frozen CLIP and a prompt learner: images in, logits out."""

    def __init__(self, clip_model: CLIP, prompt_learner: nn.Module):
        super().__init__()
        self.clip = clip_model
        self.prompt_learner = prompt_learner
        self._text_features: tuple[tuple, Tensor] | None = None

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C) logits, exp(logit_scale) * cos(image feature, text feature)."""
        if getattr(self.prompt_learner, "conditioned_on_image", False):
            image_features = F.normalize(self.clip.encode_image(images).float(), dim=-1)  # (B, e)
            text_features = self.encode_text_per_image(image_features)  # (B, C, e)
        else:
            text_features = None if self.training or self.prompt_learner.training else self.cached_text_features()
            prompts = self.prompt_learner()
            image_features = F.normalize(self.clip.encode_image(images, prompts).float(), dim=-1)  # (B, e)
            text_features = self.encode_text(prompts) if text_features is None else text_features  # (C, e)
        scaled = self.clip.logit_scale.float().exp() * image_features
        if text_features.dim() == 2:
            return scaled @ text_features.t()
        return (text_features @ scaled[:, :, None]).squeeze(-1)

    def encode_text_per_image(self, image_features: Tensor) -> Tensor:
        """(B, e) -> (B, C, e), in parts that bound the memory where no gradients are kept."""
        images_at_once = len(image_features)
        if not torch.is_grad_enabled():
            images_at_once = max(1, PROMPTS_AT_ONCE // self.prompt_learner.class_text.n_classes)
        parts = image_features.split(images_at_once)
        return torch.cat([self.encode_text(self.prompt_learner(part)) for part in parts])

    def encode_text(self, prompts) -> Tensor:
        """Normalised text features of all classes, float32."""
        return F.normalize(self.clip.encode_text(self.prompt_learner.class_text, prompts).float(), dim=-1)

    def cached_text_features(self) -> Tensor | None:
        """Text features of the present parameters, encoded once per test run; None where gradients are wanted."""
        if torch.is_grad_enabled():
            return None
        state = tuple((id(p), p._version, p.device) for p in self.prompt_learner.parameters())
        if self._text_features is None or self._text_features[0] != state:
            self._text_features = state, self.encode_text(self.prompt_learner())
        return self._text_features[1]


class PromptTrainer(TrainerX):
    """Base of all prompt-tuning trainers; a method gives the three members below.

    ``config_defaults`` become ``cfg.TRAINER.<config_node>``; a key PREC among them is required.
    """

    config_node = ""
    config_defaults: dict = {}

    def build_prompt_learner(self, cfg, class_names: list[str], clip_model: CLIP) -> nn.Module:
        """The method's learner for these classes; ``clip_model`` is on the CPU in float32."""
        raise NotImplementedError

    def build_model(self) -> None:
        cfg = self.cfg
        key = f"TRAINER.{self.config_node}.PREC"
        self.precision = usable_precision(cfg.TRAINER[self.config_node].PREC, key, self.device)
        print(f"Loading CLIP (backbone: {cfg.MODEL.BACKBONE.NAME})")
        clip_model = load_clip_to_cpu(cfg).float()
        learner = self.build_prompt_learner(cfg, self.dm.dataset.classnames, clip_model)
        if self.precision in ("fp16", "bf16"):
            convert_weights(clip_model, torch.float16 if self.precision == "fp16" else torch.bfloat16)
        if cfg.MODEL.INIT_WEIGHTS:
            load_pretrained_weights(learner, cfg.MODEL.INIT_WEIGHTS)
        self.model = PromptedCLIP(clip_model, learner).to(self.device).eval()
        print(f"Learned parameters: {sum(p.numel() for p in learner.parameters()):,}")

        self.optim = build_optimizer(learner, cfg.OPTIM)
        self.sched = build_lr_scheduler(self.optim, cfg.OPTIM)
        self.register_model(LEARNER, learner, self.optim, self.sched)
        # Gradients pass through float16 activations in both modes, so both need their loss scaled.
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision in ("fp16", "amp"))

    def forward_backward(self, batch: dict) -> dict:
        images, labels = self.parse_batch_train(batch)
        with torch.autocast(self.device.type) if self.precision == "amp" else nullcontext():
            logits = self.model(images)
            loss = F.cross_entropy(logits, labels)
        self.detect_anomaly(loss)
        self.model_zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optim)
        self.scaler.update()
        if self.batch_idx + 1 == self.num_batches:
            self.update_lr()
        return {"loss": loss.item(), "acc": compute_accuracy(logits, labels)[0].item()}

    def parse_batch_train(self, batch: dict) -> tuple[Tensor, Tensor]:
        return batch["img"].to(self.device), batch["label"].to(self.device)

    def load_model(self, directory: str, epoch: int | None = None) -> None:
        """Load the learned tensors from a run's folder, also one written by CoOp's own trainers.

        Args:
            directory: output folder of a training run.
            epoch: default: the best model if there is one, else the last.

        Raises:
            UserError: no checkpoint there, or one of another method, backbone or class count.
        """
        if not directory:
            print("No --model-dir: the prompts keep their initial values")
            return
        path = find_checkpoint(osp.join(directory, LEARNER), epoch)
        checkpoint = load_checkpoint(path)
        learned = {k: v for k, v in checkpoint["state_dict"].items() if k not in CLASS_NAME_BUFFERS}
        learner = self._models[LEARNER]
        check_fits(learned, learner.state_dict(), path)
        learner.load_state_dict(learned)
        self.loaded_epoch = checkpoint["epoch"]
        print(f"Loaded {path} (epoch {self.loaded_epoch})")


def find_checkpoint(folder: str, epoch: int | None) -> str:
    """Path of the checkpoint of an epoch, or of the best, else the last one.

    Raises:
        UserError: there is none.
    """
    candidates = [f"model.pth.tar-{epoch}"] if epoch is not None else ["model-best.pth.tar"]
    if epoch is None and osp.isfile(osp.join(folder, "checkpoint")):
        with open(osp.join(folder, "checkpoint"), encoding="utf-8") as file:
            candidates.append(osp.basename(file.readline().strip()))
    for name in candidates:
        if osp.isfile(osp.join(folder, name)):
            return osp.join(folder, name)
    raise UserError(f"no {' or '.join(candidates)} in {folder}: correct --model-dir or --load-epoch, or train first")


def check_fits(learned: dict[str, Tensor], wanted: dict[str, Tensor], path: str) -> None:
    """Compare names and shapes of a checkpoint with those of the learner.

    Raises:
        UserError: they differ.
    """
    for name in wanted:
        if name not in learned:
            raise UserError(f"{path} has no {name}: it belongs to another method or another setting of this one")
    for name, tensor in learned.items():
        if name not in wanted:
            raise UserError(
                f"{path} has an unknown {name}: it belongs to another method or another setting of this one"
            )
        if tensor.shape != wanted[name].shape:
            raise UserError(
                f"{path}: {name} is {tuple(tensor.shape)} but this run needs {tuple(wanted[name].shape)}: it belongs "
                "to another backbone, prompt length, prompt depth or (class-specific context) list of classes"
            )


def require_vit(clip_model: CLIP, method: str) -> VisionTransformer:
    """The image encoder, where it can hold visual prompts.

    Raises:
        UserError: it is a ResNet.
    """
    if not isinstance(clip_model.visual, VisionTransformer):
        raise UserError(f"{method} prompts the image encoder, which a ResNet has no place for: choose a ViT backbone")
    return clip_model.visual
