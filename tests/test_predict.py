"""Tuned models used without their dataset: predict.py as typed, and TunedCLIP from Python."""

import csv
import io
import json
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import predict
import train
from support.user_error import UserError
from trainers.tuned_clip import TunedCLIP

COLOURS = {"blue": (20, 20, 230), "green": (20, 200, 20), "red": (230, 20, 20)}
TRAINERS = (
    *("MuDPT", "CoCoOp", "VPT", "TCP", "MMA", "MMRL", "CLIP_LoRA", "CLIP_Adapter", "TipAdapter", "LinearProbe"),
    *("GDA", "CLAP"),
)
CSC = "CoOp of its own context for each class"
CALIBRATED = "calibrated KgCoOp"
QUICK = ["DATASET.NUM_SHOTS", "2", "DATALOADER.NUM_WORKERS", "0"]


def train_on(data, root, trainer, output, *pairs, flags=()):
    """A run of train.py on the folder `mine`, with the embedded CLIP."""
    arguments = ["--root", str(data), "--seed", "1", "--trainer", trainer, "--output-dir", str(output)]
    arguments += ["--dataset-config-file", str(root / "configs/datasets/image_folder.yaml")]
    arguments += ["--config-file", str(root / f"configs/trainers/{trainer}/tiny.yaml"), *flags]
    assert train.run([*arguments, "DATASET.DIR", "mine", *QUICK, *pairs]) == 0
    return output


@pytest.fixture(scope="module")
def root_of_project():
    return train.Path(train.__file__).parent


@pytest.fixture(scope="module")
def runs(tmp_path_factory, root_of_project):
    """A folder with a run of each trainer, and `test`, copies of the test images; the dataset is gone."""
    folder = tmp_path_factory.mktemp("runs")
    data, random = folder / "data", np.random.RandomState(0)
    for name, colour in COLOURS.items():
        (data / "mine" / name).mkdir(parents=True)
        for number in range(12):
            pixels = np.clip(np.array(colour) + random.randint(-90, 90, (40, 48, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(data / "mine" / name / f"{number:02d}.png")
    for trainer in TRAINERS:
        more = [] if trainer in ("TipAdapter", "LinearProbe", "GDA") else ["OPTIM.MAX_EPOCH", "1"]
        train_on(data, root_of_project, trainer, folder / trainer, *more)
    calibrated = ["OPTIM.MAX_EPOCH", "1", "TEST.CALIBRATE", "True"]
    train_on(data, root_of_project, "KgCoOp", folder / CALIBRATED, *calibrated)
    own = ["OPTIM.MAX_EPOCH", "1", "TRAINER.COOP.CSC", "True", "TRAINER.COOP.CTX_INIT", ""]
    train_on(data, root_of_project, "CoOp", folder / CSC, *own)
    train_on(data, root_of_project, "ZeroshotCLIP", folder / "ZeroshotCLIP", flags=["--eval-only"])
    shutil.move(data / "mine", folder / "test")
    shutil.rmtree(data)
    return folder


def answers(run):
    """The run's own predictions.csv: path -> (prediction, probability)."""
    with open(run / "predictions.csv", encoding="utf-8", newline="") as file:
        return {row["path"]: (row["prediction"], float(row["probability"])) for row in csv.DictReader(file)}


def typed(capsys, *words):
    """Exit code, rows and standard error of predict.py."""
    code = predict.main([str(word) for word in words])
    out, error = capsys.readouterr()
    return code, list(csv.DictReader(io.StringIO(out))), error


@pytest.mark.parametrize("trainer", [*TRAINERS, CSC, CALIBRATED, "ZeroshotCLIP"])
def test_without_the_dataset_the_answers_are_those_of_the_runs_own_test(trainer, runs, capsys):
    wanted = answers(runs / trainer)
    paths = [runs / "test" / path.removeprefix("mine/") for path in wanted]
    code, rows, error = typed(capsys, runs / trainer, *paths)
    assert code == 0, error
    assert [row["path"] for row in rows] == [str(path) for path in paths]
    for row, (prediction, probability) in zip(rows, wanted.values(), strict=True):
        assert row["prediction"] == prediction
        assert float(row["probability"]) == pytest.approx(probability, abs=2e-4)


@pytest.mark.parametrize("trainer", [*TRAINERS, CSC, "ZeroshotCLIP"])
def test_a_saved_model_is_the_model(trainer, runs, tmp_path):
    paths = sorted(map(str, (runs / "test").rglob("0?.png")))
    tuned = TunedCLIP.load(runs / trainer)
    tuned.save(str(tmp_path / "saved"))
    learned = (tmp_path / "saved" / "learned.safetensors").stat().st_size
    assert learned < 4 * sum(tensor.numel() for tensor in tuned.method.state_dict().values()) + 2**14
    probabilities = TunedCLIP.load(tmp_path / "saved").predict(paths)
    assert probabilities.shape == (len(paths), 3) and probabilities.dtype == torch.float32
    assert torch.equal(probabilities, tuned.predict(paths))
    images = [Image.open(path) for path in paths]
    torch.testing.assert_close(tuned.predict(images), probabilities)
    tensors = torch.stack([tuned.preprocess.of_image(image) for image in images])
    torch.testing.assert_close(tuned.predict(tensors, batch_size=4), probabilities)


@pytest.mark.parametrize("trainer", [*TRAINERS, CSC, "ZeroshotCLIP"])
def test_other_classes_where_the_method_can(trainer, runs):
    paths = sorted(map(str, (runs / "test").rglob("0?.png")))
    tuned = TunedCLIP.load(runs / trainer)
    turned = tuned.with_classes(["red", "green", "blue"])
    assert turned.class_names == ["red", "green", "blue"]
    torch.testing.assert_close(turned.predict(paths), tuned.predict(paths).flip(1), rtol=1e-3, atol=1e-5)
    if trainer in (CSC, "LinearProbe"):
        with pytest.raises(UserError, match='class "yellow" is none of them'):
            tuned.with_classes(["red", "yellow"])
    else:
        torch.testing.assert_close(
            tuned.with_classes(["red", "yellow"]).predict(paths),
            TunedCLIP.load(runs / trainer, ["red", "yellow"]).predict(paths),
        )


def test_folders_lists_standard_input_and_several_classes(runs, tmp_path, capsys, monkeypatch):
    images = sorted((runs / "test" / "red").glob("*.png"))
    (tmp_path / "list.txt").write_text("\n".join(map(str, images[:2])) + "\n\n")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{images[3]}\n"))
    code, rows, _ = typed(capsys, runs / "MuDPT", runs / "test" / "red", tmp_path / "list.txt", "-", "--top-k", "9")
    assert code == 0 and [row["path"] for row in rows] == list(map(str, [*images, *images[:2], images[3]]))
    assert list(rows[0]) == [
        *("path", "prediction", "probability", "prediction_2", "probability_2", "prediction_3", "probability_3")
    ]
    assert sum(float(rows[0][name]) for name in rows[0] if name.startswith("prob")) == pytest.approx(1, abs=1e-5)

    (tmp_path / "names.txt").write_text("red\nyellow\n")
    output = tmp_path / "made/answers.csv"
    code, rows, _ = typed(
        capsys, runs / "MuDPT", images[0], "--classes", tmp_path / "names.txt", "--output", output, "--batch-size", "1"
    )
    assert code == 0 and rows == []
    (row,) = csv.DictReader(io.StringIO(output.read_text()))
    assert row["prediction"] in ("red", "yellow")


def test_images_that_cannot_be_read_are_listed_and_the_others_answered(runs, tmp_path, capsys):
    good = next((runs / "test" / "red").glob("*.png"))
    (tmp_path / "none.png").write_text("no image")
    code, rows, error = typed(capsys, runs / "MuDPT", tmp_path / "none.png", good, tmp_path / "missing.jpg")
    assert code == 1 and [row["path"] for row in rows] == [str(good)]
    *told, count = error.splitlines()[-3:]
    assert "none.png" in told[0] and "missing.jpg" in told[1] and count == "2 of 3 images could not be read"
    with pytest.raises(UserError, match=r"none\.png"):
        TunedCLIP.load(runs / "MuDPT").predict([good, tmp_path / "none.png"])


def test_a_folder_is_walked_as_the_images_of_a_dataset_are(runs, tmp_path, capsys):
    (tmp_path / "album/@eaDir").mkdir(parents=True)
    shutil.copy(runs / "test/red/00.png", tmp_path / "album/@eaDir")
    (tmp_path / "album/blue").symlink_to(runs / "test/blue")
    (tmp_path / "album/blue again").symlink_to(runs / "test/blue")
    (tmp_path / "album/back").symlink_to(tmp_path)
    (tmp_path / "album/gone.png").symlink_to("nowhere.png")
    code, rows, error = typed(capsys, runs / "MuDPT", tmp_path / "album")
    images = sorted((runs / "test/blue").glob("*.png"))
    assert [row["path"] for row in rows] == [f"{tmp_path}/album/blue/{image.name}" for image in images]
    assert code == 1 and "gone.png" in error and "1 of 13 images could not be read" in error


@pytest.mark.parametrize("workers", ["0", "2"])
def test_worker_processes_change_no_answer_and_no_order(workers, runs, tmp_path, capsys):
    images = sorted(map(str, (runs / "test").rglob("*.png")))
    (tmp_path / "none.png").write_text("no image")
    images.insert(5, str(tmp_path / "none.png"))
    code, rows, error = typed(capsys, runs / "MuDPT", *images, "--batch-size", "7", "--workers", workers)
    assert code == 1 and "none.png" in error
    images.remove(str(tmp_path / "none.png"))
    assert [row["path"] for row in rows] == images
    wanted = TunedCLIP.load(runs / "MuDPT").predict(images).max(dim=1).values
    assert [float(row["probability"]) for row in rows] == pytest.approx(wanted.tolist(), abs=1e-4)


def test_a_name_that_is_not_utf8_is_answered(runs, tmp_path, capsys):
    name = os.fsencode(tmp_path / "caf") + b"\xe9.png"
    shutil.copy(runs / "test/red/00.png", name)
    code, _, error = typed(capsys, runs / "MuDPT", tmp_path, "--output", tmp_path / "out.csv")
    assert code == 0, error
    assert name in (tmp_path / "out.csv").read_bytes()


def changed(runs, tmp_path, change):
    """A copy of MuDPT's run whose results.json is changed."""
    folder = shutil.copytree(runs / "MuDPT", tmp_path / "changed")
    results = json.loads((folder / "results.json").read_text())
    change(results)
    (folder / "results.json").write_text(json.dumps(results))
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda results: results["model"].update(backbone_hash="0" * 64), "was trained on another CLIP than tiny"),
        (lambda results: results["model"].update(backbone_path="/gone.pt"), "no checkpoint at /gone.pt"),
        (lambda results: results["model"]["settings"].pop("N_CTX"), "of a MuDPT with other settings (N_CTX)"),
        (lambda results: results["model"].update(trainer="MuDTP"), "of MuDTP, which no file in trainers/ defines"),
        (lambda results: results["model"].pop("class_names"), "results.json is damaged"),
        (lambda results: results["model"].update(preprocessing={"size": 3}), "results.json is damaged"),
        (lambda results: results.pop("model"), "does not describe its model"),
        (lambda results: results.update(tested_model={"model_dir": "a/b"}), "only tested the model of a/b"),
    ],
)
def test_a_run_that_cannot_be_used_is_told_in_one_line(change, message, runs, tmp_path, capsys):
    folder = changed(runs, tmp_path, change)
    code, rows, error = typed(capsys, folder, runs / "test", "--output", tmp_path / "out.csv")
    assert code == 2 and message in error and error.splitlines()[-1].startswith("error: ") and rows == []
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{runs}/test", "{runs}/test"], "holds neither results.json nor model.json"),
        (["{runs}/none", "{runs}/test"], "no folder"),
        (["{runs}/MuDPT/prompt_learner", "{runs}/test"], "prompt_learner is a part of {runs}/MuDPT, which is a model"),
        (["{runs}/MuDPT/results.json", "{runs}/test"], "results.json is a part of {runs}/MuDPT, which is a model"),
        (["{runs}/MuDPT", "{runs}/test", "--device", "tpu"], 'device "tpu" cannot be used here'),
        (["{runs}/MuDPT", "{runs}/MuDPT"], "no images in"),
        (["{runs}/MuDPT", "{runs}/test", "--top-k", "0"], "--top-k"),
        (["{runs}/MuDPT", "{runs}/test", "--classes", "{runs}/none.txt"], "none.txt cannot be read"),
    ],
)
def test_a_mistake_is_told_in_one_line(words, message, runs, capsys):
    code, _, error = typed(capsys, *(word.format(runs=runs) for word in words))
    assert code == 2 and error.count("\n") == 1 and message.format(runs=runs) in error


@pytest.mark.parametrize(("lines", "message"), [("red\nRed\n", '"red" and "Red"'), ("a_b\na b\n", '"a_b" and "a b"')])
def test_two_names_that_clip_reads_as_one_are_refused(lines, message, runs, tmp_path, capsys):
    (tmp_path / "names.txt").write_text(lines)
    code, _, error = typed(capsys, runs / "MuDPT", runs / "test", "--classes", tmp_path / "names.txt")
    assert code == 2 and f"names.txt has one class twice, {message}: remove one" in error


def test_a_home_folder_and_a_list_with_it(runs, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(runs))
    (tmp_path / "list.txt").write_text("~/test/red/00.png\n")
    code, rows, _ = typed(capsys, runs / "MuDPT", tmp_path / "list.txt")
    assert code == 0 and len(rows) == 1
    tuned = TunedCLIP.load("~/MuDPT")
    assert tuned.predict("~/test/red/00.png")[0].max().item() == pytest.approx(float(rows[0]["probability"]), abs=1e-5)
    tuned.save("~/saved by home")
    assert TunedCLIP.load(runs / "saved by home").class_names == tuned.class_names


def test_one_image_many_and_of_both_kinds(runs):
    tuned = TunedCLIP.load(runs / "MuDPT")
    path = runs / "test/red/00.png"
    image = Image.open(path)
    wanted = tuned.predict([path])
    for images in (path, str(path), image, [image], (each for each in [path])):
        torch.testing.assert_close(tuned.predict(images), wanted)
    torch.testing.assert_close(tuned.predict([image, path, image]), wanted.expand(3, -1))
    assert tuned.predict([]).shape == tuned.predict(torch.zeros(0, 3, 32, 32)).shape == (0, 3)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([np.zeros((9, 9, 3), np.uint8)], "is given as ndarray: give a path"),
        (torch.zeros(3, 32, 32), r"a tensor \(3, 32, 32\) of torch.float32: give \(N, 3, 32, 32\)"),
        (torch.zeros(1, 3, 64, 64), r"give \(N, 3, 32, 32\)"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), "of floating-point numbers"),
    ],
)
def test_what_is_no_image_is_told(images, message, runs):
    with pytest.raises(UserError, match=message):
        TunedCLIP.load(runs / "MuDPT").predict(images)


@pytest.mark.parametrize("names", ["red", [], ["red", " "], [1, 2]])
def test_what_are_no_class_names_is_told(names, runs):
    with pytest.raises(UserError, match="give a list of one text or more"):
        TunedCLIP.load(runs / "MuDPT").with_classes(names)
    with pytest.raises(UserError, match="give a list of one text or more"):
        TunedCLIP.load(runs / "MuDPT", names)


def test_a_model_is_shown_in_one_line(runs):
    assert repr(TunedCLIP.load(runs / "MuDPT")) == "TunedCLIP(MuDPT on tiny, 3 classes: blue, green, red)"


def test_a_run_that_was_stopped_is_no_model_yet(runs, tmp_path, capsys):
    folder = shutil.copytree(runs / "MuDPT", tmp_path / "stopped")
    (folder / "results.json").unlink()
    code, _, error = typed(capsys, folder, runs / "test")
    assert code == 2 and "one that was stopped ends with the command that began it" in error


def test_a_test_takes_from_the_run_what_the_command_line_leaves_out(runs, tmp_path, capsys):
    shutil.copytree(runs / "test", tmp_path / "data/mine")
    shutil.copytree(runs / "MuDPT", tmp_path / "run")
    flags = ["--eval-only", "--model-dir", str(tmp_path / "run"), "--output-dir", str(tmp_path / "tested")]
    assert train.run([*flags, "--root", str(tmp_path / "data")]) == 0, capsys.readouterr().err
    trained, tested = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("run", "tested"))
    assert tested["trainer"] == "MuDPT" and tested["config"]["TRAINER"] == trained["config"]["TRAINER"]
    assert tested["num_classes"] == 3 and tested["model"]["class_names"] == trained["model"]["class_names"]
