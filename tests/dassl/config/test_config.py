import os

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


def billion_laughs() -> str:
    lines = ["DATASET:", "  SOURCE_DOMAINS: &a0 [x, x, x, x, x, x, x, x, x]"]
    return "\n".join([*lines, *(f"k{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9))])


def merges_of_merges() -> str:
    return "\n".join(["a0: &a0 {x: 1}", *(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 30))])


@pytest.mark.parametrize(
    "text, part",
    [
        (billion_laughs(), "more than 50,000 values"),
        (merges_of_merges(), "more than 50,000 values"),
        ("OPTIM: &a\n  LR: [*a]\n", "refers to itself"),
        ("OPTIM: " + "[" * 60 + "]" * 60, "nested more than 50 deep"),
        ("OPTIM: " + "[" * 5000, "nested more than 50 deep"),
        ("? [a, b]\n: 1\n", "unhashable key"),
        ("SEED: 2001-99-99\n", "ValueError"),
        ("SEED: " + "9" * 5000, "ValueError"),
        ("SEED: \0", "special characters"),
        ("# " + "x" * 200_000, "more than 200,000 characters"),
    ],
    ids=["laughs", "merges", "itself", "deep", "deeper", "list as key", "date", "digits", "zero byte", "long"],
)
def test_yaml_that_grows_out_of_bounds_is_refused(text, part, cfg, yaml_file):
    path = yaml_file(text)
    message = error_of(cfg.merge_from_file, path)
    assert path in message and part in message and len(message) < 1000


def test_anchors_may_be_used(cfg, yaml_file):
    cfg.merge_from_file(yaml_file("INPUT: &a {SIZE: [32, 32]}\nOPTIM: {LR: &b 0.5, WARMUP_CONS_LR: *b}\n"))
    assert cfg.INPUT.SIZE[0] == 32 and cfg.OPTIM.WARMUP_CONS_LR == 0.5


def test_a_config_file_that_is_a_pipe_is_refused_at_once(cfg, tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    assert "no regular file" in error_of(cfg.merge_from_file, str(tmp_path / "pipe.yaml"))


@pytest.mark.parametrize("value", ["{[]: 1}", "(" * 500, "-" * 5000 + "1", "9" * 5000, "1 is 1", "x" * 10**6])
def test_texts_that_are_no_values_are_kept_as_texts(value, cfg, recwarn):
    cfg.merge_from_list(["OUTPUT_DIR", value])
    assert cfg.OUTPUT_DIR == value and not recwarn
    assert "OPTIM.LR" in error_of(cfg.merge_from_list, ["OPTIM.LR", value])


def test_a_text_with_a_zero_byte_is_an_error(cfg, yaml_file):
    path = yaml_file('DATASET: {ROOT: "a\\0b"}')
    assert "DATASET.ROOT" in error_of(cfg.merge_from_file, path)
    assert "null byte" in error_of(cfg.merge_from_file, "a\0b")


def test_a_number_too_large_for_its_key_is_an_error(cfg):
    for key, value in (("OPTIM.LR", "9" * 400), ("OPTIM.LR", "1e308"), ("OPTIM.MAX_EPOCH", "9" * 20)):
        assert "too large" in error_of(cfg.merge_from_list, [key, value])


@pytest.mark.parametrize("key, value", [("INPUT.SIZE", "(32, 'a')"), ("OPTIM.STEPSIZE", "[[]]")])
def test_parts_of_a_list_have_the_type_of_the_defaults_parts(key, value, cfg):
    assert key in error_of(cfg.merge_from_list, [key, value])


def test_frozen_config_refuses_assignment_and_clones_thaw(cfg):
    cfg.freeze()
    with pytest.raises(AttributeError):
        cfg.SEED = 2
    assert isinstance(cfg.clone(), CfgNode)


def test_clean_cfg_keeps_one_trainer(cfg):
    cfg.TRAINER.OTHER = CN()
    clean_cfg(cfg, "CoOp")
    assert set(cfg.TRAINER) == {"NAME", "COOP"}
