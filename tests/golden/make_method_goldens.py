"""Write <method>.json: what the released codes of the methods compute on the small CLIP of tests/seeded_weights.py.

    python tests/golden/make_method_goldens.py --clones <folder> [method ...]

The folder holds clones of the repositories of METHODS, each named <owner>+<name>. Every method runs in a process of its
own, because each repository has its own packages `clip`, `trainers`, `dassl`. The clones are not edited: what needs a
GPU, float16 or the widths of the published CLIPs is replaced in memory (`neutralize`, and `replaced` of METHODS).
"""

import argparse
import contextlib
import importlib
import importlib.util
import io
import json
import math
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType, SimpleNamespace
from typing import Any

import packaging.version
import torch
from torch.nn import functional

HERE = Path(__file__).parent
CLASS_NAMES = json.loads((HERE / "coop_logits.json").read_text())["class_names"]
IMAGE_COUNT, IMAGE_SEED, LABELS = 3, 5, [2, 0, 3]
SHOWN_VALUES = 16  # of each gradient
DROPS_NOTHING = 1e-12  # as a dropout rate: what is kept is divided by 1 - 1e-12, which is 1 in float32

MAPLE, PROMPTSRC = "muzairkhattak+multimodal-prompt-learning", "muzairkhattak+PromptSRC"
KGCOOP, TCP = "htyao89+KgCoOp", "htyao89+Textual-based_Class-aware_prompt_tuning"
PROGRAD, COOP, DASSL = "BeierZhu+Prompt-align", "KaiyangZhou+CoOp", "KaiyangZhou+Dassl.pytorch"
MUDPT = "Mechrev0+MuDPT"
MMA, MMRL = "ZjjConan+VLM-MultiModalAdapter", "yunncheng+MMRL"
CUPL, GDA = "sarahpratt+CuPL", "mrflogs+ICLR24"
CLAP, TASKRES = "jusiro+CLAP", "geekyutao+TaskRes"
ADAPTER, TIP, LORA = "gaopengcuhk+CLIP-Adapter", "gaopengcuhk+Tip-Adapter", "MaxZanella+CLIP-LoRA"


@dataclass
class Method:
    """Where the released code of a method stands and what has to be replaced in it."""

    repository: str
    answers: Callable[[ModuleType], dict]
    module: str  # that is run
    paths: list[str]  # of packages, in the order of the search
    licence: str = "MIT"
    replaced: dict[str, dict[str, str]] = field(default_factory=dict)  # module -> literal -> what stands in its place
    prepare: Callable[[Path], None] = lambda folder: None  # before the module is run, with a temporary folder


seeded = importlib.util.module_from_spec(
    importlib.util.spec_from_file_location("seeded_weights", HERE.parent / "seeded_weights.py")
)
seeded.__loader__.exec_module(seeded)


def images() -> torch.Tensor:
    return seeded.seeded_images("vit", IMAGE_COUNT, IMAGE_SEED)


# ------------------------------------------------------------------------------------------- upstream's modules


def neutralize() -> None:
    """Make everything stay on the CPU and in float32, and stand in for packages that only other parts need."""
    for of in (torch.Tensor, torch.nn.Module):
        of.cuda = of.half = lambda self, *args, **kwargs: self
    for name in ("gdown", "dassl.data.datasets.da", "dassl.data.datasets.dg", "dassl.data.datasets.ssl"):
        sys.modules[name] = ModuleType(name)
    tensorboard = ModuleType("torch.utils.tensorboard")
    tensorboard.SummaryWriter = None
    sys.modules[tensorboard.__name__] = tensorboard
    sys.modules["pkg_resources"] = pkg_resources = ModuleType("pkg_resources")  # was part of setuptools
    pkg_resources.packaging = packaging


class ReplacingFinder(PathFinder):
    """Finds the modules of `replaced`, whose source text gets each literal, which must occur, exchanged."""

    def __init__(self, replaced: dict[str, dict[str, str]]) -> None:
        self.replaced = replaced

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name not in self.replaced:
            return None
        spec = PathFinder.find_spec(name, path)
        spec.loader = ReplacingLoader(name, spec.origin)
        spec.loader.literals = self.replaced[name]
        return spec


class ReplacingLoader(SourceFileLoader):
    literals: dict[str, str]

    def get_code(self, name: str) -> CodeType:
        source = Path(self.path).read_text()
        for literal, value in self.literals.items():
            if literal not in source:
                raise ValueError(f"{self.path} has no {literal!r}: is this another version of the code?")
            source = source.replace(literal, value)
        return compile(source, self.path, "exec")


def give_seeded_clip(clip_module: ModuleType, folder: Path) -> None:
    """Let upstream's own `load_clip_to_cpu` read the seeded state dict in place of a download."""
    path = folder / "clip.pt"
    torch.save(seeded.seeded_state_dict("vit"), path)
    clip_module._download = lambda url, *args: str(path)


class Recorder:
    """torch.nn.functional, which keeps the arguments and results of the loss functions that are called."""

    LOSSES = ("cross_entropy", "l1_loss", "kl_div")

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple, torch.Tensor]] = []

    def __getattr__(self, name: str) -> Any:
        function = getattr(functional, name)
        if name not in self.LOSSES:
            return function

        def recorded(*args, **kwargs):
            result = function(*args, **kwargs)
            self.calls.append((name, args, result))
            return result

        return recorded


# ------------------------------------------------------------------------------------------- answers


def rounded(value: Any) -> Any:
    """Tensors as lists, floats with 9 digits, which is all that float32 holds."""
    if isinstance(value, torch.Tensor):
        value = value.detach().tolist()
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return float(f"{value:.9g}") if isinstance(value, float) else value


def std_of(name: str) -> float:
    """Prompts as all these codes draw them; weights large enough to be seen in the logits."""
    is_of_a_map = re.search(r"visual_ctx_(?!deep_prompts)", name)  # as MuDPT names them
    if any(part in name for part in ("ctx", "VPT", "compound_prompts_text", "deep_prompts")) and not is_of_a_map:
        return 0.02
    return 0.05 if name.endswith("bias") else 0.2 if "lora_" in name else 0.3


def fill(parameters: Iterable[tuple[str, torch.Tensor]], seed: int, kept: tuple[str, ...] = ()) -> dict:
    """Overwrite each learned tensor by its recipe, which is returned; those in `kept` stay as upstream made them."""
    recipes = {}
    for index, (name, parameter) in enumerate(parameters):
        recipe = {"shape": list(parameter.shape)}
        if name in kept:
            recipe["from"] = "CTX_INIT"
        else:
            recipe |= {"seed": seed + index, "std": std_of(name)}
            with torch.no_grad():
                parameter.copy_(seeded.seeded_tensor(tuple(parameter.shape), recipe["seed"], recipe["std"]))
        recipes[name] = recipe
    return recipes


def shown(tensor: torch.Tensor, count: int = SHOWN_VALUES) -> dict:
    """Norm of a tensor and its flattened values at `count` places, from the first to the last."""
    flat = tensor.detach().flatten()
    places = torch.linspace(0, len(flat) - 1, count, dtype=torch.float64) if len(flat) else ()
    indices = sorted({int(place) for place in places})
    return {"norm": flat.norm().item(), "indices": indices, "values": flat[indices].tolist()}


def learned_of(model: torch.nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]


def gradients(model: torch.nn.Module, count: int = SHOWN_VALUES) -> dict:
    return {name: parameter.grad if parameter.grad is None else shown(parameter.grad, count)
            for name, parameter in learned_of(model)}  # fmt: skip


def checkpoint_of(trainer: Any) -> dict:
    """What a checkpoint of the registered model holds; of CLIP's own tensors only three and how many there are."""
    ((name, model),) = trainer._models.items()
    shapes = {key: list(tensor.shape) for key, tensor in model.state_dict().items()}
    frozen = ("image_encoder.", "text_encoder.", "prompt_learner.ZS_image_encoder.", "clip_model.")
    learned = {name for name, _ in learned_of(model)}
    of_clip = [key for key in shapes if key.startswith(frozen) and key not in learned]
    of_copy = [key for key in of_clip if "ZS_" in key]  # PromptSRC keeps the frozen image encoder a second time
    examples = [key for key in of_clip if key not in of_copy][:3] + of_copy[:1]
    return {
        "registered_as": name,
        "tensors": {key: shape for key, shape in shapes.items() if key not in of_clip},
        "clip_tensor_count": len(of_clip),
        "clip_tensor_examples": {key: shapes[key] for key in examples},
    }


# ------------------------------------------------------------------------------------------- trainers of Dassl


def build_trainer(
    module: ModuleType, class_name: str, dataset: str, settings: dict, class_names: list[str] = CLASS_NAMES
) -> Any:
    """Return upstream's trainer after its own `build_model`; `settings` are dotted keys of the configuration.

    The learning rate is 0, so that its own `forward_backward` leaves gradients and changes nothing.
    """
    configuration = importlib.import_module("dassl.config").get_cfg_default()
    configuration.set_new_allowed(True)
    node_type = type(configuration)
    settings = {
        "DATASET.NAME": dataset,
        "INPUT.SIZE": (32, 32),
        "MODEL.BACKBONE.NAME": "ViT-B/16",  # not read: what is loaded is the seeded state dict
        "OPTIM.NAME": "sgd",
        "OPTIM.LR": 0.0,
        "OPTIM.WEIGHT_DECAY": 0.0,
        "OPTIM.MAX_EPOCH": 20,
        "TRAINER.COCOOP.PREC": "fp32",
    } | settings
    for dotted, value in settings.items():
        node = configuration
        *nodes, key = dotted.split(".")
        for name in nodes:
            node = node.setdefault(name, node_type(new_allowed=True))
        node[key] = value
    trainer_class = getattr(module, class_name)
    trainer = trainer_class.__new__(trainer_class)
    importlib.import_module("dassl.engine.trainer").TrainerBase.__init__(trainer)
    trainer.cfg, trainer.device = configuration, torch.device("cpu")
    trainer.dm = SimpleNamespace(dataset=SimpleNamespace(classnames=class_names))
    trainer.check_cfg(configuration)
    trainer.build_model()
    trainer.batch_idx, trainer.num_batches = 0, 2  # not the last batch, after which the epoch's work is done
    return trainer


def answer(trainer: Any) -> dict:
    """Logits and loss of the images by upstream's own inference and training step, and its gradients."""
    trainer.set_model_mode("eval")
    with torch.no_grad():
        logits = trainer.model_inference(images())
    trainer.set_model_mode("train")
    losses = trainer.forward_backward({"img": images(), "label": torch.tensor(LABELS)})
    losses.pop("acc", None)
    return {"logits": logits, **losses, "grads": gradients(trainer.model)}


def trainer_case(
    module: ModuleType, class_name: str, node: str, settings: dict, seed: int, keep_ctx: bool = False, **more: Any
) -> tuple[dict, Any]:
    """Return one case and its trainer; `settings` belong to TRAINER.<node>, `more` to `build_trainer`."""
    dataset = more.pop("dataset", "OxfordPets")
    dotted = {f"TRAINER.{node}.{key}": value for key, value in settings.items()} | {f"TRAINER.{node}.PREC": "fp32"}
    trainer = build_trainer(module, class_name, dataset, dotted | more)
    kept = ("prompt_learner.ctx",) if keep_ctx else ()
    learned = fill(learned_of(trainer.model), seed, kept)
    return {"dataset": dataset, **settings, **more, "learned": learned, **answer(trainer)}, trainer


WORDS = "a photo of a"


def maple(module: ModuleType) -> dict:
    cases = []
    for seed, depth, length, words, keep in (
        (1000, 3, 2, WORDS, True),
        (1020, 3, 2, WORDS, False),
        (1040, 1, 2, WORDS, False),
        (1060, 2, 4, WORDS, True),
        (1080, 3, 4, "", False),
    ):
        settings = {"N_CTX": length, "CTX_INIT": words, "PROMPT_DEPTH": depth}
        case, trainer = trainer_case(module, "MaPLe", "MAPLE", settings, seed, keep)
        cases.append(case)
    return {"cases": cases, "checkpoint_of_last_case": checkpoint_of(trainer)}


def ivlp(module: ModuleType) -> dict:
    cases, checkpoint = [], None
    for seed, text_depth, vision_depth, text_length, vision_length, words, keep in (
        (1100, 3, 3, 2, 2, WORDS, True),
        (1120, 3, 3, 2, 2, WORDS, False),
        (1140, 3, 2, 4, 3, "", False),
        (1160, 1, 1, 4, 4, WORDS, True),
        (1180, 3, 0, 4, 0, WORDS, False),
    ):
        settings = {
            "N_CTX_TEXT": text_length,
            "N_CTX_VISION": vision_length,
            "CTX_INIT": words,
            "PROMPT_DEPTH_TEXT": text_depth,
            "PROMPT_DEPTH_VISION": vision_depth,
        }
        case, trainer = trainer_case(module, "IVLP", "IVLP", settings, seed, keep)
        cases.append(case)
        checkpoint = checkpoint or checkpoint_of(trainer)
    return {"cases": cases, "checkpoint_of_first_case": checkpoint}


def mudpt(module: ModuleType) -> dict:
    """All four trainers. They are told of a file of CLIP's weights, because without one they do not start."""
    cases, checkpoints = [], {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.pt"
        torch.save(seeded.seeded_state_dict("vit"), path)
        for seed, trainer, depth, length, words, keep in (
            (2100, "MuDPT", 3, 4, WORDS, True),
            (2120, "MuDPT", 3, 2, WORDS, False),
            (2140, "MuDPT", 1, 3, "", False),
            (2160, "UMuDPT", 3, 4, WORDS, True),
            (2200, "UMuDPT", 2, 2, WORDS, False),
            (2240, "UMuDPT", 1, 3, "", False),
            (2280, "UUMuDPT", 3, 4, WORDS, True),
            (2340, "UUMuDPT", 2, 2, WORDS, False),
            (2400, "UUMuDPT", 3, 3, "", False),
            (2460, "MPT", 3, 4, WORDS, True),
            (2480, "MPT", 2, 2, WORDS, False),
            (2500, "MPT", 1, 3, "", False),
        ):
            settings = {"N_CTX": length, "CTX_INIT": words, "DEEP_PROMPT_DEPTH": depth}
            if trainer == "MPT":
                keys = {"DEEP_TEXT_N_CTX": length, "DEEP_VISUAL_N_CTX": length, "TEXT_CTX_INIT": words}
                keys |= {"TEXT_PROMPT_DEPTH": depth, "VISUAL_PROMPT_DEPTH": depth}
            else:
                keys = settings
            node = {f"TRAINER.{trainer.upper()}.{key}": value for key, value in {**keys, "PREC": "fp32"}.items()}
            node |= {"TRAINER.NAME": trainer, "MODEL.BACKBONE.PATH": str(path)}
            of_trainer = importlib.import_module(f"trainers.{trainer.lower()}")
            built = build_trainer(of_trainer, trainer, "OxfordPets", node)
            contexts = [name for name, _ in learned_of(built.model) if name.endswith("prompt_learner.ctx")]
            kept = (*contexts, "text_prompt_learner.visual_ctx") if keep else ()
            learned = fill(learned_of(built.model), seed, kept)
            release = trainer.lower()
            cases.append({"RELEASE": release, **settings, "dataset": "OxfordPets", "learned": learned, **answer(built)})
            checkpoints.setdefault(release, checkpoint_of(built))
    return {"cases": cases, "checkpoints_of_first_cases": checkpoints}


def vpt(module: ModuleType) -> dict:
    cases = []
    for seed, depth, length in ((1200, 1, 2), (1210, 1, 4), (1220, 3, 4)):
        settings = {"N_CTX_VISION": length, "PROMPT_DEPTH_VISION": depth}
        case, trainer = trainer_case(module, "VPT", "VPT", settings, seed)
        cases.append(case)
    return {"template": "a photo of a {}.", "cases": cases, "checkpoint_of_last_case": checkpoint_of(trainer)}


def kgcoop(module: ModuleType) -> dict:
    cases = []
    for seed, dataset, length, words, keep in (
        (1300, "OxfordPets", 4, WORDS, True),
        (1310, "OxfordPets", 4, WORDS, False),
        (1320, "EuroSAT", 4, WORDS, True),
        (1330, "EuroSAT", 4, "", False),
        (1340, "OxfordPets", 16, "", False),
    ):
        settings = {"N_CTX": length, "CTX_INIT": words, "CSC": False, "CLASS_TOKEN_POSITION": "end", "W": 8.0}
        case, trainer = trainer_case(module, "KgCoOp", "COOP", settings, seed, keep, dataset=dataset)
        with torch.no_grad():
            logits, score = trainer.model(images())
        entropy = functional.cross_entropy(logits, torch.tensor(LABELS))
        case["parts"] = {"cross_entropy": entropy, "score": score}
        case["template"] = module.CUSTOM_TEMPLATES[dataset]
        cases.append(case)
    return {"templates": module.CUSTOM_TEMPLATES, "cases": cases, "checkpoint_of_last_case": checkpoint_of(trainer)}


def prograd(module: ModuleType) -> dict:
    cases = []
    for seed, dataset, length, words, temperature, strength in (
        (1400, "OxfordPets", 4, False, 1.0, 1.0),
        (1401, "OxfordPets", 4, False, 1.0, 1.0),
        (1403, "EuroSAT", 4, False, 1.0, 1.0),
        (1422, "OxfordPets", 4, False, 2.0, 0.8),
        (1406, "EuroSAT", 16, True, 1.0, 1.0),
        (1407, "OxfordPets", 16, True, 1.0, 1.0),
    ):
        settings = {"N_CTX": length, "CTX_INIT": words, "CSC": False, "CLASS_TOKEN_POSITION": "end"}
        loss = {"LOSS.NAME": "prograd", "LOSS.T": temperature, "LOSS.LAMBDA": strength}
        case, trainer = trainer_case(module, "ProGrad", "COOP", settings, seed, words, dataset=dataset, **loss)
        ctx = trainer.model.prompt_learner.ctx
        losses = trainer.criterion(trainer.model(images()), trainer.zs_clip(images()).detach(), torch.tensor(LABELS))
        each = [torch.autograd.grad(loss, ctx, retain_graph=True)[0].flatten() for loss in losses]
        case["cosine_of_gradients"] = functional.cosine_similarity(*each, dim=0)
        case["projected"] = bool(case["cosine_of_gradients"] < 0)
        case["template"] = module.CUSTOM_TEMPLATES[dataset]
        if words:
            case["zero_context_vectors"] = int((ctx == 0).all(dim=1).sum())
        cases.append(case)
    return {"templates": module.CUSTOM_TEMPLATES, "cases": cases, "checkpoint_of_last_case": checkpoint_of(trainer)}


def tcp(module: ModuleType) -> dict:
    cases = []
    for seed, dataset, words, keep in (
        (1500, "OxfordPets", WORDS, True),
        (1510, "EuroSAT", WORDS, False),
        (1520, "UCF101", "", False),
    ):
        settings = {"N_CTX": 4, "CTX_INIT": words, "CSC": False, "CLASS_TOKEN_POSITION": "end", "W": 1.0}
        recorder = module.F = Recorder()
        case, trainer = trainer_case(module, "TCP", "COOP", settings, seed, keep, dataset=dataset)
        entropy = recorder.calls[-1][2]
        case["parts"] = {"cross_entropy": entropy, "score": (case["loss"] - entropy.item()) / 8.0}
        case["template"] = module.CUSTOM_TEMPLATES_ori[dataset]
        case["prompt_template"] = module.CUSTOM_TEMPLATES[dataset]
        cases.append(case)
    return {
        "templates": module.CUSTOM_TEMPLATES_ori,
        "prompt_templates": module.CUSTOM_TEMPLATES,
        "class_prompt_enters_before_layer_index": 1,
        "cases": cases,
        "checkpoint_of_last_case": checkpoint_of(trainer),
    }


def promptsrc(module: ModuleType) -> dict:
    cases, checkpoint = [], None
    for seed, depth, text_length, vision_length, words, keep in (
        (1600, 3, 4, 4, WORDS, True),
        (1620, 3, 2, 3, WORDS, False),
        (1640, 1, 4, 4, "", False),
    ):
        settings = {
            "N_CTX_TEXT": text_length,
            "N_CTX_VISION": vision_length,
            "CTX_INIT": words,
            "PROMPT_DEPTH_TEXT": depth,
            "PROMPT_DEPTH_VISION": depth,
            "TEXT_LOSS_WEIGHT": 25,
            "IMAGE_LOSS_WEIGHT": 10,
            "GPA_MEAN": 15,
            "GPA_STD": 1,
        }
        recorder = module.F = Recorder()
        case, trainer = trainer_case(module, "PromptSRC", "PROMPTSRC", settings, seed, keep)
        entropy, text, image, logits = [result.item() for _, _, result in recorder.calls]
        case["parts"] = {
            "cross_entropy": entropy,
            "text": 25 * text,
            "image": 10 * image,
            "logits": logits / (IMAGE_COUNT * len(CLASS_NAMES)),
        }
        if not math.isclose(sum(case["parts"].values()), case["loss"], rel_tol=1e-5):
            raise AssertionError(f"parts {case['parts']} do not add up to {case['loss']}")
        cases.append(case)
        checkpoint = checkpoint or checkpoint_of(trainer)
    from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES

    published = [template("{}") for template in OPENAI_IMAGENET_TEMPLATES]
    return {
        "templates": {
            "count": len(module.IMAGENET_TEMPLATES),
            "indices_in_openai_templates": [published.index(one) for one in module.IMAGENET_TEMPLATES],
        },
        "cases": cases,
        "gaussian_weights": [
            {"MAX_EPOCH": epochs, "GPA_MEAN": mean, "GPA_STD": std, "weights": weights_of(module, epochs, mean, std)}
            for epochs, mean, std in ((20, 15, 1), (20, 6, 10), (50, 30, 30), (50, 45, 5), (5, 3, 1))
        ],
        "averaging": averaging(module),
        "checkpoint_of_first_case": checkpoint,
    }


def promptsrc_trainer(module: ModuleType, epochs: int, mean: int, std: int) -> Any:
    settings = {
        "N_CTX_TEXT": 4,
        "N_CTX_VISION": 4,
        "CTX_INIT": "",
        "PREC": "fp32",
        "PROMPT_DEPTH_TEXT": 2,
        "PROMPT_DEPTH_VISION": 2,
        "TEXT_LOSS_WEIGHT": 25,
        "IMAGE_LOSS_WEIGHT": 10,
        "GPA_MEAN": mean,
        "GPA_STD": std,
    }
    dotted = {f"TRAINER.PROMPTSRC.{key}": value for key, value in settings.items()} | {"OPTIM.MAX_EPOCH": epochs}
    return build_trainer(module, "PromptSRC", "OxfordPets", dotted)


def mma(module: ModuleType) -> dict:
    cases = []
    for seed, first, last, width, scale, words in (
        (2100, 1, 3, 8, 0.001, WORDS),
        (2140, 2, 3, 6, 0.1, "a blurred picture of a"),
        (2180, 3, 3, 4, 1.0, WORDS),
        (2220, 1, 2, 4, 0.5, WORDS),
    ):
        settings = {"TEXT_CTX_INIT": words, "ADAPTER_START": first, "ADAPTER_END": last}
        settings |= {"ADAPTER_DIM": width, "ADAPTER_SCALE": scale}
        case, trainer = trainer_case(module, "MultiModalAdapter", "MMADAPTER", settings, seed)
        cases.append(case)
    return {"cases": cases, "checkpoint_of_last_case": checkpoint_of(trainer)}


def mmrl(module: ModuleType) -> dict:
    rows = (
        (2300, "OxfordPets", [2, 3], 3, 16, 0.7, 1.0, {}),
        (2330, "EuroSAT", [1, 2, 3], 5, 24, 0.7, 0.01, {}),
        (2360, "DescribableTextures", [3], 2, 16, 0.4, 6.0, {}),
        (2390, "OxfordPets", [1, 3], 4, 16, 1.0, 0.5, {}),
    )
    return of_representation_tokens(module, "MMRL", rows)


def mmrlpp(module: ModuleType) -> dict:
    rows = (
        (2420, "OxfordPets", [2, 3], 3, 16, 0.7, 1.0, {"BETA": 0.9, "PROJ_LORA_DIM": 6, "RES_LORA_DIM": 2}),
        (2450, "EuroSAT", [1, 2, 3], 5, 24, 0.7, 0.01, {"BETA": 0.2, "PROJ_LORA_DIM": 4, "RES_LORA_DIM": 4}),
        (2480, "OxfordPets", [1, 3], 2, 16, 0.4, 6.0, {"BETA": 0.5, "PROJ_LORA_DIM": 4, "RES_LORA_DIM": 1}),
    )
    return of_representation_tokens(module, "MMRLpp", rows)


def of_representation_tokens(module: ModuleType, name: str, rows: Iterable[tuple]) -> dict:
    """The class token's logits, those of the representation tokens and both together, and each term of the loss."""
    cases = []
    for seed, dataset, layers, length, width, alpha, weight, more in rows:
        settings = {"ALPHA": alpha, "REG_WEIGHT": weight, "N_REP_TOKENS": length, "REP_LAYERS": layers}
        settings |= {"REP_DIM": width, **more}
        dotted = {f"TRAINER.{name}.{key}": value for key, value in settings.items()} | {f"TRAINER.{name}.PREC": "fp32"}
        recorder = module.F = Recorder()
        trainer = build_trainer(module, name, dataset, dotted)
        learned = fill(learned_of(trainer.model), seed)
        trainer.set_model_mode("eval")
        with torch.no_grad():
            class_token, tokens, fused, image, text = trainer.model(images())
            frozen_image = functional.normalize(trainer.image_encoder_clip(images()), dim=-1)
        trainer.set_model_mode("train")
        loss = trainer.forward_backward({"img": images(), "label": torch.tensor(LABELS)})["loss"]
        first, second = [result.item() for _, _, result in recorder.calls]
        entropies = {"cross_entropy": alpha * first, "token_cross_entropy": (1 - alpha) * second}
        without_text = trainer.criterion(
            *(class_token, tokens, image, text, frozen_image, text, torch.tensor(LABELS))
        )  # its distance of the texts is 0
        without_image = trainer.criterion(
            *(class_token, tokens, image, text, image, trainer.text_features_clip, torch.tensor(LABELS))
        )
        entropy = sum(entropies.values())
        parts = entropies | {
            "image_distance": without_text.item() - entropy,
            "text_distance": without_image.item() - entropy,
        }
        if not math.isclose(sum(parts.values()), loss, rel_tol=1e-4):
            raise AssertionError(f"parts {parts} do not add up to {loss}")
        cases.append(
            {
                "dataset": dataset,
                "template": module.CUSTOM_TEMPLATES[dataset],
                **settings,
                "learned": learned,
                "logits_of_class_token": class_token,
                "logits_of_tokens": tokens,
                "logits": fused,
                "loss": loss,
                "parts": parts,
                "grads": gradients(trainer.model),
            }
        )
    config = importlib.import_module("trainers.config").get_dataset_specified_config
    published = {}
    for dataset in module.CUSTOM_TEMPLATES:
        pairs = config(dataset, name, "B2N")
        published[dataset] = dict(zip(pairs[::2], pairs[1::2], strict=True))
    return {
        "templates": module.CUSTOM_TEMPLATES,
        "settings_of_datasets": published,
        "cases": cases,
        "checkpoint_of_last_case": checkpoint_of(trainer),
    }


def weights_of(module: ModuleType, epochs: int, mean: int, std: int) -> list[float]:
    return promptsrc_trainer(module, epochs, mean, std).gauss.tolist()


def averaging(module: ModuleType) -> dict:
    """The whole training step at the end of five epochs, before each of which the learned tensors get new values."""
    trainer = promptsrc_trainer(module, epochs=5, mean=3, std=1)
    trainer.num_batches, trainer.update_lr = 1, lambda: None
    trainer.set_model_mode("train")
    epochs = []
    for epoch in range(5):
        epochs.append(fill(learned_of(trainer.model), 1700 + 20 * epoch))
        trainer.forward_backward({"img": images(), "label": torch.tensor(LABELS)})
    trainer.set_model_mode("eval")
    with torch.no_grad():
        logits = trainer.model_inference(images())
    averaged = {name: shown(parameter) for name, parameter in learned_of(trainer.model)}
    return {"MAX_EPOCH": 5, "GPA_MEAN": 3, "GPA_STD": 1, "learned": epochs, "averaged": averaged, "logits": logits}


def clip_adapter(module: ModuleType) -> dict:
    cases = []
    for seed, dataset in ((1800, "OxfordPets"), (1810, "EuroSAT")):
        trainer = build_trainer(module, "CLIP_Adapter", dataset, {})
        learned = fill(learned_of(trainer.model), seed)
        template = module.CUSTOM_TEMPLATES[dataset]
        cases.append({"dataset": dataset, "template": template, "learned": learned, **answer(trainer)})
    return {"templates": module.CUSTOM_TEMPLATES, "cases": cases, "checkpoint_of_last_case": checkpoint_of(trainer)}


PLAIN_NAMES = [name.replace("_", " ") for name in CLASS_NAMES]  # these codes leave "_" as it is


def clap(module: ModuleType) -> dict:
    """Adapters of three kinds: multipliers of two views, then a step on features and what it leaves."""
    cases, labels = [], torch.tensor(LABELS)
    for seed, dataset, initialization, constraint in (
        (2200, "OxfordPets", "ZS", "l2"),
        (2210, "ImageNet", "ZS", "l2"),
        (2220, "EuroSAT", "ZS", "none"),
        (2230, "OxfordPets", "TR", "none"),
        (2240, "OxfordPets", "CrossModal", "none"),
        (2250, "ImageNet", "CrossModal", "none"),
    ):
        settings = {"INIT": initialization, "CONSTRAINT": constraint, "ENHANCED_BASE": "none", "PREC": "fp32"}
        dotted = {f"TRAINER.ADAPTER.{key}": value for key, value in settings.items()}
        module.IMAGENET_TEMPLATES_SELECT = list(module.IMAGENET_TEMPLATES_SELECT[:7])  # it is added to in place
        trainer = build_trainer(module, "ADAPTER", dataset, dotted, PLAIN_NAMES)
        model = trainer.model
        case = {"dataset": dataset, **settings, "base": shown(model.adapter.base_text_features, 32)}
        with torch.no_grad():
            first, features = model(images(), return_features=True)
            second, _ = model(seeded.seeded_images("vit", IMAGE_COUNT, IMAGE_SEED + 1), return_features=True)
        if constraint != "none":
            model.adapter.device = "cpu"
            absent = sorted(set(range(len(CLASS_NAMES))) - set(LABELS))  # without an image they would be 0 / 0
            of_absent = first[: len(absent)]
            all_labels = torch.cat([labels, torch.tensor(absent), labels, torch.tensor(absent)])
            model.adapter.init_lagrangian_multipliers(all_labels, torch.cat([first, of_absent, second, of_absent]))
            case["multipliers"] = model.adapter.alpha_constraint
        case["learned"] = fill([(n, p) for n, p in learned_of(model) if "prototypes" in n], seed)
        step_features, step_labels = features, labels
        if initialization == "CrossModal":  # as many of images as of text
            texts = model.text_embeddings_all  # (C, T, e)
            repeats = texts.shape[0] * texts.shape[1] // IMAGE_COUNT
            step_features = torch.cat([features.repeat(repeats, 1), texts.flatten(0, 1)])
            text_labels = torch.arange(len(texts)).repeat_interleave(texts.shape[1])
            step_labels = torch.cat([labels.repeat(repeats), text_labels])
        trainer.features_test, trainer.labels_test = features, labels
        recorder = module.F = Recorder()
        case["loss"] = trainer.forward_backward(step_features, step_labels)["loss"]
        case["cross_entropy"] = recorder.calls[0][2]
        case["grads"] = {name: shown(parameter.grad) for name, parameter in learned_of(model) if "prototypes" in name}
        with torch.no_grad():
            case["logits"] = model.forward_features(features)
        cases.append(case)
    return {"cases": cases, "checkpoint_of_last_case": checkpoint_of(trainer)}


def taskres(module: ModuleType) -> dict:
    cases = []
    for seed, dataset, scale in ((2300, "OxfordPets", 0.5), (2310, "OxfordFlowers", 1.0), (2320, "ImageNet", 0.5)):
        module.IMAGENET_TEMPLATES_SELECT = list(module.IMAGENET_TEMPLATES_SELECT[:7])
        settings = {"RESIDUAL_SCALE": scale, "ENHANCED_BASE": "none", "PREC": "fp32"}
        dotted = {f"TRAINER.TaskRes.{key}": value for key, value in settings.items()}
        trainer = build_trainer(module, "TaskRes", dataset, dotted, PLAIN_NAMES)
        learned = fill(learned_of(trainer.model), seed)
        cases.append({"dataset": dataset, **settings, "learned": learned, **answer(trainer)})
    return {"cases": cases, "checkpoint_of_last_case": checkpoint_of(trainer)}


# ------------------------------------------------------------------------------------------- codes without Dassl


def seeded_clip() -> torch.nn.Module:
    return importlib.import_module("clip.model").build_model(seeded.seeded_state_dict("vit")).float()


def clip_lora(module: ModuleType) -> dict:
    """One iteration of upstream's `run_lora`, with A and B filled after its `apply_lora`.

    Gradients are taken with a dropout rate that drops nothing but is not 0: at 0 upstream runs other code, whose
    backward pass reads weights from which B A has been subtracted again: its gradients are not those of its loss.
    """
    apply_lora, cases = module.apply_lora, []
    template = "a photo of a {}."
    dataset = SimpleNamespace(template=[template], classnames=CLASS_NAMES)
    batch = [(images(), torch.tensor(LABELS))]
    for seed, encoder, params, dropout in (
        (1900, "both", ["q", "k", "v"], DROPS_NOTHING),
        (1950, "vision", ["q", "v", "o"], DROPS_NOTHING),
        (1980, "text", ["q", "k", "v", "o"], DROPS_NOTHING),
        (1900, "both", ["q", "k", "v"], 0.0),
    ):
        settings = {"r": 2, "alpha": 1, "encoder": encoder, "params": params, "position": "all"}
        options = {"backbone": "ViT-B/16", "eval_only": False, "n_iters": 1, "shots": 1, "lr": 0.0, "save_path": None}
        learned, model = {}, seeded_clip()

        def fill_applied(args, clip_model, learned=learned, seed=seed):
            layers = apply_lora(args, clip_model)
            learned |= fill([(n, p) for n, p in clip_model.named_parameters() if "lora_" in n], seed)
            return layers

        module.apply_lora = fill_applied
        recorder = module.F = Recorder()
        args = SimpleNamespace(dropout_rate=dropout, **settings, **options)
        module.run_lora(args, model, 100, dataset, batch, batch, batch)
        ((_, (logits, _), loss),) = recorder.calls
        case = {**settings, "dropout_rate": dropout, "learned": learned, "logits": logits, "loss": loss}
        if dropout:
            case["grads"] = {name: shown(model.get_parameter(name).grad, 6) for name in learned}
        cases.append(case)
    return {"template": template, "logit_scale": 100, "cases": cases}


SENTENCES = {  # of different numbers, one of them with more tokens than CLIP reads
    name: [
        f"A {name.replace('_', ' ')} is seen from the side.",
        *(f"The {part} of a {name.replace('_', ' ')}." for part in ("outline", "surface")[: index % 3]),
        *([f"What one says of a {name.replace('_', ' ')}: " + "it is large, " * 40] if index == 1 else []),
    ]
    for index, name in enumerate(CLASS_NAMES)
}


def prepare_cupl(folder: Path) -> None:
    """Stand in for what the script reads: ViT-L/14, ImageNet's images and the sentences."""
    clip = importlib.import_module("clip")
    clip.load = lambda name: (seeded_clip(), None)
    dataset = list(zip(images(), LABELS, range(IMAGE_COUNT), strict=True))
    stand_in = type("Images", (list,), {"idx_to_label": CLASS_NAMES, "idx_to_text": CLASS_NAMES})
    sys.modules["imagenetdataset"] = ModuleType("imagenetdataset")
    sys.modules["imagenetdataset"].ImagenetDataset = lambda path, transform: stand_in(dataset)
    (folder / "imagenet_prompts").mkdir()
    (folder / "imagenet_prompts/CuPL_image_prompts.json").write_text(json.dumps(SENTENCES))
    os.chdir(folder)


def cupl(module: ModuleType) -> dict:
    """The weights and logits (without CLIP's scale) that the script has computed."""
    return {"sentences": SENTENCES, "weights": module.zeroshot_weights_cupl.t(), "cosines": module.logits_cupl}


def gda(module: ModuleType) -> dict:
    """Classifier and logits of upstream's `run`, on features that stand for those of images."""
    classes, width, views, shots = len(CLASS_NAMES), seeded.EMBED_DIM, 3, 2
    recipes = {
        "centres": {"shape": [classes, width], "seed": 2100, "std": 1.0},
        "noise": {"shape": [views, shots * classes, width], "seed": 2101, "std": 0.7},
        "query_noise": {"shape": [classes, width], "seed": 2102, "std": 0.7},
        "clip_weights": {"shape": [width, classes], "seed": 2103, "std": 0.015},
    }
    drawn = {name: seeded.seeded_tensor(tuple(of["shape"]), of["seed"], of["std"]) for name, of in recipes.items()}
    labels = torch.arange(classes).repeat(shots)
    passes = iter([[(drawn["centres"][labels] + noise, labels)] for noise in drawn["noise"]])
    loader = type("Loader", (), {"__iter__": lambda self: iter(next(passes))})()
    queries = functional.normalize(drawn["centres"] + drawn["query_noise"])
    module.val_features, module.val_labels = queries, torch.arange(classes)
    module.test_features, module.test_labels = module.val_features, module.val_labels
    products, logits = [], []

    def einsum(*arguments):
        products.append(torch.einsum(*arguments))
        return products[-1]

    module.torch = SimpleNamespace(**vars(torch) | {"einsum": einsum})
    module.cls_acc = lambda values, labels: logits.append(values) or 0.0  # none is better than the first
    encoder = SimpleNamespace(encode_image=torch.clone)
    module.run({"augment_epoch": views}, loader, drawn["clip_weights"], encoder)
    weight, quadratic = products
    return {
        "features": {
            "recipe": "view v: centres[labels] + noise[v]; queries = normalize(centres + query_noise); clip_weights, "
            "from which the released code makes logits with the factor 100",
            "tensors": recipes,
            "labels": labels,
        },
        "weight": weight.t(),
        "bias": -math.log(classes) - quadratic / 2,
        "logits": dict(zip(["0.0001", "0.001", "0.01", "0.1", "1.0", "10.0", "100.0", "chosen"], logits, strict=True)),
    }


def tip_adapter(module: ModuleType) -> dict:
    """Functions of utils.py and main.py, on features that stand for those of images."""
    utils = importlib.import_module("utils")
    classes, width, shots = len(CLASS_NAMES), seeded.EMBED_DIM, 2
    templates = ["itap of a {}.", "a photo of the large {}."]
    classifier = utils.clip_classifier(CLASS_NAMES, templates, seeded_clip())

    recipes = {
        "keys": {"shape": [shots * classes, width], "seed": 2000, "std": 1.0},
        "query_noise": {"shape": [4, width], "seed": 2001, "std": 0.2},
        "val_noise": {"shape": [60, width], "seed": 2002, "std": 0.3},
        "clip_weights": {"shape": [width, classes], "seed": 2003, "std": 0.015},
    }
    drawn = {name: seeded.seeded_tensor(tuple(of["shape"]), of["seed"], of["std"]) for name, of in recipes.items()}
    keys, clip_weights = functional.normalize(drawn["keys"]), drawn["clip_weights"]
    key_labels = [label for label in range(classes) for _ in range(shots)]
    values = functional.one_hot(torch.tensor(key_labels)).float()
    near_keys = [7, 2, 11, 0]  # queries and validation features are these keys with noise
    queries = functional.normalize(keys[near_keys] + drawn["query_noise"])
    query_labels = [key_labels[key] for key in near_keys]
    val = functional.normalize(keys.repeat(5, 1) + drawn["val_noise"])
    val_labels = torch.tensor(key_labels * 5)

    cfg = {
        "search_hp": True,
        "search_scale": [7, 3],
        "search_step": [200, 20],
        "load_cache": False,
        "augment_epoch": 2,
        "shots": shots,
        "lr": 0.001,
        "train_epoch": 1,
    }
    cases = []
    for alpha, beta in ((1.17, 1.0), (2.0, 5.5)):
        step = tip_step(module, cfg, alpha, beta, keys, values, queries, query_labels, val, val_labels, clip_weights)
        cases.append({"alpha": alpha, "beta": beta, **step})

    best_beta, best_alpha = utils.search_hp(cfg, keys.t(), values, val, val_labels, clip_weights)
    in_float64 = [one.double() for one in (keys.t(), values, val)]
    best_in_float64 = utils.search_hp(cfg, *in_float64, val_labels, clip_weights.double())
    best_logits = 100.0 * val @ clip_weights
    zero_shot_accuracy = utils.cls_acc(best_logits, val_labels)
    best_logits = best_logits + ((-1) * (best_beta - best_beta * (val @ keys.t()))).exp() @ values * best_alpha

    with tempfile.TemporaryDirectory() as folder:
        labels = torch.tensor([1, 0])
        passes = iter([[(seeded.seeded_images("vit", 2, seed), labels)] for seed in (21, 22)])
        loader = type("Loader", (), {"__iter__": lambda self: iter(next(passes))})()
        cache_keys, cache_values = utils.build_cache_model({**cfg, "cache_dir": folder}, seeded_clip(), loader)
    return {
        "classifier": {"templates": templates, "weights": classifier},
        "features": {
            "recipe": "keys = normalize(its seeded_tensor); queries = normalize(keys[near_keys] + query_noise); val = "
            "normalize(keys.repeat(5, 1) + val_noise) with labels key_labels * 5; clip_weights = its seeded_tensor",
            "tensors": recipes,
            "key_labels": key_labels,
            "near_keys": near_keys,
            "query_labels": query_labels,
        },
        "cases": cases,
        "search": {
            "search_scale": cfg["search_scale"],
            "search_step": cfg["search_step"],
            "best_beta": best_beta,
            "best_alpha": best_alpha,
            "same_in_float64": best_in_float64 == (best_beta, best_alpha),
            "zero_shot_accuracy": zero_shot_accuracy,
            "accuracy": utils.cls_acc(best_logits, val_labels),
        },
        "cache": {
            "augment_epoch": cfg["augment_epoch"],
            "image_count": 2,
            "image_seeds": [21, 22],
            "labels": [1, 0],
            "keys": cache_keys.t(),
            "values": cache_values.tolist(),
        },
    }


def tip_step(
    module: ModuleType,
    cfg: dict,
    alpha: float,
    beta: float,
    keys: torch.Tensor,
    values: torch.Tensor,
    queries: torch.Tensor,
    query_labels: list[int],
    val: torch.Tensor,
    val_labels: torch.Tensor,
    clip_weights: torch.Tensor,
) -> dict:
    """One step of upstream's `run_tip_adapter_F` from keys on queries, which stand for the images of its batch."""
    recorder, optimizers = Recorder(), []

    class RecordedAdamW(torch.optim.AdamW):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            optimizers.append(self)

    module.F = recorder
    module.torch = SimpleNamespace(**vars(torch) | {"optim": SimpleNamespace(**vars(torch.optim))})
    module.torch.optim.AdamW = RecordedAdamW
    encoder = SimpleNamespace(encode_image=torch.clone, dtype=torch.float32)
    labels = torch.tensor(query_labels)
    with tempfile.TemporaryDirectory() as folder:
        options = {**cfg, "init_alpha": alpha, "init_beta": beta, "cache_dir": folder, "search_step": [1, 1]}
        module.run_tip_adapter_F(
            options,
            keys.t().clone(),
            values,
            val,
            val_labels,
            val,
            val_labels,
            clip_weights,
            encoder,
            [(queries, labels)],
        )
    ((_, (logits, _), loss),) = recorder.calls
    (weight,) = optimizers[0].param_groups[0]["params"]
    clip_logits = 100.0 * queries @ clip_weights
    return {
        "logits": logits,
        "scaled_cache_logits": logits.detach() - clip_logits,
        "loss": loss,
        "grads": {"weight": shown(weight.grad, 32)},
        "weight_after_step": shown(weight, 32),
        "lr": cfg["lr"],
        "AdamW": {"eps": 1e-4},
    }


# ------------------------------------------------------------------------------------------- files

SIZES = {"512": str(seeded.TEXT_WIDTH), "768": str(seeded.VIT_WIDTH)}
ONE_NUMBER = {"utils": {".sum(0, keepdim=True)": ".sum()"}}  # float() of an array of one number is gone from numpy
METHODS = {
    "maple": Method(MAPLE, maple, "trainers.maple", [MAPLE, DASSL], replaced={"trainers.maple": SIZES}),
    "ivlp": Method(MAPLE, ivlp, "trainers.independentVL", [MAPLE, DASSL]),
    "kgcoop": Method(KGCOOP, kgcoop, "trainers.kgcoop", [f"{KGCOOP}/KgCoOp", f"{KGCOOP}/Dassl.ProGrad.pytorch"]),
    "mudpt": Method(
        MUDPT,
        mudpt,
        "trainers.mudpt",
        [MUDPT, DASSL],
        replaced={
            "clip.clip": {"torch.load(opened_file,": "torch.load(model_path,"},  # read to its end a line before
            "clip.model": {
                f"self.visual_ctx_{name} = nn.Linear(in_features=width, out_features=output_dim)": (
                    f"self.visual_ctx_{name} = nn.Linear(in_features=width, out_features={seeded.TEXT_WIDTH})"
                )
                for name in ("deep_projections", "text_proj")
            },
        },
    ),
    "vpt": Method(MAPLE, vpt, "trainers.vpt", [MAPLE, DASSL]),
    "promptsrc": Method(PROMPTSRC, promptsrc, "trainers.promptsrc", [PROMPTSRC, DASSL]),
    "prograd": Method(
        PROGRAD, prograd, "trainers.prograd", [f"{PROGRAD}/ProGrad.public", f"{PROGRAD}/Dassl.ProGrad.pytorch"]
    ),
    "tcp": Method(
        TCP,
        tcp,
        "trainers.tcp",
        [TCP, DASSL],
        replaced={
            "trainers.clip_text.model": {"layers=[8]": "layers=[1]"},
            "trainers.tcp": {"-1,512)": f"-1,{seeded.TEXT_WIDTH})"},
        },
    ),
    "clip_adapter": Method(
        ADAPTER,
        clip_adapter,
        "clip_adapter",
        [ADAPTER, COOP, DASSL],
        licence="none stated",
        replaced={"clip_adapter": {"Adapter(1024, 4)": f"Adapter({seeded.EMBED_DIM}, 4)", "'cuda'": "'cpu'"}},
    ),
    "mma": Method(MMA, mma, "trainers.mmadapter", [MMA, DASSL]),
    "mmrlpp": Method(MMRL, mmrlpp, "trainers.mmrlpp", [MMRL, DASSL]),
    "mmrl": Method(MMRL, mmrl, "trainers.mmrl", [MMRL, DASSL]),
    "clip_lora": Method(LORA, clip_lora, "lora", [LORA], "none stated", ONE_NUMBER),
    "cupl": Method(
        CUPL,
        cupl,
        "classify_imagenet",
        [CUPL, COOP],
        "none stated",
        replaced={"classify_imagenet": {"num_workers=8": "num_workers=0"}},
        prepare=prepare_cupl,
    ),
    "gda": Method(GDA, gda, "main_few_shots", [GDA], "none stated"),
    "clap": Method(CLAP, clap, "trainers.adapters", [CLAP, DASSL]),
    "taskres": Method(TASKRES, taskres, "trainers.taskres", [TASKRES, DASSL]),
    "tip_adapter": Method(TIP, tip_adapter, "main", [TIP], "none stated", ONE_NUMBER),
}
RECIPE = (
    "clip = build_model(seeded_state_dict('vit')); images = seeded_images('vit', image_count, image_seed); learned: "
    "upstream parameter name -> seeded_tensor(shape, seed, std), or, with 'from', as CTX_INIT's words make it; logits "
    "of the images over the class names ('_' read as ' ') in evaluation; loss: the whole training loss with labels; "
    "grads: its gradients, their norm and their flattened values at the flat 'indices' (null: no gradient)"
)


def write_golden(method: str, clones: Path) -> None:
    released = METHODS[method]
    sys.dont_write_bytecode = True
    sys.path[:0] = [str(clones / path) for path in released.paths]
    torch.set_num_threads(1)
    neutralize()
    sys.meta_path.insert(0, ReplacingFinder(released.replaced))
    output = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
    ):
        released.prepare(Path(folder))
        module = importlib.import_module(released.module)
        if hasattr(module, "load_clip_to_cpu"):
            give_seeded_clip(module.clip, Path(folder))
        answers = released.answers(module)
    made = "tests/golden/make_method_goldens.py: the released code, on CPU in float32 (.cuda() and .half() do nothing)"
    if released.replaced:
        made += f", with literals of its source replaced in memory: {json.dumps(released.replaced)}"
    golden = {
        "source": {
            "repository": "https://github.com/" + released.repository.replace("+", "/"),
            "commit": commit_of(clones / released.repository),
            "licence": released.licence,
            "packages": {path: commit_of(clones / path.split("/")[0]) for path in released.paths},
            "made": f"{made}; torch {torch.__version__.partition('+')[0]}, one thread",
        },
        "recipe": RECIPE,
        "class_names": CLASS_NAMES,
        "image_count": IMAGE_COUNT,
        "image_seed": IMAGE_SEED,
        "labels": LABELS,
        **answers,
    }
    text = json.dumps(rounded(golden), indent=1)
    text = re.sub(r"\[\s+([^][{}]*?)\s+\]", lambda found: "[" + re.sub(r",\s+", ", ", found[1]) + "]", text)
    (HERE / f"{method}.json").write_text(text + "\n")


def commit_of(clone: Path) -> str:
    return subprocess.check_output(["git", "-C", clone, "rev-parse", "HEAD"], text=True).strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clones", type=Path, required=True, help="folder of the clones, each named <owner>+<name>")
    parser.add_argument("methods", nargs="*", metavar="method", help=f"of {', '.join(METHODS)}; default: all")
    args = parser.parse_args()
    methods = args.methods or list(METHODS)
    if len(methods) == 1:
        write_golden(methods[0], args.clones.resolve())
        return
    for method in methods:
        subprocess.run([sys.executable, __file__, "--clones", args.clones, method], check=True)


if __name__ == "__main__":
    main()
