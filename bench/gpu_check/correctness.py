"""Every trainer on small seeded weights: the device in four precisions against the CPU in float32."""

from __future__ import annotations

import contextlib
import io
from types import SimpleNamespace
from unittest import mock

import torch
from common import attempt, emit, left

import clip
import train
from dassl.config import get_cfg_default
from dassl.engine import TRAINER_REGISTRY, TrainerBase
from tests.seeded_weights import IMAGE_SIZE, seeded_images, seeded_state_dict

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
PRECISIONS = ("fp32", "fp16", "amp", "bf16") if CUDA else ("fp32", "bf16")
# relative norm of the difference: logits, gradients
LIMITS = {"fp32": (1e-4, 1e-3), "fp16": (0.02, 0.06), "amp": (0.02, 0.06), "bf16": (0.08, 0.25)}
NAMES = [
    "cat",
    "big dog",
    "red-winged blackbird",
    "owl",
    "a very long name of a class",
    "sea",
    "hot air balloon",
    "ox",
    "golden retriever",
    "jay",
    "cup of tea",
    "van",
]
train.extend_cfg(get_cfg_default())  # registers the trainers


def build(name: str, kind: str, device: torch.device, precision: str, names=NAMES, half_checkpoint=False, **node):
    trainer_class = TRAINER_REGISTRY.get(name)
    cfg = get_cfg_default()
    train.extend_cfg(cfg)
    cfg.INPUT.SIZE = (IMAGE_SIZE[kind],) * 2
    cfg.DATASET.NAME = "OxfordPets"
    if trainer_class.config_node:
        for key, value in {"PREC": precision, **node}.items():
            cfg.TRAINER[trainer_class.config_node][key] = value
    trainer = trainer_class.__new__(trainer_class)
    TrainerBase.__init__(trainer)
    trainer.cfg, trainer.device, trainer.max_epoch = cfg, device, cfg.OPTIM.MAX_EPOCH
    trainer.batches, trainer.skipped_batches, trainer.output_dir = None, {}, ""
    trainer.dm = SimpleNamespace(dataset=SimpleNamespace(classnames=names, train_x=[None] * len(names)))
    trainer.train_loader_x, trainer.num_batches, trainer.batch_idx = [None] * 10, 10, 0
    state = seeded_state_dict(kind)
    if half_checkpoint:
        state = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    backbone = clip.build_model(state).requires_grad_(False)
    torch.manual_seed(0)
    with (
        mock.patch("trainers.trainer.load_clip_to_cpu", lambda cfg: backbone),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        trainer.build_model()
    if not trainer.get_model_names():
        return trainer
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():  # so that nothing learned is zero
        for parameter in trainer.method.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator).to(device))
        if name.startswith("Tip"):
            features = torch.randn(len(names), trainer.method.keys.shape[1], generator=generator).to(device)
            trainer.method.fill(features, torch.arange(len(names)).to(device))
    trainer.set_model_mode("train")
    return trainer


def losses(trainer, images, labels):
    outputs = trainer.model.outputs(images)
    return sum(trainer.method.losses(outputs, labels).values()), outputs.logits


def numbers(trainer, kind: str, count: int) -> dict:
    """Loss, logits, gradients, the loss scale that they needed, test logits; on the CPU in float32."""
    images, labels = seeded_images(kind, count).to(trainer.device), torch.arange(count).to(trainer.device)
    found = {}
    if trainer.get_model_names():
        learned = [parameter for parameter in trainer.method.parameters() if parameter.requires_grad]
        for power in range(16, -17, -2) if trainer.precision in ("fp16", "amp") else (0,):
            with trainer.computing():
                loss, logits = losses(trainer, images, labels)
            if not learned:
                break
            gradients = torch.autograd.grad(loss * 2.0**power, learned, allow_unused=True)
            given = [g.float() for g in gradients if g is not None]
            if all(bool(torch.isfinite(g).all()) for g in given):
                found["gradients"] = torch.cat([g.flatten() for g in given]).cpu() / 2.0**power
                found["scale"] = 2.0**power
                break
        found["loss"], found["logits"], found["dtype"] = (
            loss.item(),
            logits.detach().float().cpu(),
            str(logits.dtype)[6:],
        )
        trainer.set_model_mode("eval")
    with torch.no_grad():
        found["test"] = trainer.model_inference(images).float().cpu()
    return found


def apart(got: torch.Tensor, wanted: torch.Tensor) -> float:
    return ((got - wanted).norm() / wanted.norm()).item()


def compare(
    name: str, kind: str, precision: str, wanted: dict, names, chunk: int, half_checkpoint: bool, node: dict
) -> dict:
    if not CUDA and precision == "fp32" and not chunk:
        names = list(names)
    trainer = build(name, kind, DEVICE, precision, names, half_checkpoint, **node)
    if chunk:
        trainer.model.chunk_classes = chunk
    found = numbers(trainer, kind, 4)
    limit, gradient_limit = LIMITS[precision]
    result = {"test_logits": apart(found["test"], wanted["test"])}
    ok = result["test_logits"] <= (LIMITS["fp32"][0] if precision == "amp" else limit)
    if "logits" in wanted:
        result |= {
            "logits": apart(found["logits"], wanted["logits"]),
            "loss": found["loss"],
            "loss_fp32": wanted["loss"],
            "logits_dtype": found["dtype"],
        }
        ok = ok and result["logits"] <= limit
    if "gradients" in wanted:
        if "gradients" not in found:
            return {**result, "ok": False, "error": "gradients are not finite at any loss scale"}
        result |= {
            "gradients": apart(found["gradients"], wanted["gradients"]),
            "gradient_norm_ratio": (found["gradients"].norm() / wanted["gradients"].norm()).item(),
            "loss_scale": found["scale"],
        }
        ok = ok and result["gradients"] <= gradient_limit
    if "gradients" in wanted and not chunk:  # the step itself, with the trainer's own scaler
        batch = {"img": seeded_images(kind, 4), "label": torch.arange(4)}
        trainer.set_model_mode("train")
        before = torch.cat([p.detach().flatten().clone() for p in trainer.method.parameters() if p.requires_grad])
        for tried in range(1, 41):
            trainer.forward_backward(batch)
            after = torch.cat([p.detach().flatten() for p in trainer.method.parameters() if p.requires_grad])
            if not torch.equal(before, after):
                break
        result["steps_until_one_was_taken"] = tried
        ok = ok and tried < 40 and bool(torch.isfinite(after).all())
    return {**result, "ok": bool(ok)}


CASES = [
    ("vit", "MuDPT", {}),
    ("vit", "CoOp", {}),
    ("vit", "CoCoOp", {}),
    ("vit", "KgCoOp", {}),
    ("vit", "ProGrad", {}),
    ("vit", "TCP", {}),
    ("vit", "VPT", {"PROMPT_DEPTH_VISION": 3}),
    ("vit", "IVLP", {}),
    ("vit", "MaPLe", {}),
    ("vit", "PromptSRC", {"GPA_MEAN": 2.0}),
    ("vit", "CLIP_LoRA", {"DROPOUT": 0.0}),
    ("vit", "CLIP_Adapter", {}),
    ("vit", "TipAdapterF", {}),
    ("vit", "TipAdapter", {}),
    ("vit", "LinearProbe", {}),
    ("vit", "ZeroshotCLIP", {}),
    ("vit", "ZeroshotCLIP2", {}),
    ("resnet", "CoOp", {}),
    ("resnet", "CoCoOp", {}),
    ("resnet", "ZeroshotCLIP", {}),
    ("vit", "CoOp", {"CSC": True, "CTX_INIT": "", "N_CTX": 4}),
    ("vit", "CoOp", {"CLASS_TOKEN_POSITION": "middle", "CTX_INIT": "", "N_CTX": 4}),
    ("vit", "CoOp", {"CLASS_TOKEN_POSITION": "front", "CTX_INIT": "", "N_CTX": 4}),
    ("vit", "MuDPT", {"INJECTION": "cross"}),
    ("vit", "MuDPT", {"INJECTION": "linear", "DIRECTION": "t2v"}),
    ("vit", "MuDPT", {"TEXT_LOSS_WEIGHT": 1.0, "IMAGE_LOSS_WEIGHT": 1.0, "LOGITS_LOSS_WEIGHT": 1.0}),
]


def main() -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.set_num_threads(4)
    cases = CASES if CUDA else CASES[:6] + CASES[17:18]
    for kind, name, node in cases:
        wanted = {}
        attempt(
            "correctness",
            {"kind": kind, "trainer": name, "node": str(node or ""), "precision": "CPU float32"},
            lambda: wanted.update(numbers(build(name, kind, torch.device("cpu"), "fp32", **node), kind, 4)) or {},
        )
        for precision in PRECISIONS if not name.startswith("Zero") else ("fp32",):
            attempt(
                "correctness",
                {"kind": kind, "trainer": name, "node": str(node or ""), "precision": precision},
                lambda: compare(name, kind, precision, wanted, NAMES, 0, False, node),
            )
    if CUDA:
        from bench.sides import class_names

        for name, node in (("TCP", {}), ("MuDPT", {})):
            names, wanted = class_names(1000), {}
            attempt(
                "correctness",
                {"kind": "vit", "trainer": name, "node": "1000 classes", "precision": "CPU float32"},
                lambda: (
                    wanted.update(numbers(build(name, "vit", torch.device("cpu"), "fp32", names, **node), "vit", 4))
                    or {}
                ),
            )
            for precision in PRECISIONS:
                attempt(
                    "correctness",
                    {"kind": "vit", "trainer": name, "node": "1000 classes", "precision": precision},
                    lambda: compare(name, "vit", precision, wanted, names, 0, False, node),
                )
            attempt(
                "correctness",
                {"kind": "vit", "trainer": name, "node": "1000 classes, CHUNK_CLASSES 100", "precision": "fp32"},
                lambda: compare(name, "vit", "fp32", wanted, names, 100, False, node),
            )

        def half_checkpoint() -> dict:
            wanted = numbers(build("ZeroshotCLIP", "vit", torch.device("cpu"), "-", half_checkpoint=True), "vit", 4)
            found = numbers(build("ZeroshotCLIP", "vit", DEVICE, "-", half_checkpoint=True), "vit", 4)
            difference = apart(found["test"], wanted["test"])
            return {"test_logits": difference, "ok": difference < 0.02}

        attempt(
            "correctness",
            {"kind": "vit", "trainer": "ZeroshotCLIP", "node": "float16 checkpoint", "precision": "fp16"},
            half_checkpoint,
        )

        def tf32() -> dict:  # what cuDNN's default, TF32 in convolutions, does to PREC fp32
            wanted = numbers(build("CoOp", "resnet", torch.device("cpu"), "fp32"), "resnet", 4)
            torch.backends.cudnn.allow_tf32 = True
            found = numbers(build("CoOp", "resnet", DEVICE, "fp32"), "resnet", 4)
            torch.backends.cudnn.allow_tf32 = False
            return {
                "logits": apart(found["logits"], wanted["logits"]),
                "gradients": apart(found["gradients"], wanted["gradients"]),
            }

        attempt(
            "correctness",
            {"kind": "resnet", "trainer": "CoOp", "node": "cuDNN's default TF32", "precision": "fp32"},
            tf32,
        )
    emit("correctness", case="time left", seconds_left=left())


main()
