from pathlib import Path

import pytest

from comparison.run_spec import RunSpec, dataset_name, protocol_of_test

COOP = RunSpec("few_shot", "all", "dtd", "CoOp", "c", shots=4, seed=1)


@pytest.mark.parametrize(
    ("path", "spec"),
    [
        ("base2new/train_base/dtd/shots_16/CoOp/c/seed1", ("base2new", "base", "dtd", "CoOp", "c", "", 16, 1)),
        (
            "base2new/test_base/dtd/shots_4/CoOp/c/seed1",
            ("base2new", "base", "dtd", "CoOp", "c", "", 4, 1),
        ),
        ("base2new/test_new/dtd/shots_16/CoOp/c/wide/seed2", ("base2new", "new", "dtd", "CoOp", "c", "wide", 16, 2)),
        ("dtd/CoOp/c_1shots/nctx16_cscFalse/seed3", ("few_shot", "all", "dtd", "CoOp", "c", "nctx16_cscFalse", 1, 3)),
        ("few_shot/dtd/IVLP/c_1shots/seed3", ("few_shot", "all", "dtd", "IVLP", "c", "", 1, 3)),
        ("evaluation/CoOp/c_16shots/dtd/seed1", ("cross_dataset", "all", "dtd", "CoOp", "c", "", 16, 1)),
        (
            "evaluation/CoOp/c_16shots/imagenet_a/seed1",
            ("domain_generalization", "all", "imagenet_a", "CoOp", "c", "", 16, 1),
        ),
        ("ZeroshotCLIP/rn50/dtd", ("zero_shot", "all", "dtd", "ZeroshotCLIP", "rn50")),
        ("dtd/ZeroshotCLIP/rn50_4shots/seed2", ("zero_shot", "all", "dtd", "ZeroshotCLIP", "rn50")),
        ("base2new/test_new/dtd/shots_4/ZeroshotCLIP/c/seed2", ("base2new", "new", "dtd", "ZeroshotCLIP", "c")),
        ("logs/anything", None),
    ],
)
def test_folders_of_upstream_tell_what_a_run_is(path, spec):
    assert RunSpec.of_path(path) == (spec and RunSpec(*spec))


def test_a_model_is_the_same_wherever_the_output_folder_is():
    run = "base2new/train_base/dtd/shots_16/CoOp/c/seed1"
    specs = {RunSpec.of_folder(Path(f"{folder}{run}")) for folder in ("", "output/", "/far/away/output/")}
    assert [spec.trained for spec in specs] == ["dtd CoOp c 16 shots"]
    assert RunSpec.of_folder(Path("/models/mine")) is None


@pytest.mark.parametrize(
    "spec",
    [
        COOP,
        RunSpec("base2new", "new", "dtd", "CoOp", "c", "wide", 16, 2),
        RunSpec("zero_shot", "all", "dtd", "ZeroshotCLIP", "c"),
        RunSpec("cross_dataset", "all", "dtd", "CoOp", "c", shots=16, seed=1),
        RunSpec("domain_generalization", "all", "imagenet_r", "CoOp", "c", "wide/er", 16, 1),
    ],
)
def test_a_run_is_found_where_its_folder_is(spec):
    assert RunSpec.of_path(spec.folder.as_posix()) == spec


def test_a_record_is_read_as_it_was_written():
    spec = RunSpec("cross_dataset", "all", "eurosat", "CoOp", "c", shots=4, seed=1, model=COOP)
    assert RunSpec.of_record(spec.to_dict()) == spec


@pytest.mark.parametrize(
    "change",
    [
        *({"protocol": "xd"}, {"protocol": ["few_shot"]}, {"classes": "half"}, {"dataset": ""}, {"trainer": None}),
        *({"shots": "4"}, {"shots": -2}, {"shots": True}, {"seed": 1.5}, {"variant": 3}, {"config": "c" * 5000}),
        *({"model": {}}, {"model": {**COOP.to_dict(), "model": COOP.to_dict()}}),
    ],
)
def test_what_is_no_record_gives_no_spec(change):
    assert RunSpec.of_record({**COOP.to_dict(), **change}) is None
    assert RunSpec.of_record([]) is None and RunSpec.of_record({}) is None


@pytest.mark.parametrize(
    ("pairs", "name"),
    [
        (["DATASET.DIR", "photos/mine/"], "own-photos-mine"),
        (["DATASET.DIR", "./mine"], "own-mine"),
        (["DATASET.DIR", "/data/my photos"], "own-data-my photos"),
        (["DATASET.LIST", "birds/list.v2.csv"], "own-birds-list.v2"),
        (["DATASET.DIR", "photos", "DATASET.LIST", "birds.csv"], "own-birds"),
        (["DATASET.DIR", "."], "own"),
        (["OPTIM.LR", "1"], "own"),
    ],
)
def test_ones_own_images_are_named_by_their_folder_or_list(pairs, name):
    assert dataset_name("own", "ImageFolder", pairs) == name
    assert dataset_name("dtd", "DescribableTextures", pairs) == "dtd"


def test_the_protocol_of_a_test_follows_from_source_and_dataset():
    asked = [("dtd", "dtd"), ("imagenet", "dtd"), ("imagenet", "imagenet_a"), ("dtd", "imagenet_a")]
    assert [protocol_of_test(*pair) for pair in asked] == [
        *("few_shot", "cross_dataset", "domain_generalization", "cross_dataset")
    ]
