"""How far half precision is from float32, for every trainer: `python -m bench.precision [--device cuda]`.

A small CLIP of seeded weights (tests/seeded_weights.py), twelve classes, four images. A row is a trainer in a
precision: the relative norm of the difference to the CPU in float32, of training logits, gradients and test logits.
On a CPU the encoders take the way that they take on a GPU, whose kernels add up in float32 as the CPU's do.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from unittest import mock

import torch
from torch import Tensor

import clip
import train
from bench import measure
from dassl.config import get_cfg_default
from dassl.engine import TRAINER_REGISTRY, TrainerBase
from tests.seeded_weights import IMAGE_SIZE, seeded_images, seeded_state_dict
from trainers.trainer import MethodTrainer

PRECISIONS = ("fp16", "amp", "bf16")
IMAGES = 4
NAMES = [
    *("cat", "big dog", "red-winged blackbird", "owl", "a very long name of a class", "sea", "hot air balloon", "ox"),
    *("golden retriever", "jay", "cup of tea", "van"),
]
SCALES = [2.0**power for power in range(16, -17, -2)]  # of the loss, until float16 gradients are finite


@dataclass(frozen=True)
class Case:
    """A trainer, the kind of its CLIP ("vit" or "resnet") and options that are not its defaults."""

    trainer: str
    kind: str = "vit"
    options: dict = field(default_factory=dict)

    def __str__(self) -> str:
        options = ", ".join(f"{key} {value}" for key, value in self.options.items())
        return f"{self.trainer}{' on a ResNet' if self.kind == 'resnet' else ''}{f' ({options})' if options else ''}"


RANDOM_CONTEXT = {"CTX_INIT": "", "N_CTX": 4}
CASES = [
    *(Case(name) for name in ("MuDPT", "CoOp", "CoCoOp", "KgCoOp", "ProGrad", "TCP", "IVLP", "MaPLe")),
    Case("VPT", options={"PROMPT_DEPTH_VISION": 3}),
    Case("PromptSRC", options={"GPA_MEAN": 2.0}),
    Case("MMA", options={"ADAPTER_START": 1}),
    Case("MMRL", options={"REP_LAYERS": [2, 3], "REP_DIM": 16}),
    Case("CLIP_LoRA", options={"DROPOUT": 0.0}),
    *(Case(name) for name in ("CLIP_Adapter", "TipAdapterF", "TipAdapter", "LinearProbe")),
    *(Case(name, "resnet") for name in ("CoOp", "CoCoOp")),
    Case("CoOp", options={"CSC": True, **RANDOM_CONTEXT}),
    *(Case("CoOp", options={"CLASS_TOKEN_POSITION": place, **RANDOM_CONTEXT}) for place in ("middle", "front")),
    Case("MuDPT", options={"INJECTION": "cross"}),
    Case("MuDPT", options={"INJECTION": "linear", "DIRECTION": "t2v"}),
    *(Case("MuDPT", options={"RELEASE": release}) for release in ("mudpt", "uumudpt")),
    Case("MuDPT", options={f"{part}_LOSS_WEIGHT": 1.0 for part in ("TEXT", "IMAGE", "LOGITS")}),
]


@contextlib.contextmanager
def as_on_a_gpu() -> Iterator[None]:
    """On a CPU: half precision where a run would compute in float32, by the encoders' way on a GPU."""

    def computing_in(precision: str, device: torch.device):
        return torch.autocast(device.type, torch.float16) if precision == "amp" else contextlib.nullcontext()

    with (
        mock.patch("clip.parts.launches_decide", lambda device: True),
        mock.patch("trainers.trainer.usable_precision", lambda options, clip_model, device: options.PREC),
        mock.patch("trainers.trainer.computing_in", computing_in),
    ):
        yield


def build(case: Case, device: torch.device, precision: str | None, names=NAMES, half_checkpoint=False) -> MethodTrainer:
    """A trainer with its model, whose learned tensors are all random, without data."""
    trainer_class = TRAINER_REGISTRY.get(case.trainer)
    cfg = get_cfg_default()
    train.extend_cfg(cfg)
    cfg.INPUT.SIZE = (IMAGE_SIZE[case.kind],) * 2
    cfg.DATASET.NAME = "OxfordPets"
    if precision:
        cfg.TRAINER[trainer_class.config_node].update({"PREC": precision, **case.options})
    trainer = trainer_class.__new__(trainer_class)
    TrainerBase.__init__(trainer)
    trainer.cfg, trainer.device, trainer.max_epoch = cfg, device, cfg.OPTIM.MAX_EPOCH
    trainer.batches, trainer.skipped_batches, trainer.output_dir = None, {}, ""
    trainer.dm = SimpleNamespace(dataset=SimpleNamespace(classnames=names, train_x=[None] * len(names)))
    trainer.train_loader_x, trainer.num_batches, trainer.batch_idx = [None] * 10, 10, 0
    state = seeded_state_dict(case.kind)
    if half_checkpoint:
        state = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    backbone = clip.build_model(state).requires_grad_(False)
    torch.manual_seed(0)
    with (
        mock.patch("trainers.trainer.load_clip_to_cpu", lambda cfg: backbone),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        trainer.build_model()
    if trainer.get_model_names():
        randomise(trainer)
        trainer.set_model_mode("train")
    return trainer


def randomise(trainer: MethodTrainer) -> None:
    """Add to every learned tensor, so that none is zero, and fill a cache."""
    generator = torch.Generator().manual_seed(1)
    method = trainer.method
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator).to(trainer.device))
        if type(trainer).__name__.startswith("Tip"):
            count = len(method.class_names)
            features = torch.randn(count, method.keys.shape[1], generator=generator).to(trainer.device)
            method.fill(features, torch.arange(count).to(trainer.device))


def batch_of(trainer: MethodTrainer, kind: str, seed: int = 0) -> tuple[Tensor, Tensor]:
    """`IMAGES` images (B, 3, H, W) and their labels (B,)."""
    images = seeded_images(kind, IMAGES).roll(seed, dims=-1)
    return images.to(trainer.device), torch.arange(IMAGES).roll(seed).to(trainer.device)


def numbers(trainer: MethodTrainer, kind: str) -> dict[str, Tensor | float]:
    """Training logits, gradients at the largest loss scale at which they are finite, and test logits, all float32."""
    images, labels = batch_of(trainer, kind)
    found = {}
    learned = [parameter for parameter in trainer.method.parameters() if parameter.requires_grad]
    for scale in SCALES if trainer.precision in ("fp16", "amp") else (1.0,):
        if not learned:
            break
        with trainer.computing():
            outputs = trainer.model.outputs(images)
        loss = sum(trainer.method.losses(outputs, labels).values())
        found |= {"logits": outputs.logits.detach().float().cpu(), "dtype": str(outputs.logits.dtype)[6:]}
        gradients = torch.autograd.grad(loss * scale, learned, allow_unused=True)
        gradients = torch.cat([gradient.float().flatten() for gradient in gradients if gradient is not None])
        if bool(torch.isfinite(gradients).all()):
            found |= {"gradients": gradients.cpu() / scale, "scale": scale}
            break
    trainer.set_model_mode("eval")
    with torch.no_grad():
        found["test logits"] = trainer.model_inference(images).float().cpu()
    trainer.set_model_mode("train")
    return found


def apart(found: Tensor, wanted: Tensor) -> float:
    """Relative norm of the difference."""
    return ((found - wanted).norm() / wanted.norm()).item()


def main() -> None:
    parser = measure.argument_parser(__doc__, classes=None, batch=None, pairs=None, backbone=None)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.backends.cudnn.allow_tf32 = False
    train.extend_cfg(get_cfg_default())  # registers the trainers
    rows = []
    for case in CASES:
        wanted = numbers(build(case, torch.device("cpu"), "fp32"), case.kind)
        for precision in PRECISIONS:
            with as_on_a_gpu() if args.device.type == "cpu" else contextlib.nullcontext():
                found = numbers(build(case, args.device, precision), case.kind)
            differences = [
                apart(found[name], wanted[name]) if name in found and name in wanted else None
                for name in ("logits", "gradients", "test logits")
            ]
            rows.append([str(case), precision, *differences])
    headers = ["", "", "training logits", "gradients", "test logits"]
    measure.print_table(f"relative error; {measure.machine(args.threads, args.device)}", rows, headers)


if __name__ == "__main__":
    measure.run(main)
