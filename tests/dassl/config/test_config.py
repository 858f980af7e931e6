import pytest
from yacs.config import CfgNode as CN

from dassl.config import CfgNode, clean_cfg, get_cfg_default
from dassl.utils import UserError


@pytest.fixture
def cfg():
    cfg = get_cfg_default()
    cfg.TRAINER.COOP = CN()  # as CoOp's train.py declares its keys
    cfg.TRAINER.COOP.N_CTX = 16
    cfg.TRAINER.COOP.CTX_INIT = ""
    return cfg


@pytest.fixture
def yaml_file(tmp_path):
    def write(text):
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return str(path)

    return write


def error_of(merge, *args):
    with pytest.raises(UserError) as caught:
        merge(*args)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_defaults_are_a_new_tree_each_time():
    first = get_cfg_default()
    first.OPTIM.LR = 1.0
    assert get_cfg_default().OPTIM.LR == 0.0003


def test_yaml_values_take_the_type_of_the_default(cfg, yaml_file):
    cfg.merge_from_file(
        yaml_file(
            'INPUT:\n  SIZE: (32, 32)\n  TRANSFORMS: ["normalize"]\n'
            "OPTIM:\n  LR: 1\n  WARMUP_CONS_LR: 1e-5\nTRAINER:\n  COOP:\n    CTX_INIT: a photo of a\n"
        )
    )
    assert cfg.INPUT.SIZE == (32, 32)
    assert cfg.INPUT.TRANSFORMS == ("normalize",)
    assert cfg.OPTIM.LR == 1.0 and isinstance(cfg.OPTIM.LR, float)
    assert cfg.OPTIM.WARMUP_CONS_LR == 1e-5
    assert cfg.TRAINER.COOP.CTX_INIT == "a photo of a"


def test_list_values_are_decoded(cfg):
    cfg.merge_from_list(["OPTIM.LR", "0.5", "DATASET.NAME", "2024", "USE_CUDA", "False", "OPTIM.STEPSIZE", "(3, 5)"])
    assert (cfg.OPTIM.LR, cfg.DATASET.NAME, cfg.USE_CUDA, cfg.OPTIM.STEPSIZE) == (0.5, "2024", False, (3, 5))
    cfg.merge_from_list(None)
    cfg.merge_from_list(["TRAINER.COOP.CTX_INIT", "None"])
    assert cfg.TRAINER.COOP.CTX_INIT == ""


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ("OPTIM:\n  LRR: 0.1\n", "OPTIM.LRR", "OPTIM.LR"),
        ("OPTM:\n  LR: 0.1\n", "OPTM.LR", "OPTIM.LR"),
        ("TRAINER:\n  COOP:\n    NCTX: 4\n", "TRAINER.COOP.NCTX", "TRAINER.COOP.N_CTX"),
        ("TRAINER:\n  NMAE: CoOp\n", "TRAINER.NMAE", "TRAINER.NAME"),
        ("BATCH_SIZE: 4\n", "BATCH_SIZE", "DATALOADER.TEST.BATCH_SIZE"),
    ],
)
def test_unknown_key_names_file_key_and_nearest(cfg, yaml_file, text, key, nearest):
    path = yaml_file(text)
    message = error_of(cfg.merge_from_file, path)
    assert path in message
    assert f'"{key}"' in message
    assert f'did you mean "{nearest}"?' in message


def test_unknown_key_in_pairs_is_an_error(cfg):
    message = error_of(cfg.merge_from_list, ["TRAINER.COOP.N_CTXX", "4"])
    assert '"TRAINER.COOP.N_CTXX"' in message and '"TRAINER.COOP.N_CTX"' in message


@pytest.mark.parametrize(
    ("key", "value"),
    [("OPTIM.LR", "fast"), ("USE_CUDA", "1"), ("OPTIM.MAX_EPOCH", "2.5"), ("INPUT.SIZE", "224"), ("OPTIM.LR", "None")],
)
def test_value_of_wrong_type_is_an_error(cfg, yaml_file, key, value):
    before = cfg.clone()
    assert f'"{key}"' in error_of(cfg.merge_from_list, [key, value])
    node, name = key.rsplit(".", 1) if "." in key else (None, key)
    path = yaml_file(f"{node}:\n  {name}: {value}\n" if node else f"{name}: {value}\n")
    message = error_of(cfg.merge_from_file, path)
    assert f'"{key}"' in message and path in message
    assert cfg == before


def test_node_and_value_are_not_confused(cfg, yaml_file):
    assert '"OPTIM"' in error_of(cfg.merge_from_list, ["OPTIM", "3"])
    assert '"OPTIM.LR"' in error_of(cfg.merge_from_list, ["OPTIM.LR.X", "3"])
    cfg.merge_from_file(yaml_file("TRAINER:\nSEED: 4\n"))  # a node with every line commented out
    assert cfg.SEED == 4 and cfg.TRAINER.COOP.N_CTX == 16


def test_third_partys_trainer_node_is_taken_as_it_comes(cfg, yaml_file, capsys):
    cfg.merge_from_file(yaml_file("TRAINER:\n  MYMETHOD:\n    DEPTH: 3\n    HEAD: {WIDTH: 4}\n"))
    cfg.merge_from_list(["TRAINER.MYMETHOD.DEPTH", "2.5", "TRAINER.MYMETHOD.NEW", "words", "TRAINER.OTHER.A.B", "1"])
    assert cfg.TRAINER.MYMETHOD == {"DEPTH": 2.5, "HEAD": {"WIDTH": 4}, "NEW": "words"}
    assert cfg.clone().TRAINER.OTHER.A.B == 1
    assert capsys.readouterr().out == ""


def test_undeclared_node_near_a_declared_one_is_warned_about_once(cfg, capsys):
    cfg.merge_from_list(["TRAINER.CoOpp.N_CTX", "4", "TRAINER.CoOpp.CTX_INIT", "x"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 and "TRAINER.CoOpp" in lines[0] and "TRAINER.COOP" in lines[0]
    assert cfg.TRAINER.COOP.N_CTX == 16


def test_pair_without_value_is_an_error(cfg):
    assert '"SEED"' in error_of(cfg.merge_from_list, ["OPTIM.LR", "0.1", "SEED"])


def test_bad_files_are_errors_that_name_them(cfg, yaml_file, tmp_path):
    missing = str(tmp_path / "missing.yaml")
    assert missing in error_of(cfg.merge_from_file, missing)
    path = yaml_file("OPTIM:\n  LR: 0.1\n bad: [1\n")
    assert f"{path}, line 3" in error_of(cfg.merge_from_file, path)
    assert path in error_of(cfg.merge_from_file, yaml_file("- a\n- b\n"))
    assert path in error_of(cfg.merge_from_file, yaml_file("SEED: !!python/object/apply:os.getcwd []\n"))
    cfg.merge_from_file(yaml_file("# nothing yet\n"))


def test_frozen_config_refuses_assignment_and_clones_thaw(cfg):
    cfg.freeze()
    with pytest.raises(AttributeError):
        cfg.SEED = 2
    assert isinstance(cfg.clone(), CfgNode)


def test_clean_cfg_keeps_one_trainer(cfg):
    cfg.TRAINER.OTHER = CN()
    clean_cfg(cfg, "CoOp")
    assert set(cfg.TRAINER) == {"NAME", "COOP"}
