"""TorchScript archives are read like `torch.jit.load` does, without running what they hold."""

import pickle
import zipfile

import pytest
import torch

from clip import clip, weights
from clip.formats.torchscript import read_state_dict
from support.user_error import CheckpointError

pytestmark = pytest.mark.filterwarnings("ignore")  # torch.jit is deprecated, and tracing warns of every Python branch


class Parts(torch.nn.Module):
    """Parameters, buffers and other attributes of many kinds; what TorchScript makes of names that are numbers."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList([torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)])
        self.free = torch.nn.ParameterList([torch.nn.Parameter(torch.ones(2))])
        self.attention = torch.nn.MultiheadAttention(4, 2)
        self.plain, self.sizes, self.absent = torch.ones(3), [1, 2], None
        self.register_buffer("turned", torch.arange(6.0).view(2, 3).t())
        self.register_buffer("number", torch.tensor(224))

    def forward(self, x):
        return x + self.turned.sum() + self.plain.sum()


def scripted(file, module=None):
    torch.jit.script(module or Parts()).save(file)
    return str(file)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_the_tensors_are_those_of_torch_jit(dtype, tmp_path):
    file = scripted(tmp_path / "a.pt", Parts().to(dtype))
    expected, found = torch.jit.load(file).state_dict(), read_state_dict(file)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), name


def test_a_traced_clip_in_mixed_precision_is_read(tmp_path):
    model = weights.load_clip("tiny")
    inputs = {
        "encode_image": torch.zeros(1, 3, *[model.visual.input_resolution] * 2),
        "encode_text": clip.tokenize("a"),
    }
    traced = torch.jit.trace_module(model, inputs, check_trace=False)
    for name, parameter in traced.named_parameters():
        if "ln_" not in name:
            parameter.data = parameter.data.half()
    traced.save(tmp_path / "a.pt")
    loaded = weights.load_clip(path=str(tmp_path / "a.pt"))
    assert loaded.dtype == torch.float16 and loaded.ln_final.weight.dtype == torch.float32
    assert torch.equal(loaded.text_projection, model.text_projection.half())


class WritesWhenRestored(torch.nn.Module):
    """`torch.jit.load` runs its __setstate__, which writes a file."""

    def __init__(self, place: str):
        super().__init__()
        self.weight, self.place = torch.nn.Parameter(torch.ones(2)), place

    def forward(self, x):
        return x

    @torch.jit.export
    def __getstate__(self) -> tuple[torch.Tensor, str, bool]:
        return self.weight, self.place, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, str, bool]) -> None:
        self.weight, self.place, self.training = state[0], state[1], state[2]
        torch.save(state[0], state[1])


def test_what_torch_jit_would_run_on_loading_is_not_run(tmp_path):
    file, trace = scripted(tmp_path / "a.pt", WritesWhenRestored(str(tmp_path / "trace"))), tmp_path / "trace"
    torch.jit.load(file)
    assert trace.exists()  # so the test below is one
    trace.unlink()
    with pytest.raises(CheckpointError, match="restores itself"):
        weights.load_clip(path=file)
    assert not trace.exists()


def replaced(file, ending: str, content: bytes) -> str:
    with zipfile.ZipFile(file) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, old in entries.items():
            archive.writestr(name, content if name.endswith(ending) else old)
    return file


@pytest.mark.parametrize("protocol", range(6))
def test_a_call_in_the_pickle_is_refused_and_not_run(protocol, tmp_path):
    class Payload:
        def __reduce__(self):
            return open, (str(tmp_path / "trace"), "w")

    file = replaced(scripted(tmp_path / "a.pt"), "/data.pkl", pickle.dumps(Payload(), protocol))
    with pytest.raises(CheckpointError, match="more than tensors"):
        read_state_dict(file)
    assert not (tmp_path / "trace").exists()


def test_modules_that_contain_each_other_many_times_are_refused(tmp_path):
    # module a holds b twice, b holds c twice, and so on: few bytes, 2**40 modules
    pickled, last = b"\x80\x02c__torch__\nParts\n)\x81}b", 40
    for place in range(last):
        put, get = b"q" + bytes([place]), b"h" + bytes([place])
        pickled += put + b"0c__torch__\nParts\n)\x81}(X\x01\x00\x00\x00a" + get + b"X\x01\x00\x00\x00b" + get + b"ub"
    file = replaced(scripted(tmp_path / "a.pt"), "/data.pkl", pickled + b".")
    with pytest.raises(CheckpointError, match="modules"):
        read_state_dict(file)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_archive_is_named(share, tmp_path):
    file = tmp_path / "a.pt"
    content = (scripted(file), file.read_bytes())[1]
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointError, match="a.pt"):
        weights.load_clip(path=str(file))


def test_a_tensor_without_its_values_is_named(tmp_path):
    file = replaced(scripted(tmp_path / "a.pt"), "/data/0", b"")
    with pytest.raises(CheckpointError, match="past the end of a/data/0"):
        read_state_dict(file)
