"""Names for several datasets, on the command lines that take them."""

import os
import subprocess

import pytest

import benchmark
import tune
from comparison.dataset_groups import ELEVEN, GROUPS, IMAGENET_VARIANTS, expand_datasets
from datasets.check.inspection import published_names


@pytest.fixture
def plan(root, tmp_path, capsys, monkeypatch):
    """The datasets of a plan, in its order; or, with ``code``, what is printed of a mistake."""
    monkeypatch.chdir(root)

    def plan(words, trainers="ZeroshotCLIP", code=0):
        protocol, *rest = words.split()
        arguments = [protocol, "--trainers", *trainers.split(), "--seeds", "1", "--output", str(tmp_path / "output")]
        assert benchmark.main([*arguments, *rest, "--dry-run"]) == code
        printed = capsys.readouterr()
        rows = [line.split(", ")[1] for line in printed.out.splitlines() if line.startswith(trainers.split()[0])]
        return printed.err if code else list(dict.fromkeys(rows))

    return plan


def test_the_groups_are_those_of_the_field():
    assert len(ELEVEN) == 11 and len(IMAGENET_VARIANTS) == 4
    assert set(GROUPS["fifteen"]()) == set(published_names())
    assert set(GROUPS["embedded"]()).isdisjoint(GROUPS["fifteen"]()) and "digits" in GROUPS["embedded"]()


def test_a_group_stands_for_its_datasets_beside_others_each_once():
    names = ["eurosat", "eleven", "digits", "imagenet_variants", "fifteen"]
    assert expand_datasets(names, "--datasets") == list(
        dict.fromkeys(["eurosat", *ELEVEN, "digits", *IMAGENET_VARIANTS])
    )
    assert expand_datasets(["all"], "--datasets") == expand_datasets(["embedded"], "--datasets")


@pytest.mark.parametrize("protocol", ["base2new", "few_shot --shots 1"])
def test_base_to_new_and_few_shot_take_groups(protocol, plan):
    assert plan(f"{protocol} --datasets eleven", "CoOp") == list(ELEVEN)
    assert plan(f"{protocol} --datasets dtd embedded") == ["dtd", *GROUPS["embedded"]()]


@pytest.mark.parametrize("protocol", ["cross_dataset", "domain_generalization"])
def test_the_protocols_that_only_test_take_the_variants_too(protocol, plan):
    assert plan(f"{protocol} --datasets imagenet_variants", "CoOp") == ["imagenet", *IMAGENET_VARIANTS]
    assert set(plan(f"{protocol} --datasets fifteen", "CoOp")) == {*ELEVEN, *IMAGENET_VARIANTS}


def test_zero_shot_clip_is_tested_on_all_fifteen(plan):
    assert plan("few_shot --shots 1 --datasets fifteen") == [*ELEVEN, *IMAGENET_VARIANTS]


@pytest.mark.parametrize(
    "words, told",
    [
        ("base2new --datasets elevn", '--datasets: unknown "elevn" (did you mean "eleven"?)'),
        ("few_shot --datasets imagenet_variant", '(did you mean "imagenet_variants"?)'),
        ("cross_dataset --datasets fiften", '(did you mean "fifteen"?)'),
        ("domain_generalization --datasets embeded", '(did you mean "embedded"?)'),
        ("base2new --datasets fifteen", "imagenet_r can only be tested on"),
        ("few_shot --datasets digits imagenet_a", "--datasets: imagenet_a can only be tested on"),
        ("cross_dataset --source imagenet_a --datasets dtd", "--source: imagenet_a can only be tested on"),
    ],
)
def test_mistakes_are_one_line(words, told, plan):
    error = plan(words, "CoOp", code=2)
    assert error.startswith("error: ") and error.count("\n") == 1 and told in error


@pytest.mark.parametrize(
    "names, told", [(["elevn"], '(did you mean "eleven"?)'), (["fifteen"], "imagenetv2, imagenet_sketch, imagenet_a")]
)
def test_tuning_takes_groups(names, told, capsys):
    assert tune.main(["CoOp", "--datasets", *names]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1


def test_tuning_is_done_on_the_members(monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(tune, "base_and_new", lambda args, dataset, seed, point: seen.append(dataset) or (50.0, 50.0))
    assert tune.main(["CoOp", "--datasets", "dtd", "embedded", "--seeds", "1"]) == 0
    assert seen == ["dtd", *GROUPS["embedded"]()]
    assert "| settings" in capsys.readouterr().out


def test_quickstart_gives_its_datasets_on(root, tmp_path):
    """With a stand-in for what it installs, and for Python."""
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "quickstart.sh").write_text((root / "scripts/quickstart.sh").read_text())
    (scripts / "setup_venv.sh").write_text("")
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)
    environment = {**os.environ, "DATASETS": "eleven digits"}
    done = subprocess.run(["bash", scripts / "quickstart.sh"], env=environment, capture_output=True, text=True)
    assert "--datasets eleven digits --seeds" in done.stdout, done.stderr
