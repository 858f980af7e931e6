"""Two processes that torchrun starts are one run: the numbers of one process, the files and lines of one process."""

import csv
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
import torch

import train
from tests.small_data import few_digits

ROOT = Path(__file__).parents[1]
STEP = re.compile(r"epoch \[(\d+)/\d+\] batch \[(\d+)/\d+\] .*?loss ([\d.]+) .*acc ([\d.]+)")
EVERY_STEP = ["TRAIN.PRINT_FREQ", "1", "TRAIN.CHECKPOINT_FREQ", "1", "OPTIM.MAX_EPOCH", "3"]
WORKERS = ["DATALOADER.NUM_WORKERS", "2"]
MUDPT = [*EVERY_STEP, "DATASET.NUM_SHOTS", "2"]
MUDPT_BEST = [*MUDPT, "TEST.FINAL_MODEL", "best_val", "TEST.COMPUTE_CMAT", "True", "TEST.PER_CLASS_RESULT", "True"]
PROGRAD = [*EVERY_STEP, "DATASET.NUM_SHOTS", "2"]
PIXELS = [*EVERY_STEP, "DATASET.NUM_SHOTS", "2", *WORKERS, "DATALOADER.TRAIN_X.BATCH_SIZE", "6"]
CACHE = [*EVERY_STEP[:2], "OPTIM.MAX_EPOCH", "2", "DATASET.NUM_SHOTS", "2", "TRAINER.TIP_ADAPTER.AUGMENT_EPOCH", "2"]
VIEWS = [*EVERY_STEP[:2], "OPTIM.MAX_EPOCH", "2", "DATASET.NUM_SHOTS", "2", "TRAINER.CLAP.VIEWS", "2"]
VIEWS += ["DATALOADER.TRAIN_X.BATCH_SIZE", "8"]


def arguments(data, output, trainer, *more, config="", seed=1) -> list[str]:
    return [
        *["--root", str(data), "--seed", str(seed), "--trainer", trainer, "--output-dir", str(output)],
        *["--dataset-config-file", str(ROOT / "configs/datasets/digits.yaml")],
        *["--config-file", str(ROOT / f"configs/trainers/{config or trainer}/tiny.yaml"), *more],
        *["USE_CUDA", "False"],
    ]


def torchrun(*command) -> subprocess.CompletedProcess:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    return subprocess.run(
        [*launch, *map(str, command)], env=environment, capture_output=True, text=True, timeout=300, cwd=ROOT
    )


def one_process(*options, **more) -> None:
    with redirect_stdout(StringIO()):
        assert train.run(arguments(*options, **more)) == 0


def go_on_from_epoch_1(run: Path, copy: Path) -> None:
    """A copy of a run as if it had been killed in its second epoch."""
    shutil.copytree(run, copy)
    (copy / "results.json").unlink()
    (checkpoint,) = copy.glob("*/checkpoint")
    checkpoint.write_text("model.pth.tar-1\n")
    for epoch in (2, 3):
        (checkpoint.parent / f"model.pth.tar-{epoch}").unlink()


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """The folder of all runs: <name>-one by one process, <name>-two by two; what torchrun wrote is in *.json, *.txt."""
    folder = tmp_path_factory.mktemp("runs")
    spec = importlib.util.spec_from_file_location("distributed_runs", ROOT / "tests/distributed_runs.py")
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    data = few_digits(folder / "data")

    done = torchrun("train.py", *arguments(data, folder / "mudpt-two", "MuDPT", *MUDPT_BEST))
    assert done.returncode == 0, done.stderr
    (folder / "mudpt-two.txt").write_text(done.stdout)
    one_process(data, folder / "mudpt-one", "MuDPT", *MUDPT_BEST)
    one_process(data, folder / "workers-one", "MuDPT", *MUDPT, *WORKERS)
    one_process(data, folder / "prograd-one", "ProGrad", *PROGRAD)
    one_process(data, folder / "pixels-one", "CoOpStyle", *PIXELS, config="MuDPT")
    one_process(data, folder / "cache-one", "TipAdapterF", *CACHE)
    one_process(data, folder / "views-one", "CLAP", *VIEWS)
    go_on_from_epoch_1(folder / "workers-one", folder / "workers-two")

    def two(name, *options, **more):
        return arguments(data, folder / f"{name}-two", *options, **more)

    several = [
        two("workers", "MuDPT", *MUDPT, *WORKERS),
        two("prograd", "ProGrad", *PROGRAD),
        two("pixels", "CoOpStyle", *PIXELS, "TEST.EVALUATOR", "ImagesSeen", config="MuDPT"),
        two("cache", "TipAdapterF", *CACHE),
        two("stopped", "StoppedOnOne", *PIXELS, config="MuDPT"),
        two("stopped", "StoppedOnOne", *PIXELS, config="MuDPT"),
        two("nan", "NaNOnOne", *PIXELS, config="MuDPT"),
        two("bug", "BugOnOne", *PIXELS, config="MuDPT"),
        two("batch", "MuDPT", *MUDPT, "DATALOADER.TRAIN_X.BATCH_SIZE", "5"),
        two("unseeded", "CoOpStyle", *PIXELS, "DATASET.NAME", "OneTestImage", config="MuDPT", seed=-1),
        two("views", "CLAP", *VIEWS),
    ]
    (folder / "several.json").write_text(json.dumps(several))
    done = torchrun("tests/distributed_runs.py", folder / "several.json", folder / "codes")
    (folder / "several-errors.txt").write_text(done.stderr)
    assert done.returncode == 0, done.stderr
    return folder


def exit_codes(runs: Path) -> list[list[int]]:
    """Of each process, those of its runs in one torchrun."""
    return [json.loads((runs / f"codes.{rank}").read_text()) for rank in (0, 1)]


def results(run: Path) -> dict:
    return json.loads((run / "results.json").read_text())


def steps(run: Path) -> dict[tuple[int, int], list[float]]:
    """Loss and accuracy of every step in a log, by epoch and batch; every line is there once."""
    found = STEP.findall((run / "log.txt").read_text())
    by_step = {(int(epoch), int(batch)): [float(loss), float(accuracy)] for epoch, batch, loss, accuracy in found}
    assert found and len(by_step) == len(found)
    return by_step


def learned(run: Path, epoch: int = 3) -> dict[str, torch.Tensor]:
    (file,) = run.glob(f"*/model.pth.tar-{epoch}")
    return torch.load(file, weights_only=True)["state_dict"]


def assert_same_metrics(one: Path, two: Path) -> None:
    """Counts to the last bit; what follows from probabilities to the rounding of the learned tensors."""
    first, second = results(one)["metrics"], results(two)["metrics"]
    assert first["correct"] == second["correct"]
    assert second == pytest.approx(first, rel=1e-4)


def predictions(run: Path) -> list[dict]:
    with open(run / "predictions.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def assert_same_run(one: Path, two: Path, epoch: int = 3) -> None:
    first, second = steps(one), steps(two)
    assert second and second.keys() <= first.keys()
    for step, values in second.items():
        assert values == pytest.approx(first[step], abs=3e-4), step
    first, second = learned(one, epoch), learned(two, epoch)
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(second[name], first[name], atol=2e-6, rtol=1e-4)
    assert_same_metrics(one, two)
    assert (results(one)["processes"], results(two)["processes"]) == (1, 2)


def test_two_processes_train_and_test_as_one_does(runs):
    assert_same_run(runs / "mudpt-one", runs / "mudpt-two")
    assert len(steps(runs / "mudpt-two")) == 15
    assert results(runs / "mudpt-two")["metrics"]["total"] == results(runs / "mudpt-two")["num_images"]["test"]
    one, two = (torch.load(runs / f"mudpt-{name}/cmat.pt", weights_only=True) for name in ("one", "two"))
    assert torch.equal(one, two)
    best_one, best_two = (
        torch.load(runs / f"mudpt-{name}/prompt_learner/model-best.pth.tar", weights_only=True)
        for name in ("one", "two")
    )
    assert (best_one["epoch"], best_one["val_result"]) == (best_two["epoch"], best_two["val_result"])


@pytest.mark.parametrize("name", ["mudpt", "pixels"])  # the second with an evaluator that cannot gather
def test_every_image_is_predicted_once_in_the_order_of_the_split(name, runs):
    one, two = predictions(runs / f"{name}-one"), predictions(runs / f"{name}-two")
    assert len(one) == results(runs / f"{name}-one")["num_images"]["test"]
    for row, other in zip(one, two, strict=True):
        assert (row["path"], row["label"]) == (other["path"], other["label"])
        assert float(row["probability"]) == pytest.approx(float(other["probability"]), abs=1e-4)


def test_rank_0_alone_prints_and_writes(runs):
    def files(run):
        return sorted(str(path.relative_to(run)) for path in run.rglob("*"))

    assert files(runs / "mudpt-two") == files(runs / "mudpt-one")
    assert (runs / "mudpt-two.txt").read_text() == (runs / "mudpt-two/log.txt").read_text()
    per_class = re.findall(r"\* class: (\d+)", (runs / "mudpt-two/log.txt").read_text())
    assert per_class == [str(label) for label in range(10)] * 4  # three val splits and the test


def test_a_run_of_one_process_goes_on_with_two_that_load_with_workers(runs):
    assert "will resume training" in (runs / "workers-two/log.txt").read_text()
    assert {epoch for epoch, _ in steps(runs / "workers-two")} == {2, 3}
    assert_same_run(runs / "workers-one", runs / "workers-two")


def test_a_run_of_two_processes_goes_on_with_one(runs, tmp_path):
    go_on_from_epoch_1(runs / "mudpt-two", tmp_path / "run")
    one_process(runs / "data", tmp_path / "run", "MuDPT", *MUDPT_BEST)
    assert {epoch for epoch, _ in steps(tmp_path / "run")} == {2, 3}
    for name, tensor in learned(runs / "mudpt-two").items():
        torch.testing.assert_close(learned(tmp_path / "run")[name], tensor, atol=2e-6, rtol=1e-4)
    assert_same_metrics(tmp_path / "run", runs / "mudpt-two")


def test_a_signal_to_one_process_stops_both_after_a_step_and_they_go_on_as_if_never_stopped(runs):
    assert [codes[4:6] for codes in exit_codes(runs)] == [[143, 0], [143, 0]]
    for rank in (0, 1):
        whole, stopped = record(runs / "pixels-two", rank), record(runs / "stopped-two", rank)
        assert stopped["weights"] == whole["weights"]
        assert stopped["steps"] == whole["steps"][-len(stopped["steps"]) :]
        assert 0 < len(stopped["steps"]) < len(whole["steps"]) - 2


def test_gradients_taken_without_backward_are_averaged_too(runs):
    assert_same_run(runs / "prograd-one", runs / "prograd-two")


def test_a_cache_of_all_training_images_is_that_of_one_process(runs):
    assert_same_run(runs / "cache-one", runs / "cache-two", epoch=2)


def test_features_of_views_are_shared_as_images_are(runs):
    assert_same_run(runs / "views-one", runs / "views-two", epoch=2)


def record(run: Path, rank: int) -> dict:
    return json.loads((run / f"rank{rank}.json").read_text())


def test_a_third_partys_trainer_and_evaluator_need_no_change(runs):
    first, second = steps(runs / "pixels-one"), steps(runs / "pixels-two")
    assert first.keys() == second.keys()
    for step in first:
        assert second[step] == pytest.approx(first[step], abs=3e-4)
    one, two = results(runs / "pixels-one")["metrics"], results(runs / "pixels-two")["metrics"]
    assert (two["accuracy"], two["total"]) == (one["accuracy"], one["total"])  # its evaluator saw all images


def test_processes_share_every_batch_and_draw_numbers_of_their_own(runs):
    whole = record(runs / "pixels-one", 0)
    shares = [record(runs / "pixels-two", rank) for rank in (0, 1)]
    for step, *parts in zip(whole["steps"], *(share["steps"] for share in shares), strict=True):
        assert parts[0]["images"] + parts[1]["images"] == step["images"]
        assert parts[0]["drawn"] != parts[1]["drawn"]
    assert shares[0]["weights"] == shares[1]["weights"] == pytest.approx(whole["weights"], rel=1e-4)


def test_without_a_seed_processes_agree_and_may_have_nothing_to_test(runs):
    shares = [record(runs / "unseeded-two", rank) for rank in (0, 1)]
    assert shares[0]["weights"] == shares[1]["weights"]
    for first in range(0, 9, 3):  # the epochs of three batches
        batches = zip(*(share["steps"][first : first + 3] for share in shares), strict=True)
        images = [index for parts in batches for part in parts for index in part["images"]]
        assert len(set(images)) == len(images) == 18
    assert results(runs / "unseeded-two")["metrics"]["total"] == 1
    assert results(runs / "unseeded-two")["seed"] == -1


def test_errors_of_one_process_or_of_all_end_the_run_and_are_shown_once(runs):
    assert [codes[6:] for codes in exit_codes(runs)] == [[2, 2, 2, 0, 0], [2, 1, 2, 0, 0]]
    lines = (runs / "several-errors.txt").read_text().splitlines()
    errors = [line for line in lines if "error" in line.lower() or "traceback" in line.lower()]
    assert len(errors) == 3, errors
    assert "NaN or infinite in epoch 2, batch 1" in errors[0] and "a bug in one process" in errors[1]
    for part in ("error: DATALOADER.TRAIN_X.BATCH_SIZE is 5", "2 processes", "--nproc_per_node"):
        assert part in errors[2]
    assert not (runs / "bug-two").exists() and not (runs / "batch-two").exists()  # nothing was saved


def test_an_image_that_one_process_cannot_read_ends_the_run(runs, tmp_path):
    shutil.copytree(runs / "data", tmp_path / "data")
    split = json.loads((tmp_path / "data/digits/split_digits.json").read_text())
    image = tmp_path / "data/digits/images" / split["test"][1][0]  # of rank 1
    image.write_bytes(image.read_bytes()[:60])
    done = torchrun("train.py", "--eval-only", *arguments(tmp_path / "data", tmp_path / "run", "ZeroshotCLIP"))
    assert done.returncode != 0
    assert [str(image) in line for line in done.stderr.splitlines() if line.startswith("error: ")] == [True]
    assert set(re.findall(r"exitcode\s*: (-?\d+)", done.stderr)) <= {"2", "-15"}  # -15: torchrun was faster
    assert not (tmp_path / "run").exists()
