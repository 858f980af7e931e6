"""predictions.csv and what results.json says with it, through the command line, with a third party's trainer."""

import csv
import io
import json
from collections import OrderedDict

import numpy as np
import pytest
import torch
from PIL import Image

import benchmark
import train
from dassl.engine import TRAINER_REGISTRY
from dassl.evaluation import EVALUATOR_REGISTRY, EvaluatorBase
from tests.comparison.test_page import stored, unpacked
from tests.pixel_trainer import PixelTrainer

CLASSES = {"a, b": "red, or so", "Grün": 'the "green" one', "blue": "blue", "d": "d", "e": "e", "f": "f"}
IMAGES = {"train": 4, "val": 3, "test": 5}
QUICK = ["INPUT.SIZE", "(8, 8)", "INPUT.TRANSFORMS", "['normalize']", "DATALOADER.NUM_WORKERS", "0", "OPTIM.LR", "0.05"]


@TRAINER_REGISTRY.register(force=True)
class PixelClassifier(PixelTrainer):
    """One linear layer on the pixels, as upstream writes a trainer."""

    def build_model(self):
        torch.manual_seed(0)
        self.model = torch.nn.Linear(3 * 8 * 8, self.num_classes)
        self.optim = torch.optim.SGD(self.model.parameters(), lr=self.cfg.OPTIM.LR)
        self.sched = torch.optim.lr_scheduler.ConstantLR(self.optim)
        self.register_model("classifier", self.model, self.optim, self.sched)


@TRAINER_REGISTRY.register(force=True)
class PairOfScores(PixelClassifier):
    """Its evaluator takes what it gives, which are no (B, C) scores."""

    def model_inference(self, images):
        scores = super().model_inference(images)
        return scores if self.model.training else (scores, images)


@EVALUATOR_REGISTRY.register(force=True)
class OfPairs(EvaluatorBase):
    def __init__(self, cfg, **kwargs):
        super().__init__(cfg)
        self.reset()

    def reset(self):
        self.right = []

    def process(self, mo, gt):
        scores = mo[0] if isinstance(mo, tuple) else mo
        self.right += (scores.argmax(1) == gt).tolist()

    def evaluate(self):
        return OrderedDict(accuracy=100 * sum(self.right) / len(self.right), mine=7.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data root with an image folder `mine` of six classes."""
    root, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for part, count in IMAGES.items():
        for label, name in enumerate(CLASSES):
            folder = root / "mine" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 200, (8, 8, 3))
                pixels[label % 3 * 2 :, :, label // 2] += 55
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    names = "\n".join(f"{folder}\t{name}" for folder, name in CLASSES.items())
    (root / "mine/classnames.txt").write_text(names, encoding="utf-8")
    return root


@pytest.fixture
def run(data, root, tmp_path, capsys):
    """Run train.py on `mine`; returns the output folder, or after a mistake its line."""

    def run(*more, trainer="PixelClassifier", output="out", folder="mine", epochs=2):
        flags = [word for word in more if word.startswith("--") or word.startswith("/")]
        pairs = [word for word in more if word not in flags]
        code = train.run(
            [
                *("--root", str(data), "--seed", "1", "--trainer", trainer, "--output-dir", str(tmp_path / output)),
                *("--dataset-config-file", str(root / "configs/datasets/image_folder.yaml"), *flags),
                *("DATASET.DIR", folder, "OPTIM.MAX_EPOCH", str(epochs), *QUICK, *pairs),
            ]
        )
        errors = capsys.readouterr().err
        if code:
            assert code == 2 and errors.startswith("error: ") and errors.count("\n") == 1, errors
            assert not (tmp_path / output).exists()
            return errors
        return tmp_path / output

    return run


def rows(run):
    with open(run / "predictions.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def results(run):
    return json.loads((run / "results.json").read_text())


def test_every_test_image_has_a_line_in_the_order_of_the_split(run):
    folder = run()
    found = rows(folder)
    classes = sorted(CLASSES)
    assert [row["path"] for row in found] == [f"mine/test/{name}/{i}.png" for name in classes for i in range(5)]
    assert [row["label"] for row in found] == [CLASSES[name] for name in classes for _ in range(5)]
    assert [int(row["label_id"]) for row in found] == [label for label in range(6) for _ in range(5)]
    names = [CLASSES[name] for name in classes]
    assert all(names[int(row["prediction_id"])] == row["prediction"] for row in found)
    assert all((row["rank"] == "1") == (row["label"] == row["prediction"]) for row in found)
    assert all(1 / 6 < float(row["probability"]) <= 1 for row in found)
    assert results(folder)["predictions"] == "predictions.csv" and results(folder)["temperature"] is None


def test_metrics_follow_from_the_lines_and_are_in_the_log(run):
    folder = run()
    found, metrics, log = rows(folder), results(folder)["metrics"], (folder / "log.txt").read_text()
    share = np.mean([row["rank"] == "1" for row in found])
    assert metrics["accuracy"] == pytest.approx(100 * share)
    assert metrics["mean_per_class_accuracy"] == pytest.approx(100 * share)  # as many images of each class
    assert metrics["top5_accuracy"] == pytest.approx(100 * np.mean([int(row["rank"]) <= 5 for row in found]))
    assert 0 <= metrics["brier_score"] <= 2 and 0 <= metrics["expected_calibration_error"] <= 100
    assert f"* expected_calibration_error: {metrics['expected_calibration_error']:.1f}%\n" in log
    assert f"* brier_score: {metrics['brier_score']:.4f}\n" in log


def test_an_image_outside_the_data_root_has_an_absolute_path(run, data, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/mine").symlink_to(data / "mine")
    assert rows(run(folder=str(tmp_path / "elsewhere/mine")))[0]["path"].startswith(f"{tmp_path}/elsewhere/mine/test/")


def test_a_test_on_val_writes_its_images_and_those_that_choose_an_epoch_write_none(run):
    assert rows(run("TEST.SPLIT", "val"))[0]["path"] == "mine/val/Grün/0.png"
    assert rows(run("TEST.FINAL_MODEL", "best_val", output="best"))[0]["path"] == "mine/test/Grün/0.png"
    assert not (run("TEST.NO_TEST", "True", "TEST.FINAL_MODEL", "best_val", output="none") / "predictions.csv").exists()


def test_a_model_that_is_only_tested_gives_the_same_lines(run):
    trained = run()
    tested = run("--eval-only", f"--model-dir={trained}", output="tested")
    assert (tested / "predictions.csv").read_bytes() == (trained / "predictions.csv").read_bytes()
    assert results(tested)["metrics"] == results(trained)["metrics"]


def test_another_evaluator_keeps_its_metrics_and_may_take_other_scores(run):
    metrics = results(run("TEST.EVALUATOR", "OfPairs"))["metrics"]
    assert list(metrics)[:2] == ["accuracy", "mine"] and metrics["mine"] == 7.0 and "brier_score" in metrics
    other = run("TEST.EVALUATOR", "OfPairs", trainer="PairOfScores", output="pairs")
    assert results(other)["metrics"].keys() == {"accuracy", "mine"}
    assert results(other)["predictions"] is None and not (other / "predictions.csv").exists()


def test_the_confusion_matrix_is_a_table_and_a_picture(run):
    folder = run("TEST.COMPUTE_CMAT", "True")
    Image.open(folder / "cmat.png").verify()
    with open(folder / "cmat.csv", encoding="utf-8", newline="") as file:
        assert next(csv.reader(file)) == ["true class", *(CLASSES[name] for name in sorted(CLASSES))]


def test_a_report_shows_a_metric_of_a_run_and_the_page_its_mistakes(run, capsys):
    folder = run(epochs=2)
    metrics, wrong = results(folder)["metrics"], [row for row in rows(folder) if row["rank"] != "1"]
    page = folder.parent / "page.html"
    command = ["report", str(folder.parent), "--metric", "brier_score", "--format", "csv", "--html", str(page)]
    capsys.readouterr()
    assert benchmark.main(command) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out.partition("\n\n")[0]))
    assert float(row["brier_score"]) == pytest.approx(metrics["brier_score"])
    (opened,) = stored(page.read_text(encoding="utf-8"))["runs"]
    shown = [image["path"] for image in json.loads(unpacked(opened["mistakes"]))["images"]]
    wrong.sort(key=lambda row: -float(row["probability"]))
    assert shown == [row["path"] for row in wrong[:12]] and shown


# calibration


def test_calibration_changes_probabilities_and_no_answer(run):
    plain = run(epochs=30)
    calibrated = run("--eval-only", f"--model-dir={plain}", "TEST.CALIBRATE", "True", output="calibrated")
    before, after = rows(plain), rows(calibrated)
    for key in ("path", "prediction", "rank"):
        assert [row[key] for row in before] == [row[key] for row in after]
    assert [row["probability"] for row in before] != [row["probability"] for row in after]
    one, other = results(plain)["metrics"], results(calibrated)["metrics"]
    assert one["accuracy"] == other["accuracy"] and one["top5_accuracy"] == other["top5_accuracy"]
    assert one["brier_score"] != other["brier_score"]
    assert one["expected_calibration_error"] != other["expected_calibration_error"]
    temperature = results(calibrated)["temperature"]
    assert f"Temperature {temperature:.4f}, fitted on 18 val images\n" in (calibrated / "log.txt").read_text()


def test_the_temperature_is_the_one_of_the_val_images_scores(run, data):
    """As a grid of temperatures on the scores of the saved layer finds it."""
    folder = run("TEST.CALIBRATE", "True", epochs=30)
    state = torch.load(folder / "classifier/model.pth.tar-30", weights_only=True)["state_dict"]
    paths = [path for name in sorted(CLASSES) for path in sorted((data / "mine/val" / name).iterdir())]
    images = torch.stack([torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1) for path in paths]) / 255
    mean, std = (torch.tensor(numbers).view(3, 1, 1) for numbers in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    scores = ((images - mean) / std).flatten(1) @ state["weight"].T + state["bias"]
    labels = torch.arange(6).repeat_interleave(3)
    grid = np.exp(np.linspace(np.log(0.05), np.log(20), 4001))
    losses = [torch.nn.functional.cross_entropy(scores / temperature, labels).item() for temperature in grid]
    assert results(folder)["temperature"] == pytest.approx(grid[int(np.argmin(losses))], rel=5e-3)


def test_calibration_takes_val_images_from_train_only_where_it_says_so(run, data, tmp_path):
    (tmp_path / "without_val").mkdir()
    for part in ("train", "test"):
        (tmp_path / "without_val" / part).symlink_to(data / "mine" / part)
    own = str(tmp_path / "without_val")
    trained = run("TEST.CALIBRATE", "True", folder=own)
    assert results(trained)["num_images"] == {"train": 18, "val": 6, "test": 30}
    assert "as TEST.CALIBRATE fits the temperature on them" in (trained / "log.txt").read_text()
    # a model that is only tested may have learned from every training image
    error = run("--eval-only", f"--model-dir={trained}", "TEST.CALIBRATE", "True", folder=own, output="tested")
    assert "TEST.CALIBRATE True fits the temperature on val images, but ImageFolder has none here" in error
