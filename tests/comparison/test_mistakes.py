"""What the report page shows of a run's predictions.csv."""

import base64
import csv
import io
import json
import random
import re
from collections import Counter, defaultdict

import pytest
from PIL import Image

from comparison import mistakes
from comparison.mistakes import Mistakes, thumbnails
from comparison.page import write_page
from comparison.runs import read_runs
from comparison.tables import all_tables
from dassl.evaluation.predictions import COLUMNS
from support.user_error import UserError
from tests.comparison.test_page import stored, unpacked
from tests.fake_runs import FakeRuns


def write(file, rows):
    """``rows``: path, label, prediction, probability; a class's name is its label's number behind "class "."""
    with open(file, "w", encoding="utf-8", newline="") as opened:
        table = csv.writer(opened)
        table.writerow(COLUMNS)
        for path, label, prediction, probability in rows:
            place = 1 if label == prediction else 2
            table.writerow((path, f"class {label}", f"class {prediction}", probability, place, label, prediction))
    return file


def drawn(count, classes, seed=0):
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        label = draw.randrange(classes)
        prediction = label if draw.random() < 0.7 else draw.randrange(classes)
        rows.append((f"set/{number}.png", label, prediction, round(draw.random(), 4)))
    return rows


@pytest.fixture
def fake(tmp_path) -> FakeRuns:
    return FakeRuns(tmp_path / "output")


def add(fake, rows, seed=1, root="data", **changes):
    config = {"DATASET": {"NAME": "digits", "ROOT": str(root)}, "SEED": seed}
    folder = fake.add_few_shot(
        "digits", "CoOp/tiny", 1, seed, 60, config=config, predictions="predictions.csv", **changes
    )
    return write(folder / "predictions.csv", rows)


def page(fake):
    runs = read_runs(fake.folder)
    write_page(fake.folder / "report.html", runs, all_tables(runs))
    return (fake.folder / "report.html").read_text(encoding="utf-8")


def shown(text):
    """The mistakes of every run, None where there are none, and the thumbnails."""
    content = stored(text)
    return [run["mistakes"] and json.loads(unpacked(run["mistakes"])) for run in content["runs"]], content["images"]


def test_classes_pairs_and_images_are_those_of_naive_counts(tmp_path):
    rows = drawn(400, 40)
    found = Mistakes.of_csv(write(tmp_path / "p.csv", rows))
    answers = defaultdict(list)
    for _, label, prediction, _ in rows:
        answers[label].append(label == prediction)
    assert found.num_classes == len(answers) == 40 and len(found.classes) == 30
    accuracies = [right / total for _, right, total in found.classes]
    assert accuracies == sorted(sum(own) / len(own) for own in answers.values())[:30]
    for name, right, total in found.classes:
        own = answers[int(name.removeprefix("class "))]
        assert (right, total) == (sum(own), len(own))
    pairs = Counter((label, prediction) for _, label, prediction, _ in rows if label != prediction)
    assert [count for *_, count in found.pairs] == sorted(pairs.values(), reverse=True)[:10]
    for label, prediction, count in found.pairs:
        assert pairs[int(label[6:]), int(prediction[6:])] == count
    wrong = sorted((row for row in rows if row[1] != row[2]), key=lambda row: -row[3])[:12]
    assert [(image.path, image.probability) for image in found.images] == [(row[0], row[3]) for row in wrong]


def test_two_classes_of_one_name_stay_two(tmp_path):
    (tmp_path / "p.csv").write_text(f"{','.join(COLUMNS)}\na,crane,crane,0.9,2,0,1\nb,crane,crane,0.8,1,1,1\n")
    found = Mistakes.of_csv(tmp_path / "p.csv")
    assert found.classes == [("crane", 0, 1), ("crane", 1, 1)] and found.pairs == [("crane", "crane", 1)]


@pytest.mark.parametrize(
    "content",
    [
        b"path,label\na,b\n",
        ",".join(COLUMNS).encode() + b"\na,b,c,high,2,0,1\n",
        ",".join(COLUMNS).encode() + b"\na,b,c,7,2,0,1\n",
        ",".join(COLUMNS).encode() + b"\na,b,c,0.5\n",
        ",".join(COLUMNS).encode() + b"\na," + b"x" * 200_000 + b",c,0.5,2,0,1\n",
        ",".join(COLUMNS).encode() + b"\na," + b"x" * 5000 + b",c,0.5,2,0,1\n",
        b"\x00\x01\x02\n\x00,",
    ],
)
def test_a_damaged_file_is_one_line_that_names_it(content, fake):
    file = add(fake, [])
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"predictions\.csv is not what a test writes \(.*\): delete it, or repeat"):
        page(fake)
    assert not (fake.folder / "report.html").exists()


def images(folder, count):
    noise = random.Random(0)
    (folder / "set").mkdir(parents=True)
    for number in range(count):
        Image.frombytes("RGB", (300, 150), noise.randbytes(300 * 150 * 3)).save(folder / f"set/{number}.png")


def test_wrong_images_are_thumbnails_and_what_is_gone_is_a_path(fake, tmp_path):
    images(tmp_path / "data", 3)
    (tmp_path / "data/set/1.png").unlink()
    (tmp_path / "data/set/2.png").write_bytes(b"no image")
    absolute = tmp_path / "elsewhere.png"
    Image.new("RGB", (10, 10), "red").save(absolute)
    rows = [(f"set/{number}.png", 0, 1, 0.9 - number / 10) for number in range(3)] + [(str(absolute), 1, 0, 0.2)]
    add(fake, rows, root=tmp_path / "data")
    (run,), uris = shown(page(fake))
    assert [image["path"] for image in run["images"]] == [path for path, *_ in rows]
    assert [image["thumbnail"] for image in run["images"]] == [0, None, None, 1]
    assert [(uri.partition(",")[0]) for uri in uris] == ["data:image/jpeg;base64"] * 2
    pictures = [Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) for uri in uris]
    assert [picture.size for picture in pictures] == [(96, 48), (10, 10)]
    assert pictures[1].getpixel((5, 5))[0] > 240


def test_runs_share_thumbnails_and_each_has_its_worst_before_another_has_its_second(tmp_path):
    images(tmp_path, 6)
    own = [mistakes.WrongImage(f"set/{number}.png", "a", "b", 0.5) for number in range(6)]
    three = [Mistakes(2, [], [], found) for found in ([own[0], own[1]], [own[2], own[3]], [own[0], own[5]])]
    root = str(tmp_path)
    every = thumbnails([(found, root) for found in three])
    assert [path[-5] for path in every] == ["0", "2", "1", "3", "5"]
    two = sum(len(uri) for uri in list(every.values())[:2])
    assert list(thumbnails([(found, root) for found in three], two)) == list(every)[:2]


def test_a_run_without_predictions_has_no_mistakes(fake):
    add(fake, drawn(10, 3), seed=1)
    earlier = add(fake, drawn(10, 3), seed=2)
    results = json.loads((earlier.parent / "results.json").read_text())
    (earlier.parent / "results.json").write_text(json.dumps({**results, "predictions": None}))  # its test wrote none
    add(fake, [], seed=3).unlink()
    found, uris = shown(page(fake))
    assert [run is not None for run in found] == [True, False, False] and uris == []


def test_mistakes_of_many_runs_and_thumbnails_of_some_are_a_few_megabytes(fake, tmp_path):
    """Those of 100 classes take less than 2 KB a run beside the thumbnails, which have a bound of their own."""
    images(tmp_path / "data", 1)
    for seed in range(300):
        rows = drawn(300, 100, seed)
        add(fake, [("set/0.png", 0, 1, 1.0), *rows], seed, root=tmp_path / "data")
    text = page(fake)
    found, uris = shown(text)
    assert all(run["classes"] for run in found) and len(uris) == 1
    without = re.sub(r'"mistakes": "[^"]*"', "", text)
    assert len(text) - len(without) < 300 * 2000
    assert mistakes.MOST_BYTES <= 1_500_000


def test_hostile_names_stay_text(fake):
    hostile = "</script><script>document.title = 'broken'</script>"
    file = add(fake, [])
    with open(file, "a", encoding="utf-8", newline="") as opened:
        csv.writer(opened).writerow((hostile, hostile, "b", 0.5, 2, 0, 1))
    text = page(fake)
    assert text.count("<script") == 2 and shown(text)[0][0]["classes"] == [[hostile, 0, 1]]
