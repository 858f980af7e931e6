"""The reference side against the released codes: `python -m bench.originals PATH...`.

PATH is a clone or a git directory of github.com/Mechrev0/MuDPT, KaiyangZhou/CoOp or
muzairkhattak/multimodal-prompt-learning. Their models are imported as they are, each in a process of its own because
every repository has its own package `clip`; for Dassl they get this project's, for the checkpoint a random ViT-B/16 in
float32. `clip.reference` is given the same weights, images and learned tensors (its prompts come from the released
learner), and both take steps in turns.

What differs from this project: the released MuDPT fuses the encoders' prompts by one linear map a direction and adds a
projection of the text's first prompts to the image's, where ours follows the paper (`trainers/mudpt.py`). The encoders
do the same work either way, and it is they that are compared here.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import packaging.version
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import measure
from clip import reference
from support.user_error import UserError

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Released:
    """Where a released model stands and how its prompts reach `clip.reference`.

    Attributes:
        trainer: module of its CustomCLIP.
        node: of its configuration, with the options it is published with.
        batch: images of a step.
        trains_whole: whether all of it is in training mode, not only its learner.
        build: (the module `clip.model`, state dict, configuration) -> CLIP.
        logits: (CustomCLIP, state dict, images) -> logits (B, C) by `clip.reference`.
    """

    trainer: str
    node: dict[str, dict]
    batch: int
    trains_whole: bool
    build: Callable[[ModuleType, dict, Any], nn.Module]
    logits: Callable[[nn.Module, dict, Tensor], Tensor]


def text_features(model: nn.Module, state: dict, prompts: Tensor, deep: Sequence[Tensor] | None = None) -> Tensor:
    """(C, e) of the released learner's prompts (C, 77, d_t)."""
    return reference.text_features(state, prompts, model.tokenized_prompts.argmax(-1), deep)


def mudpt_logits(model: nn.Module, state: dict, images: Tensor) -> Tensor:
    prompts, shared, text_deep, to_visual = model.mudpt_prompt_learner()
    visual = model.image_encoder  # which holds the image's own prompts
    own_deep = visual.visual_ctx_deep_prompts
    image = reference.image_features(state, images, (visual.visual_ctx + shared)[0], to_visual + own_deep)
    text = text_features(model, state, prompts, text_deep + visual.visual_ctx_deep_projections(own_deep))
    return reference.logits(state, image, text)


def maple_logits(model: nn.Module, state: dict, images: Tensor) -> Tensor:
    prompts, visual, text_deep, visual_deep = model.prompt_learner()
    image = reference.image_features(state, images, visual, visual_deep)
    return reference.logits(state, image, text_features(model, state, prompts, text_deep))


def coop_logits(model: nn.Module, state: dict, images: Tensor) -> Tensor:
    image = reference.image_features(state, images)
    return reference.logits(state, image, text_features(model, state, model.prompt_learner()))


def cocoop_logits(model: nn.Module, state: dict, images: Tensor) -> Tensor:
    image = reference.image_features(state, images)
    prompts = model.prompt_learner(image / image.norm(dim=-1, keepdim=True))  # (B, C, 77, d_t)
    rows = [
        reference.logits(state, one[None], text_features(model, state, own))
        for one, own in zip(image, prompts, strict=True)
    ]
    return torch.cat(rows)


WORDS = "a photo of a"
MAPLE_DESIGN = {
    "trainer": "MaPLe",
    "vision_depth": 0,
    "language_depth": 0,
    "vision_ctx": 0,
    "language_ctx": 0,
    "maple_length": 2,
}
RELEASED = {
    "MuDPT": Released(
        "trainers.mudpt",
        {"MUDPT": {"N_CTX": 4, "CTX_INIT": WORDS, "DEEP_PROMPT_DEPTH": 9}},
        4,
        True,
        lambda module, state, cfg: module.build_model(state, cfg=cfg),
        mudpt_logits,
    ),
    "MaPLe": Released(
        "trainers.maple",
        {"MAPLE": {"N_CTX": 2, "CTX_INIT": WORDS, "PROMPT_DEPTH": 9}},
        4,
        True,
        lambda module, state, cfg: module.build_model(state, MAPLE_DESIGN),
        maple_logits,
    ),
    "CoOp": Released(
        "trainers.coop",
        {"COOP": {"N_CTX": 16, "CTX_INIT": "", "CSC": False, "CLASS_TOKEN_POSITION": "end"}},
        32,
        False,
        lambda module, state, cfg: module.build_model(state),
        coop_logits,
    ),
    "CoCoOp": Released(
        "trainers.cocoop",
        {"COCOOP": {"N_CTX": 4, "CTX_INIT": WORDS}},
        1,
        False,
        lambda module, state, cfg: module.build_model(state),
        cocoop_logits,
    ),
}


def main() -> None:
    parser = measure.argument_parser(__doc__, classes=None, batch=None, backbone=None, gpu=False)
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="clones or git directories")
    parser.add_argument("--classes", type=measure.positive, nargs="+", default=[20, 100])
    args = parser.parse_args()
    from bench import sides  # imports this project's trainers, which the processes of the released codes do without

    rows = []
    with contextlib.ExitStack() as folders:
        trees = [(path, folders.enter_context(work_tree(path))) for path in args.paths]
        methods = [(tree, name) for path, tree in trees for name in methods_in(tree, path)]
        weights = Path(folders.enter_context(tempfile.TemporaryDirectory())) / "state.pt"
        torch.save(sides.random_state(), weights)  # ViT-B/16, whose widths the released codes presume
        for tree, name in methods:
            for classes in args.classes:
                settings = {
                    "name": name,
                    "tree": str(tree),
                    "weights": str(weights),
                    "classes": sides.class_names(classes),
                    "pairs": args.pairs,
                    "threads": args.threads,
                }
                rows.append([name, classes, RELEASED[name].batch, *compare_in_process(settings)])
    measure.print_table(
        f"released code / plain 77-token pass, ViT-B/16, float32, {args.pairs} pair(s); "
        f"{measure.machine(args.threads)}",
        rows,
        ["step", "classes", "batch", "released, s", "plain, s", "ratio", "logits differ by", "gradients differ by"],
    )


@contextlib.contextmanager
def work_tree(path: Path) -> Iterator[Path]:
    """The files of a clone, or of the HEAD of a git directory without a work tree."""
    if (path / "trainers").is_dir():
        yield path.resolve()
        return
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "--git-dir", path, "archive", "HEAD"], capture_output=True)
        if archive.returncode:
            raise UserError(f"{path} is neither a clone with the folder trainers nor a git directory")
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        yield Path(folder)


def methods_in(tree: Path, path: Path) -> list[str]:
    """The compared methods that a repository is the origin of."""
    if (tree / "trainers/mudpt.py").exists():
        return ["MuDPT"]
    if (tree / "trainers/maple.py").exists():
        return ["MaPLe"]
    if (tree / "trainers/coop.py").exists() and (tree / "trainers/cocoop.py").exists():
        return ["CoOp", "CoCoOp"]
    raise UserError(f"{path} holds none of {', '.join(RELEASED)}")


def compare_in_process(settings: dict) -> list[float]:
    """`compare` in a process of its own, which imports the released packages."""
    command = [sys.executable, "-m", "bench.originals", "--compare", json.dumps(settings)]
    ended = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=ROOT)
    if ended.returncode:
        reason = ended.stderr.strip().rpartition("\n")[2]
        raise UserError(f"{settings['name']} of {settings['tree']} did not run: {reason}")
    return json.loads(ended.stdout.splitlines()[-1])


def compare(name: str, tree: str, weights: str, classes: list[str], pairs: int, threads: int) -> list[float]:
    """Seconds of the released code and of the plain pass, their ratio, and the differences."""
    released = RELEASED[name]
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    state = torch.load(weights)
    model = released_model(name, tree, dict(state), classes)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    size = model.image_encoder.input_resolution
    images, labels = torch.randn(released.batch, 3, size, size), torch.arange(released.batch) % len(classes)

    def step(logits_of: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        for parameter in learned:
            parameter.grad = None
        logits = logits_of(images)
        F.cross_entropy(logits, labels).backward()
        return {"logits": logits.detach(), "gradients": torch.cat([parameter.grad.flatten() for parameter in learned])}

    measured = measure.in_turns(
        lambda: step(model), lambda: step(lambda images: released.logits(model, state, images)), pairs
    )
    differences = [row[1] for row in measured.differences()]
    return [measured.reference, measured.ours, measured.ratio, *differences]


def released_model(name: str, tree: str, state: dict, classes: list[str]) -> nn.Module:
    """The released CustomCLIP, with everything but its prompts frozen, in the mode in which it is trained."""
    released = RELEASED[name]
    prefer_packages_of(tree)
    settings = {node: SimpleNamespace(PREC="fp32", **options) for node, options in released.node.items()}
    size = state["visual.conv1.weight"].shape[-1] * round((len(state["visual.positional_embedding"]) - 1) ** 0.5)
    cfg = SimpleNamespace(TRAINER=SimpleNamespace(NAME=name, **settings), INPUT=SimpleNamespace(SIZE=(size, size)))
    clip_model = released.build(importlib.import_module("clip.model"), state, cfg)
    model = importlib.import_module(released.trainer).CustomCLIP(cfg, classes, clip_model)
    for parameter_name, parameter in model.named_parameters():
        parameter.requires_grad_("prompt_learner" in parameter_name or "visual_ctx" in parameter_name)
    if released.trains_whole:
        model.train()
    if hasattr(model, "prompt_learner"):
        model.prompt_learner.eval()  # or the logits would come as a loss
    return model


def prefer_packages_of(tree: str) -> None:
    """Let `clip` and `trainers` mean the released packages, which are to stay on the CPU and in float32."""
    for name in list(sys.modules):
        if name.partition(".")[0] in ("clip", "trainers"):
            del sys.modules[name]
    sys.dont_write_bytecode = True
    sys.path.insert(0, tree)
    for of in (Tensor, nn.Module):
        of.cuda = of.half = lambda self, *args, **kwargs: self
    sys.modules["pkg_resources"] = pkg_resources = ModuleType("pkg_resources")  # was part of setuptools
    pkg_resources.packaging = packaging


if __name__ == "__main__":
    if sys.argv[1:2] == ["--compare"]:
        print(json.dumps(compare(**json.loads(sys.argv[2]))))
    else:
        measure.run(main)
