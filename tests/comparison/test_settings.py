import json

import pytest
import yaml

import train
from comparison.settings import describe, differing, digest, settings_of
from dassl.config import CfgNode


def config(root, *pairs):
    arguments = ["--config-file", str(root / "configs/trainers/CoOp/tiny.yaml"), "--trainer", "CoOp", *pairs]
    return train.setup_cfg(train.parse_args(arguments))


def test_settings_are_the_same_in_memory_in_a_results_file_and_in_a_log(root):
    cfg = config(root)
    in_memory = settings_of(cfg)
    assert settings_of(json.loads(json.dumps(train.to_dict(cfg)))) == in_memory
    assert settings_of(yaml.safe_load(str(cfg))) == in_memory
    assert in_memory["OPTIM.MAX_EPOCH"] == str(cfg.OPTIM.MAX_EPOCH) and in_memory["INPUT.RRCROP_SCALE"] == "[0.7, 1.0]"


def test_where_and_how_a_run_is_computed_does_not_count(root):
    one = settings_of(config(root, "--root", "here", "--output-dir", "one", "DATALOADER.NUM_WORKERS", "0"))
    pairs = ("DATALOADER.NUM_WORKERS", "8", "TRAIN.PRINT_FREQ", "1", "USE_CUDA", "False", "TRAIN.CHUNK_CLASSES", "5")
    pairs += ("TRAIN.CUDA_GRAPH", "off")
    assert digest(one) == digest(settings_of(config(root, "--root", "there", "--output-dir", "two", *pairs)))
    one, two = ({"MODEL": {"BACKBONE": {"PATH": f"{folder}/clip.pt"}}} for folder in ("/here", "/there"))
    assert settings_of(one) == settings_of(two)
    one, two = ({"DATASET": {"DESCRIPTIONS": f"{folder}/texts.json"}} for folder in ("/here", "/there"))
    assert settings_of(one) == settings_of(two) != settings_of({"DATASET": {"DESCRIPTIONS": "/here/others.json"}})


def test_what_a_result_depends_on_changes_the_digest(root):
    for pairs in (("OPTIM.LR", "0.5"), ("OPTIM.CLIP_GRAD_NORM", "1.0"), ("SEED", "2"), ("TRAINER.COOP.N_CTX", "2")):
        assert digest(settings_of(config(root, *pairs))) != digest(settings_of(config(root)))


@pytest.mark.parametrize("text", ["({[]: 1})", "(b'x')", "({1})", "(" * 999 + ")", "(1 is 1)"])
def test_texts_that_look_like_a_tuple_are_settings(text):
    assert text in settings_of({"A": text})["A"] or settings_of({"A": text})["A"].startswith('"')


def test_keys_and_values_that_only_yaml_knows_are_settings():
    config = yaml.safe_load("1: a\nb: 2001-01-01\nnull: {x: .inf}")
    assert settings_of(config) == {"1": "a", "None.x": "Infinity", "b": '"2001-01-01"'}


def test_differing_keys_are_told_with_both_values():
    one = settings_of(CfgNode({"OPTIM": {"LR": 0.1, "NAME": "sgd"}, "DATASET": {"NAME": "A"}, "OLD": 1}))
    two = settings_of(CfgNode({"OPTIM": {"LR": 0.2, "NAME": ""}, "DATASET": {"NAME": "B"}, "SEED": 1}))
    keys = differing(one, two, ["DATASET."])
    assert keys == ["OPTIM.LR", "OPTIM.NAME"]  # and not those of other versions, OLD and SEED
    assert describe(one, two, keys) == "OPTIM.LR 0.1, 0.2; OPTIM.NAME sgd, (empty)"
    assert differing(one, two, ["DATASET.", "OPTIM.LR"]) == ["OPTIM.NAME"]
