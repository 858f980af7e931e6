"""Where a person may point with --model-dir: at the run, into it, above it, at a file, with and without the pointer."""

import pytest

from support.checkpoint_files import find_checkpoint, run_folder
from support.user_error import UserError

NAMES = ("prompt_learner", "VLPromptLearner")


@pytest.fixture
def make(tmp_path):
    """Make files below the folder; "checkpoint" names the last epoch of those beside it."""

    def make(*files):
        for file in files:
            path = tmp_path / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("model.pth.tar-10\n" if path.name == "checkpoint" else "")
        return tmp_path

    return make


def files(*epochs, folder="seed1/prompt_learner", pointer=True):
    names = [f"{folder}/model.pth.tar-{epoch}" for epoch in epochs]
    return [*names, *([f"{folder}/checkpoint"] if pointer else [])]


def found(path, epoch=None):
    return find_checkpoint(str(path), NAMES, epoch)


def refusal(path, epoch=None):
    with pytest.raises(UserError) as caught:
        found(path, epoch)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        "seed1",
        "seed1/",
        "seed1/prompt_learner",
        "seed1/prompt_learner/checkpoint",
        ".",
        "seed1/prompt_learner/model.pth.tar-10",
    ],
)
def test_what_can_mean_one_run_alone_is_taken(given, make):
    folder = make(*files(9, 10))
    assert found(f"{folder}/{given}").endswith("seed1/prompt_learner/model.pth.tar-10")
    assert found(f"{folder}/seed1/prompt_learner/model.pth.tar-9", 9).endswith("-9")
    if not given.endswith("-10"):
        assert found(f"{folder}/{given}", 9).endswith("seed1/prompt_learner/model.pth.tar-9")
        assert run_folder(f"{folder}/{given}", NAMES[0], "RESUME") == f"{folder}/seed1"


def test_the_folder_above_several_runs_names_them(make):
    folder = make(*[file for seed in (1, 2, 3) for file in files(10, folder=f"tiny/seed{seed}/prompt_learner")])
    assert "holds 3 of them (seed1, seed2, seed3): name one by --model-dir" in refusal(folder / "tiny")
    assert "(tiny/seed1, tiny/seed2, tiny/seed3)" in refusal(folder)


def test_without_the_pointer_the_last_epoch_is_taken(make):
    folder = make(*files(2, 9, 10, pointer=False))
    assert found(folder / "seed1").endswith("model.pth.tar-10")
    make("seed1/prompt_learner/model-best.pth.tar")
    assert found(folder / "seed1").endswith("model-best.pth.tar")


def test_the_epochs_that_are_there_are_named(make):
    folder = make(*files(2, 9), "seed1/prompt_learner/model-best.pth.tar")
    message = refusal(folder / "seed1", 5)
    assert "no model.pth.tar-5 in" in message and "holds epochs 2, 9 and model-best.pth.tar" in message
    (folder / "seed1/prompt_learner/model-best.pth.tar").unlink()
    assert "no model.pth.tar-10 in" in refusal(folder / "seed1")  # which the pointer names


def test_a_file_by_another_name_is_taken_where_it_is_the_only_one(make):
    folder = make("seed1/prompt_learner/best.pth")
    assert found(folder / "seed1").endswith("best.pth")
    make("seed1/prompt_learner/other.pth")
    assert "holds best.pth and other.pth: name one of these files" in refusal(folder / "seed1")
    assert found(folder / "seed1/prompt_learner/other.pth").endswith("other.pth")


def test_what_is_not_there_is_told(make):
    folder = make(*files(10), "seed2/prompt_learner/log.txt", "seed3/adapter/model.pth.tar-1")
    assert "no checkpoint folder" in refusal(folder / "sed1") and '(did you mean "seed1"?)' in refusal(folder / "sed1")
    assert "no checkpoint in" in refusal(folder / "seed2")
    assert "but one of adapter, as another method has it" in refusal(folder / "seed3")


def test_only_a_run_can_be_resumed(make):
    folder = make(*files(10), "mine/model.pth.tar-1")
    with pytest.raises(UserError, match="is a file: name by RESUME the run's folder, which holds prompt_learner/"):
        run_folder(f"{folder}/seed1/prompt_learner/model.pth.tar-10", NAMES[0], "RESUME")
    with pytest.raises(UserError, match="not in a folder prompt_learner"):
        run_folder(f"{folder}/mine", NAMES[0], "RESUME")
