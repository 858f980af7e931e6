"""The command line of train.py, with a third party's trainer and dataset that know nothing of this project."""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import train
from dassl.data.datasets import DATASET_REGISTRY, DatasetBase, Datum
from dassl.engine import TRAINER_REGISTRY
from dassl.utils import UserError
from tests.pixel_trainer import PixelTrainer

COOP_FLAGS = """--root --output-dir --resume --seed --source-domains --target-domains --transforms --config-file
--dataset-config-file --trainer --backbone --head --eval-only --model-dir --load-epoch --no-train""".split()
GOLDEN_CONFIGS = json.loads((Path(__file__).parent / "golden" / "trainer_configs.json").read_text())


@DATASET_REGISTRY.register()
class ThirdPartyColours(DatasetBase):
    """Three classes of noisy images of one colour each, as upstream writes its datasets."""

    def __init__(self, cfg):
        folder = Path(cfg.DATASET.ROOT) / "colours"
        splits = {
            split: [
                Datum(impath=str(path), label=int(path.parent.name), classname=f"colour {path.parent.name}")
                for path in sorted((folder / split).glob("*/*.png"))
            ]
            for split in ("train", "val", "test")
        }
        super().__init__(train_x=splits["train"], val=splits["val"], test=splits["test"])


@TRAINER_REGISTRY.register()
class ThirdPartyLinear(PixelTrainer):
    """One linear layer on the pixels, one of whose tensors is not trained."""

    def build_model(self):
        self.model = torch.nn.Linear(3 * 8 * 8, self.num_classes)
        self.model.bias.requires_grad_(False)
        self.optim = torch.optim.SGD([self.model.weight], lr=self.cfg.OPTIM.LR)
        self.sched = torch.optim.lr_scheduler.ConstantLR(self.optim)
        self.register_model("classifier", self.model, self.optim, self.sched)


@TRAINER_REGISTRY.register()
class ThirdPartyOwnTest(ThirdPartyLinear):
    """Tests in its own way and returns only an accuracy."""

    def test(self, split=None):
        return 40.0


@TRAINER_REGISTRY.register()
class ThirdPartyOneEpoch(ThirdPartyLinear):
    """Changes its configuration, and says how well it knows its training images."""

    def build_model(self):
        super().build_model()
        self.cfg.defrost()
        self.cfg.OPTIM.MAX_EPOCH = self.max_epoch = 1
        self.cfg.freeze()

    def forward_backward(self, batch):
        return {**super().forward_backward(batch), "acc": 75.0}


@TRAINER_REGISTRY.register()
class ThirdPartyFailing(ThirdPartyLinear):
    """Fails with the error that the test sets, in the epoch that the test sets."""

    error, at_epoch = None, 0

    def before_epoch(self):
        if self.epoch == self.at_epoch:
            raise self.error


@TRAINER_REGISTRY.register()
class ThirdPartyOwnEnd(ThirdPartyLinear):
    """Ends its training without a test."""

    def after_train(self):
        print("Finish training")


@pytest.fixture
def run_folder(tmp_path, monkeypatch) -> Path:
    """A working folder with the images and a config file; the output goes to runs/."""
    random = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2), ("test", 5)):
        for label in range(3):
            folder = tmp_path / "data" / "colours" / split / str(label)
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 200, (8, 8, 3))
                pixels[..., label] += 55
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    (tmp_path / "colours.yaml").write_text("DATASET: {NAME: ThirdPartyColours}\nSEED: 5\nOPTIM: {LR: 0.5}\n")
    (tmp_path / "linear.yaml").write_text(
        "INPUT: {SIZE: [8, 8], TRANSFORMS: [normalize]}\n"
        "DATALOADER: {NUM_WORKERS: 0, TRAIN_X: {BATCH_SIZE: 4}}\n"
        "OPTIM: {NAME: sgd, LR: 0.01, MAX_EPOCH: 2}\n"
        "TRAINER: {THIRDPARTY: {ANYTHING: 1}}\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def arguments(*more: str, trainer: str = "ThirdPartyLinear", output: str = "runs/one/seed1") -> list[str]:
    return [
        *("--root", "data", "--trainer", trainer, "--output-dir", output),
        *("--dataset-config-file", "colours.yaml", "--config-file", "linear.yaml", *more),
    ]


def results(output: str = "runs/one/seed1") -> dict:
    return json.loads(Path(output, "results.json").read_text())


def assert_one_error_line(capsys, *parts: str) -> None:
    errors = capsys.readouterr().err
    assert errors.startswith("error: ") and errors.count("\n") == 1, errors
    for part in parts:
        assert part in errors


# configuration


def test_help_names_every_flag_of_coop_and_does_not_wait_for_pytorch(root):
    result = subprocess.run(
        [sys.executable, "-X", "importtime", str(root / "train.py"), "--help"], capture_output=True, text=True
    )
    assert result.returncode == 0
    for flag in COOP_FLAGS:
        assert f"{flag} " in result.stdout or f"{flag}\n" in result.stdout
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "argparse" in imported and "torch" not in imported


def test_dataset_file_then_method_file_then_flags_then_pairs(run_folder):
    cfg = train.setup_cfg(train.parse_args(arguments()))
    assert (cfg.DATASET.NAME, cfg.SEED, cfg.OPTIM.LR) == ("ThirdPartyColours", 5, 0.01)
    cfg = train.setup_cfg(train.parse_args(arguments("--seed", "0", "--backbone", "RN50", "OPTIM.LR", "0.1")))
    assert (cfg.SEED, cfg.MODEL.BACKBONE.NAME, cfg.OPTIM.LR) == (0, "RN50", 0.1)
    cfg = train.setup_cfg(train.parse_args(arguments("--seed", "2", "SEED", "3")))
    assert cfg.SEED == 3
    assert cfg.is_frozen()


@pytest.mark.parametrize(
    ("words", "pairs"),
    [
        ("OPTIM.LR 0.1 --seed 2 --no-train", ["OPTIM.LR", "0.1"]),
        ("OPTIM.LR 0.1 --seed=2 OPTIM.MAX_EPOCH 3 --no-train", ["OPTIM.LR", "0.1", "OPTIM.MAX_EPOCH", "3"]),
        ("--no-train --seed 2 --opts OPTIM.LR 0.1", ["OPTIM.LR", "0.1"]),
        ("--local-rank=1 --no-train --seed 2 OPTIM.LR -1", ["OPTIM.LR", "-1"]),  # of torch.distributed.launch
        ("--local_rank=1 --no-train --seed 2 OPTIM.LR -1", ["OPTIM.LR", "-1"]),
    ],
)
def test_flags_may_stand_behind_pairs_and_opts_before_them(words, pairs):
    args = train.parse_args(words.split())
    assert (args.opts, args.seed, args.no_train) == (pairs, 2, True)


def test_a_pair_without_value_before_a_flag(run_folder, capsys):
    assert train.run(arguments("OPTIM.LR", "--seed", "2")) == 2
    assert_one_error_line(capsys, '"OPTIM.LR" has no partner')


def test_a_misspelt_flag_behind_pairs(run_folder, capsys):
    with pytest.raises(SystemExit):
        train.parse_args(arguments("OPTIM.LR", "1", "--sed", "2"))
    assert_one_error_line(capsys, "unrecognized arguments: --sed")


def test_the_home_folder_is_put_into_every_path(run_folder, monkeypatch):
    monkeypatch.setenv("HOME", str(run_folder))
    (run_folder / "more.yaml").write_text('MODEL: {INIT_WEIGHTS: "~/w.pt"}\nTRAINER: {THIRDPARTY: {FILE: "~/f"}}\n')
    args = train.parse_args(
        [
            *("--root=~/data", "--output-dir=~/runs", "--resume=~/old", "--model-dir=~/model"),
            *("--dataset-config-file=~/colours.yaml", "--config-file=~/more.yaml", "--trainer=ThirdPartyLinear"),
            *(
                "DATASET.DIR",
                "~/d",
                "DATASET.LIST",
                "~/l.csv",
                "MODEL.BACKBONE.PATH",
                "~/b.pt",
                "DATASET.TEMPLATE",
                "~ {}",
            ),
        ]
    )
    assert args.model_dir == f"{run_folder}/model"
    cfg = train.setup_cfg(args)
    paths = (cfg.DATASET.ROOT, cfg.OUTPUT_DIR, cfg.RESUME, cfg.DATASET.DIR, cfg.DATASET.LIST, cfg.MODEL.BACKBONE.PATH)
    assert paths == tuple(f"{run_folder}/{name}" for name in ("data", "runs", "old", "d", "l.csv", "b.pt"))
    assert (cfg.MODEL.INIT_WEIGHTS, cfg.TRAINER.THIRDPARTY.FILE) == (f"{run_folder}/w.pt", f"{run_folder}/f")
    assert cfg.DATASET.TEMPLATE == "~ {}"


@pytest.mark.parametrize(
    ("name", "path", "shown"),
    [
        ("ViT-B/16", "", "ViT-B/16"),
        ("ViT-B/16", "some/own.pt", "own.pt"),
        (" Open_CLIP:ViT-B-16/OPENAI", "", "open_clip:ViT-B-16/openai"),
        ("open_clip:ViT-B-16/", "some/own.pt", "open_clip:ViT-B-16 own.pt"),
        (" HF:openai/clip-vit-base-patch16 ", "", "hf:openai/clip-vit-base-patch16"),
        ("tiny", "some/my-clip/", "my-clip"),
        ("tiny", "some/my-clip/model.safetensors", "my-clip/model.safetensors"),
        ("tiny", "hub/models--me--my-clip/snapshots/0123", "hf:me/my-clip"),
    ],
)
def test_a_backbone_has_one_name_in_the_results_however_it_is_written(name, path, shown):
    cfg = train.setup_cfg(train.parse_args(["MODEL.BACKBONE.NAME", name, "MODEL.BACKBONE.PATH", path]))
    assert train.backbone_of(cfg) == shown


def coops_namespace(*arguments: str) -> argparse.Namespace:
    """What the parser in CoOp's train.py makes of a command line."""
    parser = argparse.ArgumentParser()
    kinds = {"--eval-only": {"action": "store_true"}, "--no-train": {"action": "store_true"}}
    kinds |= {"--seed": {"type": int, "default": -1}, "--load-epoch": {"type": int}}
    kinds |= dict.fromkeys(["--source-domains", "--target-domains", "--transforms"], {"type": str, "nargs": "+"})
    for flag in COOP_FLAGS:
        parser.add_argument(flag, **kinds.get(flag, {"type": str, "default": ""}))
    parser.add_argument("opts", default=None, nargs=argparse.REMAINDER)
    return parser.parse_args(arguments)


def test_setup_cfg_and_main_take_the_namespace_of_coops_parser(run_folder):
    args = coops_namespace(*arguments("--seed", "0", "OPTIM.LR", "0.1"))
    cfg = train.setup_cfg(args)
    assert (cfg.SEED, cfg.OPTIM.LR, cfg.TRAINER.NAME, cfg.DETERMINISTIC) == (0, 0.1, "ThirdPartyLinear", False)
    train.main(args)
    assert results()["seed"] == 0 and results()["metrics"]["total"] == 15
    train.main(coops_namespace(*arguments("--eval-only", "--model-dir", "runs/one/seed1", output="runs/two/seed1")))
    assert results("runs/two/seed1")["metrics"] == results()["metrics"]
    bare = argparse.Namespace(**{**vars(coops_namespace(*arguments())), "seed": None, "opts": None})
    assert train.setup_cfg(bare).SEED == 5


def test_a_trainer_that_ends_its_training_without_a_test_is_tested(run_folder):
    assert train.run(arguments(trainer="ThirdPartyOwnEnd")) == 0
    assert results()["metrics"]["total"] == 15 and results()["seconds"]["test"] > 0
    assert train.run(arguments("TEST.NO_TEST", "True", trainer="ThirdPartyOwnEnd", output="runs/two/seed1")) == 0
    assert results("runs/two/seed1")["metrics"] == {}


def test_every_flag_sets_its_key(run_folder):
    flags = "--resume old --source-domains a b --target-domains c --transforms random_flip normalize --head mlp".split()
    cfg = train.setup_cfg(train.parse_args(arguments("--deterministic", *flags)))
    assert cfg.DETERMINISTIC and not train.setup_cfg(train.parse_args(arguments())).DETERMINISTIC
    assert (cfg.RESUME, cfg.DATASET.SOURCE_DOMAINS, cfg.DATASET.TARGET_DOMAINS) == ("old", ["a", "b"], ["c"])
    assert (cfg.INPUT.TRANSFORMS, cfg.MODEL.HEAD.NAME) == (["random_flip", "normalize"], "mlp")
    assert (cfg.DATASET.ROOT, cfg.OUTPUT_DIR, cfg.TRAINER.NAME) == ("data", "runs/one/seed1", "ThirdPartyLinear")


def config_file(root: Path, name: str):
    return train.setup_cfg(train.parse_args(["--config-file", str(root / name)]))


@pytest.mark.parametrize("name", GOLDEN_CONFIGS["files"])
def test_upstreams_config_files_have_upstreams_values(name, root):
    cfg = config_file(root, name)
    for key, expected in {**GOLDEN_CONFIGS["common"], **GOLDEN_CONFIGS["files"][name]}.items():
        value = cfg
        for part in key.split("."):
            value = value[part]
        assert (list(value) if isinstance(value, tuple) else value) == expected, key


def test_every_config_file_of_the_repository_is_valid(root):
    files = sorted((root / "configs").rglob("*.yaml"))
    assert len(files) > len(GOLDEN_CONFIGS["files"])
    for file in files:
        config_file(root, str(file.relative_to(root)))


def test_every_configuration_of_a_method_says_whose_settings_it_has(root):
    for file in sorted((root / "configs/trainers").rglob("*.yaml")):
        first = file.read_text().partition("\n")[0]
        assert first.startswith("# ") and re.search("paper|release|chosen|nothing is trained", first), file


def test_released_set_up_of_mudpt(root):
    for prompts in (2, 4):
        cfg = config_file(root, f"configs/trainers/MuDPT/vit_b16_bz4_ep10_nctx{prompts}_depth9.yaml")
        assert (cfg.OPTIM.LR, cfg.OPTIM.MAX_EPOCH, cfg.DATALOADER.TRAIN_X.BATCH_SIZE) == (0.0025, 10, 4)
        assert (cfg.OPTIM.WARMUP_EPOCH, cfg.OPTIM.WARMUP_TYPE, cfg.OPTIM.WARMUP_CONS_LR) == (1, "constant", 1e-5)
        assert cfg.INPUT.TRANSFORMS == ("random_resized_crop", "random_flip", "normalize")
        assert (cfg.TRAINER.MUDPT.N_CTX, cfg.TRAINER.MUDPT.DEEP_PROMPT_DEPTH) == (prompts, 9)
        assert cfg.MODEL.BACKBONE.NAME == "ViT-B/16"


# results


def test_a_run_leaves_log_checkpoints_and_results(run_folder, capsys):
    assert train.run(arguments("--seed", "1", "DATASET.NUM_SHOTS", "4")) == 0
    run = results()
    assert (run["trainer"], run["dataset"], run["seed"], run["shots"]) == (
        "ThirdPartyLinear", "ThirdPartyColours", 1, 4,
    )  # fmt: skip
    assert run["version"] == train.__version__
    assert (run["num_classes"], run["num_images"]) == (3, {"train": 12, "val": 6, "test": 15})
    assert run["learned_parameters"] == 3 * 192  # the frozen bias is not learned
    metrics = run["metrics"]
    assert metrics["total"] == 15
    share = metrics["correct"] / 15
    assert metrics["accuracy"] == pytest.approx(100 * share)
    assert run["sampling_error"] == pytest.approx(100 * (share * (1 - share) / 15) ** 0.5)
    assert 0 < run["seconds"]["train"] and 0 < run["seconds"]["test"]
    assert run["seconds"]["train"] + run["seconds"]["test"] < run["seconds"]["total"]
    assert run["peak_memory_mb"] > 50
    assert run["environment"]["torch"] == torch.__version__
    assert run["config"]["OPTIM"]["MAX_EPOCH"] == 2
    assert run["config"]["TRAINER"]["THIRDPARTY"] == {"ANYTHING": 1}
    assert run["tested_model"] is None
    assert run["epochs"] == 2
    assert run["training_accuracy"] is run["zero_shot_training_accuracy"] is None  # it reports a loss alone
    log = Path("runs/one/seed1/log.txt").read_text()
    assert "** Arguments **" in log and "** Config **" in log and "** System info **" in log
    assert log.index("Finish training") < log.index(f"* accuracy: {metrics['accuracy']:.1f}%")
    assert capsys.readouterr().out.endswith(log[-100:])
    assert Path("runs/one/seed1/classifier/model.pth.tar-2").is_file()


def test_results_tell_the_configuration_as_given_and_the_epochs_trained(run_folder):
    assert train.run(arguments("--seed", "1", trainer="ThirdPartyOneEpoch")) == 0
    run = results()
    assert run["config"]["OPTIM"]["MAX_EPOCH"] == 2 and run["epochs"] == 1
    assert (run["training_accuracy"], run["zero_shot_training_accuracy"]) == (75.0, None)
    assert train.run(arguments("--eval-only", "--model-dir", "runs/one/seed1", output="tested")) == 0
    assert "epochs" not in results("tested") and "training_accuracy" not in results("tested")


def test_the_same_seed_gives_the_same_result(run_folder):
    states, metrics = [], []
    for seed, output in ((1, "first"), (1, "second"), (2, "third")):
        assert train.run(arguments("--seed", str(seed), output=output)) == 0
        metrics.append(results(output)["metrics"])
        states.append(torch.load(f"{output}/classifier/model.pth.tar-2", weights_only=True)["state_dict"]["weight"])
    assert metrics[0] == metrics[1]
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@pytest.mark.parametrize(
    ("flags", "pairs", "epoch"),
    [
        ([], [], 2),
        (["--load-epoch", "1"], ["TRAIN.CHECKPOINT_FREQ", "1"], 1),
    ],
)
def test_eval_only_tests_the_last_epoch_unless_another_is_named(flags, pairs, epoch, run_folder):
    assert train.run(arguments("--seed", "1", *pairs)) == 0
    tested = arguments("--eval-only", "--model-dir", "runs/one/seed1", *flags, output="runs/tested")
    assert train.run(tested) == 0
    run = results("runs/tested")
    assert run["tested_model"] == {"model_dir": "runs/one/seed1", "epoch": epoch}
    assert run["seconds"]["train"] is None
    if epoch == 2:
        assert run["metrics"] == results()["metrics"]


def test_eval_only_prefers_the_best_epoch_where_one_was_kept(run_folder):
    assert train.run(arguments("--seed", "1", "TEST.FINAL_MODEL", "best_val", "OPTIM.MAX_EPOCH", "4")) == 0
    assert train.run(arguments("--eval-only", "--model-dir", "runs/one/seed1", output="runs/tested")) == 0
    best = torch.load("runs/one/seed1/classifier/model-best.pth.tar", weights_only=True)["epoch"]
    assert results("runs/tested")["tested_model"]["epoch"] == best
    assert results("runs/tested")["metrics"] == results()["metrics"]


def test_a_trainer_with_its_own_test_still_gets_results(run_folder):
    assert train.run(arguments(trainer="ThirdPartyOwnTest")) == 0
    assert results()["metrics"] == {"accuracy": 40.0}


def test_no_train_only_builds_the_trainer(run_folder):
    assert train.run(arguments("--no-train")) == 0
    assert [path.name for path in Path("runs/one/seed1").iterdir()] == ["log.txt"]


def test_a_run_without_a_test_has_results_without_metrics(run_folder):
    assert train.run(arguments("TEST.NO_TEST", "True")) == 0
    assert (results()["metrics"], results()["sampling_error"]) == ({}, None)


# mistakes


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        (["--trainer", "ThirdPartyLinaer"], ['"ThirdPartyLinaer"', 'did you mean "ThirdPartyLinear"?']),
        (["DATASET.NAME", "ThirdPartyColors"], ['"ThirdPartyColors"', 'did you mean "ThirdPartyColours"?']),
        (["OPTIM.MAX_EPOHC", "3"], ['"OPTIM.MAX_EPOHC"', 'did you mean "OPTIM.MAX_EPOCH"?']),
        (["OPTIM..LR", "3"], ['"OPTIM..LR"']),
        (["TRAINER.COOP.NCTX", "3"], ['"TRAINER.COOP.NCTX"', 'did you mean "TRAINER.COOP.N_CTX"?']),
        (["OPTIM.MAX_EPOCH"], ['"OPTIM.MAX_EPOCH"']),
        (["OPTIM.MAX_EPOCH", "many"], ['"OPTIM.MAX_EPOCH"', "'many'"]),
        (["--config-file", "linaer.yaml"], ["linaer.yaml", 'did you mean "linear"?']),
        (["--root", "nowhere"], ["ThirdPartyColours"]),
        (["--eval-only", "--model-dir", "nowhere"], ["no checkpoint folder nowhere"]),
        (["--resume", "nowhere"], ["nowhere"]),
        (["--head", "\udcff"], ["--head '\\udcff': not UTF-8"]),
        (["RESUME", "\udcff"], ['"RESUME"', "not UTF-8"]),
        (["DATALOADER.K_TRANSFORMS", "0"], ["DATALOADER.K_TRANSFORMS must be at least 1, got 0"]),
        (["INPUT.TRANSFORMS", "['random_resized_crop']", "INPUT.RRCROP_SCALE", "(1, 0)"], ["INPUT.RRCROP_SCALE"]),
        (["DATALOADER.TRAIN_X.BATCH_SIZE", "9" * 20], ['"DATALOADER.TRAIN_X.BATCH_SIZE"', "too large"]),
    ],
)
def test_a_mistake_is_one_line_exit_code_2_and_leaves_nothing(more, parts, run_folder, capsys):
    assert train.run(arguments(*more)) == 2
    assert_one_error_line(capsys, *parts)
    assert not Path("runs").exists()


@TRAINER_REGISTRY.register()
class ThirdPartyReading(ThirdPartyLinear):
    """Reads a key of its own."""

    def build_model(self):
        _ = self.cfg.TRAINER.THIRD.ALPHA


def test_a_value_where_the_trainer_reads_a_group_is_one_line(run_folder, capsys):
    assert train.run(arguments("TRAINER.THIRD", "3", trainer="ThirdPartyReading")) == 2
    assert_one_error_line(capsys, "ThirdPartyReading", "TRAINER.THIRD, which is 3", "TRAINER.THIRD.ALPHA")


def test_an_unknown_flag_is_one_line_and_exit_code_2(capsys):
    with pytest.raises(SystemExit) as stopped:
        train.run(["--sed", "1"])
    assert stopped.value.code == 2
    assert_one_error_line(capsys, "--sed", "train.py --help")


def test_a_truncated_image_is_named_and_leaves_nothing(run_folder, capsys):
    image = Path("data/colours/train/1/2.png")
    image.write_bytes(image.read_bytes()[:60])
    assert train.run(arguments("--seed", "1")) == 2
    assert_one_error_line(capsys, str(image))
    assert not Path("runs").exists()


def test_a_truncated_image_is_one_line_also_from_a_loader_process(run_folder, capsys):
    image = Path("data/colours/train/1/2.png")
    image.write_bytes(image.read_bytes()[:60])
    assert train.run(arguments("DATALOADER.NUM_WORKERS", "1")) == 2
    assert_one_error_line(capsys, str(image))


def test_an_output_folder_that_cannot_be_made_is_named(run_folder, capsys):
    Path("file").touch()
    assert train.run(arguments(output="file/seed1")) == 2
    assert_one_error_line(capsys, "file/seed1")


def test_a_failed_run_leaves_what_was_there_before(run_folder, capsys):
    Path("runs/one/seed1").mkdir(parents=True)
    Path("runs/one/seed1/notes").touch()
    assert train.run(arguments("--eval-only", "--model-dir", "nowhere")) == 2
    assert [path.name for path in Path("runs/one/seed1").iterdir()] == ["notes"]


@pytest.fixture
def fail(monkeypatch):
    def fail(error: BaseException, at_epoch: int) -> None:
        monkeypatch.setattr(ThirdPartyFailing, "error", error)
        monkeypatch.setattr(ThirdPartyFailing, "at_epoch", at_epoch)

    return fail


HOLDER = """
import sys
from dassl.utils.folder_lock import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_that_another_run_is_writing_in_is_refused_and_left_as_it_was(run_folder, root, capsys):
    assert train.run(arguments()) == 0
    capsys.readouterr()
    folder = Path("runs/one/seed1")
    command = [sys.executable, "-c", HOLDER, str(folder.absolute())]
    holder = subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}
    assert train.run(arguments()) == 2
    assert_one_error_line(capsys, f"{folder} is in use by process {holder.pid} on ")
    assert {path: path.read_bytes() for path in before} == before
    assert {path for path in folder.rglob("*") if path.is_file()} == {*before, folder / ".lock"}
    holder.communicate("")
    assert train.run(arguments()) == 0


def test_a_run_that_fails_after_a_checkpoint_keeps_it_and_has_no_results(run_folder, fail, capsys):
    fail(UserError("the disk is full"), at_epoch=1)
    assert train.run(arguments(trainer="ThirdPartyFailing")) == 2
    assert_one_error_line(capsys, "the disk is full")
    assert Path("runs/one/seed1/classifier/model.pth.tar-1+0").is_file()
    assert Path("runs/one/seed1/log.txt").is_file()
    assert not Path("runs/one/seed1/results.json").exists()
    fail(UserError("not again"), at_epoch=-1)
    assert train.run(arguments(trainer="ThirdPartyFailing")) == 0
    assert results()["metrics"]["total"] == 15


def test_ctrl_c_is_exit_code_130(run_folder, fail, capsys):
    fail(KeyboardInterrupt(), at_epoch=1)
    assert train.run(arguments(trainer="ThirdPartyFailing")) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of ..."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000000000000 bytes."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_too_little_memory_is_one_line_with_the_keys_that_need_less(error, run_folder, fail, capsys):
    fail(error, at_epoch=0)
    assert train.run(arguments(trainer="ThirdPartyFailing")) == 2
    assert_one_error_line(capsys, "DATALOADER.TRAIN_X.BATCH_SIZE", "DATALOADER.TEST.BATCH_SIZE", "TRAIN.CHUNK_CLASSES")
    assert not Path("runs").exists()


def test_a_fault_of_the_program_keeps_its_traceback(run_folder, fail):
    fail(RuntimeError("a bug"), at_epoch=0)
    with pytest.raises(RuntimeError, match="a bug"):
        train.run(arguments(trainer="ThirdPartyFailing"))


def test_debugging_shows_the_traceback_of_a_mistake(run_folder, fail, monkeypatch):
    monkeypatch.setenv("MUDPT_DEBUG", "1")
    fail(UserError("the disk is full"), at_epoch=0)
    with pytest.raises(UserError):
        train.run(arguments(trainer="ThirdPartyFailing"))


def test_a_missing_package_is_one_line(run_folder, fail, capsys):
    fail(ModuleNotFoundError("No module named 'wilds'", name="wilds"), at_epoch=0)
    assert train.run(arguments(trainer="ThirdPartyFailing")) == 2
    assert_one_error_line(capsys, '"wilds"', "scripts/setup_venv.sh")


def test_from_a_shell(root, tmp_path):
    result = subprocess.run(
        [sys.executable, str(root / "train.py"), "--trainer", "CoOpp", "--output-dir", "run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert 'did you mean "CoOp"?' in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_third_partys_trainer_is_tested_on_other_classes_with_a_warning(capsys):
    """It loads by shapes, and only its author knows which of its tensors have a row for each class."""
    model = torch.nn.ModuleDict({"head": torch.nn.Linear(4, 2), "frozen": torch.nn.Linear(2, 2).requires_grad_(False)})
    data = SimpleNamespace(dataset=SimpleNamespace(classnames=["cat", "dog"]))
    trainer = SimpleNamespace(_models={"model": model}, dm=data)
    for names, told in ((["dog", "cat"], True), (["cat", "dog"], False), (None, False)):
        train.warn_of_other_classes(trainer, {"run": {"class_names": names}})
        out = capsys.readouterr().out
        assert ("while head.weight, head.bias has 2 rows" in out) == told and bool(out) == told


def test_a_refused_run_leaves_the_folder_of_another_one_beside_it(tmp_path):
    output = tmp_path / "output"
    with pytest.raises(UserError, match="no weights"), train.logged_to(str(output / "one")):
        (output / "other").mkdir()  # which began meanwhile
        raise UserError("no weights")
    assert [path.name for path in output.iterdir()] == ["other"]
