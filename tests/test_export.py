"""export.py: files that classify as the model does, without this project."""

import importlib.util
import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from open_clip.model import build_model_from_openai_state_dict
from PIL import Image

import export
from support.user_error import UserError
from tests.seeded_weights import seeded_images, seeded_state_dict
from tests.tuned_models import MEAN, NAMES, STD, saved_model, seeded_model
from trainers import export as exporting
from trainers.clip_adapter import Adapter
from trainers.export import PACKAGES, classifier

METHODS = (
    "MuDPT MaPLe VPT IVLP PromptSRC MMA MMRL CoOp KgCoOp ProGrad TCP CLIP_LoRA CoCoOp CLIP_Adapter "
    "TipAdapter TipAdapterF LinearProbe GDA CLAP TaskRes CrossModal ZeroshotCLIP ZeroshotCLIP2 CuPL"
).split()
BATCHES = (1, 5, 12)
WITH_ONNX = all(importlib.util.find_spec(name) for name in PACKAGES)
needs_onnx = pytest.mark.skipif(not WITH_ONNX, reason=f"{', '.join(PACKAGES)} are not installed")

# Run where this project cannot be imported. Arguments: the exported file, images.npz; writes logits.npz.
STRANGER = """
import importlib.util, sys
import numpy as np
assert not any(importlib.util.find_spec(name) for name in ("trainers", "clip", "dassl", "support"))
file, images, logits = sys.argv[1:]
if file.endswith(".onnx"):
    import onnxruntime
    session = onnxruntime.InferenceSession(file)
    classify = lambda images: session.run(["logits"], {"images": images})[0]
else:
    import torch
    program = torch.export.load(file).module()
    classify = lambda images: program(torch.from_numpy(images)).detach().numpy()
np.savez(logits, **{size: classify(batch) for size, batch in np.load(images).items()})
"""


@pytest.fixture(autouse=True)
def no_trace_of_the_exporter():
    """PyTorch logs every step of a trace, which pytest would keep: a third of the time."""
    logging.disable(logging.DEBUG)
    yield
    logging.disable(logging.NOTSET)


def command(*words) -> int:
    return export.main([str(word) for word in words])


def stranger(folder: Path, script: str, *words) -> str:
    """Run a script in ``folder``, in a process without this project; returns its output."""
    (folder / "stranger.py").write_text(script)
    root = str(Path(__file__).parents[1])
    packages = os.pathsep.join(place for place in sys.path if place and not place.startswith(root))
    words = [sys.executable, "stranger.py", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": packages}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("name", "kind"), [*((name, "vit") for name in METHODS), ("CoOp", "resnet")])
def test_what_is_exported_classifies_as_the_model(name, kind):
    tuned = seeded_model(name, kind)
    with torch.no_grad():
        for count in BATCHES:
            images = seeded_images(kind, count, seed=count)
            torch.testing.assert_close(classifier(tuned)(images), tuned(images), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("format", "name"),
    [pytest.param("onnx", "MuDPT", marks=needs_onnx), ("torch", "CoCoOp"), ("torch", "MMA"), ("torch", "MMRL")],
)
def test_a_file_gives_the_models_logits_where_this_project_is_not(format, name, tmp_path, capsys):
    tuned = saved_model(tmp_path / "saved", name, layers=1 if name == "CoCoOp" else 2)
    assert command(tmp_path / "saved", tmp_path / "exported", "--format", format) == 0
    file = tmp_path / "exported" / exporting.FORMATS[format].file
    assert f"{file}: read back, its logits differ from the model's by at most " in capsys.readouterr().out
    batches = {str(count): seeded_images("vit", count, seed=count) for count in BATCHES}
    np.savez(tmp_path / "images.npz", **{name: batch.numpy() for name, batch in batches.items()})
    stranger(tmp_path, STRANGER, file, "images.npz", "logits.npz")
    with np.load(tmp_path / "logits.npz") as logits, torch.no_grad():
        for name, batch in batches.items():
            np.testing.assert_allclose(logits[name], tuned(batch).numpy(), atol=1e-3, rtol=0)


def test_the_model_is_described(tmp_path):
    saved_model(tmp_path / "saved", "ZeroshotCLIP")
    assert command(tmp_path / "saved", tmp_path / "exported", "--format", "state_dict") == 0
    about = json.loads((tmp_path / "exported" / "model.json").read_text())
    assert about["class_names"] == NAMES and about["trainer"] == "ZeroshotCLIP"
    assert (about["image_size"], about["interpolation"]) == (32, "bicubic")
    assert (tuple(about["mean"]), tuple(about["std"])) == (MEAN, STD)
    assert about["templates"] == ["a photo of a {}, a type of pet."]
    assert sorted(each.name for each in (tmp_path / "exported").iterdir()) == ["clip.pt", "model.json"]


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [
        ("CLIP_LoRA", "vit", {"ALPHA": 3.0}),
        ("CLIP_LoRA", "vit", {"PARAMS": "k", "POSITION": "up"}),
        ("CLIP_LoRA", "resnet", {"ENCODER": "text", "PARAMS": "q v"}),
        ("ZeroshotCLIP2", "vit", {}),
    ],
)
def test_open_clip_reads_the_merged_state_dict(name, kind, options, tmp_path):
    """In open_clip's own model its zero-shot logits are the tuned model's."""
    tuned = saved_model(tmp_path / "saved", name, kind, **options)
    assert command(tmp_path / "saved", tmp_path / "exported", "--format", "state_dict") == 0
    tensors = torch.load(tmp_path / "exported" / "clip.pt", weights_only=True)
    templates = json.loads((tmp_path / "exported" / "model.json").read_text())["templates"]
    theirs = build_model_from_openai_state_dict(dict(tensors)).float().eval()
    theirs.load_state_dict(tensors)  # again, for it has rounded them to float16
    images = seeded_images(kind, 4)
    with torch.no_grad():
        texts = [[text.format(name.replace("_", " ")) for name in NAMES] for text in templates]
        features = [F.normalize(theirs.encode_text(open_clip.tokenize(each)), dim=-1) for each in texts]
        weights = F.normalize(torch.stack(features).mean(dim=0), dim=-1)
        logits = theirs.logit_scale.exp() * F.normalize(theirs.encode_image(images), dim=-1) @ weights.t()
        torch.testing.assert_close(logits, tuned(images), atol=1e-3, rtol=0)
    changed = [key for key, tensor in seeded_state_dict(kind).items() if not torch.equal(tensor, tensors[key])]
    assert bool(changed) == (name == "CLIP_LoRA")


@needs_onnx
def test_the_code_in_the_documentation_runs(root, tmp_path):
    tuned = saved_model(tmp_path / "saved", "LinearProbe", layers=1)
    assert command(tmp_path / "saved", tmp_path / "exported", "--format", "onnx") == 0
    Image.fromarray(np.random.RandomState(3).randint(0, 256, (40, 50, 3), dtype=np.uint8)).save(tmp_path / "cat.jpg")
    (code,) = re.findall(r"```python\n(.*?)```", (root / "docs" / "export.md").read_text(), flags=re.DOTALL)
    printed = stranger(tmp_path, code + "print(*logits[0])\n").split("\n")
    probabilities = tuned.predict([tmp_path / "cat.jpg"])[0]
    assert printed[0] == NAMES[probabilities.argmax()]
    logits = torch.tensor([float(value) for value in printed[1].split()])
    torch.testing.assert_close(logits.softmax(dim=0), probabilities, atol=1e-3, rtol=0)


# mistakes


def error_of(capsys) -> str:
    """The one line of a command that failed."""
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line.removeprefix("error: ")


@pytest.mark.parametrize(
    ("name", "learned"),
    [("VPT", "prompts or adapters of CLIP's encoders"), ("LinearProbe", "a classifier of CLIP's features")],
)
def test_what_no_state_dict_can_hold_is_refused(name, learned, tmp_path, capsys):
    saved_model(tmp_path / "saved", name)
    assert command(tmp_path / "saved", tmp_path / "exported", "--format", "state_dict") == 2
    assert error_of(capsys) == (
        f"{name} learns {learned}, and a state dict of CLIP has no place for them: choose --format onnx or torch"
    )
    assert not list(tmp_path.glob("exported*"))


@pytest.mark.parametrize("name", PACKAGES)
def test_a_missing_package_is_named(name, tmp_path, monkeypatch, capsys):
    really = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda each: None if each == name else True)
    assert command(tmp_path, tmp_path / "exported", "--format", "onnx") == 2
    monkeypatch.setattr(importlib.util, "find_spec", really)
    assert error_of(capsys) == (
        f"--format onnx needs {name}, not installed here: pip install onnx onnxscript onnxruntime"
    )


def test_an_unknown_format_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        command(tmp_path, tmp_path / "exported", "--format", "tflite")
    assert ended.value.code == 2 and "invalid choice: 'tflite'" in error_of(capsys)


def test_a_folder_of_another_model_is_left_alone(tmp_path, capsys):
    folder = tmp_path / "exported"
    saved_model(tmp_path / "zero", "ZeroshotCLIP")
    saved_model(tmp_path / "lora", "CLIP_LoRA")
    assert command(tmp_path / "zero", folder, "--format", "state_dict") == 0
    before = (folder / "clip.pt").read_bytes(), (folder / "model.json").read_text()
    assert command(tmp_path / "lora", folder, "--format", "state_dict") == 2
    assert error_of(capsys) == f"{folder} holds the export of another model: name a new folder, or delete that one"
    assert ((folder / "clip.pt").read_bytes(), (folder / "model.json").read_text()) == before
    assert command(tmp_path / "zero", folder, "--format", "state_dict") == 0  # its own model may be written again


def test_a_folder_with_other_files_is_left_alone(tmp_path, capsys):
    saved_model(tmp_path / "saved", "ZeroshotCLIP")
    assert command(tmp_path / "saved", tmp_path / "saved", "--format", "state_dict") == 2
    wanted = f"{tmp_path / 'saved'} holds other files (learned.safetensors): name a new folder for the exported model"
    assert error_of(capsys) == wanted
    assert command(tmp_path / "saved", tmp_path / "vit.pt", "--format", "state_dict") == 2
    assert error_of(capsys) == f"{tmp_path / 'vit.pt'} is a file: name a folder for the exported model"


def test_images_that_the_description_cannot_tell_are_refused(tmp_path, capsys):
    saved_model(tmp_path / "saved", "ZeroshotCLIP")
    file = tmp_path / "saved" / "model.json"
    file.write_text(file.read_text().replace('"normalize"', '"normalize", "instance_norm"'))
    assert command(tmp_path / "saved", tmp_path / "exported", "--format", "torch") == 2
    assert "instance_norm in INPUT.TRANSFORMS" in error_of(capsys)


def test_a_method_that_the_exporter_cannot_trace_leaves_nothing(tmp_path, monkeypatch):
    tuned = seeded_model("CLIP_Adapter")
    forward = Adapter.forward
    monkeypatch.setattr(Adapter, "forward", lambda self, x: forward(self, x) if x.sum() > 0 else forward(self, x))
    with pytest.raises(UserError, match=r"^PyTorch's exporter cannot write CLIP_Adapter \(\w+: .+MUDPT_DEBUG=1"):
        exporting.export(tuned, str(tmp_path / "exported"), "torch")
    assert not list(tmp_path.iterdir())


def test_a_file_that_classifies_otherwise_is_not_kept(tmp_path, monkeypatch):
    tuned = seeded_model("ZeroshotCLIP")
    monkeypatch.setattr(type(tuned.method), "plain_templates", lambda self: ["a sketch of a {}."])
    with pytest.raises(UserError, match=r"gives other logits than the model \(by up to .+was not kept"):
        exporting.export(tuned, str(tmp_path / "exported"), "state_dict")
    assert not list(tmp_path.iterdir())
