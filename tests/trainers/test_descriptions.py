"""Descriptions of classes: the file, whose sentence is whose, and what of it a run and a model keep."""

import json
import os

import pytest
import torch
import torch.nn.functional as F

import clip
import train
from support.user_error import UserError
from tests.golden_cases import assert_close, golden, images_and_labels, tuned_clip
from tests.seeded_weights import seeded_state_dict
from tests.small_data import few_digits
from trainers import descriptions as module
from trainers.descriptions import description_features, descriptions_of, read_descriptions
from trainers.tuned_clip import TunedCLIP

GOLDEN = golden("cupl")
DIGITS = "zero one two three four five six seven eight nine".split()


def file_of(folder, content) -> str:
    path = folder / "texts.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return str(path)


def test_a_file_is_read_as_it_is(tmp_path):
    content = {"Großer Hund": ["Ein Hund.", "Ein Hund."], "b_c": ["x"]}  # repeated sentences count twice
    assert read_descriptions(file_of(tmp_path, b"\xef\xbb\xbf" + json.dumps(content).encode())) == content


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([["dog", ["x"]]], "holds list where an object is expected"),
        ("dog", "holds str where an object is expected"),
        ({"dog": "A dog."}, "class 'dog': its sentences are str, no list"),
        ({"dog": {"a": ["b"]}}, "class 'dog': its sentences are an object, no list"),
        ({"dog": []}, "class 'dog': it has no sentence"),
        ({"dog": ["x", 3]}, "class 'dog': 3 is no text"),
        ({"dog": ["x", " "]}, "class 'dog': a text is empty"),
        ({"_": ["x"]}, "class '_': a text is empty"),
        ({"dog": ["\ud800"]}, "class 'dog': a text holds half of a UTF-16 pair"),
        ({"polar bear": ["x"], "Polar_bear": ["y"]}, '"polar bear" and "Polar_bear" are one class as CLIP reads them'),
        (b'{"dog": ["x"], "dog": ["y"]}', '"dog" and "dog" are one class as CLIP reads them'),
        (b'{"dog": ["\xe9"]}', "is not valid JSON in UTF-8"),
        (b'{"dog": ["x"]', "is not valid JSON in UTF-8"),
        (b"[" * 100_000, "is not valid JSON in UTF-8"),
    ],
)
def test_what_is_no_such_file_is_told_in_one_line_that_names_it(content, told, tmp_path):
    path = file_of(tmp_path, content)
    with pytest.raises(UserError) as caught:
        read_descriptions(path)
    assert str(caught.value).startswith(path) and told in str(caught.value) and "\n" not in str(caught.value)


def test_folders_pipes_missing_and_huge_files_are_refused(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "gone.json"):
        with pytest.raises(UserError, match="cannot be read"):
            read_descriptions(str(path))
    monkeypatch.setattr(module, "MOST_BYTES", 8)
    with pytest.raises(UserError, match="has more than 0 MiB"):
        read_descriptions(file_of(tmp_path, {"dog": ["x"]}))


def test_classes_find_their_sentences_as_clip_reads_names(capsys):
    known = {"polar bear": ["a"], "Lynx": ["b"]}
    assert descriptions_of(["lynx", "Polar_bear"], known, "f") == {"lynx": ["b"], "Polar_bear": ["a"]}
    assert capsys.readouterr().out == ""


def test_missing_names_are_an_error_and_others_a_notice_each_in_one_line(capsys):
    with pytest.raises(UserError) as caught:
        descriptions_of(["lynx", "puma"], {"lynks": ["a"], "puma": ["b"]}, "f.json")
    assert str(caught.value) == (
        'f.json describes 1 of the 2 classes; without a sentence are "lynx" (did you mean "lynks"?): add them'
    )
    assert capsys.readouterr().out == ""
    known = {"lynx": ["a"], "lynks": ["b"], "yeti": ["c"]}
    descriptions_of(["lynx"], known, "f.json")
    (line,) = capsys.readouterr().out.splitlines()
    assert line == 'notice: f.json describes 2 name(s) that are no class here: "lynks" (did you mean "lynx"?), "yeti"'
    descriptions_of(["lynx"], known, "f.json", tells_extra=False)
    assert capsys.readouterr().out == ""


def test_a_class_is_the_normalised_mean_of_normalised_features(capsys):
    backbone = clip.build_model(seeded_state_dict("vit")).requires_grad_(False)
    sentences = [["A cat purrs.", "Whiskers."], ["A dog."]]
    with torch.no_grad():
        each = [F.normalize(backbone.encode_text(clip.tokenize(of)), dim=-1).mean(dim=0) for of in sentences]
    wanted = F.normalize(torch.stack(each), dim=-1)
    torch.testing.assert_close(description_features(backbone, sentences), wanted, rtol=1e-4, atol=1e-5)
    assert capsys.readouterr().out == ""


def test_a_backbone_with_a_shorter_context_cuts_earlier(capsys):
    state = seeded_state_dict("vit")
    state["positional_embedding"] = state["positional_embedding"][:9]
    backbone = clip.build_model(state).requires_grad_(False)
    sentences = [["A dog.", "A dog that runs very fast on the beach"], ["A cat is grey and rather old"]]
    features = description_features(backbone, sentences)
    assert capsys.readouterr().out == "notice: 1 of 3 descriptions have more than 9 tokens, after which they are cut\n"
    same = description_features(backbone, [["A dog.", "A dog that runs very fast on"], sentences[1]])
    torch.testing.assert_close(features, same)


def test_cupl_has_the_released_codes_weights_and_logits_also_of_sentences_that_are_too_long(capsys):
    tuned = tuned_clip("CuPL", GOLDEN["class_names"], descriptions=GOLDEN["sentences"])
    assert (
        capsys.readouterr().out == "notice: 1 of 13 descriptions have more than 77 tokens, after which they are cut\n"
    )
    assert_close(tuned.method.text_features, GOLDEN["weights"])
    images, _ = images_and_labels(GOLDEN)
    with torch.no_grad():
        assert_close(tuned(images) / 100, GOLDEN["cosines"])


# runs


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = few_digits(tmp_path_factory.mktemp("data"))
    (root / "texts.json").write_text(json.dumps({name: [f"the digit {name}", f"a {name}"] for name in DIGITS}))
    return root


@pytest.fixture
def run(data, root, capsys):
    def run(trainer, output, *pairs, flags=("--eval-only",)):
        code = train.run(
            [
                *["--root", str(data), "--seed", "1", "--trainer", trainer, "--output-dir", str(output)],
                *["--dataset-config-file", str(root / "configs/datasets/digits.yaml")],
                *["--config-file", str(root / f"configs/trainers/{trainer}/tiny.yaml"), *flags, *pairs],
            ]
        )
        return code, *capsys.readouterr()

    return run


FILE = ["DATASET.DESCRIPTIONS", "texts.json"]


def test_a_method_that_needs_descriptions_says_so(run, tmp_path):
    code, _, error = run("CuPL", tmp_path / "out")
    assert code == 2 and error.startswith("error: CuPL needs descriptions of the classes") and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("half", ["all", "base", "new"])
def test_a_run_takes_the_names_it_has_and_is_a_model_without_the_file(half, run, data, tmp_path):
    code, out, error = run("CuPL", tmp_path / "run", *FILE, "DATASET.SUBSAMPLE_CLASSES", half)
    assert code == 0, error
    assert "no class here" not in out
    results = json.loads((tmp_path / "run/results.json").read_text())
    kept = results["model"]["descriptions"]
    assert kept == {name: [f"the digit {name}", f"a {name}"] for name in results["model"]["class_names"]}
    tuned = TunedCLIP.load(tmp_path / "run", device="cpu")
    tuned.save(tmp_path / "saved")
    again = TunedCLIP.load(tmp_path / "saved", device="cpu")
    assert torch.equal(again.method.text_features, tuned.method.text_features)
    name = tuned.class_names[1]
    assert torch.equal(tuned.with_classes([name]).method.text_features[0], tuned.method.text_features[1])
    with pytest.raises(UserError, match='^the model describes 0 of the 1 classes; without a sentence are "yeti": add'):
        tuned.with_classes(["yeti"])


def test_a_trained_method_is_given_descriptions_and_does_not_keep_them(run, tmp_path):
    pairs = [*FILE, "DATASET.NUM_SHOTS", "1", "OPTIM.MAX_EPOCH", "1", "TEST.NO_TEST", "True"]
    code, _, error = run("CoOp", tmp_path / "run", *pairs, flags=())
    assert code == 0, error
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert results["model"]["descriptions"] == {}


def test_a_model_with_damaged_descriptions_is_told_in_one_line(run, tmp_path):
    run("CuPL", tmp_path / "run", *FILE)
    TunedCLIP.load(tmp_path / "run", device="cpu").save(tmp_path / "saved")
    file = tmp_path / "saved/model.json"
    content = json.loads(file.read_text())
    for damaged in ({"zero": []}, {"zero": 3}, [1]):
        file.write_text(json.dumps({**content, "descriptions": damaged}))
        with pytest.raises(UserError):
            TunedCLIP.load(tmp_path / "saved", device="cpu")
