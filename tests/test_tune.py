"""Choosing settings: the grid, the table, and that no test image is opened."""

import json
import re

import pytest

import tune
from comparison import dataset_files
from support.user_error import UserError


def test_a_grid_is_all_combinations():
    points = tune.grid_points(["OPTIM.LR=0.1,0.2", "INPUT.SIZE=(32, 32);(16, 16)"])
    assert points == [
        {"OPTIM.LR": lr, "INPUT.SIZE": size} for lr in ("0.1", "0.2") for size in ("(32, 32)", "(16, 16)")
    ]
    assert tune.grid_points([]) == [{}]


def test_a_grid_entry_without_values_is_refused():
    with pytest.raises(UserError, match="KEY=V1,V2"):
        tune.grid_points(["OPTIM.LR"])


def test_points_are_ranked_by_h_on_validation_images_alone(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dataset_files, "ROOT", root)  # is relative to where the tests were started
    data = tmp_path / "data"
    run = ["--datasets", "digits", "--seeds", "1", "--shots", "2", "--root", str(data)]
    assert tune.main(["ZeroshotCLIP", *run]) == 0
    tested = json.loads((data / "digits" / "split_digits.json").read_text())["test"]
    for path, _, _ in tested:
        (data / "digits" / "images" / path).write_bytes(b"")
    capsys.readouterr()
    assert tune.main(["MuDPT", *run, "--grid", "OPTIM.MAX_EPOCH=1,2"]) == 0
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| MAX_EPOCH")]
    scores = [[float(cell) for cell in re.findall(r"[\d.]+", line.split("|")[2])] for line in table]
    assert len(table) == 2
    assert scores[0][2] >= scores[1][2]
    for base, new, harmonic in scores:
        assert abs(harmonic - 2 * base * new / (base + new)) < 0.15


def test_a_cache_of_the_base_classes_is_scored_as_zero_shot_on_the_new_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def scores(trainer, **point):
        args = tune.parse_args([trainer, "--datasets", "digits", "--shots", "2", "--root", str(tmp_path / "data")])
        return tune.base_and_new(args, "digits", 1, point)

    point = {"OPTIM.MAX_EPOCH": "1", "TRAINER.TIP_ADAPTER.AUGMENT_EPOCH": "1"}
    assert scores("TipAdapterF", **point)[1] == scores("ZeroshotCLIP")[1]
