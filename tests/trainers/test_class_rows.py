"""Contexts of classes of their own: each class has the one that it was trained with, or the test is refused."""

import json

import pytest
import torch

import clip
import train
from tests.golden_cases import load, tuned_clip
from tests.seeded_weights import seeded_state_dict
from trainers.class_rows import rows_of

NAMES = ["cat", "dog", "polar bear"]
OWN_CONTEXTS = {"N_CTX": 4, "CSC": True}


def contexts(count):
    """Row i is full of i + 1."""
    return torch.arange(1.0, count + 1)[:, None, None].expand(count, 4, 64).contiguous()


def saved(folder, state, run=None):
    (folder / "prompt_learner").mkdir()
    torch.save({"state_dict": state, "epoch": 2, "run": run or {}}, folder / "prompt_learner" / "model.pth.tar-2")
    return str(folder)


def rows_tested(folder, names, **node):
    """Of each class, which of the checkpoint's contexts it has."""
    tuned = tuned_clip("CoOp", names, **{**OWN_CONTEXTS, **node})
    load(tuned, folder)
    return [int(row.unique()) - 1 for row in tuned.method.ctx]


def suffix(names, n_ctx=4):
    """What the released CoOp saves of its classes."""
    backbone = clip.build_model(seeded_state_dict("vit")).float()
    tokens = clip.tokenize([f"{'X ' * n_ctx}{name}." for name in names])
    return backbone.token_embedding.weight[tokens.long()][:, 1 + n_ctx :].detach()


def test_rows_are_found_by_name():
    assert rows_of(["c", "a", "x"], ["a", "b", "c"]) == [2, 0, None]
    assert rows_of(["m", "a", "m"], ["m", "m", "a"]) == [0, 2, 1]
    assert rows_of(["m", "m"], ["m"]) == [0, 0]
    assert rows_of(["Polar_bear"], ["brown bear", "polar bear"]) == [1]


@pytest.mark.parametrize(
    ("names", "rows"), [(NAMES, [0, 1, 2]), (["dog"], [1]), (["Polar_bear", "cat"], [2, 0]), (NAMES[::-1], [2, 1, 0])]
)
@pytest.mark.parametrize("told_by", ["names", "suffix", "suffix in float16"])
def test_contexts_are_found_by_name(told_by, names, rows, tmp_path):
    state, run = {"ctx": contexts(3)}, {}
    if told_by == "names":
        run = {"class_names": NAMES}
    else:
        state["token_suffix"] = suffix(NAMES).half() if told_by.endswith("16") else suffix(NAMES)
    assert rows_tested(saved(tmp_path, state, run), names) == rows


@pytest.mark.parametrize("told_by", ["names", "suffix"])
@pytest.mark.parametrize("names", [["cat", "dogs"], ["cat", "dog", "eel"], [*NAMES, "eel"]])
def test_a_class_without_context_is_named(names, told_by, tmp_path):
    by_name = told_by == "names"
    state = {"ctx": contexts(3), **({} if by_name else {"token_suffix": suffix(NAMES)})}
    folder = saved(tmp_path, state, {"class_names": NAMES} if by_name else None)
    missing = 'class "dogs"' if "dogs" in names else 'class "eel"'
    with pytest.raises(
        train.UserError, match=f"it has ctx for the 3 classes of its training alone, and {missing}"
    ) as caught:
        rows_tested(folder, names)
    assert folder in str(caught.value) and (
        told_by == "suffix" or 'did you mean "dog"' in str(caught.value) or "dogs" not in names
    )


def test_a_checkpoint_without_names_serves_as_many_classes_with_a_warning(tmp_path, capsys):
    folder = saved(tmp_path, {"ctx": contexts(3)})
    assert rows_tested(folder, ["x", "y", "z"]) == [0, 1, 2]
    assert "warning: the checkpoint does not name its 3 classes" in capsys.readouterr().out
    with pytest.raises(train.UserError, match="3 classes .* that it does not name, and this run has 2"):
        rows_tested(folder, ["x", "y"])


def test_an_older_checkpoint_of_the_base_classes_is_not_taken_for_the_new_ones(tmp_path):
    """Runs did not name their classes before, but they said which half of them they had."""
    run = {"settings": {"DATASET.SUBSAMPLE_CLASSES": "base"}}
    with pytest.raises(train.UserError, match="SUBSAMPLE_CLASSES base"):
        rows_tested(saved(tmp_path, {"ctx": contexts(3)}, run), NAMES)


def test_equal_names_keep_their_order_and_a_part_of_them_is_told(tmp_path, capsys):
    folder = saved(tmp_path, {"ctx": contexts(3)}, {"class_names": ["crane", "cat", "crane"]})
    assert rows_tested(folder, ["cat", "crane", "crane"]) == [1, 0, 2]
    assert "warning" not in capsys.readouterr().out
    assert rows_tested(folder, ["crane"]) == [0]
    assert '"crane" was the name of 2 classes in training and is that of 1 here' in capsys.readouterr().out


@pytest.mark.parametrize("names", [["cat"], ["cat", "dog", "eel", "fox"]])
def test_names_that_are_not_as_many_as_the_contexts_are_refused(names, tmp_path):
    with pytest.raises(train.UserError, match=f"it names {len(names)} classes, but its ctx is of 3"):
        rows_tested(saved(tmp_path, {"ctx": contexts(3)}, {"class_names": names}), ["cat"])


@pytest.mark.parametrize(("trained", "tested"), [(True, False), (False, True)])
def test_contexts_of_classes_and_one_for_all_are_not_confused(trained, tested, tmp_path):
    ctx = contexts(3) if trained else contexts(3)[0]
    with pytest.raises(train.UserError, match=r"ctx is \(.*\) but this run needs"):
        rows_tested(saved(tmp_path, {"ctx": ctx}, {"class_names": NAMES}), NAMES, CSC=tested)


# through the command line, on the embedded CLIP


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def run(data, root, capsys):
    """Run train.py with contexts of classes of their own on digits, one image each; exit code, output and error."""

    def run(output, *more, flags=()):
        code = train.run(
            [
                *("--root", str(data), "--seed", "1", "--trainer", "CoOp", "--output-dir", str(output)),
                *("--dataset-config-file", str(root / "configs/datasets/digits.yaml")),
                *("--config-file", str(root / "configs/trainers/CoOp/tiny.yaml"), *flags),
                *("DATASET.NUM_SHOTS", "1", "OPTIM.MAX_EPOCH", "1", "TRAINER.COOP.CSC", "True"),
                *("TRAINER.COOP.CTX_INIT", "", *more),
            ]
        )
        return code, *capsys.readouterr()

    return run


def test_a_run_on_the_base_classes_is_tested_on_them_and_on_no_others(run, tmp_path):
    halves = {half: ("DATASET.SUBSAMPLE_CLASSES", half) for half in ("base", "new", "all")}
    code, _, error = run(tmp_path / "base", *halves["base"])
    assert code == 0, error
    for half in ("new", "all"):
        code, _, error = run(
            tmp_path / half, *halves[half], flags=("--eval-only", "--model-dir", str(tmp_path / "base"))
        )
        assert code == 2 and error.startswith("error: ") and error.count("\n") == 1, error
        assert "it has ctx for the 5 classes of its training alone" in error and not (tmp_path / half).exists()
    code, _, error = run(
        tmp_path / "again", *halves["base"], flags=("--eval-only", "--model-dir", str(tmp_path / "base"))
    )
    assert code == 0, error
    first, again = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("base", "again"))
    assert first["metrics"] == again["metrics"]

    code, _, error = run(tmp_path / "more", *halves["new"], flags=("--resume", str(tmp_path / "base")))
    assert code == 2 and "it was trained on other classes (" in error and error.count("\n") == 1
    code, _, error = run(tmp_path / "base", *halves["new"], "OPTIM.MAX_EPOCH", "2")
    assert code == 2 and "it was trained on other classes (" in error
    file = tmp_path / "base" / "prompt_learner" / "model.pth.tar-1"
    code, _, error = run(tmp_path / "more", *halves["new"], "MODEL.INIT_WEIGHTS", str(file))
    assert code == 2 and "it has ctx for other classes" in error and error.count("\n") == 1
    code, _, error = run(tmp_path / "more", *halves["base"], "MODEL.INIT_WEIGHTS", str(file))
    assert code == 0, error
