"""Which runs use val images."""

import pytest

import trainers  # noqa: F401  registers them
from dassl.config import get_cfg_default
from dassl.engine import TRAINER_REGISTRY, TrainerX
from dassl.engine.val_use import use_of_val


@TRAINER_REGISTRY.register(force=True)
class WithoutVal(TrainerX):
    """A third party's, whose code does not name the loader of val images."""


@TRAINER_REGISTRY.register(force=True)
class SearchesOnVal(TrainerX):
    """A third party's that says so."""

    searches_on_val = True


def use(only_tests=False, **changes):
    cfg = get_cfg_default()
    for key, value in changes.items():
        cfg.merge_from_list([key.replace("__", "."), value])
    return use_of_val(cfg, only_tests)


@pytest.mark.parametrize(
    "trainer", ["CoOp", "MuDPT", "CLIP_Adapter", "GDA", "CLAP", "ZeroshotCLIP", "WithoutVal", "Unknown", ""]
)
def test_most_trainers_have_no_use_for_val(trainer):
    assert use(TRAINER__NAME=trainer) == ""


@pytest.mark.parametrize("trainer", ["TipAdapter", "TipAdapterF", "LinearProbe", "SearchesOnVal"])
def test_trainers_that_search_on_val_use_it_in_training(trainer):
    assert use(TRAINER__NAME=trainer) == f"{trainer} chooses its settings on them"
    assert use(TRAINER__NAME=trainer, only_tests=True) == ""


def test_a_third_partys_trainer_whose_code_names_the_loader_may_use_val(tmp_path, monkeypatch):
    text = "from dassl.engine import TRAINER_REGISTRY, TrainerX\n@TRAINER_REGISTRY.register(force=True)\n"
    text += "class TheirSearch(TrainerX):\n    def before_train(self):\n        print(self.val_loader)\n"
    (tmp_path / "their_search.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    __import__("their_search")
    assert use(TRAINER__NAME="TheirSearch") == "TheirSearch has a use for them"


def test_settings_of_the_test_use_val():
    assert "TEST.FINAL_MODEL best_val" in use(TEST__FINAL_MODEL="best_val", TRAINER__NAME="CoOp")
    assert use(TEST__FINAL_MODEL="best_val", only_tests=True) == ""
    assert use(TEST__FINAL_MODEL="best_val", TEST__NO_TEST="True") == ""
    assert "TEST.SPLIT val" in use(TEST__SPLIT="val", only_tests=True)
    assert "TEST.CALIBRATE" in use(TEST__CALIBRATE="True", TRAINER__NAME="CoOp")
    assert "TEST.CALIBRATE" in use(TEST__CALIBRATE="True", only_tests=True)
