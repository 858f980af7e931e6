"""One run: train a method on a dataset and test it, or only test it (--eval-only). The command line is CoOp's.

A run writes into its output folder log.txt, the checkpoints, few_shot.json (the images it was trained on),
predictions.csv (what it answered for each test image) and, last, results.json: what was run, how well, at what cost.

Mistakes of the user end in one line `error: ...` and exit code 2 (MUDPT_DEBUG=1 shows the traceback instead).

Started by torchrun, several processes are one run, see `dassl.utils.distributed`: rank 0 alone prints and writes.
"""

from __future__ import annotations

import argparse
import difflib
import io
import os
import platform
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from importlib import metadata
from pathlib import Path

from comparison.model_config import config_of_model
from comparison.run_spec import RESULTS, RunSpec
from support import standard_streams, user_error
from support.json_file import json_if_readable
from support.user_error import ConfigError, UserError, did_you_mean, is_debugging, print_error, user_message

# PyTorch takes seconds to import: what needs it is imported where it is used, so that --help and typing errors answer
# at once.

__version__ = "0.1.0"
FEW_SHOT_FILE = "few_shot.json"
SMALL_BACKBONE = 2**26  # bytes of weights: the embedded CLIP has 13 million, OpenAI's smallest 240


class OneLineParser(user_error.OneLineParser):
    """One of a command that torchrun may start in several processes."""

    def _print_message(self, message, file=None):
        if os.environ.get("RANK", "0") == "0" or not several_processes():  # they all have the same command line
            super()._print_message(message, file)


def several_processes() -> bool:
    """Whether torchrun has started this process as one of several."""
    return "TORCHELASTIC_RUN_ID" in os.environ and os.environ["WORLD_SIZE"] != "1"


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = OneLineParser(prog="train.py", description="Train and test a prompt-tuning method.")
    path = os.path.expanduser  # the shell leaves the "~" of --root=~/data as it is
    parser.add_argument("--root", type=path, default="", help="folder of the datasets")
    parser.add_argument("--output-dir", type=path, default="", help="folder of this run's log, checkpoints and results")
    parser.add_argument(
        "--resume", type=path, default="", help="folder of the checkpoints to resume from (default: --output-dir)"
    )
    parser.add_argument(
        "--seed", type=int, default=-1, help="0 or more: fixed seed; negative: a different run each time"
    )
    parser.add_argument("--source-domains", nargs="+", help="source domains for domain generalization")
    parser.add_argument("--target-domains", nargs="+", help="target domains for domain generalization")
    parser.add_argument("--transforms", nargs="+", help="augmentations, instead of INPUT.TRANSFORMS")
    parser.add_argument("--config-file", type=path, default="", help="YAML file of the method")
    parser.add_argument("--dataset-config-file", type=path, default="", help="YAML file of the dataset")
    parser.add_argument("--trainer", default="", help="name of the trainer")
    parser.add_argument("--backbone", default="", help="name of the backbone")
    parser.add_argument("--head", default="", help="name of the head")
    parser.add_argument("--eval-only", action="store_true", help="only test")
    parser.add_argument("--model-dir", type=path, default="", help="with --eval-only: output folder of the run to test")
    parser.add_argument(
        "--load-epoch",
        type=int,
        help="with --eval-only: epoch to test (default: the best on validation, else the last)",
    )
    parser.add_argument(
        "--deterministic", action="store_true", help="only algorithms that repeat to the bit, on a GPU as well; slower"
    )
    parser.add_argument("--no-train", action="store_true", help="only build the trainer")
    parser.add_argument(
        "--variant",
        default="",
        help="a name, in the results, for settings that the name of --config-file does not tell",
    )
    parser.add_argument(
        "opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="configuration keys and their values"
    )
    # python -m torch.distributed.launch gives each process its number, which torchrun puts into the environment
    parser.add_argument("--local-rank", "--local_rank", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    words = sys.argv[1:] if argv is None else argv
    args, pairs = parser.parse_args([word for word in words if word != "--opts"]), []  # other code bases' mark of pairs
    while flags := flags_behind(args.opts):
        pairs += args.opts[: -len(flags)]
        args = parser.parse_args(flags, args)
    args.opts = pairs + args.opts
    return args


def flags_behind(pairs: list[str]) -> list[str]:
    """The words from the first flag on, which argparse counts among the KEY VALUE pairs."""
    is_flag = (re.fullmatch(r"-h|--[a-z][\w-]*(=.*)?", word, re.DOTALL) for word in pairs)
    return pairs[next((position for position, found in enumerate(is_flag) if found), len(pairs)) :]


def extend_cfg(cfg) -> None:
    """Add the keys of our datasets and trainers to Dassl's configuration."""
    import datasets
    import trainers

    cfg.MODEL.BACKBONE.PATH = ""  # a local CLIP checkpoint, instead of the one that MODEL.BACKBONE.NAME names
    datasets.add_config(cfg)
    trainers.add_config(cfg)


def reset_cfg(cfg, args: argparse.Namespace) -> None:
    """Set the keys that have a flag of their own."""
    if args.root:
        cfg.DATASET.ROOT = args.root
    if args.output_dir:
        cfg.OUTPUT_DIR = args.output_dir
    if args.resume:
        cfg.RESUME = args.resume
    if args.seed is not None and args.seed >= 0:
        cfg.SEED = args.seed
    if getattr(args, "deterministic", False):  # no flag of CoOp's, whose namespace is taken, too
        cfg.DETERMINISTIC = True
    if args.eval_only:
        cfg.DATASET.ONLY_TESTED = True
    if args.source_domains:
        cfg.DATASET.SOURCE_DOMAINS = args.source_domains
    if args.target_domains:
        cfg.DATASET.TARGET_DOMAINS = args.target_domains
    if args.transforms:
        cfg.INPUT.TRANSFORMS = args.transforms
    if args.trainer:
        cfg.TRAINER.NAME = args.trainer
    if args.backbone:
        cfg.MODEL.BACKBONE.NAME = args.backbone
    if args.head:
        cfg.MODEL.HEAD.NAME = args.head


def setup_cfg(args: argparse.Namespace):
    """The frozen configuration: defaults, then the dataset's file, the method's file, flags, KEY VALUE pairs.

    A test without these files takes what they would set from the run in --model-dir.
    A third party's trainer may read keys that its own train.py declared: where one is run, unknown keys are new ones.
    """
    config_files = [file for file in (args.dataset_config_file, args.config_file) if file]
    for file in config_files:
        check_config_file(Path(file))

    from dassl.config import all_items, get_cfg_default, is_printable

    for flag, value in vars(args).items():
        if isinstance(value, str) and not is_printable(value):
            raise ConfigError(f"--{flag.replace('_', '-')} {value!a}: not UTF-8, as logs and results are: rename it")
    cfg = get_cfg_default()
    extend_cfg(cfg)
    known = {key for key, _ in all_items(cfg)}
    of_model = config_of_model(args)
    third_party = third_party_trainer(args, config_files, of_model)
    cfg.set_new_allowed(bool(third_party))
    cfg.merge_from_other_cfg(of_model, f"the results of {args.model_dir}")
    for file in config_files:
        cfg.merge_from_file(file)
    reset_cfg(cfg, args)
    cfg.merge_from_list(args.opts or [])
    if third_party:
        accept_new_keys({key: value for key, value in all_items(cfg) if key not in known}, known, third_party)
    expand_home(cfg)
    cfg.freeze()
    return cfg


def expand_home(cfg) -> None:
    """Put the home folder in place of the "~" that a value, which then is a path, begins with."""
    for key, value in cfg.items():
        if isinstance(value, dict):
            expand_home(value)
        elif isinstance(value, str):
            cfg[key] = os.path.expanduser(value)


def third_party_trainer(args: argparse.Namespace, config_files: list[str], of_model: dict) -> str:
    """The trainer that will run, from KEY VALUE pairs, flag, files or tested run, if it declares no node; else ""."""
    from dassl.config import read_yaml
    from dassl.engine import TRAINER_REGISTRY

    pairs = dict(zip((args.opts or [])[::2], (args.opts or [])[1::2], strict=False))
    named = [pairs.get("TRAINER.NAME"), args.trainer]
    nodes = [*(read_yaml(file).get("TRAINER") for file in reversed(config_files)), of_model.get("TRAINER")]
    named += [node.get("NAME") for node in nodes if isinstance(node, dict)]
    name = next((name for name in named if name), "")
    known = name in TRAINER_REGISTRY.registered_names()
    return name if known and not hasattr(TRAINER_REGISTRY.get(name), "config_node") else ""


def accept_new_keys(new: dict[str, object], known: set[str], trainer: str) -> None:
    """Print the new keys; UserError where one is no addition but a misspelt key."""
    for key in new:
        if key.lower() == f"trainer.{trainer.lower()}":
            continue  # its own node, as TRAINER.UMUDPT beside our TRAINER.MUDPT
        node, _, name = key.rpartition(".")
        siblings = [known_key.rpartition(".")[2] for known_key in known if known_key.rpartition(".")[0] == node]
        near = misspelt_key(name, siblings)
        if near:
            raise ConfigError(f'unknown config key "{key}" (did you mean "{node}{node and "."}{near}"?)')
    values = [key for key, value in new.items() if not isinstance(value, dict)]
    if values:
        print(f"Keys that are not known here, taken for {trainer}: {', '.join(values)}")


def misspelt_key(name: str, known: list[str]) -> str:
    """The key of ``known`` that ``name`` is probably meant to be, or "". Case does not count."""
    by_lower_case = {key.lower(): key for key in sorted(known)}
    name = name.lower()
    near = difflib.get_close_matches(name, by_lower_case, n=1, cutoff=0.8)
    for key in by_lower_case:  # the ratio of a short key and the same with a letter or two more is low
        more = name.removeprefix(key)
        if more != name and more.isalpha() and len(more) <= min(2, len(key)):
            near.append(key)
    return by_lower_case[near[0]] if near else ""


@contextmanager
def missing_keys_named(cfg) -> Iterator[None]:
    """End in one line where a trainer reads a key that nothing sets, or one below a value."""
    try:
        yield
    except AttributeError as error:
        from yacs.config import CfgNode

        from dassl.config import all_items, get_cfg_default

        if not isinstance(error.obj, CfgNode):
            ours = get_cfg_default()
            extend_cfg(ours)
            known = dict(all_items(ours))
            values = [key for key, value in all_items(cfg) if value is error.obj and key not in known]
            if not values or not (error.name or "").isupper():
                raise
            raise ConfigError(
                f"{cfg.TRAINER.NAME} reads {error.name} of the config key {' or '.join(values)}, which is "
                f"{error.obj!r}, no group of keys: set {values[0]}.{error.name} in its place"
            ) from error
        nodes = (f"{key}." for key, value in all_items(cfg) if value is error.obj)
        raise ConfigError(
            f"{cfg.TRAINER.NAME} reads the config key {next(nodes, '')}{error.name}, which nothing sets: give it as a "
            "KEY VALUE pair or in the --config-file"
        ) from error


def check_config_file(file: Path) -> None:
    """UserError with the nearest name where there is no such file."""
    if file.is_file():
        return
    names = sorted(path.stem for path in file.parent.glob("*.yaml") if path.is_file())
    raise ConfigError(f"no config file {file}{did_you_mean(file.stem, names)}")


def print_args(args: argparse.Namespace, cfg) -> None:
    """Print flags and configuration in the form that tools for upstream's logs expect."""
    print("***************\n** Arguments **\n***************")
    for flag, value in sorted(vars(args).items()):
        print(f"{flag}: {value}")
    print("************\n** Config **\n************")
    print(cfg)


@contextmanager
def logged_to(directory: str) -> Iterator[None]:
    """Copy standard output into log.txt of `directory`, which no other process can use meanwhile.

    Where a run fails before it has saved anything, the log and the folders made for it are removed, and the log of an
    earlier run in the folder has its name again.
    Of several processes rank 0 alone does all this.
    """
    from dassl.utils import mkdir_if_missing, setup_logger
    from dassl.utils.distributed import is_main
    from dassl.utils.folder_lock import locked

    if not is_main():
        yield
        return
    folder = Path(directory)
    before = set(folder.rglob("*"))
    new_folders = [path for path in (folder, *folder.parents) if not path.exists()]
    console = sys.stdout
    try:
        mkdir_if_missing(directory)
        with locked(directory):
            setup_logger(directory)
            yield
    except Exception as error:
        made = sorted(set(folder.rglob("*")) - before, reverse=True)  # contents before their folder
        saved = [
            path for path in made if path.is_file() and not path.name.startswith(("log.txt", "events.out.tfevents"))
        ]
        if user_message(error) and not saved:
            for path in (*made, *new_folders):
                if path.is_dir():
                    with suppress(OSError):  # another run may have its folder in it by now
                        path.rmdir()
                elif path.name.startswith("log.txt-"):
                    path.replace(folder / "log.txt")
                elif path.exists():
                    path.unlink()
        raise
    finally:
        if sys.stdout is not console:
            log, sys.stdout = sys.stdout, console
            log.close()


@contextmanager
def held_back() -> Iterator[None]:
    """Standard output of the block, shown at its end; not at all where a mistake of the user ends it."""
    held = io.StringIO()
    try:
        with redirect_stdout(held):
            yield
    except (UserError, OSError):
        held = io.StringIO()
        raise
    finally:
        print(held.getvalue(), end="", flush=True)


def timed_tests(trainer) -> list[tuple[float, float]]:
    """A list that gets (seconds, accuracy) of every call of `trainer.test`, also of those in `trainer.train`."""
    calls = []
    test = trainer.test

    def timed(*args, **kwargs):
        started = time.perf_counter()
        accuracy = test(*args, **kwargs)
        calls.append((time.perf_counter() - started, accuracy))
        return accuracy

    trainer.test = timed
    return calls


def load_trained(trainer, model_dir: str, epoch: int | None) -> int | None:
    """Load `epoch` of the run in `model_dir`: by default the best on validation where one was kept, else the last.

    Returns the epoch, or None where there was nothing to load.
    """
    from dassl.utils import load_checkpoint
    from support.checkpoint_files import find_checkpoint, run_folder

    names = trainer.get_model_names()
    if not model_dir or not names or hasattr(trainer, "loaded_epoch"):
        trainer.load_model(model_dir, epoch=epoch)
        return getattr(trainer, "loaded_epoch", None)
    path = find_checkpoint(model_dir, names[:1], epoch)
    number = path.rpartition("tar-")[2]  # upstream's trainers only look for the best where they are told no epoch
    folder = run_folder(os.path.dirname(path), names[0], "--model-dir")
    trainer.load_model(folder, epoch=int(number) if number.isdigit() else None)
    checkpoint = load_checkpoint(path)
    warn_of_other_classes(trainer, checkpoint)
    tested = checkpoint.get("epoch")
    return tested if isinstance(tested, int) else None


def run_of_model(trainer, args: argparse.Namespace) -> str:
    """The folder of the run whose model is tested, wherever in or above it --model-dir points; "" where none is."""
    from support.checkpoint_files import find_checkpoint

    if not (args.eval_only and args.model_dir and trainer.get_model_names()):
        return ""
    names = [*trainer.get_model_names()[:1], *getattr(trainer, "released_folders", ())]
    try:
        folder = os.path.dirname(find_checkpoint(args.model_dir, names, args.load_epoch))
    except UserError:  # a third party's trainer may load from where it likes
        return args.model_dir
    return os.path.dirname(folder) or "." if os.path.basename(folder) in names else folder


def warn_of_other_classes(trainer, checkpoint: dict) -> None:
    """Print a line where a third party's trainer, which goes by shapes, may have loaded rows of other classes."""
    from dassl.engine.trainer import class_names_of

    run, now = checkpoint.get("run"), class_names_of(trainer)
    before = run.get("class_names") if isinstance(run, dict) else None
    if not before or not now or before == now:
        return
    models = [model for model in trainer._models.values() if model is not None]
    parameters = [(name, parameter) for model in models for name, parameter in model.named_parameters()]
    bound = [name for name, parameter in parameters if parameter.requires_grad and len(now) in parameter.shape[:1]]
    if bound:
        print(f"warning: trained on other classes, or in another order, while {', '.join(bound)} has {len(now)} rows")


def to_dict(node) -> dict:
    """A configuration node as plain dictionaries."""
    return {key: to_dict(value) if isinstance(value, dict) else value for key, value in node.items()}


def backbone_of(cfg) -> str:
    """The backbone's name in the results."""
    from clip.weights import backbone_name

    return backbone_name(cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BACKBONE.PATH)


def describe_run(trainer, cfg, spec: RunSpec) -> dict:
    """What results.json says about a run apart from its results. Asks nothing of a trainer beyond Dassl's API."""
    import numpy
    import torch

    from comparison.code_version import code_version
    from dassl.utils.distributed import world_size

    data_manager = getattr(trainer, "dm", None)
    dataset = getattr(data_manager, "dataset", None)
    models = [model for model in trainer._models.values() if model is not None]
    return {
        "run": spec.to_dict(),
        "version": __version__,
        "code": code_version(),
        "trainer": cfg.TRAINER.NAME,
        "dataset": cfg.DATASET.NAME,
        "backbone": backbone_of(cfg),
        "seed": cfg.SEED,
        "shots": cfg.DATASET.NUM_SHOTS,
        "subsample_classes": cfg.DATASET.SUBSAMPLE_CLASSES,
        "split_hash": getattr(dataset, "split_hash", None),
        "num_classes": getattr(data_manager, "num_classes", None),
        "knows_new_classes": getattr(trainer, "knows_new_classes", lambda cfg: True)(cfg),
        "test_rule": getattr(getattr(trainer, "method", None), "test_rule", lambda: "")(),
        "num_images": {
            split: len(getattr(dataset, attribute, None) or [])
            for split, attribute in (("train", "train_x"), ("val", "val"), ("test", "test"))
        }
        | ({"train": 0} if getattr(dataset, "only_tested", False) else {}),
        "learned_parameters": sum(p.numel() for model in models for p in model.parameters() if p.requires_grad),
        "checkpoint_bytes": checkpoint_bytes(trainer, cfg.OUTPUT_DIR),
        "peak_memory_mb": round(trainer.peak_memory / 2**20, 1),
        "processes": world_size(),
        "environment": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": metadata.version("torchvision"),  # whose import takes seconds
            "numpy": numpy.__version__,
            "platform": platform.platform(),
            "device": torch.cuda.get_device_name(trainer.device) if trainer.device.type == "cuda" else "cpu",
        },
    }


def describe_training(trainer) -> dict:
    """What results.json says of the training: epochs, and accuracies in % on the images of the last of them.

    An accuracy is None where no step has reported it.
    """

    def accuracy(name: str) -> float | None:
        meter = meters.get(name)
        return round(meter.avg, 4) if meter and 0 <= meter.avg <= 100 else None

    meters = getattr(getattr(trainer, "epoch_metrics", None), "meters", {})
    return {
        "epochs": getattr(trainer, "max_epoch", None),
        "training_accuracy": accuracy("acc"),
        "zero_shot_training_accuracy": accuracy("zero_shot_acc"),
    }


def checkpoint_bytes(trainer, folder: str) -> int | None:
    """Size of the last checkpoints that the run saved, of all models together; None where it saved none."""
    from dassl.utils import last_checkpoint

    folders = [os.path.join(folder, name) for name in trainer.get_model_names()]
    saved = [last_checkpoint(path) for path in folders if os.path.exists(os.path.join(path, "checkpoint"))]
    return sum(map(os.path.getsize, saved)) or None


def check_trains(cfg, eval_only: bool) -> None:
    """UserError where a run would train on a dataset that has only test images."""
    from dassl.data.datasets import DATASET_REGISTRY

    if cfg.DATASET.ONLY_TESTED and not eval_only:
        raise ConfigError("DATASET.ONLY_TESTED True stands for --eval-only: give that flag in its place")
    name = cfg.DATASET.NAME
    known = name in DATASET_REGISTRY.registered_names()
    if not eval_only and known and getattr(DATASET_REGISTRY.get(name), "only_tested", False):
        raise ConfigError(
            f"{name} has test images only: train on another dataset, then test on this one with "
            "--eval-only --model-dir (scripts/<method>/xd_train.sh and xd_test.sh do so)"
        )
    if cfg.DATASET.FEW_SHOT_FILE and known:
        from datasets.split_dataset import SplitDataset

        if not issubclass(DATASET_REGISTRY.get(name), SplitDataset):
            raise ConfigError(f"DATASET.FEW_SHOT_FILE: {name} is a dataset of others, which draws its images itself")


def check_batch_size(cfg, processes: int) -> None:
    """UserError where training batches cannot be shared evenly."""
    batch_size = cfg.DATALOADER.TRAIN_X.BATCH_SIZE
    if batch_size % processes:
        raise ConfigError(
            f"DATALOADER.TRAIN_X.BATCH_SIZE is {batch_size}, of all {processes} processes together: choose a multiple "
            f"of {processes}, or another --nproc_per_node"
        )


def set_seed(cfg) -> None:
    """Seed the generators from SEED; where it is negative leave them as they are, but equal in all processes."""
    import secrets

    from dassl.utils import set_random_seed
    from dassl.utils.distributed import gather, world_size

    if cfg.SEED >= 0:
        set_random_seed(cfg.SEED)
    elif world_size() > 1:
        set_random_seed(gather(secrets.randbits(32))[0])


def threads_of(cfg, cores: int) -> int:
    """How many threads of ``cores`` a run takes on a CPU: one where the backbone is as small as the embedded CLIP.

    Its tensors are too small to share: on a busy machine two threads take 6 to 10 times as long as one for a step of
    CoOp, CoCoOp or MuDPT, as each waits for the other at every operation.
    """
    from clip.weights import MODELS

    weights = cfg.MODEL.BACKBONE.PATH or MODELS.get(cfg.MODEL.BACKBONE.NAME, "")  # a file, a folder or an address
    return 1 if os.path.isfile(weights) and os.path.getsize(weights) < SMALL_BACKBONE else cores


def choose_threads(cfg) -> None:
    """Set the number of threads, unless OMP_NUM_THREADS has done so."""
    import torch

    if not os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(threads_of(cfg, torch.get_num_threads()))


def choose_algorithms(cfg) -> None:
    """The fastest algorithms of a GPU, or with DETERMINISTIC those that give the same bits each time."""
    import torch

    if cfg.DETERMINISTIC:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read as the GPU is first used
    if torch.are_deterministic_algorithms_enabled() != cfg.DETERMINISTIC:  # which imports torch.compile's modules
        torch.use_deterministic_algorithms(cfg.DETERMINISTIC)
    torch.backends.cudnn.allow_tf32 = False  # by default its convolutions of float32 have the accuracy of float16
    torch.backends.cudnn.benchmark = torch.cuda.is_available() and cfg.USE_CUDA and not cfg.DETERMINISTIC


def write_few_shot(trainer, cfg) -> dict | None:
    """Write few_shot.json, the images that the run was trained and validated on, in the layout of a split file.

    Paths are relative to the folder of the images, so the file holds wherever the data are. Returns what results.json
    says of it, None for a run that used all images.
    """
    from datasets.splits import split_hash, write_split

    dataset = getattr(getattr(trainer, "dm", None), "dataset", None)
    if dataset is None or cfg.DATASET.NUM_SHOTS < 1:
        return None
    image_dir = getattr(dataset, "image_dir", "") or os.path.abspath(os.path.expanduser(cfg.DATASET.ROOT))
    test_images = {item.impath for item in dataset.test}
    val = [item for item in dataset.val or () if item.impath not in test_images]  # ImageNet's val is its test
    split = (dataset.train_x, val, [])
    write_split(split, os.path.join(cfg.OUTPUT_DIR, FEW_SHOT_FILE), image_dir)
    return {"file": FEW_SHOT_FILE, "hash": split_hash(split, image_dir)}


def write_predictions(trainer, cfg) -> str | None:
    """Write predictions.csv of the last test; returns its name, None where the trainer tests in its own way."""
    from dassl.evaluation import PREDICTIONS_FILE

    predictions = getattr(trainer, "predictions", None)
    if predictions is None:
        return None
    names = getattr(trainer, "lab2cname", None) or {}
    predictions.write_csv(os.path.join(cfg.OUTPUT_DIR, PREDICTIONS_FILE), cfg.DATASET.ROOT, names)
    return PREDICTIONS_FILE


def class_counts(trainer, eval_only: bool, model_run: str) -> dict[str, tuple[int, int] | list[int] | None]:
    """Numbers of images of the smallest and of the largest class; where a model is only tested, its own for "train".

    None where there are no images, or the numbers are not known.
    """
    from dassl.data.class_counts import images_per_class

    data = getattr(trainer, "dm", None)
    if data is None:
        return {}
    counts = {part: images_per_class(getattr(data.dataset, part, None), data.lab2cname) for part in ("val", "test")}
    if eval_only:
        return {"train": class_counts_of(model_run), **counts}
    return {"train": images_per_class(data.dataset.train_x, data.lab2cname), **counts}


def class_counts_of(model_run: str) -> list[int] | None:
    """Training images per class, of the smallest and the largest, by the results in `model_run`; None if not told."""
    results = json_if_readable(os.path.join(model_run, RESULTS))
    try:
        counts = results["images_per_class"]["train"]
    except (KeyError, TypeError):
        return None
    whole = isinstance(counts, list) and all(type(number) is int and number >= 0 for number in counts)
    return counts if whole and len(counts) == 2 else None


def report_images(trainer, cfg) -> None:
    """Print which images the run was trained on, and what a person has to know of their split."""
    from dassl.data.class_counts import describe

    data = getattr(trainer, "dm", None)
    if data is None:
        return
    if not cfg.DATASET.ONLY_TESTED:
        shots = f" (DATASET.NUM_SHOTS {cfg.DATASET.NUM_SHOTS})" if cfg.DATASET.NUM_SHOTS > 0 else ""
        print(f"Trained on {describe(data.dataset.train_x, data.lab2cname)}{shots}")
    if note := getattr(data.dataset, "split_note", ""):
        print(f"notice: {note}")


def sampling_error(metrics: dict) -> float | None:
    """Standard error of the accuracy, in points, from the number of test images: sqrt(p (1 - p) / n)."""
    if not metrics.get("total"):
        return None
    share = metrics["accuracy"] / 100
    return 100 * (share * (1 - share) / metrics["total"]) ** 0.5


def main(args: argparse.Namespace) -> None:
    """Run what `args` (see `parse_args`) ask for."""
    started = time.perf_counter()
    if several_processes():
        from dassl.utils import distributed

        distributed.start()
    cfg = setup_cfg(args)
    config = to_dict(cfg)  # a third party's trainer may change its own
    check_trains(cfg, eval_only=args.eval_only or args.no_train)

    from comparison.uses import uses_of_run
    from dassl.engine import build_trainer
    from dassl.utils import collect_env_info, write_json
    from dassl.utils.distributed import connect, is_main, world_size
    from dassl.utils.stop import handled

    connect(cfg.USE_CUDA)
    if not args.eval_only and not args.no_train:
        check_batch_size(cfg, world_size())
    set_seed(cfg)

    with handled(), logged_to(cfg.OUTPUT_DIR), missing_keys_named(cfg):
        choose_threads(cfg)
        choose_algorithms(cfg)
        with held_back():
            if cfg.SEED >= 0:
                print(f"Setting fixed seed: {cfg.SEED}")
            print_args(args, cfg)
            print("Collecting env info ...")
            print(f"** System info **\n{collect_env_info(cfg.USE_CUDA)}\n")
            if world_size() > 1:
                print(f"{world_size()} processes share every batch and the test images")
            trainer = build_trainer(cfg)
            epoch = load_trained(trainer, args.model_dir, args.load_epoch) if args.eval_only else None
        model_run = run_of_model(trainer, args)
        spec = RunSpec.of_run(args, cfg, model_run, trains=bool(trainer.get_model_names()))
        tests = timed_tests(trainer)
        train_seconds = None
        if args.eval_only:
            trainer.test()
        elif args.no_train:
            return
        else:
            train_started = time.perf_counter()
            trainer.train()
            train_seconds = time.perf_counter() - train_started - sum(seconds for seconds, _ in tests)
            if not tests and not cfg.TEST.NO_TEST:  # an after_train of other people's
                trainer.test()

        if not is_main():
            return
        report_images(trainer, cfg)
        test_seconds, accuracy = tests[-1] if tests else (0.0, None)
        if train_seconds is not None:  # TrainerX counts the epochs alone, and those before a run was resumed
            train_seconds = getattr(trainer, "train_seconds", 0) or train_seconds
        metrics = getattr(trainer, "test_results", None) or ({"accuracy": accuracy} if tests else {})
        write_json(
            {
                **describe_run(trainer, cfg, spec),
                "uses": uses_of_run(trainer, spec, model_run),
                "model": trainer.describe_model() if hasattr(trainer, "describe_model") else None,
                "config": config,
                "images_per_class": class_counts(trainer, args.eval_only, model_run),
                **({} if args.eval_only else describe_training(trainer)),
                "few_shot": None if args.eval_only else write_few_shot(trainer, cfg),
                "metrics": dict(metrics),
                "temperature": getattr(trainer, "temperature", None),
                "predictions": write_predictions(trainer, cfg),
                "sampling_error": sampling_error(metrics),
                "skipped_batches": getattr(trainer, "skipped_batches", None),
                "seconds": {
                    "train": train_seconds if train_seconds is None else round(train_seconds, 3),
                    "test": round(test_seconds, 3),
                    "total": round(time.perf_counter() - started, 3),
                },
                "tested_model": {"model_dir": args.model_dir, "epoch": epoch} if args.eval_only else None,
            },
            os.path.join(cfg.OUTPUT_DIR, RESULTS),
        )


def run(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    args = parse_args(argv)
    if not several_processes():
        return run_process(args)

    from dassl.utils import distributed

    failed = True
    try:
        code = run_process(args, distributed.first_to_fail)
        failed = code != 0
        return code
    finally:
        distributed.stop(failed)


def run_process(args: argparse.Namespace, is_shown: Callable[[], bool] = lambda: True) -> int:
    """Run what `args` ask for; returns the exit code.

    Args:
        is_shown: called where the run fails: whether this process shows the error.
    """
    try:
        main(args)
    except KeyboardInterrupt as stop:
        number = getattr(stop, "number", signal.SIGINT)
        if is_shown():
            what = "interrupted" if number == signal.SIGINT else "terminated"
            print(f"{what}; the same command goes on from the last checkpoint", file=sys.stderr)
        return 128 + number
    except Exception as error:
        message, shown = user_message(error), is_shown()
        if is_debugging() or (shown and message is None):
            raise
        return print_error(message) if shown else 2
    return 0


if __name__ == "__main__":
    sys.exit(standard_streams.run(run))
