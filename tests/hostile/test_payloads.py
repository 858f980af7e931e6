"""Pickles that call what they should not, behind every key and flag that names a checkpoint: nothing of them runs."""

import io
import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch

import train
from clip.weights import TINY

ROOT = Path(__file__).resolve().parents[2]


class Calls:
    """Unpickled, it makes a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def calls(trace: Path) -> dict[str, Calls]:
    """Calls that would leave the file ``trace``."""
    return {
        "os.system": Calls(os.system, f"touch {trace}"),
        "exec": Calls(exec, f"open({str(trace)!r}, 'w')"),
        "open": Calls(open, str(trace), "w"),
        "torch.save": Calls(torch.save, torch.ones(1), str(trace)),
    }


def in_a_zip(content: object, protocol: int = 2) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, pickle_protocol=protocol)
    return buffer.getvalue()


def as_before_pytorch_1_6(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def in_a_torchscript_archive(content: object) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps(content, 2))
        archive.writestr("a/constants.pkl", pickle.dumps(content, 2))
        archive.writestr("a/code/__torch__.py", "class X(Module):\n  __parameters__ = []\n  __buffers__ = []\n")
        archive.writestr("a/version", "3\n")
    return buffer.getvalue()


def in_a_tar(content: object) -> bytes:
    """As PyTorch before 0.1.10 wrote."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            pickled = pickle.dumps(content, 2)
            info = tarfile.TarInfo(name)
            info.size = len(pickled)
            archive.addfile(info, io.BytesIO(pickled))
    return buffer.getvalue()


FORMATS = {
    "zip": in_a_zip,
    **{f"zip of protocol {n}": lambda content, n=n: in_a_zip(content, n) for n in (0, 3, 4, 5)},
    "before PyTorch 1.6": as_before_pytorch_1_6,
    "TorchScript": in_a_torchscript_archive,
    "tar": in_a_tar,
    "pickle": lambda content: pickle.dumps(content, 4),
}
DOORS = ("MODEL.BACKBONE.PATH", "MODEL.INIT_WEIGHTS", "--model-dir", "--resume", "RESUME")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("data")


def arguments(data: Path, output: Path, trainer: str) -> list[str]:
    return [
        *("--root", str(data), "--output-dir", str(output), "--seed", "1", "--trainer", trainer),
        *("--dataset-config-file", str(ROOT / "configs/datasets/digits.yaml")),
        *("--config-file", str(ROOT / f"configs/trainers/{trainer}/tiny.yaml")),
    ]


@pytest.fixture
def refused(data, tmp_path, capsys):
    """Run train.py with a file behind a door; returns its one line, after checking that it wrote nothing."""

    def refused(door: str, content: bytes) -> str:
        folder, output = tmp_path / "brought" / "prompt_learner", tmp_path / "output"
        folder.mkdir(parents=True)
        file = folder / "model.pth.tar-1"
        file.write_bytes(content)
        (folder / "checkpoint").write_text("model.pth.tar-1\n")
        more = {
            "MODEL.BACKBONE.PATH": ["MODEL.BACKBONE.PATH", str(file)],
            "MODEL.INIT_WEIGHTS": ["MODEL.INIT_WEIGHTS", str(file)],
            "--model-dir": ["--eval-only", "--model-dir", str(folder.parent)],
            "--resume": ["--resume", str(folder.parent)],
            "RESUME": ["RESUME", str(folder.parent)],
        }[door]
        code = train.run([*arguments(data, output, "CoOp"), *more, "DATASET.NUM_SHOTS", "1"])
        error = capsys.readouterr().err
        assert code == 2 and error.startswith("error: ") and error.count("\n") == 1, error
        assert str(file) in error
        assert not output.exists()
        return error

    return refused


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("form", FORMATS)
def test_a_call_in_a_checkpoint_is_refused_and_not_made(form, door, refused, tmp_path):
    trace = tmp_path / "trace"
    which = list(FORMATS).index(form) + DOORS.index(door)  # each call behind some doors: all together take long
    call = list(calls(trace).values())[which % len(calls(trace))]
    refused(door, FORMATS[form]({"state_dict": {"ctx": call}, "epoch": 1}))
    assert not trace.exists()


@pytest.mark.parametrize("call", calls(Path("trace")))
@pytest.mark.parametrize("form", ["zip", "zip of protocol 4", "before PyTorch 1.6", "pickle"])
def test_the_calls_are_real(form, call, tmp_path):
    trace = tmp_path / "trace"
    content = FORMATS[form](calls(trace)[call])
    if form == "pickle":
        pickle.loads(content)
    else:
        torch.load(io.BytesIO(content), weights_only=False)
    assert trace.exists()


def test_the_backbone_of_this_repository_still_loads(data, tmp_path):
    whole = [*arguments(data, tmp_path / "output", "ZeroshotCLIP"), "--eval-only", "MODEL.BACKBONE.PATH", TINY]
    assert train.run(whole) == 0
