"""Cases of CheckpointError: CLIP's weights, and a run's own checkpoints."""

from __future__ import annotations

import io
import os
import pickle
import zipfile

import torch

from clip import weights
from clip.formats import openai
from dassl.engine import TRAINER_REGISTRY, TrainerX
from support import tensor_file
from tests.errors.cases import case, cases
from tests.errors.person import Person
from tests.seeded_weights import seeded_state_dict

DIGITS = "zero one two three four five six seven eight nine".split()

# CLIP's weights


def own_weights(person: Person, content: object) -> None:
    """A run on a file of one's own, with these bytes or what torch.save makes of anything else."""
    file = person.write("own.pt", content if isinstance(content, bytes) else b"")
    if not isinstance(content, bytes):
        torch.save(content, file)
    person.train("MODEL.BACKBONE.PATH own.pt")


class Foreign:
    """Anything that is no tensor."""


def packed() -> bytes:
    """What torch.save writes, compressed, as it never does: a few bytes can stand for all of the memory."""
    plain, smaller = io.BytesIO(), io.BytesIO()
    torch.save({"weight": torch.zeros(1000)}, plain)
    with zipfile.ZipFile(plain) as archive, zipfile.ZipFile(smaller, "w", zipfile.ZIP_DEFLATED) as copy:
        for name in archive.namelist():
            copy.writestr(name, archive.read(name))
    return smaller.getvalue()


cases(
    own_weights,
    {
        "<file> is not a state dict: save one with torch.save(model.state_dict(), ...)": ([1, 2],),
        "<file> does not hold a CLIP in OpenAI's layout (<reason>): take another file": ({"weight": torch.zeros(2)},),
        "<file> holds the state of an optimizer, not of a model: take the file of the model": (
            {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": []},
        ),
        "<file> holds 2 CLIPs (student., teacher.): save the state dict of one of them": (
            {f"{net}.visual.conv1.weight": torch.zeros(2) for net in ("student", "teacher")},
        ),
        "<file> is a pointer of Git LFS in place of the file: fetch it with git lfs pull": (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        ),
        "<file>: <tensor> has NaN, infinite or complex values: <advice>": ({"weight": torch.tensor([torch.nan])},),
    },
)
for damaged in (
    pickle.dumps(Foreign(), 2),
    b"",
    b"anything",
    packed(),
    {"weight": torch.ones(1).expand(10_000, 10_000)},  # more values than the file has
    {"weight": torch.eye(2).to_sparse()},
):
    cases(own_weights, {"<file> is damaged or no checkpoint (<reason>): <advice>": (damaged,)})


@case("no checkpoint at <file>: correct MODEL.BACKBONE.PATH, or leave it empty to use a name")
def no_such_weights(person):
    person.train("MODEL.BACKBONE.PATH own.pt")


@case("cannot read <file>: <reason>; check the file and its permissions")
def no_permission_to_read(person):
    def refuse(file, flags):
        raise PermissionError(13, "Permission denied", file)

    person.patch.setattr(tensor_file, "regular_only", refuse)  # root, as whom the tests may run, is refused nothing
    own_weights(person, {})


@case("<folder> is a folder with 2 checkpoints (a.pt, b.pt): set MODEL.BACKBONE.PATH to the file of a CLIP")
def folder_of_weights(person):
    for name in ("a.pt", "b.pt"):
        person.write(f"own/{name}")
    person.train("MODEL.BACKBONE.PATH own")


@case("<file> names one.bin, which is not beside it: get all files of the checkpoint")
def folder_of_shards(person):
    person.write("own/pytorch_model.bin.index.json", '{"weight_map": {"a": "one.bin", "b": "two.bin"}}')
    person.train("MODEL.BACKBONE.PATH own")


@case("no checkpoint at <file>: correct MODEL.BACKBONE.PATH, or leave it empty to use a name")
def pipe_in_place_of_the_weights(person):
    os.mkfifo(person.folder / "own.pt")
    person.train("MODEL.BACKBONE.PATH own.pt")


@case("no checkpoint at <file>: correct MODEL.BACKBONE.PATH, or leave it empty to use a name")
def device_in_place_of_the_weights(person):
    person.train("MODEL.BACKBONE.PATH /dev/zero")


@case("<file> is damaged or no checkpoint (<reason>): <advice>")
def incomplete_weights(person):
    whole = person.folder / "whole.pt"
    torch.save(seeded_state_dict("vit"), whole)
    person.write("own.safetensors", whole.read_bytes()[:1000])
    person.train("MODEL.BACKBONE.PATH own.safetensors")


@case("<file> does not hold <name>: its <key> is <value>, not <value>; correct MODEL.BACKBONE")
def weights_of_another_model(person):
    torch.save(seeded_state_dict("vit"), person.folder / "own.pt")
    person.train("MODEL.BACKBONE.PATH own.pt MODEL.BACKBONE.NAME open_clip:ViT-B-16")


@case("<file> is missing: restore it from the repository")
def tiny_clip_removed(person):
    gone = str(person.folder / "tiny_clip.pt")
    person.patch.setattr(openai, "TINY", gone)
    person.patch.setitem(weights.MODELS, "tiny", gone)
    person.train()


# the checkpoints of CoOp's run in output/ or model/


def again(person: Person, words: str, flags: str = "", trainer: str = "CoOp", epochs: int = 2) -> None:
    """The run in output/ once more, on one image per class."""
    person.has_trained()
    person.train(f"DATASET.NUM_SHOTS 1 TEST.NO_TEST True OPTIM.MAX_EPOCH {epochs} {words}", trainer, flags=flags)


cases(
    again,
    {
        "<folder> holds an unfinished run with other settings (<settings>): choose another OUTPUT_DIR, or delete the folder": (
            "OPTIM.LR 0.5",
        ),
        "<folder> holds a run of <n> epochs, more than OPTIM.MAX_EPOCH <n>; choose another OUTPUT_DIR": (
            "",
            "",
            "CoOp",
            1,
        ),
        "cannot resume from <file>: its <part> state does not fit; correct OPTIM, or choose another OUTPUT_DIR": (
            "OPTIM.NAME adam OPTIM.STAGED_LR True",
            "--resume output",
        ),
        "<file> is of another method, backbone or setting (<reason>): correct one of them, or the folder": (
            "TRAINER.COOP.N_CTX 7 TRAINER.COOP.CTX_INIT ''",
        ),
    },
)


@case("no checkpoint folder <folder>: correct RESUME, or train first")
def resume_from_nowhere(person):
    person.really_train("RESUME nowhere")


@case("<file> is a file: name by RESUME the run's folder, which holds prompt_learner/")
def resume_from_a_file(person):
    person.has_trained("model")
    person.really_train(flags="--resume model/prompt_learner/model.pth.tar-1")


@case("<folder> is no run's folder but holds 2 of them (seed1, seed2): name one by RESUME")
def resume_from_the_folder_above(person):
    person.has_trained("CoOp/seed1"), person.has_trained("CoOp/seed2")
    person.really_train(flags="--resume CoOp")


@case(
    'cannot resume from <file>: it was trained on other classes ("one", now "zero"): choose another OUTPUT_DIR, or begin with its weights alone by MODEL.INIT_WEIGHTS'
)
def resume_on_classes_in_another_order(person):
    folder = person.has_trained()
    spoil(folder, run={"class_names": DIGITS[1:] + DIGITS[:1]})
    person.really_train()


@case(
    "an average over epochs cannot be continued with another OPTIM.MAX_EPOCH or other weights: choose another OUTPUT_DIR, or delete the folder"
)
def longer_average(person):
    person.really_train("DATASET.SUBSAMPLE_CLASSES base", trainer="PromptSRC")
    person.really_train("DATASET.SUBSAMPLE_CLASSES base OPTIM.MAX_EPOCH 3", trainer="PromptSRC")


@case(
    "cannot resume a run of upstream Dassl, whose scheduler was saved as an object: only test it, with --eval-only --model-dir"
)
def run_of_upstream(person):
    spoil(person.has_trained(), scheduler={"successor": 1})
    person.really_train()


def spoil(folder, **changes) -> None:
    """Replace entries of the checkpoints that a run would go on from."""
    for name in (folder / "checkpoint").read_text().split():
        torch.save({**torch.load(folder / name, weights_only=True), **changes}, folder / name)


def spoilt_run(person: Person, changes: dict) -> None:
    """Go on with a run whose checkpoints have other entries."""
    spoil(person.has_trained(), **changes)
    person.really_train()


for changes in ({"epoch": "1"}, {"run": [1]}, {"run": {"position": 3}}, {"state_dict": {1: 2}}):
    cases(spoilt_run, {"<file> is damaged or no checkpoint (<reason>): <advice>": (changes,)})
for run in ({"skipped_batches": 5}, {"settings": 5}, {"position": {"batches": 0}}, {"random": [{"torch": 1}]}):
    cases(
        spoilt_run,
        {
            "cannot resume from <file>: the state of its run does not fit (<kind>: <reason>); to begin anew, choose another OUTPUT_DIR": (
                {"run": run},
            )
        },
    )


@case("<file> is damaged or no checkpoint (<reason>): <advice>")
def no_intact_checkpoint_to_go_on_from(person):
    for file in person.has_trained().glob("model.pth.tar-*"):
        file.write_bytes(file.read_bytes()[:-1000])
    person.really_train()


@case("<file> is damaged or no checkpoint (<reason>): <advice>")
def flipped_bit(person):
    folder = person.has_trained("model")
    file = folder / "model.pth.tar-2"
    with zipfile.ZipFile(file) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    content = bytearray(file.read_bytes())
    content[largest.header_offset + 200] ^= 1
    file.write_bytes(content)
    person.test()


@case("<folder>/checkpoint names no file that is there: to begin anew, move <folder> away")
def list_of_checkpoints_that_are_gone(person):
    for file in person.has_trained().glob("model.pth.tar-*"):
        file.unlink()
    person.really_train()


def spoilt(person: Person, change, words: str = "", trainer: str = "CoOp") -> None:
    """Test the model of CoOp's run whose tensors ``change`` has changed."""
    folder = person.has_trained("model")
    file = folder / "model.pth.tar-2"
    content = torch.load(file, weights_only=True)
    torch.save(change(content), file)
    person.test(words, trainer)


def with_tensors(**tensors):
    return lambda content: {**content, "state_dict": {**content["state_dict"], **tensors}}


cases(
    spoilt,
    {
        '<file> is no checkpoint: neither it nor a "state_dict" in it maps names to tensors, take another file': (
            lambda content: [1],
        ),
        "<file>: <tensor> has NaN, infinite or complex values: <advice>": (
            with_tensors(ctx=torch.full((4, 96), float("nan"))),
        ),
        "<file>: its <tensor> is not that of this run's backbone: set MODEL.BACKBONE to the one it was trained on": (
            with_tensors(**{"image_encoder.conv1.weight": torch.zeros(1)}),
        ),
        "<file> has no <tensor>: it belongs to another method or another setting of this one": (
            lambda content: {**content, "state_dict": {"other": torch.zeros(1)}},
        ),
        "<file> has an unknown <tensor>: it belongs to another method or another setting of this one": (
            with_tensors(other=torch.zeros(1)),
        ),
        "<file>: <tensor> is <shape> but this run needs <shape>: it belongs to another backbone, prompt length, prompt depth or (class-specific context) list of classes": (
            lambda content: content,
            "TRAINER.COOP.N_CTX 7 TRAINER.COOP.CTX_INIT ''",
        ),
        "<file>: it has <tensors> for the <n> classes of its training alone, and class <class> is none of them (<n> of the <n> classes here are not): test it on classes of its training, or train on these": (
            lambda content: {
                "state_dict": {"weight": torch.zeros(1, 8), "bias": torch.zeros(1)},
                "run": {"class_names": ["ten"]},
            },
            "",
            "LinearProbe",
        ),
        "<file>: it is of <n> classes (DATASET.SUBSAMPLE_CLASSES <part>) that it does not name, and this run has <n> (<part>): test it on those of its training": (
            lambda content: {"state_dict": {"weight": torch.zeros(1, 8), "bias": torch.zeros(1)}},
            "",
            "LinearProbe",
        ),
        "<file>: it names <n> classes, but its <tensors> is of <n>: train again": (
            lambda content: {**content, "state_dict": {"ctx": torch.zeros(3, 4, 96)}},
            "TRAINER.COOP.CSC True TRAINER.COOP.CTX_INIT ''",
        ),
        "its cache has <n> keys, <n> labels and <n> classes that do not belong together: train again": (
            lambda content: {
                "state_dict": {"keys": torch.zeros(3, 8), "labels": torch.zeros(2)},
                "run": {"class_names": ["ten"]},
            },
            "",
            "TipAdapter",
        ),
        "the prompts of <tensor> differ in length from layer to layer: it belongs to another method": (
            lambda content: {
                "state_dict": {
                    "text_encoder.transformer.resblocks.1.VPT_shallow": torch.zeros(2, 96),
                    "text_encoder.transformer.resblocks.2.VPT_shallow": torch.zeros(3, 96),
                }
            },
            "",
            "IVLP",
        ),
    },
)


@case("no <file> in <folder>, which holds epochs 1, 2: correct --model-dir or --load-epoch")
def epoch_that_was_not_kept(person):
    person.has_trained("model")
    person.test(flags="--model-dir model --load-epoch 9")


@case("<folder> is no run's folder but holds 2 of them (seed1, seed2): name one by --model-dir")
def folder_above(person):
    person.has_trained("model/seed1"), person.has_trained("model/seed2")
    person.test()


@case(
    "no checkpoint of prompt_learner in model, but one of MultiModalPromptLearner, as another method has it: correct --model-dir, or train first"
)
def folder_of_another_method(person):
    person.has_trained("model").rename(person.folder / "model" / "MultiModalPromptLearner")
    person.test()


@case("<file> is a file, and not of epoch 1: leave out --load-epoch, or name the folder")
def file_of_another_epoch(person):
    person.has_trained("model")
    person.test(flags="--model-dir model/prompt_learner/model.pth.tar-2 --load-epoch 1")


@case("<file> is damaged or no checkpoint (<reason>): <advice>")
def truncated_checkpoint(person):
    file = person.has_trained("model") / "model.pth.tar-2"
    file.write_bytes(file.read_bytes()[:100])
    person.test()


@case("checkpoint not found: <file>: correct the path")
def start_from_nowhere(person):
    person.train("MODEL.INIT_WEIGHTS nowhere.pth")


@case("<file> has no weight that fits <model> in name and shape: take another")
def start_from_another_method(person):
    torch.save({"state_dict": {"other": torch.zeros(1)}}, person.folder / "other.pth")
    person.train("MODEL.INIT_WEIGHTS other.pth")


@case("<file>: <tensor> has NaN, infinite or complex values: <advice>")
def start_from_what_diverged(person):
    torch.save({"ctx": torch.full((4, 96), torch.nan)}, person.folder / "other.pth")
    person.train("MODEL.INIT_WEIGHTS other.pth")


# those of a third party's trainer, which loads with Dassl's own functions


@TRAINER_REGISTRY.register()
class Pixels(TrainerX):
    """A third party's linear layer."""

    def build_model(self):
        self.model = torch.nn.Linear(3 * 32 * 32, self.num_classes)
        self.register_model("classifier", self.model)


def pixels(person: Person, flags: str = "", **files: object) -> None:
    """Test the model in model/classifier/, where these files are; "_" stands for "." in their names."""
    for name, content in files.items():
        file = person.write(f"model/classifier/{name.replace('_', '.')}", content if isinstance(content, str) else "")
        if not isinstance(content, str):
            torch.save(content, file)
    person.test(trainer="Pixels", flags=f"--model-dir model {flags}")


@case("no checkpoint folder <folder>: correct --model-dir, or train first")
def no_model_folder(person):
    pixels(person)


@case("no <file> in <folder>, which holds epoch 2: correct --model-dir or --load-epoch")
def no_such_epoch(person):
    pixels(person, "--load-epoch 9", checkpoint="model.pth.tar-2\n", **{"model_pth_tar-2": {"epoch": 2}})


@case("no checkpoint in <folder>: correct --model-dir, or train first")
def no_pointer(person):
    pixels(person, notes="")


@case('<file> is no checkpoint of a trainer: it has no "state_dict", take another')
def other_content(person):
    pixels(person, checkpoint="model.pth.tar-2\n", **{"model_pth_tar-2": {"epoch": 2}})


@TRAINER_REGISTRY.register()
class TwoModels(Pixels):
    """A third party's trainer of two models."""

    def build_model(self):
        super().build_model()
        self.other = torch.nn.Linear(1, 1)
        self.register_model("other", self.other)


@case("the models in <folder> were not saved at the same moment: to begin anew, choose another OUTPUT_DIR")
def folder_of_one_model_from_another_run(person):
    for name, epoch in (("classifier", 1), ("other", 2)):
        person.write(f"output/{name}/checkpoint", f"model.pth.tar-{epoch}\n")
        torch.save({"state_dict": {}, "epoch": epoch}, person.output / name / f"model.pth.tar-{epoch}")
    person.really_train(trainer="TwoModels")
