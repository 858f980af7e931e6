"""A "~" that the shell has left, as in --root=~/data, is the home folder in every path that a command takes."""

import importlib

import pytest


@pytest.mark.parametrize(
    ("command", "words", "paths"),
    [
        ("train", "--root=~/a --output-dir=~/b --resume=~/c --model-dir=~/d", "root output_dir resume model_dir"),
        ("train", "--config-file=~/a --dataset-config-file ~/b", "config_file dataset_config_file"),
        (
            "benchmark",
            "few_shot --trainers CoOp --datasets d --output=~/a --data=~/b --html=~/c --plots=~/d",
            "output data html plots",
        ),
        ("benchmark", "report ~/a", "output"),
        ("tune", "CoOp --datasets digits --root=~/a", "root"),
        ("parse_test_res", "~/a", "directory"),
        ("draw_curves", "~/a --save-dir=~/b", "output save_dir"),
        ("interpret_prompt", "~/a 3 --backbone=~/b", "checkpoint backbone"),
        ("datasets.check.__main__", "--root=~/a", "root"),
        ("datasets.prepare.__main__", "dtd --root=~/a", "root"),
    ],
)
def test_in_flags(command, words, paths, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    args = importlib.import_module(command).parse_args(words.split())
    assert [getattr(args, path) for path in paths.split()] == [
        f"/home/me/{name}" for name in "abcd"[: len(paths.split())]
    ]


@pytest.mark.parametrize("command", ["datasets.check.__main__", "datasets.prepare.__main__"])
def test_in_the_environment(command, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("DATA", "~/data")
    assert importlib.import_module(command).parse_args(["dtd"]).root == "/home/me/data"


def test_in_the_folder_of_the_weights(monkeypatch):
    from clip.weights import cache_folder

    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("CLIP_CACHE", "~/weights")
    assert cache_folder() == "/home/me/weights"
