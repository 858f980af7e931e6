"""The tensors of a TorchScript archive, in which OpenAI publishes CLIP, without running what else is in it.

`torch.jit.load` is not used: it compiles the archive's code and executes the ``__setstate__`` of its classes, and
TorchScript can write files. Here the pickle of the module tree is read with every class of the archive standing for a
plain object, and every tensor for its description; the descriptions are checked and then read from the file, which is
mapped into memory. Of the code only the lists of parameters and buffers are looked at, as text: they tell which
attributes belong to the state dict.
"""

from __future__ import annotations

import io
import math
import os
import pickle
import posixpath
import re
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from support.regular_file import regular_only
from support.tensor_file import LONGEST_PICKLE, check_pickle, check_tensors, is_archive, unreadable

MOST_MODULES = 10_000
DEEPEST = 50  # modules within modules
_SCRIPTED = "__torch__."  # begins the names of an archive's own classes
_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_LISTS = ("build_intlist", "build_tensorlist", "build_doublelist", "build_boollist")  # in torch.jit._pickle
_CLASS = re.compile(r"^class (\w+)\(", re.MULTILINE)
_STATE = re.compile(r"^  __(parameters|buffers)__ = \[(.*)\]$", re.MULTILINE)
_ATTRIBUTE = re.compile(r'^  (?:__annotations__\["([^"]+)"\]|(\w+)) ?[:=] ?Tensor$', re.MULTILINE)


class _Storage(NamedTuple):
    dtype: torch.dtype
    key: str
    count: int


class _Described(NamedTuple):
    """A tensor that is not read yet; ``offset`` and ``stride`` in values."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _Object:
    """Stands for an object of one of the archive's classes: its attributes by name."""

    name = ""  # of the class, with its module

    def __new__(cls, *_):
        made = super().__new__(cls)
        made.attributes = {}
        return made

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, dict):
            raise ValueError(f"{self.name} restores itself, which would be running it")
        self.attributes = state


def is_torchscript(file: str) -> bool:
    """Whether ``file`` is a TorchScript archive; not one that cannot be read or is damaged."""
    try:
        if not is_archive(file):
            return False
        with zipfile.ZipFile(file) as archive:
            return any(posixpath.basename(name) == "constants.pkl" for name in archive.namelist())
    except Exception:  # zipfile fails in many ways on a damaged archive
        return False


def read_state_dict(file: str) -> dict[str, Tensor]:
    """Tensors of a TorchScript archive by the names that ``torch.jit.load(file).state_dict()`` gives them.

    They are mapped from the file: memory is taken by those that are used, and what is changed stays in memory.

    Raises:
        UserError: the file is damaged, or holds what is no module of tensors.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            pickled = next(name for name in archive.namelist() if posixpath.basename(name) == "data.pkl")
            root = pickled.removesuffix("data.pkl")
            module = _unpickle(_content(archive, pickled))
            described = _tensors(module, _tensor_attributes(archive))
            read = _reader(archive, root, file)
            tensors = {name: read(tensor) for name, tensor in described.items()}
        check_tensors(tensors, file)
    except Exception as error:  # of zipfile, pickle and what the pickle does with the objects above
        raise unreadable(file, error, "get it again") from error
    return tensors


def _content(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as opened:
        content = opened.read(LONGEST_PICKLE + 1)
    if len(content) > LONGEST_PICKLE:
        raise ValueError(f"{name} has more than {LONGEST_PICKLE:,} bytes")
    return content


def _unpickle(content: bytes) -> object:
    """The module tree, of `_Object`, `_Described` and plain values."""

    def rebuild(storage, offset, shape, stride, *_) -> _Described:
        numbers = [offset, *shape, *stride]
        if not isinstance(storage, _Storage) or not all(type(number) is int and number >= 0 for number in numbers):
            raise ValueError("a tensor's place is told by other things than numbers")
        return _Described(storage, offset, tuple(shape), tuple(stride))

    names: dict[str, Callable] = {
        "torch._utils._rebuild_tensor_v2": rebuild,
        "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
        "collections.OrderedDict": OrderedDict,
        **{f"torch.jit._pickle.{name}": list for name in _LISTS},
        "torch.jit._pickle.restore_type_tag": lambda value, _: value,
        **{f"torch.{name}": name for name in _DTYPES},
    }

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> object:
            full = f"{module}.{name}"
            if full not in names:  # check_pickle lets no other names pass
                names[full] = type("Scripted", (_Object,), {"name": full})
            return names[full]

        def persistent_load(self, pid: tuple) -> _Storage:
            _, kind, key, _, count = pid
            if not isinstance(key, str) or type(count) is not int:
                raise ValueError("a storage is told by other things than its name and size")
            return _Storage(_DTYPES[kind], key, count)

    check_pickle(io.BytesIO(content), names, prefix=_SCRIPTED)
    return Unpickler(io.BytesIO(content)).load()


def _tensor_attributes(archive: zipfile.ZipFile) -> dict[str, set[str]]:
    """The attributes that belong to the state dict, of each class of the archive."""
    found: dict[str, set[str]] = {}
    for entry in archive.namelist():
        before, code, path = entry.partition("code/")
        if not code or before.count("/") > 1 or not path.endswith(".py"):
            continue
        text = _content(archive, entry).decode("utf-8", "replace")
        pieces = _CLASS.split(text)[1:]  # name of a class, its body, name of the next ...
        for name, body in zip(pieces[::2], pieces[1::2], strict=True):
            full = f"{path.removesuffix('.py').replace('/', '.')}.{name}"
            lists = dict(_STATE.findall(body))
            if "buffers" in lists:
                found[full] = {name for names in lists.values() for name in re.findall('"([^"]*)"', names)}
            else:  # before PyTorch 1.6 all attributes of this type belonged
                found[full] = {quoted or plain for quoted, plain in _ATTRIBUTE.findall(body)}
    return found


def _tensors(module: object, tensor_attributes: dict[str, set[str]]) -> dict[str, _Described]:
    """All tensors of a module and of those within it, by name."""
    found, todo, modules = {}, [("", module)], 0
    while todo:
        prefix, module = todo.pop()
        modules += 1
        if not isinstance(module, _Object):
            raise ValueError("it holds no module")
        if modules > MOST_MODULES or prefix.count(".") > DEEPEST:  # few modules can contain each other many times
            raise ValueError(f"it holds more than {MOST_MODULES:,} modules, or modules more than {DEEPEST} deep")
        own = tensor_attributes.get(module.name, set())
        for name, value in module.attributes.items():
            if isinstance(value, _Described) and name in own:
                found[prefix + name] = value
            elif isinstance(value, _Object):
                todo.append((f"{prefix}{name}.", value))
    return found


def _reader(archive: zipfile.ZipFile, root: str, file: str) -> Callable[[_Described], Tensor]:
    """A function that gives a described tensor, after checking that the archive holds all of it."""
    size = os.path.getsize(file)
    mapped = torch.UntypedStorage.from_file(file, False, size)

    def read(described: _Described) -> Tensor:
        (dtype, key, _), offset, shape, stride = described
        entry = archive.getinfo(f"{root}data/{key}")
        begin = _begin(file, entry)
        if entry.compress_type != zipfile.ZIP_STORED or begin + entry.file_size > size:
            raise ValueError(f"{entry.filename} is packed, or goes on past the end")
        end = offset + sum((length - 1) * step for length, step in zip(shape, stride, strict=True)) + 1
        if math.prod(shape) and end * dtype.itemsize > entry.file_size:
            raise ValueError(f"a tensor goes on past the end of {entry.filename}")
        if not math.prod(shape):
            return torch.empty(shape, dtype=dtype)
        storage = mapped[begin : begin + entry.file_size]
        return torch.empty(0, dtype=dtype).set_(storage, offset, shape, stride)

    return read


def _begin(file: str, entry: zipfile.ZipInfo) -> int:
    """Where the bytes of an archive's entry begin, behind the entry's own header."""
    with open(file, "rb", opener=regular_only) as opened:
        opened.seek(entry.header_offset)
        header = opened.read(30)  # ends in the lengths of the name and of the further fields behind it
    name, further = struct.unpack("<HH", header[26:])
    return entry.header_offset + len(header) + name + further
