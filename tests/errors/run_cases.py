"""Cases of ResultsError, OutputError, DownloadError, ProcessError and TrainingError."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple

import torch

import draw_curves
import parse_test_res
from clip import weights
from dassl.engine import TRAINER_REGISTRY, TrainerX
from dassl.engine.trainer import SMALLEST_LOSS_SCALE
from dassl.engine.trainer_base import TrainerBase
from dassl.utils import logger
from support import verified_download
from tests.errors.cases import case, cases
from tests.errors.data_cases import packed, publish
from tests.errors.person import ROOT, Person
from tests.fake_runs import FakeRuns
from tests.file_server import FileServer
from trainers.coop import PromptLearner

# results


@case("no folder <folder>: name the one that the runs wrote into")
def no_results_folder(person):
    person.benchmark("report nowhere")


@case("no finished run under <folder>: no <file> or <file> in the folders that scripts/ write")
def no_results(person):
    person.output.mkdir()
    person.benchmark("report output")


@case("no few-shot run under <folder>: scripts/<method>/few_shot.sh makes some")
def no_few_shot_run(person):
    FakeRuns(person.output).add_base_to_new("digits", "CoOp/tiny", 1, 80.0, 70.0)
    person.type(draw_curves.main, "output")


@case('no "<figure>" found in the logs of <folder> (for runs that only tested: --test-log)')
def no_figure(person):
    (person.output / "runs").mkdir(parents=True)
    person.type(parse_test_res.main, "output/runs")


RESULTS = {"metrics": {"accuracy": 1.0}, "seconds": {}, "backbone": "tiny", "learned_parameters": 1}


def finished(person: Person, content: object) -> None:
    """The plan of a run whose results.json in output/ has this content already."""
    folder = "base2new/train_base/digits/shots_16/CoOp/tiny/seed1"
    person.write(f"output/{folder}/results.json", content if isinstance(content, str) else json.dumps(content))
    person.sweep()


cases(
    finished,
    {
        "<file> is of other settings (there, now: <settings>): delete it, or give these runs a folder of their own with --variant NAME": (
            {**RESULTS, "config": {"OPTIM": {"LR": 0.5}}},
        ),
    },
)
for content in (
    *({}, [], {**RESULTS, "metrics": "high"}, {**RESULTS, "metrics": {"accuracy": "75"}}, {**RESULTS, "seconds": [1]}),
    *(
        {**RESULTS, "learned_parameters": 1.5},
        {**RESULTS, "config": 3},
        {**RESULTS, "more": json.loads("[" * 30 + "]" * 30)},
    ),
    {**RESULTS, "metrics": {"accuracy": float("nan")}},
):
    cases(finished, {"<file> is not a complete result: <reason>; delete it and repeat that run": (content,)})
for text in ("{", "[" * 200_000, "9" * 5000):
    cases(finished, {"<file> is not valid JSON (<reason>): <advice>": (text,)})


@case("cannot read <file>: <reason>; correct the path or its permissions")
def folder_in_place_of_the_results(person):
    (FakeRuns(person.output).add_few_shot("digits", "CoOp/tiny", 4, 1, 60.0) / "results.json").unlink()
    (person.output / "digits/CoOp/tiny_4shots/seed1/results.json").mkdir()
    person.benchmark("report output")


@case("cannot read <file>: <reason>; correct the path or its permissions")
def pipe_in_place_of_the_results(person):
    file = FakeRuns(person.output).add_few_shot("digits", "CoOp/tiny", 4, 1, 60.0) / "results.json"
    file.unlink()
    os.mkfifo(file)
    person.benchmark("report output")


@case(
    "<folder> and <folder> are both <method>, but of other settings: <settings>; delete one of them, or repeat it under a name of its own (train.py and benchmark.py: --variant NAME; scripts: VARIANT=NAME)"
)
def mixed_results(person):
    runs = FakeRuns(person.output)
    for seed in (1, 2):
        config = {"DATASET": {"NAME": "digits"}, "OPTIM": {"LR": seed / 10}, "SEED": seed}
        runs.add_few_shot("digits", "CoOp/tiny", 4, seed, 60.0, config=config)
    person.benchmark("report output")


# output


@case("cannot make the folder <folder>: <reason>; mend permissions, or choose another folder")
def output_on_a_disk_that_is_not_there(person):
    person.output.symlink_to("nowhere/at/all")
    person.train("OUTPUT_DIR output/run")


NOT_WRITTEN = "cannot write <file>: <reason>; free some space, mend permissions, or choose another folder"


@case(NOT_WRITTEN)
def disk_that_fills_at_a_checkpoint(person):
    def full(*args):
        raise OSError(28, "No space left on device")

    person.patch.setattr(os, "fsync", full)
    person.really_train()


@case(NOT_WRITTEN)
def disk_that_fills_while_the_log_is_written(person):
    person.patch.setattr(
        logger, "open", lambda file, *args, **kwargs: open("/dev/full", *args, **kwargs), raising=False
    )
    person.train()


@case("<folder> is in use by <process>: wait until that has ended, or choose another --output-dir")
def folder_that_another_run_writes_in(person):
    person.output.mkdir()
    hold = "import sys; from dassl.utils.folder_lock import locked\nwith locked(sys.argv[1]): print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold, str(person.output)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        person.train()
        other.stdin.close()


@case(NOT_WRITTEN)
def file_in_place_of_the_data_root(person):
    person.data = person.write("data")
    person.prepare("dtd")
    person.expected_code = 1


@case("<folder> has <n> GB free, but <what> needs <n> GB: free some space")
def full_disk(person):
    usage = namedtuple("usage", "total used free")
    person.patch.setattr(shutil, "disk_usage", lambda folder: usage(1000, 990, 10))
    person.data.mkdir()
    person.prepare("dtd")
    person.expected_code = 1


# downloads


def served(person: Person, content: bytes | None, published: bytes | None = None, **behaviour) -> None:
    """Prepare DTD, whose archive counts as published with one content and is served with another (None: not at all)."""
    from datasets.prepare import __main__ as command
    from datasets.prepare.layout import lay_out

    person.patch.setattr(verified_download, "_PAUSES", ())
    person.data.mkdir()
    scheme = behaviour.pop("scheme", "http")
    person.patch.setattr(command, "lay_out", lambda *arguments: lay_out(*arguments[:-1], scheme))
    with FileServer() as server:
        server.files = {} if content is None else {"dtd.tar.gz": content}
        for name, value in behaviour.items():
            setattr(server, name, value)
        publish(person, published or content or b"x", url=server.url("dtd.tar.gz"))
        person.prepare("dtd")
    person.expected_code = 1


ARCHIVE = packed("dtd/images/banded/a.jpg")
cases(
    served,
    {
        "cannot download <address> (<reason>)<what is kept>: mend the connection and try again": (None,),
        "<address> came incomplete or altered (<hash>, published: <hash>): try again later": (
            ARCHIVE,
            bytes(reversed(ARCHIVE)),
        ),
        "<address> has <n> bytes, but the published file <n>: it is another file, get the published one by hand": (
            ARCHIVE,
            ARCHIVE + b"x",
        ),
    },
)


@case("<address> is not <scheme>, so it is not fetched: get the file by hand")
def address_without_encryption(person):
    served(person, ARCHIVE, scheme="https")


@case("<any of these>, or fetch it by hand, put it at <file>, or set MODEL.BACKBONE.PATH to it")
def no_connection_for_openai(person):
    person.patch.setattr(verified_download, "_PAUSES", ())
    person.patch.setitem(weights.MODELS, "ViT-B/16", f"https://127.0.0.1:9/{'0' * 64}/ViT-B-16.pt")
    person.patch.setenv("CLIP_CACHE", str(person.folder / "cache"))
    person.train("MODEL.BACKBONE.NAME ViT-B/16")


def unreachable_hub(person):
    """A Hub at which nothing listens, and an empty cache."""
    import huggingface_hub

    person.patch.setattr(huggingface_hub, "hf_hub_url", lambda *args, **kwargs: "https://127.0.0.1:9/config.json")
    person.patch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *args, **kwargs: None)


@case(
    "cannot download <name> into <folder> (<reason>): fetch it by hand from <address> and set MODEL.BACKBONE.PATH to it, with MODEL.BACKBONE.NAME as it is"
)
def no_connection_for_open_clip(person):
    unreachable_hub(person)
    person.patch.setenv("CLIP_CACHE", str(person.folder / "cache"))
    person.train("MODEL.BACKBONE.NAME open_clip:ViT-B-16/laion2b_s34b_b88k")


@case(
    "cannot download <name> (<reason>); or name a mirror of the Hub by HF_ENDPOINT, or fetch its folder by hand and set MODEL.BACKBONE.PATH to it"
)
def no_connection_for_hugging_face(person):
    unreachable_hub(person)
    person.train("MODEL.BACKBONE.NAME hf:openai/clip-vit-base-patch16")


@case("<name> came incomplete or altered (<hash>, published: <hash>), and was removed: try again later")
def altered_file_from_the_hub(person):
    import huggingface_hub

    blob = person.write(f"cache/blobs/{'0' * 64}", b"altered")
    person.patch.setattr(huggingface_hub, "get_hf_file_metadata", lambda *args, **kwargs: None)
    person.patch.setattr(huggingface_hub, "hf_hub_download", lambda *args, **kwargs: str(blob))
    person.patch.setenv("CLIP_CACHE", str(person.folder / "cache"))
    person.train("MODEL.BACKBONE.NAME open_clip:ViT-B-16/laion2b_s34b_b88k")
    assert not blob.exists()


# processes


def two_processes(person: Person, exchange) -> None:
    """Pretend that this process is one of two which are connected; ``exchange`` stands for what they exchange."""
    states = {"is_initialized": lambda: True, "get_world_size": lambda: 2, "get_rank": lambda: 0}
    for name in ("broadcast", "all_reduce", "all_gather_object"):
        states[name] = exchange
    for name, function in states.items():
        person.patch.setattr(torch.distributed, name, function)


@case("torchrun --nproc_per_node=<n> on a machine with <n> GPU(s): start one process per GPU, or set USE_CUDA False")
def more_processes_than_gpus(person):
    from dassl.utils import distributed

    for name, value in {"LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "0", "RANK": "0", "WORLD_SIZE": "2"}.items():
        person.patch.setenv(name, value)
    person.patch.setattr(distributed, "_store", object())
    person.patch.setattr(torch.cuda, "device_count", lambda: 1)
    person.train("USE_CUDA True")


@case(
    "a batch of <n> images cannot be shared by <n> processes: choose a multiple of <n> for DATALOADER.TRAIN_X.BATCH_SIZE, not above the number of training images, or another --nproc_per_node"
)
def too_few_images_to_share(person):
    two_processes(person, lambda *args, **kwargs: None)
    person.really_train("DATASET.SUBSAMPLE_CLASSES base")


@case("the exchange with the other processes failed (<reason>): run the same command again")
def lost_connection(person):
    def closed(*args, **kwargs):
        raise RuntimeError("Connection closed by peer")

    two_processes(person, closed)
    person.really_train()


@case("--launcher slurm: no sbatch and srun on the PATH; start from a login node of the cluster")
def no_slurm(person):
    from comparison import slurm

    person.patch.setattr(slurm.shutil, "which", lambda program: None)
    person.sweep("--launcher slurm")


@case('--time is "<text>": give [DAYS-][HOURS:]MINUTES:SECONDS, or minutes')
def no_time(person):
    person.sweep("--launcher slurm --time long")


@case("sbatch refuses the runs: <reason>")
def refused_by_slurm(person):
    for name, text in {
        "sbatch": "echo Batch job submission failed: invalid partition >&2; exit 1",
        "srun": "",
        "squeue": "",
    }.items():
        person.write(f"bin/{name}", f"#!/bin/sh\n{text}\n").chmod(0o755)
    person.patch.setenv("PATH", f"{person.folder}/bin:{os.environ['PATH']}")
    person.benchmark(
        f"base2new --datasets digits --trainers CoOp --seeds 1 --output slurm --data {person.embedded} --launcher slurm"
    )


@case("<file> does not map runs to jobs: delete it")
def list_of_jobs_that_is_none(person):
    for name in ("sbatch", "srun", "squeue"):
        person.write(f"bin/{name}", "#!/bin/sh\n").chmod(0o755)
    person.patch.setenv("PATH", f"{person.folder}/bin:{os.environ['PATH']}")
    for folder in ("slurm", "output"):
        person.write(f"{folder}/slurm/submitted.json", "[]")
    person.sweep("--launcher slurm")


# training


DIVERGED = "<what> in epoch <n>, batch <n><images>; <last checkpoint>; lower OPTIM.LR, or set the trainer's PREC to fp32<other way>"


@case(DIVERGED)
def diverging_run(person):
    person.really_train("OPTIM.LR 1e30 OPTIM.WARMUP_EPOCH -1 DATASET.NUM_SHOTS 16 DATALOADER.TRAIN_X.BATCH_SIZE 4")
    assert "TRAIN.NONFINITE_LOSS skip" in person.errors


@case(DIVERGED)
def learned_tensors_that_are_lost(person):
    losses = PromptLearner.losses

    def broken(self, outputs, labels):
        self.ctx.data.fill_(torch.nan)
        return {name: term * torch.nan for name, term in losses(self, outputs, labels).items()}

    person.patch.setattr(PromptLearner, "losses", broken)
    person.really_train("TRAIN.NONFINITE_LOSS skip")
    assert "learned tensors" in person.errors and "NONFINITE_LOSS" not in person.errors


@TRAINER_REGISTRY.register()
class Overflowing(TrainerX):
    """A third party's trainer in mixed precision, at the smallest loss scale and with infinite gradients."""

    def build_model(self):
        self.model = torch.nn.Linear(1, 1)
        self.optim = torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.register_model("model", self.model, self.optim)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=SMALLEST_LOSS_SCALE)

    def forward_backward(self, batch):
        self.scaler.scale(self.model(torch.full((1, 1), torch.inf)).sum()).backward()
        self.scaler.step(self.optim)
        self.scaler.update()


@case(DIVERGED)
def overflow_at_every_loss_scale(person):
    person.really_train(trainer="Overflowing")
    assert "loss scale" in person.errors


@TRAINER_REGISTRY.register()
class OwnLoop(TrainerBase):
    """A third party's trainer with a loop of its own."""

    def __init__(self, cfg):
        super().__init__()

    def train(self):
        self.detect_anomaly(torch.tensor(torch.nan))


@case("<what> in epoch <n>, batch <n>; lower OPTIM.LR")
def diverging_run_of_a_third_party(person):
    person.really_train(trainer="OwnLoop")


@case("<file> is not what a test writes (<reason>): delete it, or repeat that run")
def damaged_predictions(person):
    folder = FakeRuns(person.output).add_few_shot("digits", "CoOp/tiny", 4, 1, 60.0, predictions="predictions.csv")
    (folder / "predictions.csv").write_text("path,label\na,b\n")
    person.benchmark("report output --html output/report.html")


@case("<file> has no learned context ctx (<what it has>): name a checkpoint of CoOp or its like")
def words_near_a_context_that_is_not_there(person):
    import interpret_prompt

    torch.save({"state_dict": {"weight": torch.zeros(2, 2)}}, person.folder / "model.pth.tar-1")
    person.type(interpret_prompt.main, "model.pth.tar-1", "3", "--backbone", "tiny")


@case(
    "ctx in <file> has <n> values a vector, tokens of <backbone> have <n>: name the backbone that it was trained with, "
    "--backbone NAME or PATH"
)
def words_near_a_context_of_another_backbone(person):
    import interpret_prompt

    torch.save({"ctx": torch.zeros(4, 512)}, person.folder / "model.pth.tar-1")
    person.type(interpret_prompt.main, "model.pth.tar-1", "3", "--backbone", "tiny")


@case("topk is <n>: give a number from 1 to <n>, the size of the vocabulary")
def no_words_near_a_context(person):
    import interpret_prompt

    torch.save({"ctx": torch.zeros(4, 96)}, person.folder / "model.pth.tar-1")
    person.type(interpret_prompt.main, "model.pth.tar-1", "0", "--backbone", "tiny")
