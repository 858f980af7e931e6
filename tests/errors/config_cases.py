"""Cases of ConfigError: a flag, a config file, a key or a value."""

from __future__ import annotations

import copy
import os
import sys

import torch

import train
from dassl.data.datasets import DATASET_REGISTRY
from dassl.engine import TRAINER_REGISTRY, TrainerX
from datasets.digits import Digits
from tests.errors.cases import case, cases
from tests.errors.person import ROOT, Person
from tests.fake_runs import FakeRuns
from tests.seeded_weights import seeded_state_dict


@DATASET_REGISTRY.register()
class DigitsWithoutVal(Digits):
    """A third party's data set: no val split."""

    def __init__(self, cfg):
        super().__init__(cfg)
        self._val = None


@DATASET_REGISTRY.register()
class DigitsTestedOnVal(Digits):
    """A third party's dataset whose test images are its val images, as ImageNet's are."""

    def __init__(self, cfg):
        super().__init__(cfg)
        self._test = self._val


@TRAINER_REGISTRY.register()
class ReadsItsOwnKey(TrainerX):
    """A third party's trainer, whose key its own train.py declares."""

    def build_model(self):
        _ = self.cfg.TRAINER.THEIRS.ALPHA


# message: KEY VALUE pairs, trainer
cases(
    Person.train,
    {
        'KEY VALUE pairs: "<word>" has no partner; write a key, a space, its value': ("OPTIM.LR",),
        'unknown config key "<key>" in <source><did you mean>': ("OPTIM.MAX_EPOHC 3",),
        'config key "<key>" in <source>: expected a value, got a group of keys': ("OPTIM.LR.START 3",),
        'config key "<key>" in <source>: expected a group of keys, got <value>': ("OPTIM 3",),
        "<key and source>: expected <kind> like <value>, got <value>": ("OPTIM.MAX_EPOCH many",),
        "no <kind> is named: choose one of <names>": ("OPTIM.NAME ''",),
        'unknown <kind> "<name>"<did you mean>; known: <names>': ("DATASET.NAME Digitss",),
        "<key> is <value>: it must be <range>": ("TRAINER.TCP.W -1", "TCP"),
        "<key> is <value>: it must be at least 1": ("TRAINER.COOP.N_CTX 0 TRAINER.COOP.CTX_INIT ''",),
        '<node>.<key> is "<value>"<did you mean>: choose one of <names>': (
            "TRAINER.CLIP_LORA.ENCODER txt",
            "CLIP_LoRA",
        ),
        "SEED is <number>: choose a number from 0 to <number>": ("SEED 99999999999",),
        'DATASET.SUBSAMPLE_CLASSES is "<value>": set it to all, base or new<did you mean>': (
            "DATASET.SUBSAMPLE_CLASSES bass",
        ),
        "DATALOADER: BATCH_SIZE must be at least 1, got <n>": ("DATALOADER.TEST.BATCH_SIZE 0",),
        "DATALOADER.<key> must be at least <n>, got <n>": ("DATALOADER.NUM_WORKERS -1",),
        "DATALOADER.K_TRANSFORMS is <n>, but there is no transform to apply: set it to 1, or INPUT.NO_TRANSFORM False": (
            "DATALOADER.K_TRANSFORMS 2 INPUT.NO_TRANSFORM True",
            "ReadsItsOwnKey",
        ),
        "DATALOADER.K_TRANSFORMS is <n>: <trainer> takes one view, set it to 1": ("DATALOADER.K_TRANSFORMS 2",),
        "INPUT.NO_TRANSFORM True leaves images that no batch can be made of: set it to False": (
            "INPUT.NO_TRANSFORM True",
        ),
        "INPUT.TRANSFORMS <name>: <reason>: correct its options in INPUT": (
            "INPUT.TRANSFORMS \"('gaussian_blur',)\" INPUT.GB_K 4",
        ),
        "INPUT.CROP_PADDING must be at least 0, got <n>": (
            "INPUT.TRANSFORMS \"('random_crop',)\" INPUT.CROP_PADDING -1",
        ),
        "DATALOADER: N_INS must be at least 1, got <n>": (
            "DATALOADER.TRAIN_X.SAMPLER RandomClassSampler DATALOADER.TRAIN_X.N_INS 0",
        ),
        "INPUT.RANDAUGMENT_M must be from 0 to 30, got <n>": (
            "INPUT.TRANSFORMS \"('randaugment',)\" INPUT.RANDAUGMENT_M 31",
        ),
        "INPUT.RRCROP_SCALE is <value>: give two shares of the image, as in (0.08, 1.0)": (
            "INPUT.RRCROP_SCALE (1,0.5)",
        ),
        "DATALOADER.CACHE_MB: no room for <n> MiB of decoded images (<reason>); choose less, or 0": (
            "DATALOADER.CACHE_MB 99999999999",
        ),
        "DATALOADER: BATCH_SIZE <n> is no multiple of the <n> domains in it": (
            "DATALOADER.TRAIN_X.SAMPLER RandomDomainSampler DATALOADER.TRAIN_X.N_DOMAIN 3",
        ),
        "DATALOADER: BATCH_SIZE <n> is below N_INS <n>, the images per class": (
            "DATALOADER.TRAIN_X.SAMPLER RandomClassSampler DATALOADER.TRAIN_X.N_INS 64",
        ),
        "DATALOADER: a batch takes <n> classes, there are <n>: lower BATCH_SIZE or raise N_INS": (
            "DATALOADER.TRAIN_X.SAMPLER RandomClassSampler DATALOADER.TRAIN_X.N_INS 1",
        ),
        "INPUT.SIZE must be height and width in pixels, got <value>": ("INPUT.SIZE (32,)",),
        "INPUT.<key> is <value>: give three values, for red, green and blue": ("INPUT.PIXEL_MEAN [0.5]",),
        "INPUT.SIZE <size> does not fit the backbone: set INPUT.SIZE (<n>, <n>)": ("INPUT.SIZE (224,224)",),
        "OPTIM.MAX_EPOCH must be at least 1, got <n>": ("OPTIM.MAX_EPOCH 0",),
        "OPTIM.CLIP_GRAD_NORM is <value>: give the largest norm, or 0 for no clipping": ("OPTIM.CLIP_GRAD_NORM -1",),
        "OPTIM.MAX_EPOCH is <n>: <trainer> has no epochs, set it to 1": ("OPTIM.MAX_EPOCH 2", "LinearProbe"),
        "OPTIM.STEPSIZE of single_step must be a number of epochs, got <value>": (
            "OPTIM.LR_SCHEDULER single_step OPTIM.STEPSIZE (1.5,)",
        ),
        "OPTIM.STEPSIZE of <scheduler> must be a list of epochs, got <value>": (
            "OPTIM.LR_SCHEDULER multi_step OPTIM.STEPSIZE (1.5,)",
        ),
        "OPTIM: <reason>: correct it": ("OPTIM.LR -1.0",),
        'OPTIM.NEW_LAYERS: <model> has no layer "<name>", it has <names>': (
            "OPTIM.STAGED_LR True OPTIM.NEW_LAYERS \"('head',)\"",
        ),
        "TRAIN.CHECKPOINT_STEPS is <n>: give a number of batches, or 0 for none": (
            "TRAIN.CHECKPOINT_STEPS -1",
            "CoOp",
            "digits",
            "",
        ),
        "TRAIN.CHUNK_CLASSES is <n>: give a number of classes, or 0 for all at once": ("TRAIN.CHUNK_CLASSES -1",),
        'unknown MODEL.BACKBONE.NAME "<name>"<did you mean>: choose one of <names>, an open_clip:<model>/<tag>, an '
        "hf:<owner>/<model>, or set MODEL.BACKBONE.PATH to a checkpoint": ("MODEL.BACKBONE.NAME ViT-B/61",),
        'MODEL.BACKBONE.NAME "<name>": open_clip has no model "<model>"<did you mean>; open_clip.list_models() names '
        "them all": ("MODEL.BACKBONE.NAME open_clip:ViT-B-161/openai",),
        'MODEL.BACKBONE.NAME "<name>": open_clip has no tag "<tag>" of <model><did you mean>; <tags>': (
            "MODEL.BACKBONE.NAME open_clip:ViT-B-16/opnai",
        ),
        'MODEL.BACKBONE.NAME "<name>" names no checkpoint: <advice>set MODEL.BACKBONE.PATH to a file': (
            "MODEL.BACKBONE.NAME open_clip:ViT-B-16",
        ),
        "<name> is not a CLIP with OpenAI's architecture: <difference>; choose another": (
            "MODEL.BACKBONE.NAME open_clip:coca_ViT-B-32/laion2b_s13b_b90k",
        ),
        '<key> is "<value>"<did you mean>: choose one of <names>': ("TRAINER.COOP.PREC fp31",),
        "a context of <n> tokens leaves no room in CLIP's <n>: lower N_CTX": (
            "TRAINER.COOP.N_CTX 77 TRAINER.COOP.CTX_INIT ''",
        ),
        'class name "<name>" has <n> tokens but beside <n> context tokens only <n> fit into CLIP\'s <n>: shorten the name '
        "in the dataset, or lower N_CTX": ("DATASET.NAME DigitsWithALongName TRAINER.COOP.CTX_INIT ''",),
        'TRAINER.COOP.CSC True needs a random context, but CTX_INIT is "<words>": set TRAINER.COOP.CTX_INIT ""': (
            "TRAINER.COOP.CSC True",
        ),
        "TRAINER.CLIP_LORA.DROPOUT is <value>: it must be at least 0 and below 1": (
            "TRAINER.CLIP_LORA.DROPOUT 1.0",
            "CLIP_LoRA",
        ),
        'TRAINER.CLIP_LORA.PARAMS is "<value>": name one or more of q, k and v, as in "q k v"': (
            "TRAINER.CLIP_LORA.PARAMS 'q x'",
            "CLIP_LoRA",
        ),
        "<key> is <n> and ADAPTER_END <n>: name layers from 1 to <n>, which both encoders have": (
            "TRAINER.MMADAPTER.ADAPTER_START 9",
            "MMA",
        ),
        "<key> is <layers>: give ascending numbers of layers, from 1": ("TRAINER.MMRL.REP_LAYERS [3,2]", "MMRL"),
        "<key> is <layers>: name one or more of the <n> layers that both encoders have": (
            "TRAINER.MMRL.REP_LAYERS [9]",
            "MMRL",
        ),
        "<key>_STD is <value>: it must be above 0": ("TRAINER.PROMPTSRC.GPA_STD 0.0", "PromptSRC"),
        "<key>_MEAN is <value>: no epoch of 1 to <n> (OPTIM.MAX_EPOCH) is near it": (
            "TRAINER.PROMPTSRC.GPA_MEAN 9999.0",
            "PromptSRC",
        ),
        'TRAINER.PROGRAD.N_CTX is <n>, but the template begins with the <n> words "<words>": raise N_CTX, or set '
        "TRAINER.PROGRAD.CTX_INIT False": ("TRAINER.PROGRAD.N_CTX 1 TRAINER.PROGRAD.CTX_INIT True", "ProGrad"),
        "TRAINER.TCP: <n> context tokens leave too little room for the class names: lower N_CTX, or the number of words in "
        "CTX_INIT": ("TRAINER.TCP.N_CTX 75 TRAINER.TCP.CTX_INIT ''", "TCP"),
        "TRAINER.TIP_ADAPTER.SEARCH_SCALE is <value>: give [] or largest beta and alpha, above <n>": (
            "TRAINER.TIP_ADAPTER.SEARCH_SCALE [1.0]",
            "TipAdapter",
        ),
        "TRAINER.TIP_ADAPTER.SEARCH_STEP is <value>: give the numbers of betas and of alphas, both at least 1": (
            "TRAINER.TIP_ADAPTER.SEARCH_STEP [0,1]",
            "TipAdapter",
        ),
        'unknown config key "<key>" (did you mean "<key>"?)': ("TRAIN.PRINT_FREK 2", "ReadsItsOwnKey"),
        "<trainer> reads the config key <key>, which nothing sets: give it as a KEY VALUE pair or in the --config-file": (
            "TRAINER.THEIRS.BETA 1",
            "ReadsItsOwnKey",
        ),
        "<trainer> reads <key> of the config key <key>, which is <value>, no group of keys: set <key>.<key> in its place": (
            "TRAINER.THEIRS 3",
            "ReadsItsOwnKey",
        ),
        "<trainer> has nothing to train: add --eval-only": ("", "ZeroshotCLIP", "digits", ""),
        "<data set> has test images only: train on another dataset, then test on this one with --eval-only --model-dir "
        "(scripts/<method>/xd_train.sh and xd_test.sh do so)": ("", "CoOp", "imagenet_a", ""),
        "<trainer> without training cannot be tested: name a training run with --model-dir": (
            "",
            "LinearProbe",
            "digits",
            "--eval-only",
        ),
        "TEST.CALIBRATE True fits the temperature on val images, which TEST.SPLIT val tests: set one of the two back": (
            "TEST.CALIBRATE True TEST.SPLIT val",
        ),
        "TEST.CALIBRATE True fits the temperature on val images, but <dataset> has none here: add some, or set it to "
        "False": ("DATASET.NAME DigitsWithoutVal TEST.CALIBRATE True",),
        "TEST.CALIBRATE True fits the temperature on val images, but those of <dataset> are its test images: set it to "
        "False": ("DATASET.NAME DigitsTestedOnVal TEST.CALIBRATE True",),
        "TEST.FINAL_MODEL best_val: <data set> has no val split to choose by; use last_step": (
            "DATASET.NAME DigitsWithoutVal TEST.FINAL_MODEL best_val",
            "CoOp",
            "digits",
            "",
        ),
    },
)


cases(Person.train, {'<key> is "<value>": choose one of <names>': ("TRAINER.COOP.CLASS_TOKEN_POSITION centre",)})
for chosen in ("TRAIN.NONFINITE_LOSS ignore", "TEST.FINAL_MODEL best", "TEST.SPLIT train"):
    cases(Person.train, {'unknown <kind> "<name>"<did you mean>; known: <names>': (chosen,)})


@DATASET_REGISTRY.register()
class DigitsWithALongName(Digits):
    """A third party's data set: a class name of many words."""

    def __init__(self, cfg):
        super().__init__(cfg)
        self._classnames = ["zero " * 80, *self._classnames[1:]]


@DATASET_REGISTRY.register()
class OneDigit(Digits):
    """A third party's data set of one class."""

    def load_split(self):
        return tuple([item for item in part if item.label == 0] for part in super().load_split())


@case("DATASET.SUBSAMPLE_CLASSES <value>: of <n> class(es) none is left, use all")
def new_of_one(person):
    person.train("DATASET.NAME OneDigit DATASET.SUBSAMPLE_CLASSES new")


# config files


@case("no config file <file><did you mean>")
def misspelt_file(person):
    person.train(flags=f"--config-file {ROOT}/configs/trainers/CoOp/tinny.yaml")


@case("no config file <file><did you mean>")
def pipe_in_place_of_a_file(person):
    os.mkfifo(person.folder / "mine.yaml")
    person.train(flags="--config-file mine.yaml")
    assert "did you mean" not in person.errors


@case("config file not found: <file>: correct the path")
def vanished_file(person):
    file = person.write("mine.yaml")
    check = train.check_config_file
    person.patch.setattr(train, "check_config_file", lambda path: (check(path), path == file and file.unlink()))
    person.train(flags=f"--config-file {file}")


@case("cannot read the config file <file> (<reason>): make it a file of UTF-8 text")
def file_in_latin_1(person):
    person.write("mine.yaml", "DATASET: {DIR: 'Vögel'}".encode("latin-1"))
    person.train(flags="--config-file mine.yaml")


def configured(person: Person, text: str) -> None:
    """A run with this config file."""
    person.write("mine.yaml", text)
    person.train(flags="--config-file mine.yaml")


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
for broken in ("OPTIM: {LR: 0.1\n", LAUGHS, "a: &a [*a]\n", "[" * 5000, f"a: {'x' * 300_000}"):
    cases(configured, {"<file and line>: not valid YAML (<reason>): mend it": (broken,)})
cases(
    configured,
    {
        "<key and source>: <value> in it is no <kind>, as in <default>": ("INPUT: {PIXEL_MEAN: [a, 0.5, 0.5]}",),
        'config key "<key>" in <source>: <value> is not UTF-8 or has a zero byte, mend it': (
            'DATASET: {DIR: "a\\0b"}',
        ),
        "<key and source>: <value> is too large a number, choose a smaller one": (f"OPTIM: {{LR: 1{'0' * 400}}}",),
    },
)


@case("<file>: expected KEY: value lines, got <kind>")
def yaml_of_a_list(person):
    person.write("mine.yaml", "- OPTIM\n")
    person.train(flags="--config-file mine.yaml")


@case('<kind> "<name>" is defined twice, in <module> and in <module>: rename or remove one')
def copied_trainer_file(person):
    for path in ROOT.iterdir():
        if path.name in ("clip", "comparison", "configs", "dassl", "datasets", "support") or path.suffix == ".py":
            (person.folder / path.name).symlink_to(path)
    (person.folder / "trainers").mkdir()
    for path in (ROOT / "trainers").glob("*.py"):
        (person.folder / "trainers" / path.name).symlink_to(path)
    (person.folder / "trainers" / "coop_copy.py").symlink_to(ROOT / "trainers" / "coop.py")
    # train.py itself would put the folder behind the links first
    starter = "import sys; import train; sys.exit(train.run())"
    person.shell(sys.executable, "-c", starter, "--trainer", "CoOp")


# backbones


def save_resnet(person) -> None:
    torch.save(seeded_state_dict("resnet"), person.folder / "resnet.pt")


@case("<method> prompts the image encoder, which a ResNet has no place for: choose a ViT backbone")
def visual_prompts_in_a_resnet(person):
    save_resnet(person)
    person.train("MODEL.BACKBONE.PATH resnet.pt INPUT.SIZE (64,64)", "VPT")


@case(
    'TRAINER.CLIP_LORA.ENCODER is "<name>", but a ResNet image encoder has no transformer layers: choose text, or a ViT '
    "backbone"
)
def low_rank_in_a_resnet(person):
    save_resnet(person)
    person.train("MODEL.BACKBONE.PATH resnet.pt INPUT.SIZE (64,64)", "CLIP_LoRA")


@case(
    "a prompt has <n> tokens, start and end included, but the backbone's context length is <n>: shorten the context, the "
    "template or the class names, or choose another MODEL.BACKBONE.NAME or PATH"
)
def short_context(person):
    state = copy.copy(seeded_state_dict("vit"))
    state["positional_embedding"] = state["positional_embedding"][:8]
    torch.save(state, person.folder / "short.pt")
    person.train("MODEL.BACKBONE.PATH short.pt TRAINER.COOP.N_CTX 16 TRAINER.COOP.CTX_INIT ''", flags="--eval-only")


@case('template "<template>" has no {} for the class name: add it')
def template_of_a_third_party(person):
    @DATASET_REGISTRY.register(force=True)
    class DigitsWithATemplate(Digits):
        template = "a digit"

    person.train("DATASET.NAME DigitsWithATemplate", "CLIP_LoRA")


# torchrun


@case(
    "DATALOADER.TRAIN_X.BATCH_SIZE is <n>, of all <n> processes together: choose a multiple of <n>, or another "
    "--nproc_per_node"
)
def uneven_batch(person):
    from dassl.utils import distributed

    person.patch.setattr(distributed, "world_size", lambda: 3)
    person.train("DATALOADER.TRAIN_X.BATCH_SIZE 4", flags="")


# benchmark.py and tune.py

cases(
    Person.sweep,
    {
        '--datasets: unknown "<name>"<did you mean>; known: <names>; several at once: <names>': (
            "",
            "base2new --datasets digitss",
        ),
        "--datasets: <names> can only be tested on, there are no training images: leave out, as eleven does, or test an ImageNet model there by benchmark.py domain_generalization": (
            "",
            "base2new --datasets fifteen",
        ),
        "--datasets: name the data sets to test a model of <source> on": ("", "cross_dataset --source shapes"),
        "--set needs pairs of KEY and VALUE, not <n> words": ("--set OPTIM.LR",),
        "--slurm takes KEY=VALUE, as account=mine, not <words>": ("--launcher slurm --slurm account",),
        'no run of --against "<name>"<did you mean>; there are <names>': ("--against KoOp",),
    },
)
cases(
    Person.benchmark,
    {
        '--trainers: no scripts/<method>/method.yaml names the trainer "<name>"<did you mean>; known: <names>': (
            "base2new --trainers Coopp --datasets digits",
        ),
        "--trainers: no config file <file>.yaml<did you mean>": ("base2new --trainers CoOp/tinny --datasets digits",),
    },
)


@case("--against <name> has several configs: name one of <names>")
def ambiguous_baseline(person):
    runs = FakeRuns(person.output)
    for config in ("tiny", "vit_b16"):
        runs.add_few_shot("digits", f"CoOp/{config}", 4, 1, 60.0)
    person.benchmark("report output --against CoOp")


@case('--columns: no table has a column "<name>"<did you mean>; there are <names>')
def column_that_no_table_has(person):
    FakeRuns(person.output).add_few_shot("digits", "CoOp/tiny", 4, 1, 60.0)
    person.benchmark("report output --columns acuracy")


@case("--caption is for --format latex or markdown, not <format>: choose one of them")
def caption_on_a_terminal(person):
    FakeRuns(person.output).add_few_shot("digits", "CoOp/tiny", 4, 1, 60.0)
    person.benchmark("report output --caption Ours")


@case('no run has --metric "<key>"<did you mean>; there are <keys>')
def metric_that_no_run_has(person):
    FakeRuns(person.output).add_few_shot("digits", "CoOp/tiny", 4, 1, 60.0)
    person.benchmark("report output --metric brier")


@case('--grid "<entry>": write KEY=V1,V2')
def grid_without_values(person):
    import tune

    person.type(tune.main, "CoOp", "--datasets", "digits", "--grid", "OPTIM.LR", "--root", str(person.embedded))


@case("--<flag> <value>: not UTF-8, as logs and results are: rename it")
def flag_in_latin_1(person):
    person.train(flags="--model-dir caf\udce9")
