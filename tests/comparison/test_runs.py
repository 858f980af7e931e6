import json
from pathlib import Path

import pytest

from comparison.runs import read_runs
from support.user_error import UserError
from tests.fake_runs import FakeRuns


@pytest.fixture
def fake(tmp_path):
    return FakeRuns(tmp_path / "output")


def test_folders_that_upstream_wrote_are_read_from_their_logs(fake):
    config = {"SEED": 1, "MODEL": {"BACKBONE": {"NAME": "ViT-B/16"}}}
    fake.add_log("base2new/train_base/dtd/shots_16/CoOp/c/seed1", 81.3, config)
    fake.add_log("dtd/CoOp/c_4shots/seed1", 70.5)
    base, few = read_runs(fake.folder)
    assert (base.classes, base.accuracy, base.backbone) == ("base", 81.3, "ViT-B/16")
    assert (few.protocol, few.accuracy, few.backbone, few.learned_parameters) == ("few_shot", 70.5, "unknown", None)


@pytest.mark.parametrize(
    ("folder", "log", "accuracy"),
    [
        ("dtd/CoOp/c_4shots/seed1", "=> result\n* accuracy: 50.0%\n", None),  # a validation on the way
        (
            "dtd/CoOp/c_4shots/seed1",
            "=> result\n* accuracy: 50.0%\nFinish training\n=> result\n* accuracy: 60.0%\n",
            60,
        ),
        ("base2new/test_new/dtd/shots_4/CoOp/c/seed1", "=> result\n* accuracy: 50.0%\n", 50),
        ("base2new/test_base/dtd/shots_4/CoOp/c/seed1", "=> result\n* accuracy: 50.0%\n", 50),
        ("ZeroshotCLIP/rn50/dtd", "=> result\n* accuracy: 50.0%\n", 50),
        ("base2new/test_new/dtd/shots_4/CoOp/c/seed1", "loading\n", None),
    ],
)
def test_only_a_finished_run_counts(folder, log, accuracy, fake):
    fake.add_log("dtd/MuDPT/c_4shots/seed1", 1.0)
    file = fake.add_log(folder, 1.0) / "log.txt"
    file.write_text(log)
    found = [run.accuracy for run in read_runs(fake.folder) if run.trainer != "MuDPT"]
    assert found == ([] if accuracy is None else [accuracy])


def test_results_come_before_the_log_beside_them(fake):
    folder = fake.add_few_shot("dtd", "CoOp/c", 4, 1, 66.66)
    (folder / "log.txt").write_text("Finish training\n=> result\n* accuracy: 10.0%\n")
    (run,) = read_runs(fake.folder)
    assert run.accuracy == 66.66 and run.epoch_seconds == 2.0 and run.checkpoint_bytes == 8192


@pytest.mark.parametrize("figure", ["--", "1e", "e", "1e999", "..", "-1e999"])
def test_what_only_looks_like_a_number_in_a_log_is_no_accuracy(figure, fake):
    (fake.add_log("dtd/CoOp/c_4shots/seed1", 50.0) / "log.txt").open("a").write(f"* accuracy: {figure}%\n")
    (run,) = read_runs(fake.folder)
    assert run.accuracy == 50.0


def test_anchors_in_a_logged_configuration_do_not_fill_memory(fake):
    file = fake.add_log("dtd/CoOp/c_4shots/seed1", 50.0) / "log.txt"
    laughs = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    file.write_text(file.read_text().replace("SEED: 1\n", laughs))
    (run,) = read_runs(fake.folder)
    assert run.accuracy == 50.0 and run.settings == {}


def change(folder: Path, **settings):
    """Other settings in a results.json: {"OPTIM__LR": 1} is OPTIM.LR."""
    file = folder / "results.json"
    results = json.loads(file.read_text())
    for key, value in settings.items():
        node, name = key.split("__")
        results["config"][node][name] = value
    file.write_text(json.dumps(results))


def test_seeds_of_other_settings_under_one_name_are_refused_with_the_keys(fake):
    one, two = (fake.add_few_shot("dtd", "CoOp/c", 4, seed, 60) for seed in (1, 2))
    read_runs(fake.folder)
    change(two, OPTIM__MAX_EPOCH=50, OPTIM__LR=0.1)
    with pytest.raises(UserError) as refused:
        read_runs(fake.folder)
    for part in (str(one), str(two), "both CoOp c", "OPTIM.LR 0.002, 0.1; OPTIM.MAX_EPOCH 5, 50", "--variant"):
        assert part in str(refused.value)


def test_a_method_averaged_over_data_sets_has_one_setting_too(fake):
    fake.add_few_shot("dtd", "CoOp/c", 4, 1, 60)
    other = fake.add_few_shot("eurosat", "CoOp/c", 4, 1, 60)
    read_runs(fake.folder)
    change(other, OPTIM__LR=0.1)
    with pytest.raises(UserError, match="OPTIM.LR 0.002, 0.1"):
        read_runs(fake.folder)


def test_base_and_new_have_one_setting(fake):
    fake.add_base_to_new("dtd", "CoOp/c", 1, 70, 60)
    change(fake.folder / "base2new/test_new/dtd/shots_16/CoOp/c/seed1", TRAINER__NAME="Other")
    with pytest.raises(UserError, match="TRAINER.NAME Other, CoOp"):
        read_runs(fake.folder)


def test_tests_of_models_of_different_sources_are_not_mixed(fake):
    for dataset, source in (("dtd", "imagenet"), ("eurosat", "caltech101")):
        model = {"model_dir": f"output/{source}/CoOp/c_16shots/seed1", "epoch": 5}
        fake.add(f"evaluation/CoOp/c_16shots/{dataset}/seed1", 60, "CoOp", dataset, 1, tested_model=model)
    with pytest.raises(UserError, match="model imagenet CoOp c 16 shots, caltech101 CoOp c 16 shots"):
        read_runs(fake.folder)
