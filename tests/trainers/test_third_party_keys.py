"""Keys that a third party's trainer reads and no one here declares; for our own trainers they stay mistakes."""

import pytest

import train
from dassl.engine import TRAINER_REGISTRY, TrainerX
from support.user_error import UserError


@TRAINER_REGISTRY.register()
class ThirdPartyKeys(TrainerX):
    """It has no ``config_node``: the file declares its keys in a train.py of its own."""


FILE = """\
LOSS: {NAME: prograd, T: 1.0}
TRAINER: {NAME: %s, COOP: {CTX_INIT: True}}
"""


@pytest.fixture
def set_up(tmp_path):
    def set_up(*pairs, trainer="ThirdPartyKeys", text=FILE):
        (tmp_path / "method.yaml").write_text(text.replace("%s", trainer))
        return train.setup_cfg(train.parse_args(["--config-file", str(tmp_path / "method.yaml"), *pairs]))

    return set_up


def test_a_third_partys_keys_come_from_its_file_and_from_pairs(set_up, capsys):
    cfg = set_up("LOSS.LAMBDA", "0.8", "TRAINER.COOP.W", "8.0")
    assert (cfg.LOSS.NAME, cfg.LOSS.T, cfg.LOSS.LAMBDA, cfg.TRAINER.COOP.W) == ("prograd", 1.0, 0.8, 8.0)
    assert cfg.TRAINER.COOP.CTX_INIT is True  # its own type for a key that CoOp declares too
    (line,) = capsys.readouterr().out.splitlines()
    assert all(key in line for key in ("ThirdPartyKeys", "LOSS.NAME", "LOSS.T", "LOSS.LAMBDA", "TRAINER.COOP.W"))


@pytest.mark.parametrize("how", ["flag", "pair"])
def test_the_trainer_may_be_named_outside_the_file(how, set_up):
    flag = ["--trainer", "ThirdPartyKeys"] if how == "flag" else ["TRAINER.NAME", "ThirdPartyKeys"]
    assert set_up(*flag, trainer="CoOp", text="LOSS: {T: 2}\nTRAINER: {NAME: %s}").LOSS.T == 2


@pytest.mark.parametrize(
    ("pair", "parts"),
    [
        (["OPTIM.MAX_EPOHC", "3"], ['"OPTIM.MAX_EPOHC"', '"OPTIM.MAX_EPOCH"']),
        (["OPTM.LR", "1.0"], ['"OPTM"', '"OPTIM"']),
        (["TRAINER.COOP.NCTX", "3"], ['"TRAINER.COOP.NCTX"', '"TRAINER.COOP.N_CTX"']),
        (["OPTIM.LR", "fast"], ['"OPTIM.LR"', "'fast'"]),
        (["OPTIM.LR.FIRST", "1.0"], ['"OPTIM.LR"']),
        (["OPTIM.MAX_EPOCHS", "50"], ['"OPTIM.MAX_EPOCHS"', '"OPTIM.MAX_EPOCH"']),
        (["OPTIM.Max_Epoch", "50"], ['"OPTIM.Max_Epoch"', '"OPTIM.MAX_EPOCH"']),
        (["OPTIM.lr", "1.0"], ['"OPTIM.lr"', '"OPTIM.LR"']),
        (["OPTIM.LRR", "1.0"], ['"OPTIM.LRR"', '"OPTIM.LR"']),
        (["OPTIM.LRXX", "1.0"], ['"OPTIM.LRXX"', '"OPTIM.LR"']),
        (["DATASET.NUM_SHOTSS", "4"], ['"DATASET.NUM_SHOTSS"', '"DATASET.NUM_SHOTS"']),
        (["MODEL.BACKBONE.NAMES", "tiny"], ['"MODEL.BACKBONE.NAMES"', '"MODEL.BACKBONE.NAME"']),
        (["SEEDS", "2"], ['"SEEDS"', '"SEED"']),
        (["optim.LR", "1.0"], ['"optim"', '"OPTIM"']),
        (["TRAINER.COCOP.N_CTX", "4"], ['"TRAINER.COCOP"', '"TRAINER.COCOOP"']),
        (["TRAINER.KGCOOP.WW", "4"], ['"TRAINER.KGCOOP.WW"', '"TRAINER.KGCOOP.W"']),
        (["OPTIM..LR", "1.0"], ['"OPTIM..LR"', '"OPTIM.LR"']),
        (["TRAINER..ALPHA", "1.0"], ['"TRAINER..ALPHA"']),
        (["OPTIM. .LR", "1.0"], ['"OPTIM. .LR"']),
        ([".SEED", "1"], ['".SEED"', '"SEED"']),
        (["TRAINER.COOP.", "1"], ['"TRAINER.COOP."']),
        (["", "1"], ['""']),
    ],
)
def test_a_third_partys_misspelt_keys_and_wrong_values_are_mistakes(pair, parts, set_up):
    with pytest.raises(UserError) as caught:
        set_up(*pair)
    assert all(part in str(caught.value) for part in parts)


@TRAINER_REGISTRY.register()
class UMuDPT(TrainerX):
    """Its name, and so its node, is near MuDPT's."""


@pytest.mark.parametrize(
    "key",
    [
        "TRAINER.UMUDPT.N_CTX",
        "TRAINER.COOP.ALPHA",
        "TRAINER.PROGRAD.TAU",
        "LOSS.LAMBDA",
        "OPTIM.MAX",
        "TRAINER.MPT.PREC",
    ],
)
def test_a_key_of_its_own_beside_known_ones_is_no_mistake(key, set_up):
    value = set_up(key, "3", trainer="UMuDPT")
    for part in key.split("."):
        value = value[part]
    assert value == 3


@pytest.mark.parametrize("trainer", ["CoOp", "KgCoOp", "TCP"])
def test_an_unknown_key_is_a_mistake_for_our_own_trainers(trainer, set_up):
    with pytest.raises(UserError, match="unknown config key"):
        set_up(trainer=trainer)
    with pytest.raises(UserError, match='"TRAINER.KGCOOP.WW"'):
        set_up("TRAINER.KGCOOP.WW", "8", trainer=trainer, text="TRAINER: {NAME: %s}")


def test_a_value_in_the_place_of_the_trainers_keys_is_a_mistake(set_up):
    with pytest.raises(UserError, match="expected a group of keys"):
        set_up("--trainer", "CoOp", text="TRAINER: CoOp")


def test_a_key_that_nothing_sets_is_named_in_full(set_up):
    cfg = set_up()
    for read, key in (
        (lambda: cfg.LOSS.LAMBDA, "LOSS.LAMBDA"),
        (lambda: cfg.TRAINER.COOP.W, "TRAINER.COOP.W"),
        (lambda: cfg.EXTRA, "EXTRA"),
    ):
        with pytest.raises(UserError, match=f"ThirdPartyKeys reads the config key {key}, which nothing sets"):
            with train.missing_keys_named(cfg):
                read()
    with pytest.raises(AttributeError), train.missing_keys_named(cfg):
        _ = cfg.LOSS.NAME.missing


@pytest.mark.parametrize(("value", "shown"), [("3", "3"), ("None", "None"), ("fast", "'fast'")])
def test_a_value_in_the_place_of_a_group_that_the_trainer_reads_is_named(value, shown, set_up):
    cfg = set_up("TRAINER.THIRD", value)
    with pytest.raises(UserError) as caught, train.missing_keys_named(cfg):
        _ = cfg.TRAINER.THIRD.ALPHA
    message = str(caught.value)
    assert f"ALPHA of the config key TRAINER.THIRD, which is {shown}," in message
    assert "set TRAINER.THIRD.ALPHA" in message
    with pytest.raises(AttributeError), train.missing_keys_named(cfg):  # a fault of the trainer's
        _ = cfg.OPTIM.LR.ALPHA
