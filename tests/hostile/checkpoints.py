"""Checkpoints, of backbones and of what was learned, with damaged bytes, pickles or values."""

from __future__ import annotations

import io
import pickletools
import tempfile
import warnings
import zipfile
from functools import cache
from pathlib import Path

import torch
from hypothesis import strategies as st
from safetensors.torch import save
from torch import Tensor, nn

from clip.weights import load_clip
from dassl.utils import load_checkpoint, load_pretrained_weights
from support.checkpoint_files import find_checkpoint
from support.user_error import CheckpointError
from tests.hostile.attempts import Kind
from tests.hostile.mutations import VALUES, damaged, restructured
from tests.seeded_weights import seeded_state_dict
from trainers.checkpoints import check_fits, read_checkpoint


class Learner(nn.Module):
    """Stands for a method's learner."""

    def __init__(self):
        super().__init__()
        self.ctx = nn.Parameter(torch.arange(8.0).view(2, 4))
        self.proj = nn.Linear(4, 2)


def trained() -> dict:
    learner = Learner()
    optimizer = torch.optim.AdamW(learner.parameters())
    learner.proj(learner.ctx).sum().backward()
    optimizer.step()
    return {
        "state_dict": learner.state_dict(),
        "epoch": 2,
        "optimizer": optimizer.state_dict(),
        "scheduler": {"last_epoch": 2, "_last_lr": [0.1]},
        "val_result": 75.0,
        "run": {"settings": {"OPTIM.LR": "0.1"}, "best_result": 75.0, "train_seconds": 1.5},
    }


def saved(content: object, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def small_clip() -> dict[str, Tensor]:
    """The tensors of a CLIP whose vocabulary is cut, so that a file has some hundred kilobytes."""
    state = seeded_state_dict("vit")
    return {**state, "token_embedding.weight": state["token_embedding.weight"][:50].clone()}


def scripted() -> bytes:
    with warnings.catch_warnings(), tempfile.NamedTemporaryFile() as file:
        warnings.simplefilter("ignore")
        torch.jit.script(_Scripted()).save(file.name)
        return Path(file.name).read_bytes()


class _Scripted(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(4, 2).half()
        self.register_buffer("turned", torch.arange(6.0).view(2, 3).t())

    def forward(self, x):
        return x


def hostile_tensors() -> list[Tensor]:
    """Tensors that no state dict should hold, or not in the place of the one that belongs there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some are deprecated, some not yet finished
        strange = [
            *(torch.eye(2).to_sparse(), torch.eye(2).to_sparse_csr(), torch.empty(2, device="meta")),
            torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
        ]
    return [
        *strange,
        *(torch.ones(2, dtype=torch.complex64), torch.ones(2, dtype=torch.int64), torch.ones(2, dtype=torch.bool)),
        *(torch.tensor([torch.nan, 1]), torch.tensor(torch.inf), torch.zeros(0), torch.zeros(0, 7), torch.tensor(1)),
        *(torch.ones(2, 4).t(), torch.ones(1).expand(9, 9), torch.arange(9.0).as_strided((2, 2), (1, 1), 3)),
        *(torch.ones(2, 4, dtype=torch.float8_e4m3fn), torch.ones(2, 4, dtype=torch.float64)),
        torch.ones(1, 1, 1, 1, 1),
    ]


@st.composite
def with_damaged_pickle(draw, originals: list[bytes]) -> bytes:
    """An archive that is whole, around a pickle or another entry that is damaged."""
    with zipfile.ZipFile(io.BytesIO(draw(st.sampled_from(originals)))) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    name = draw(st.sampled_from([*[name for name in entries if name.endswith("data.pkl")] * 4, *list(entries)]))
    if name.endswith(".pkl") and draw(st.booleans()):
        entries[name] = draw(with_changed_operations(entries[name]))
    else:
        entries[name] = draw(damaged([entries[name]]))
    if draw(st.integers(0, 9)) == 0:
        del entries[draw(st.sampled_from(sorted(entries)))]
    buffer = io.BytesIO()
    packing = draw(st.sampled_from([zipfile.ZIP_STORED] * 9 + [zipfile.ZIP_DEFLATED]))
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


_NUMBERS = [b"J\xff\xff\xff\x7f", b"J\xff\xff\xff\xff", b"K\x00", b"M\xff\xff", b"\x8a\x08" + b"\xff" * 7 + b"\x7f"]
_NAMES = "os.system builtins.exec torch.FloatStorage torch.Size collections.OrderedDict __torch__.X".split()
_OPERATIONS = [
    *_NUMBERS,
    *(f"c{module}\n{name}\n".encode() for module, _, name in (name.rpartition(".") for name in _NAMES)),
    *(
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"N",
        b"}",
        b"]",
        b")",
        b"(",
        b"t",
        b"R",
        b"b",
        b"Q",
        b"\x81",
        b"0",
        b"2",
    ),
    *(b"s", b"u", b"a", b"e", b".", b"\x85", b"\x86", b"h\x00", b"q\x00", b"j\xff\xff\xff\x7f", b"r\xff\xff\xff\x7f"),
    *(b"\x80\x05", b"G\x7f\xf0\x00\x00\x00\x00\x00\x00"),
]


@st.composite
def with_changed_operations(draw, content: bytes) -> bytes:
    """A pickle in which whole operations are replaced, added, removed or moved."""
    starts = [position for _, _, position in pickletools.genops(content)]
    pieces = [content[begin:end] for begin, end in zip(starts, [*starts[1:], len(content)], strict=True)]
    for _ in range(draw(st.integers(1, 5))):
        place = draw(st.integers(0, len(pieces) - 1))
        kind = draw(st.sampled_from(["replace", "insert", "remove", "swap", "number"]))
        other = draw(st.integers(0, len(pieces) - 1))
        if kind == "replace":
            pieces[place] = draw(st.sampled_from(_OPERATIONS))
        elif kind == "insert":
            pieces.insert(place, draw(st.sampled_from(_OPERATIONS)))
        elif kind == "remove" and len(pieces) > 1:
            del pieces[place]
        elif kind == "swap":
            pieces[place], pieces[other] = pieces[other], pieces[place]
        else:
            numbers = [i for i, piece in enumerate(pieces) if piece[:1] in (b"J", b"K", b"M")] or [place]
            pieces[numbers[place % len(numbers)]] = draw(st.sampled_from(_NUMBERS))
    return b"".join(pieces)


@cache
def backbones() -> list[bytes]:
    return [saved(small_clip()), saved(small_clip(), zipped=False), scripted()]


def _as_file(content: object) -> bytes:
    try:
        return saved(content)
    except Exception:  # not every value can be saved
        return b""


def load_backbone(content: tuple[str, bytes], folder: Path) -> None:
    ending, written = content
    file = folder / f"backbone{ending}"
    file.write_bytes(written)
    load_clip(path=str(file))


def look_at(learner: Learner, folder: str) -> None:
    """What --eval-only does with a model folder."""
    path = find_checkpoint(folder, ["prompt_learner"], None)
    check_fits(read_checkpoint(path).tensors, learner.state_dict(), path)


def load_learned(content: tuple[str, bytes], folder: Path) -> None:
    ending, written = content
    place = folder / "prompt_learner"
    place.mkdir()
    file = place / ("model.safetensors" if ending else "model.pth.tar-2")
    file.write_bytes(written)
    (place / "checkpoint").write_text("model.pth.tar-2\n")
    learner, refused = Learner(), []
    for door in (
        lambda: check_fits(
            read_checkpoint(find_checkpoint(str(folder), ["prompt_learner"], None)).tensors,
            learner.state_dict(),
            str(file),
        ),
        lambda: load_pretrained_weights(learner, str(file)),
        lambda: load_checkpoint(str(file)),
    ):
        try:
            door()
        except CheckpointError as error:
            refused.append(error)
    if refused:
        raise refused[0]


def _restructured(*contents: dict) -> st.SearchStrategy:
    return restructured(list(contents), st.sampled_from(hostile_tensors()) | VALUES).map(_as_file)


def _file(ending: str, contents: st.SearchStrategy) -> st.SearchStrategy:
    return st.tuples(st.just(ending), contents)


_LEARNED = [saved(trained()), saved(trained(), zipped=False), saved(Learner().state_dict())]
_TENSORS = save({name: tensor.contiguous() for name, tensor in Learner().state_dict().items()})
LEARNED = Kind(
    "learned checkpoints",
    st.one_of(
        _file("", damaged(_LEARNED)),
        _file("", with_damaged_pickle([_LEARNED[0], _LEARNED[2]])),
        _file("", _restructured(trained(), dict(Learner().state_dict()))),
        _file(".safetensors", damaged([_TENSORS])),
    ),
    load_learned,
    15,
)
BACKBONES = Kind(
    "backbone checkpoints",
    st.one_of(
        _file(".pt", st.deferred(lambda: damaged(backbones()))),
        _file(".pt", st.deferred(lambda: with_damaged_pickle([backbones()[0], backbones()[2], backbones()[2]]))),
        _file(
            ".pt",
            st.deferred(
                lambda: restructured([small_clip()], st.sampled_from(hostile_tensors()) | VALUES).map(_as_file)
            ),
        ),
        _file(".safetensors", st.deferred(lambda: damaged([save(small_clip())]))),
    ),
    load_backbone,
    10,
)
