"""Backbones in Hugging Face's layout at the command line: the same answers as from OpenAI's layout, or one line."""

import json

import huggingface_hub
import pytest

import benchmark
import train
from clip import weights
from tests.hugging_face_layout import hugging_face_config, write_hugging_face


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The embedded CLIP as transformers saves it."""
    state = weights.load_state_dict("tiny")
    return write_hugging_face(tmp_path_factory.mktemp("weights") / "my-clip", state, hugging_face_config(state))


@pytest.fixture
def unreachable_hub(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub, "hf_hub_url", lambda *args, **kwargs: "https://127.0.0.1:9/config.json")
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *args, **kwargs: None)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def zero_shot(data, root, output, *pairs):
    """Exit code of zero-shot CLIP on the handwritten digits, and what results.json says."""
    code = train.run(
        [
            *["--root", str(data), "--trainer", "ZeroshotCLIP", "--eval-only", "--output-dir", str(output)],
            *["--dataset-config-file", str(root / "configs/datasets/digits.yaml")],
            *["--config-file", str(root / "configs/trainers/ZeroshotCLIP/tiny.yaml"), *map(str, pairs)],
        ]
    )
    results = output / "results.json"
    return code, json.loads(results.read_text()) if results.exists() else None


def test_a_folder_of_hugging_face_gives_the_accuracy_of_the_same_clip(folder, data, root, tmp_path):
    _, by_name = zero_shot(data, root, tmp_path / "a", "MODEL.BACKBONE.NAME", "tiny")
    code, by_folder = zero_shot(data, root, tmp_path / "b", "MODEL.BACKBONE.PATH", f"{folder}/")
    assert code == 0 and by_folder["metrics"] == by_name["metrics"]
    assert (by_name["backbone"], by_folder["backbone"]) == ("tiny", "my-clip")


def test_a_model_of_another_kind_ends_in_one_line_and_leaves_no_results(folder, data, root, tmp_path, capsys):
    (tmp_path / "config.json").write_text('{"model_type": "siglip"}')
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    code, results = zero_shot(data, root, tmp_path / "out", "MODEL.BACKBONE.PATH", tmp_path)
    error = capsys.readouterr().err
    assert code == 2 and results is None
    assert error.startswith(f'error: {tmp_path}/config.json says model_type "siglip"') and error.count("\n") == 1


def test_a_sweep_tells_the_backbones_that_it_cannot_have_before_its_first_run(unreachable_hub, data, tmp_path, capsys):
    words = (
        f"few_shot --datasets digits --trainers CoOp MuDPT --seeds 1 --shots 1 --data {data} --output {tmp_path}/out"
    )
    code = benchmark.main([*words.split(), "--set", "MODEL.BACKBONE.NAME", "hf:someone/clip"])
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert code == 2 and len(errors) == 1
    assert errors[0].startswith("error: cannot download hf:someone/clip (")
    code = benchmark.main([*words.split(), "--set", "MODEL.BACKBONE.PATH", str(tmp_path)])
    assert code == 2 and f"error: {tmp_path} is a folder without a checkpoint" in capsys.readouterr().err
