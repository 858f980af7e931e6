"""Files that hold more than tensors, or claim more than they hold, are refused in one line that names them."""

import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict

import pytest
import torch
from safetensors.torch import save_file

from support.tensor_file import read_tensor_file
from support.user_error import CheckpointError


def refusal(file) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_tensor_file(str(file))
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


def repacked(file, compression=zipfile.ZIP_STORED, **contents: bytes):
    """The archive with other contents of the entries that end in a key, "data_pkl" for data.pkl; others as they are."""
    contents = {name.replace("_", "."): content for name, content in contents.items()}
    with zipfile.ZipFile(file) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, contents.get(name.rpartition("/")[2], content))
    return file


@pytest.fixture
def file(tmp_path):
    torch.save({"weight": torch.arange(6.0)}, tmp_path / "some.pt")
    return tmp_path / "some.pt"


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "content",
    [
        OrderedDict(a=torch.ones(2, 3).t()),
        {"state_dict": {"a": torch.nn.Parameter(torch.ones(2))}, "epoch": 3, "lr": [0.1], "none": None},
        {"a": torch.ones(2, dtype=torch.bfloat16), "b": torch.tensor(3), "c": torch.zeros(0, 4), "raw": b"\x00\xff"},
    ],
    ids=["views", "containers", "types"],
)
def test_what_torch_saves_of_tensors_and_plain_values_is_read(content, zipped, tmp_path):
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    torch.testing.assert_close(read_tensor_file(str(tmp_path / "a.pt")), content)


def test_safetensors_are_read(tmp_path):
    save_file({"a": torch.ones(2, 3)}, tmp_path / "a.safetensors")
    assert read_tensor_file(str(tmp_path / "a.safetensors"))["a"].sum() == 6


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
def test_a_pipe_is_refused_at_once(name, tmp_path):
    os.mkfifo(tmp_path / name)
    assert "no regular file" in refusal(tmp_path / name)


@pytest.mark.parametrize(
    "make", [lambda: torch.eye(2).to_sparse(), lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)]
)
@pytest.mark.filterwarnings("ignore")  # quantized tensors are deprecated
def test_sparse_and_quantized_tensors_are_refused(make, tmp_path):
    torch.save({"odd": make()}, tmp_path / "a.pt")
    refusal(tmp_path / "a.pt")


def test_a_tensor_without_values_is_refused(tmp_path):
    torch.save({"odd": torch.empty(3, device="meta")}, tmp_path / "a.pt")
    refusal(tmp_path / "a.pt")


def test_a_packed_entry_is_refused(file):
    assert "is packed" in refusal(repacked(file, zipfile.ZIP_DEFLATED))


class Rebuilt:
    """Saved as the call of `torch._utils._rebuild_tensor_v2` that a hostile file could make."""

    def __init__(self, *arguments):
        self.arguments = arguments

    def __reduce__(self):
        storage = torch.ones(6).untyped_storage()
        typed = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.float32, _internal=True)
        return torch._utils._rebuild_tensor_v2, (typed, *self.arguments, False, OrderedDict())


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "offset, shape, stride",
    [(0, (7,), (1,)), (6, (1,), (1,)), (0, (2, 2), (9**9, 1)), (0, (10**12,), (1,)), (0, (10**12,), (0,)),
     (0, (2**62, 4), (1, 1)), (-1, (2,), (1,)), (0, (-1,), (1,)), (5, (2,), (-1,)), (0, (2,), (1, 1))],
)  # fmt: skip
def test_a_tensor_that_goes_on_past_its_values_is_refused(offset, shape, stride, zipped, tmp_path):
    torch.save({"odd": Rebuilt(offset, shape, stride)}, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    refusal(tmp_path / "a.pt")


def test_a_huge_place_in_the_memo_is_refused(file):
    assert "4,294,967,295" in refusal(repacked(file, data_pkl=b"\x80\x02}r\xff\xff\xff\xff."))


@pytest.mark.parametrize("protocol", range(6))
def test_a_call_is_refused_by_its_name_in_every_protocol(protocol, file, tmp_path):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "run"),)

    message = refusal(repacked(file, data_pkl=pickle.dumps({"weight": Payload()}, protocol)))
    assert "more than tensors" in message and ("mkdir" in message or protocol >= 4)
    assert not (tmp_path / "run").exists()


def test_a_list_that_holds_itself_does_not_hang(tmp_path):
    content = [torch.ones(1)]
    content.append(content)
    torch.save(content, tmp_path / "a.pt")
    assert read_tensor_file(str(tmp_path / "a.pt"))[0] == 1


def test_safetensors_that_claim_more_than_they_hold_are_refused(tmp_path):
    header = b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}'
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"1234")
    refusal(tmp_path / "a.safetensors")


def test_an_endless_pickle_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("support.tensor_file.LONGEST_PICKLE", 1000)
    buffer = io.BytesIO()
    torch.save({str(number): number for number in range(1000)}, buffer)
    (tmp_path / "a.pt").write_bytes(buffer.getvalue())
    assert "1,000 bytes" in refusal(tmp_path / "a.pt")
