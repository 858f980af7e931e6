"""Every method on the embedded CLIP and data, through the command line: train, test, load, and the user's mistakes."""

import csv
import dataclasses
import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import benchmark
import train
from clip.model import VisionTransformer
from clip.weights import TINY
from dassl.config.merge import read_yaml
from dassl.engine import TrainerX
from datasets import splits
from tests.small_data import draw_few, few_digits
from trainers import trainer as trainer_module
from trainers.method import Method
from trainers.trainer import MethodTrainer
from trainers.tuned_clip import TunedCLIP

METHODS = [
    *("CoOp", "CoCoOp", "MuDPT", "VPT", "IVLP", "MaPLe", "KgCoOp", "ProGrad", "PromptSRC", "TCP"),
    *("MMA", "MMRL", "CLIP_LoRA", "CLIP_Adapter", "CLAP", "TaskRes", "CrossModal"),
]
QUICK = ["DATASET.NUM_SHOTS", "2", "OPTIM.MAX_EPOCH", "2"]
ONE_SHOT = ["DATASET.NUM_SHOTS", "1", "OPTIM.MAX_EPOCH", "2"]
UNTESTED = ["TEST.NO_TEST", "True"]


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    return draw_few(few_digits(tmp_path_factory.mktemp("data")), "shapes", "shapes_sketch")


@pytest.fixture
def run(data, root, capsys):
    """Run train.py on digits with the embedded CLIP; returns exit code, standard output and error."""

    def run(trainer, output, *more, dataset="digits", config="tiny"):
        code = train.run(
            [
                *["--root", str(data), "--seed", "1", "--trainer", trainer, "--output-dir", str(output)],
                *["--dataset-config-file", str(root / f"configs/datasets/{dataset}.yaml")],
                *["--config-file", str(root / f"configs/trainers/{trainer}/{config}.yaml"), *map(str, more)],
            ]
        )
        return code, *capsys.readouterr()

    return run


def results(folder):
    return json.loads((folder / "results.json").read_text())


def learned(folder, epoch=2):
    return torch.load(folder / "prompt_learner" / f"model.pth.tar-{epoch}", weights_only=True)["state_dict"]


def assert_one_line(outcome, *parts):
    code, _, error = outcome
    assert code == 2
    assert error.startswith("error: ") and error.count("\n") == 1 and "Traceback" not in error
    for part in parts:
        assert part in error


@pytest.mark.parametrize("trainer", METHODS)
def test_a_run_on_base_classes_repeats_to_the_bit_learns_every_tensor_and_is_tested_on_new_classes(
    trainer, run, tmp_path
):
    base = [*ONE_SHOT, "DATASET.SUBSAMPLE_CLASSES", "base", "TRAIN.CHECKPOINT_FREQ", "1"]
    for name in ("one", "two"):
        code, out, error = run(trainer, tmp_path / name, *base)
        assert code == 0, error
        assert "Finish training" in out
    one, two = results(tmp_path / "one"), results(tmp_path / "two")
    assert one["metrics"] == two["metrics"] and one["split_hash"] == two["split_hash"]
    for accuracy in ("training_accuracy", "zero_shot_training_accuracy"):
        assert 0 <= one[accuracy] == two[accuracy] <= 100
    first, second = learned(tmp_path / "one"), learned(tmp_path / "two")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert sum(tensor.numel() for tensor in first.values()) == one["learned_parameters"]
    assert not any("token_" in name or "class_text" in name for name in first)
    before = learned(tmp_path / "one", epoch=1)
    assert [name for name in first if torch.equal(before[name], first[name])] == []

    new = ["--model-dir", tmp_path / "one", "--eval-only", "DATASET.SUBSAMPLE_CLASSES", "new"]
    code, out, error = run(trainer, tmp_path / "new", *new)
    assert code == 0, error
    assert "(epoch 2)" in out
    found = results(tmp_path / "new")
    assert found["tested_model"]["epoch"] == 2 and found["num_classes"] == 5
    assert found["metrics"]["total"] == found["num_images"]["test"]


def test_log_and_results_say_by_which_rule_trained_and_other_classes_are_tested(run, tmp_path):
    """Also where the classes are the same but the dataset is another one, as in domain generalization."""
    test = ("--model-dir", tmp_path / "trained", "--eval-only")
    first = "These classes were trained on: MMRL tests by the logits of class token and representation tokens"
    other = "Classes here were not trained on: MMRL tests by the class token alone"
    shapes = ["DATASET.NUM_SHOTS", "1", "OPTIM.MAX_EPOCH", "1"]
    for folder, dataset, more, rule in (
        ("trained", "shapes", [*shapes, "DATASET.SUBSAMPLE_CLASSES", "base"], first),
        ("base", "shapes", [*test, "DATASET.SUBSAMPLE_CLASSES", "base"], first),
        ("new", "shapes", [*test, "DATASET.SUBSAMPLE_CLASSES", "new"], other),
        ("all", "shapes", test, other),
        ("shifted", "shapes_sketch", [*test, "DATASET.SUBSAMPLE_CLASSES", "base"], other),
        ("asked", "shapes", [*test, "DATASET.SUBSAMPLE_CLASSES", "new", "TRAINER.MMRL.FUSE", "always"], ""),
    ):
        code, out, error = run("MMRL", tmp_path / folder, *more, dataset=dataset)
        assert code == 0, error
        assert results(tmp_path / folder)["test_rule"] == rule
        assert [line for line in out.splitlines() if "MMRL tests" in line] == ([rule] if rule else [])
    assert results(tmp_path / "base")["metrics"] == results(tmp_path / "trained")["metrics"]


def test_a_run_that_has_learned_nothing_is_told_and_a_good_one_is_not(run, tmp_path, monkeypatch):
    # Nothing learned: CLIP-LoRA starts from zero-shot CLIP.
    code, out, error = run("CLIP_LoRA", tmp_path / "nothing", *QUICK, *UNTESTED, "OPTIM.LR", "0.0")
    found = results(tmp_path / "nothing")
    assert code == 0 and found["training_accuracy"] == found["zero_shot_training_accuracy"] > 50, error
    known = f"{found['zero_shot_training_accuracy']:.1f}%"
    told = next(line for line in out.splitlines() if line.startswith("warning"))
    assert told.startswith(
        f"warning: the run may have learned nothing: training accuracy {known} over the last epoch, "
    )
    assert told in (tmp_path / "nothing/log.txt").read_text()

    code, out, error = run("MuDPT", tmp_path / "good", "DATASET.NUM_SHOTS", "8", "OPTIM.MAX_EPOCH", "3", *UNTESTED)
    good = results(tmp_path / "good")
    assert code == 0 and good["training_accuracy"] > good["zero_shot_training_accuracy"] > 50, error
    assert "warning" not in out

    def negated(outputs):
        return dataclasses.replace(outputs, logits=-outputs.logits)

    right, losses = TunedCLIP.outputs, Method.losses
    monkeypatch.setattr(TunedCLIP, "outputs", lambda self, images: negated(right(self, images)))
    monkeypatch.setattr(Method, "losses", lambda self, outputs, labels: losses(self, negated(outputs), labels))
    out = run("MuDPT", tmp_path / "collapsed", *QUICK, *UNTESTED)[1]
    found = results(tmp_path / "collapsed")
    assert found["training_accuracy"] < 50 < found["zero_shot_training_accuracy"]
    assert "\nwarning: the run looks collapsed: training accuracy " in out


@pytest.mark.parametrize("trainer", ["MuDPT", "ProGrad", "TipAdapterF", "CLIP_LoRA"])  # each with a step of its own
def test_no_method_takes_a_longer_step_than_the_clipped_norm_allows(trainer, run, tmp_path):
    plain = "OPTIM.NAME sgd OPTIM.MOMENTUM 0.0 OPTIM.WEIGHT_DECAY 0.0 OPTIM.WARMUP_EPOCH -1 TEST.NO_TEST True".split()
    plain += ["DATASET.NUM_SHOTS", "2", "OPTIM.MAX_EPOCH", "1", "DATALOADER.TRAIN_X.BATCH_SIZE", "20"]  # one step
    tensors = {}
    for name, pairs in {"stays": ["OPTIM.LR", "0.0"], "clipped": ["OPTIM.CLIP_GRAD_NORM", "1e-3"]}.items():
        code, _, error = run(
            trainer, tmp_path / name, *plain, *(["OPTIM.LR", "1.0"] if name == "clipped" else []), *pairs
        )
        assert code == 0, error
        tensors[name] = learned(tmp_path / name, 1)
    moved = [
        tensor - tensors["stays"][name] for name, tensor in tensors["clipped"].items() if tensor.is_floating_point()
    ]
    assert 0.5e-3 < math.hypot(*(change.norm().item() for change in moved)) <= 1.01e-3


def test_a_killed_run_that_averages_over_epochs_resumes_to_the_same_bits(run, tmp_path, monkeypatch):
    settings = ["DATASET.NUM_SHOTS", "1", "OPTIM.MAX_EPOCH", "3", "TRAINER.PROMPTSRC.GPA_MEAN", "2"]
    run("PromptSRC", tmp_path / "whole", *settings)
    run_epoch = TrainerX.run_epoch

    def killed(self):
        if self.epoch == 2:
            raise KeyboardInterrupt
        run_epoch(self)

    with monkeypatch.context() as patched:
        patched.setattr(TrainerX, "run_epoch", killed)
        assert run("PromptSRC", tmp_path / "killed", *settings)[0] == 130
    code, out, error = run("PromptSRC", tmp_path / "killed", *settings)
    assert code == 0 and "will resume" in out, error
    whole, resumed = learned(tmp_path / "whole", 3), learned(tmp_path / "killed", 3)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert results(tmp_path / "whole")["metrics"] == results(tmp_path / "killed")["metrics"]


def test_the_images_trained_on_are_kept_beside_the_results_wherever_the_data_are(run, data, root, tmp_path):
    few = ["DATASET.NUM_SHOTS", "2", "OPTIM.MAX_EPOCH", "1", "DATASET.SUBSAMPLE_CLASSES", "base"]
    run("MuDPT", tmp_path / "here", *few)
    found, kept = results(tmp_path / "here"), json.loads((tmp_path / "here/few_shot.json").read_text())
    assert {part: len(items) for part, items in kept.items()} == {"train": 10, "val": 10, "test": 0}
    assert all((data / "digits/images" / path).is_file() for path, _, _ in kept["train"] + kept["val"])
    split = splits.read_split(str(tmp_path / "here/few_shot.json"), str(data / "digits/images"))
    assert found["few_shot"] == {"file": "few_shot.json", "hash": splits.split_hash(split, str(data / "digits/images"))}

    moved = tmp_path / "moved"
    shutil.copytree(data / "digits", moved / "digits")
    before = sorted(moved.rglob("*"))
    run("MuDPT", tmp_path / "there", "DATASET.ROOT", moved, *few)
    assert sorted(moved.rglob("*")) == before, "something was left in the data folder"
    assert results(tmp_path / "there")["few_shot"] == found["few_shot"]
    run("MuDPT", tmp_path / "test", "--eval-only", "--model-dir", tmp_path / "here", *few)
    assert results(tmp_path / "test")["few_shot"] is None and not (tmp_path / "test/few_shot.json").exists()


def test_training_on_a_test_set_is_refused(run, tmp_path):
    outcome = run("MuDPT", tmp_path / "run", dataset="imagenetv2")
    assert_one_line(outcome, "ImageNetV2 has test images only", "xd_test.sh")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("trainer", ["ZeroshotCLIP", "ZeroshotCLIP2"])
def test_the_embedded_clip_knows_handwritten_digits_it_never_saw(trainer, run, root, tmp_path):
    config = root / "configs/trainers/ZeroshotCLIP/tiny.yaml"
    code, _, error = run("ZeroshotCLIP", tmp_path, "--eval-only", "--trainer", trainer, "--config-file", config)
    assert code == 0, error
    assert 25 <= results(tmp_path)["metrics"]["accuracy"] <= 90
    assert results(tmp_path)["learned_parameters"] == 0


def test_the_embedded_clip_takes_one_thread_unless_told_otherwise(run, tmp_path, monkeypatch):
    before = torch.get_num_threads()
    try:
        for told, expected in (("2", 2), ("", 1)):
            monkeypatch.setenv("OMP_NUM_THREADS", told)
            torch.set_num_threads(2)
            code, out, _ = run("CoOp", tmp_path / "out", "--no-train")
            assert code == 0 and f"\ntorch threads: {expected}\n" in out and torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)


def test_a_run_that_only_tests_imports_neither_torchvision_nor_the_compiler(run, tmp_path, monkeypatch):
    for name in ("torchvision", "torch._inductor", "torch._inductor.config"):
        monkeypatch.setitem(sys.modules, name, None)  # whose import fails now
    code, _, errors = run("ZeroshotCLIP", tmp_path / "out", "--eval-only")
    assert code == 0, errors


def test_zero_shot_has_nothing_to_train(run, tmp_path):
    assert_one_line(run("ZeroshotCLIP", tmp_path / "out"), "nothing to train", "--eval-only")


def test_half_precision_becomes_float32_on_a_cpu_with_one_line_and_bfloat16_runs(run, tmp_path):
    pairs = ["TRAINER.MUDPT.PREC"]
    _, out, _ = run("MuDPT", tmp_path / "amp", *ONE_SHOT, *UNTESTED, *pairs, "amp")
    if not torch.cuda.is_available():
        assert out.count("TRAINER.MUDPT.PREC amp needs a GPU: computing in fp32") == 1
    code, _, error = run("MuDPT", tmp_path / "bf16", *ONE_SHOT, *pairs, "bf16")
    assert code == 0, error
    assert {tensor.dtype for tensor in learned(tmp_path / "bf16").values()} == {torch.float32}
    assert_one_line(run("MuDPT", tmp_path / "fp8", *QUICK, *pairs, "fp8"), "TRAINER.MUDPT.PREC", "fp8")


def test_a_local_backbone_gives_the_same_results_as_the_embedded_one(run, tmp_path):
    shutil.copy(TINY, tmp_path / "mine.pt")
    run("MuDPT", tmp_path / "tiny", *ONE_SHOT)
    run("MuDPT", tmp_path / "mine", *ONE_SHOT, "MODEL.BACKBONE.PATH", tmp_path / "mine.pt")
    assert results(tmp_path / "tiny")["metrics"] == results(tmp_path / "mine")["metrics"]


def test_a_checkpoint_of_another_method_is_refused(run, tmp_path):
    run("CoOp", tmp_path / "coop", *ONE_SHOT, *UNTESTED)
    outcome = run("MuDPT", tmp_path / "out", "--eval-only", "--model-dir", tmp_path / "coop")
    assert_one_line(outcome, "model.pth.tar-2", "deep_ctx", "another method")
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_of_another_prompt_length_is_refused(run, tmp_path):
    run("MuDPT", tmp_path / "four", *ONE_SHOT, *UNTESTED)
    outcome = run(
        "MuDPT", tmp_path / "out", "--eval-only", "--model-dir", tmp_path / "four", "TRAINER.MUDPT.N_CTX", "2"
    )
    assert_one_line(outcome, "(4, 96)", "(2, 96)")


def test_a_truncated_checkpoint_is_named(run, tmp_path):
    run("CoOp", tmp_path / "coop", *ONE_SHOT, *UNTESTED)
    file = tmp_path / "coop" / "prompt_learner" / "model.pth.tar-2"
    file.write_bytes(file.read_bytes()[:500])
    assert_one_line(run("CoOp", tmp_path / "out", "--eval-only", "--model-dir", tmp_path / "coop"), str(file))


def test_a_missing_checkpoint_says_what_to_correct(run, tmp_path):
    assert_one_line(run("CoOp", tmp_path / "out", "--eval-only", "--model-dir", tmp_path), "prompt_learner")


@pytest.mark.parametrize(
    ("pairs", "parts"),
    [
        (["TRAINER.MUDPT.DEEP_PROMPT_DEPTH", "0"], ["TRAINER.MUDPT.DEEP_PROMPT_DEPTH is 0", "at least 1"]),
        (["TRAINER.MUDPT.N_CTXX", "4"], ["TRAINER.MUDPT.N_CTXX", "N_CTX"]),
        (["MODEL.BACKBONE.NAME", "ViT-B16"], ["ViT-B/16"]),
        (["MODEL.BACKBONE.NAME", "open_clip:VIT-B-16/laion2b"], ['did you mean "ViT-B-16"']),
        (["MODEL.BACKBONE.PATH", "nowhere.pt"], ["nowhere.pt", "MODEL.BACKBONE.PATH"]),
        (["INPUT.SIZE", "(224, 224)"], ["INPUT.SIZE", "(32, 32)"]),
        (["TRAINER.MUDPT.N_CTX", "80"], ["context of 80 tokens", "N_CTX"]),
        (["OPTIM.LR", "-1"], ["OPTIM", "learning rate", "-1"]),
        (["DATALOADER.NUM_WORKERS", "-1"], ["DATALOADER.NUM_WORKERS"]),
        (["INPUT.PIXEL_MEAN", "[0.5]"], ["INPUT.PIXEL_MEAN", "three"]),
        (["SEED", "4294967296"], ["SEED is 4294967296"]),
        (["INPUT.NO_TRANSFORM", "True"], ["INPUT.NO_TRANSFORM True"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_mistakes_in_the_configuration_are_one_line_and_leave_nothing(pairs, parts, run, tmp_path):
    assert_one_line(run("MuDPT", tmp_path / "out", *QUICK, *pairs), *parts)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("trainer", "pairs", "part"),
    [
        ("CoOp", ["TRAINER.COOP.CTX_INIT", "", "TRAINER.COOP.N_CTX", "0"], "TRAINER.COOP.N_CTX is 0"),
        ("CoCoOp", ["TRAINER.COCOOP.CTX_INIT", "", "TRAINER.COCOOP.N_CTX", "-2"], "TRAINER.COCOOP.N_CTX is -2"),
        ("CoOp", ["TRAINER.COOP.CSC", "True"], "needs a random context"),
        ("CoOp", ["TRAINER.COOP.CLASS_TOKEN_POSITION", "start"], "CLASS_TOKEN_POSITION"),
    ],
)
def test_mistakes_in_the_baselines_settings_are_one_line_and_leave_nothing(trainer, pairs, part, run, tmp_path):
    assert_one_line(run(trainer, tmp_path / "out", *QUICK, *pairs), part)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def own_images(data):
    """A folder of someone's images: two classes, ten pictures each."""
    folder = data / "mine"
    shutil.rmtree(folder, ignore_errors=True)
    random = np.random.RandomState(0)
    for name, colour in (("red_things", (255, 0, 0)), ("blue_things", (0, 0, 255))):
        (folder / name).mkdir(parents=True)
        for index in range(10):
            pixels = np.clip(np.array(colour) + random.randint(-60, 60, (40, 50, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.jpg")
    return folder


def run_own(run, output, *more):
    return run("MuDPT", output, *QUICK, "DATASET.DIR", "mine", *more, dataset="image_folder")


def test_ones_own_images_need_no_code(run, own_images, tmp_path):
    code, out, error = run_own(run, tmp_path / "out")
    assert code == 0, error
    assert results(tmp_path / "out")["num_classes"] == 2


def test_a_class_name_longer_than_the_context_is_named(run, own_images, tmp_path):
    (own_images / "red_things").rename(own_images / ("x_" * 80 + "things"))
    assert_one_line(run_own(run, tmp_path / "out"), "x x x", "tokens")


def test_a_class_without_a_name_is_refused(run, own_images, tmp_path):
    (own_images / "red_things").rename(own_images / "_")
    assert_one_line(run_own(run, tmp_path / "out"), '"_"', "empty name")


def test_an_empty_class_is_named(run, own_images, tmp_path):
    (own_images / "green_things").mkdir()
    assert_one_line(run_own(run, tmp_path / "out"), "green_things")


def test_a_truncated_image_is_named(run, own_images, tmp_path):
    for image in own_images.glob("*/*.jpg"):
        image.write_bytes(image.read_bytes()[:300])
    assert_one_line(run_own(run, tmp_path / "out"), ".jpg")
    assert not (tmp_path / "out").exists()


def test_a_missing_data_set_tells_folder_and_layout(run, tmp_path):
    outcome = run("MuDPT", tmp_path / "out", dataset="imagenet")
    assert_one_line(outcome, os.sep + "imagenet", "expected under the data root")


def script(root, name, *arguments, **variables):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    command = ["bash", str(root / "scripts" / name), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_cross_domain_scripts_train_on_shapes_and_test_on_sketches(root, data, tmp_path):
    folders = {"DATA": str(data), "OUTPUT": str(tmp_path), "SOURCE": "shapes", "SHOTS": "1"}
    for name, arguments in (("xd_train", ["1", "OPTIM.MAX_EPOCH", "1"]), ("xd_test", ["shapes_sketch", "1"])):
        done = script(root, f"mudpt/{name}.sh", *arguments, **folders)
        assert done.returncode == 0, done.stdout + done.stderr
    found = list(Path(tmp_path).glob("evaluation/*/tiny_1shots/shapes_sketch/seed1/results.json"))
    assert len(found) == 1 and json.loads(found[0].read_text())["num_classes"] == 24


@pytest.mark.parametrize(("trainer", "images_are_kept"), [("CoOp", True), ("CoCoOp", True), ("VPT", False)])
def test_without_augmentation_an_untouched_image_encoder_encodes_each_training_image_once(
    trainer, images_are_kept, run, tmp_path, monkeypatch
):
    encoded = []
    encode = VisionTransformer.forward
    monkeypatch.setattr(
        VisionTransformer, "forward", lambda self, x, prompts=None: encoded.append(len(x)) or encode(self, x, prompts)
    )
    options = [*QUICK, "INPUT.TRANSFORMS", '["normalize"]', *UNTESTED]
    code, out, error = run(trainer, tmp_path / "kept", *options)
    assert code == 0, error
    images = results(tmp_path / "kept")["num_images"]["train"]
    assert sum(encoded) <= images if images_are_kept else sum(encoded) > images
    assert ("encoded once" in out) == images_are_kept

    monkeypatch.setattr(trainer_module, "MOST_CACHED_BYTES", 0)
    code, out, error = run(trainer, tmp_path / "not_kept", *options)
    assert code == 0 and "encoded once" not in out, error
    kept, not_kept = learned(tmp_path / "kept"), learned(tmp_path / "not_kept")
    assert kept.keys() == not_kept.keys()
    for name, tensor in kept.items():
        torch.testing.assert_close(tensor, not_kept[name], rtol=1e-3, atol=1e-5)


def test_a_sweep_of_a_method_whose_test_knows_the_split_says_so_in_its_report(data, tmp_path, capsys):
    code = benchmark.main(
        [
            *["base2new", "--output", str(tmp_path), "--data", str(data), "--trainers", "MMRL", "ZeroshotCLIP"],
            *["--datasets", "digits", "--shots", "1", "--seeds", "1", "--jobs", "1", "--set", "OPTIM.MAX_EPOCH", "1"],
        ]
    )
    assert code == 0, capsys.readouterr()
    assert {tuple(json.loads(file.read_text())["uses"]) for file in tmp_path.rglob("MMRL/**/results.json")} == {
        ("split",)
    }
    capsys.readouterr()
    assert benchmark.main(["report", str(tmp_path), "--format", "csv"]) == 0
    rows = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert {(row["method"], row["uses"]) for row in rows} == {("MMRL tiny", "split"), ("ZeroshotCLIP tiny", "")}


def test_a_sweep_of_a_method_that_counts_iterations_ends_in_a_report(data, tmp_path, capsys):
    output, pairs = tmp_path / "output", "TRAINER.CLIP_LORA.N_ITERS 3 DATALOADER.TRAIN_X.BATCH_SIZE 8".split()
    code = benchmark.main(
        [
            *["few_shot", "--output", str(output), "--data", str(data), "--trainers", "CLIP_LoRA"],
            *["--datasets", "digits", "shapes", "--shots", "2", "--seeds", "1", "--jobs", "1", "--set", *pairs],
        ]
    )
    assert code == 0, capsys.readouterr()
    folders = [output / dataset / "CLIP_LoRA/tiny_2shots/seed1" for dataset in ("digits", "shapes")]
    for folder, batches, epochs in zip(folders, (2, 6), (3, 1), strict=True):  # 6 steps
        found, log = results(folder), (folder / "log.txt").read_text()
        configured = read_yaml("configs/trainers/CLIP_LoRA/tiny.yaml")["OPTIM"]["MAX_EPOCH"]
        assert found["epochs"] == epochs and found["config"]["OPTIM"]["MAX_EPOCH"] == configured
        told = f"2 shots ask for {epochs} epochs of {batches} steps instead of OPTIM.MAX_EPOCH {configured}"
        assert told in log
        rates = [float(rate) for rate in re.findall(r"lr (\S+) eta", log)]
        assert rates[-2] == pytest.approx(0.005 * (1 + math.cos(math.pi * (epochs - 1) / epochs)) / 2, rel=1e-3)
    capsys.readouterr()
    assert benchmark.main(["report", str(output), "--format", "csv"]) == 0
    rows = csv.DictReader(io.StringIO(capsys.readouterr().out.partition("\n\n")[0]))
    seconds = {row["dataset"]: float(row["s/epoch"]) for row in rows}
    for folder in folders:
        assert seconds[folder.parts[-4]] == results(folder)["seconds"]["train"] / results(folder)["epochs"]


@pytest.mark.parametrize("trainer", ["ProGrad", "CLIP_LoRA"])  # two backward passes through one graph; dropout
def test_training_in_chunks_of_classes_learns_the_same(trainer, run, tmp_path):
    for chunk_classes in ("0", "2"):
        options = [*QUICK, *UNTESTED, "TRAIN.CHUNK_CLASSES", chunk_classes]
        code, _, error = run(trainer, tmp_path / chunk_classes, *options)
        assert code == 0, error
    at_once, in_chunks = learned(tmp_path / "0"), learned(tmp_path / "2")
    assert at_once.keys() == in_chunks.keys()
    for name, tensor in at_once.items():
        torch.testing.assert_close(in_chunks[name], tensor, rtol=1e-3, atol=1e-5)


def test_a_negative_number_of_classes_at_a_time_is_one_line(run, tmp_path):
    assert_one_line(run("MuDPT", tmp_path / "out", "TRAIN.CHUNK_CLASSES", "-1"), "TRAIN.CHUNK_CLASSES is -1")
    assert not (tmp_path / "out").exists()


def test_a_batch_without_a_finite_loss_is_left_out_where_that_is_wanted_and_stops_the_run_elsewhere(
    run, tmp_path, monkeypatch
):
    backward_of = MethodTrainer.backward_of

    def nan_once(self, terms):
        factor = torch.nan if (self.epoch, self.batch_idx) == (1, 2) else 1
        return backward_of(self, {name: factor * term for name, term in terms.items()})

    monkeypatch.setattr(MethodTrainer, "backward_of", nan_once)
    options = [*QUICK, "DATALOADER.TRAIN_X.BATCH_SIZE", "4"]
    stopped = run("MuDPT", tmp_path / "stopped", *options)
    assert_one_line(stopped, "the loss is NaN or infinite in epoch 2, batch 3 (images ", "model.pth.tar-1+0; lower")
    assert not (tmp_path / "stopped/results.json").exists()
    code, out, error = run("MuDPT", tmp_path / "left_out", *options, "TRAIN.NONFINITE_LOSS", "skip")
    assert code == 0 and "left out, the 1. such batch: the loss is NaN or infinite in epoch 2, batch 3" in out, error
    assert results(tmp_path / "left_out")["skipped_batches"] == {"nonfinite_loss": 1, "float16_overflow": 0}
    assert all(tensor.isfinite().all() for tensor in learned(tmp_path / "left_out").values())


@pytest.mark.parametrize("trainer", ["CoOp", "ProGrad"])
def test_no_batch_is_lost_where_scaled_gradients_overflow(trainer, run, tmp_path, monkeypatch):
    assert run(trainer, tmp_path / "plain", *ONE_SHOT, *UNTESTED)[0] == 0
    scaler = torch.amp.GradScaler
    monkeypatch.setattr(torch.amp, "GradScaler", lambda device, enabled: scaler(device, init_scale=2.0**127))
    code, out, error = run(trainer, tmp_path / "scaled", *ONE_SHOT, *UNTESTED)
    assert code == 0, error
    assert "float16 gradients overflowed: the batch is repeated at a loss scale of 8.5" in out
    assert results(tmp_path / "scaled")["skipped_batches"] == {"nonfinite_loss": 0, "float16_overflow": 0}
    plain, scaled = learned(tmp_path / "plain"), learned(tmp_path / "scaled")
    for name, tensor in plain.items():  # a power of two is no rounding
        torch.testing.assert_close(scaled[name], tensor, rtol=1e-4, atol=1e-6)


def test_a_step_that_is_to_be_a_cuda_graph_needs_a_gpu_and_a_known_word(run, tmp_path):
    for value, told in (("on", "TRAIN.CUDA_GRAPH is on, but a step"), ("yes", "TRAIN.CUDA_GRAPH is yes: choose one")):
        assert_one_line(run("CoOp", tmp_path / value, *ONE_SHOT, "TRAIN.CUDA_GRAPH", value), told)
        assert not (tmp_path / value / "results.json").exists()
    code, out, error = run("CoOp", tmp_path / "auto", *ONE_SHOT, *UNTESTED)
    assert code == 0 and "CUDA graph" not in out, error


@pytest.mark.parametrize("trainer", ["MuDPT", "CLIP_LoRA", "TCP", "TipAdapterF"])
def test_with_deterministic_algorithms_methods_find_all_they_need(trainer, run, tmp_path, monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    options = ["DATASET.NUM_SHOTS", "1", "OPTIM.MAX_EPOCH", "1", "DETERMINISTIC"]
    code, _, error = run(trainer, tmp_path / "run", *options, "True")
    assert code == 0, error
    assert torch.are_deterministic_algorithms_enabled() and not torch.backends.cudnn.benchmark
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    run(trainer, tmp_path / "next", *options, "False", *UNTESTED)
    assert not torch.are_deterministic_algorithms_enabled()
