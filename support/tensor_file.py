"""Checkpoint files that strangers made: their tensors and plain values; nothing of theirs runs.

A .safetensors file goes to its library. Of a file of `torch.save` every pickle is first looked through without being
executed: one that names anything but tensors and plain containers is refused, whatever else it holds. Then
``torch.load(weights_only=True)`` reads it, mapped into memory, and the tensors are checked to be dense, on the CPU and
no larger than the file. Numbers and strings of NumPy become plain ones, and what a training loop is known to put beside
the tensors (its options, paths, its scheduler) becomes objects that do nothing: for these names, too, nothing of theirs
runs.
"""

from __future__ import annotations

import mmap
import os
import pickletools
import re
import zipfile
from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import IO

import numpy as np
import torch
from torch import Tensor

from support.regular_file import regular_only
from support.user_error import CheckpointError

LONGEST_PICKLE = 2**24  # bytes; that of a large CLIP has a hundred thousand, as the tensors lie beside it
_LEGACY_PICKLES = 5  # with which a file of PyTorch before 1.6 begins: magic number, version, system, content, storages
_STORAGES = "Double Float Half BFloat16 Long Int Short Char Byte Bool ComplexFloat ComplexDouble".split()
_DTYPES = (
    "float64 float32 float16 bfloat16 complex64 complex128 int64 int32 int16 int8 uint8 bool "
    "float8_e4m3fn float8_e5m2 uint16 uint32 uint64"
).split()
_LIGHTNING = ("lightning.fabric", "lightning_fabric", "lightning.pytorch", "pytorch_lightning")
_SCHEDULERS = "StepLR MultiStepLR CosineAnnealingLR LambdaLR LinearLR ConstantLR ExponentialLR OneCycleLR".split()
_PATHS = "PosixPath WindowsPath PurePosixPath PureWindowsPath".split()
_DICTS = (  # subclasses of dict, for options
    "yacs.config.CfgNode",
    "easydict.EasyDict",
    *(f"{package}.utilities.{module}.AttributeDict" for package in _LIGHTNING for module in ("data", "parsing")),
)
_OMEGACONF = (
    *("dictconfig.DictConfig", "listconfig.ListConfig", "base.ContainerMetadata", "base.Metadata"),
    *(f"nodes.{kind}Node" for kind in ("Any", "String", "Integer", "Float", "Boolean")),
)
_BUILTINS = ("builtins", "__builtin__")
PLAIN = frozenset(
    {
        *(f"torch.{name}Storage" for name in _STORAGES),
        *(f"torch.{name}" for name in _DTYPES),
        *("torch.storage.UntypedStorage", "torch.Size", "torch.device", "torch.nn.parameter.Parameter"),
        *(f"torch._utils._rebuild_{name}" for name in ("tensor", "tensor_v2", "tensor_v3", "parameter")),
        *("collections.OrderedDict", "collections.Counter", "_codecs.encode"),
        *("builtins.set", "__builtin__.set", "builtins.complex", "__builtin__.complex"),
    }
)


class Inert:
    """Stands for an object that is not needed, and does nothing."""

    def __new__(cls, *args):
        return super().__new__(cls)

    def __init__(self, *args):
        pass

    def __setstate__(self, state: object) -> None:
        pass


class _NumpyType:
    """Stands for a `numpy.dtype`."""

    def __init__(self, code: str = "", *_):
        self.code, self.order = code, "<"

    def __setstate__(self, state: tuple) -> None:
        self.order = ">" if state[1] == ">" else "<"


def _plain_dict(*args) -> dict:
    return {}


def _plain_list(*args) -> list:
    return []


def _plain_value(kind: object, raw: object = b"") -> object:
    """The number or string that NumPy saved as these bytes; an `Inert` for a value of another kind."""
    code = kind.code if isinstance(kind, _NumpyType) else ""
    if not isinstance(code, str) or not isinstance(raw, bytes) or not _NUMBER_OR_TEXT.fullmatch(code):
        return Inert()
    return np.frombuffer(raw, kind.order + code, count=1)[0].item()


_NUMBER_OR_TEXT = re.compile(r"[fiu][1248]|b1|c8|c16|[US]\d{1,6}")
# Name in a pickle -> what stands for it. Upstream Dassl pickles the scheduler behind the warm-up into its checkpoints,
# and with it the optimizer; others have the command line, paths and dates there.
_STAND_INS = {
    **{f"numpy.{core}.multiarray.scalar": _plain_value for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray._reconstruct": Inert for core in ("core", "_core")},
    **{"numpy.dtype": _NumpyType, "numpy.ndarray": Inert},
    **{f"torch.optim.lr_scheduler.{name}": Inert for name in _SCHEDULERS},
    **{f"torch.optim.{name}": Inert for name in ("sgd.SGD", "adam.Adam", "adamw.AdamW", "rmsprop.RMSprop")},
    **{"dassl.optim.radam.RAdam": Inert, "torch.torch_version.TorchVersion": Inert},
    **{f"pathlib{local}.{name}": Inert for local in ("", "._local") for name in _PATHS},
    **{f"datetime.{name}": Inert for name in ("date", "datetime", "time", "timedelta", "timezone")},
    **{f"omegaconf.{name}": Inert for name in _OMEGACONF},
    **dict.fromkeys(("argparse.Namespace", "types.SimpleNamespace", "typing.Any"), Inert),
    **dict.fromkeys(("decimal.Decimal", "fractions.Fraction", "uuid.UUID"), Inert),
    **{f"{module}.{name}": Inert for module in _BUILTINS for name in ("list", "int", "float", "str", "slice", "range")},
    **{f"{module}.{kind.__name__}": kind for module in _BUILTINS for kind in (dict, frozenset)},
    **dict.fromkeys(_DICTS, OrderedDict),
    **{"collections.defaultdict": _plain_dict, "collections.deque": _plain_list},
}


def read_tensor_file(
    file: str,
    advice: str = "get it again, or save it with torch.save(model.state_dict(), ...)",
) -> object:
    """What a checkpoint holds, on the CPU.

    Args:
        file: a .safetensors file, or one of `torch.save`, of any version of PyTorch.
        advice: what to do where the file is damaged, or holds something else.

    Raises:
        UserError: the file cannot be read, is damaged, or holds more than tensors and plain values.
    """
    try:
        if _is_safetensors(file):
            from safetensors.torch import load_file

            with open(file, "rb", opener=regular_only):
                content = load_file(file)
        else:
            with torch.serialization.safe_globals([(stand_in, name) for name, stand_in in _STAND_INS.items()]):
                content = _read_pickled(file, PLAIN | _STAND_INS.keys())
        check_tensors(content, file)
    except Exception as error:  # the readers fail in many ways on a file that is not theirs
        raise unreadable(file, error, advice) from error
    return content


def _is_safetensors(file: str) -> bool:
    """By its beginning, the length of a header and the header in JSON; by its name where it is no archive, either."""
    with open(file, "rb", opener=regular_only) as opened:
        begins = opened.read(9)
        length = int.from_bytes(begins[:8], "little")
        if begins[8:] == b"{" and length < os.fstat(opened.fileno()).st_size:
            return True
    return file.endswith(".safetensors") and not is_archive(file)


def unreadable(file: str, error: Exception, advice: str) -> CheckpointError:
    """The error for a checkpoint that cannot be read, or where something else is in it, with what to do then."""
    if isinstance(error, OSError):
        return CheckpointError(f"cannot read {file}: {error.strerror or error}; check the file and its permissions")
    return CheckpointError(f"{file} is damaged or no checkpoint ({_reason(error)}): {advice}")


def _reason(error: Exception) -> str:
    """The first line of a library's message, which may go on with advice to trust the file."""
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__


def is_archive(file: str) -> bool:
    """Whether ``file`` is a zip archive, as `torch.save` and TorchScript write; OSError where it cannot be read."""
    with open(file, "rb", opener=regular_only) as opened:
        return zipfile.is_zipfile(opened)


def _read_pickled(file: str, allowed: Collection[str]) -> object:
    if not is_archive(file):
        with open(file, "rb", opener=regular_only) as opened:
            if os.fstat(opened.fileno()).st_size == 0:
                raise ValueError("it is empty")
            with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
                if content[:4] == b"PK\x03\x04":  # an archive, whose list of contents stands at its end
                    raise ValueError("its end is missing")
                for _ in range(_LEGACY_PICKLES):
                    check_pickle(content, allowed)
        return torch.load(file, map_location="cpu", weights_only=True)
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
                raise ValueError(f"its {entry.filename[:80]} is packed, and torch.save packs nothing")
            if entry.filename.endswith(".pkl"):
                with archive.open(entry) as pickled:
                    check_pickle(pickled, allowed)
    return torch.load(file, map_location="cpu", weights_only=True, mmap=True)


def check_pickle(pickled: IO[bytes] | mmap.mmap, allowed: Collection[str], prefix: str | None = None) -> None:
    """Go through the operations of the pickle that begins here, without executing any.

    Args:
        pickled: where it begins; afterwards, where it ends.
        allowed: the names that it may use, "module.name".
        prefix: of further names that it may use.

    Raises:
        ValueError: it is no pickle, uses other names, or is longer than LONGEST_PICKLE.
    """
    operations = largest_place = 0
    for operation, argument, position in pickletools.genops(pickled):
        operations += 1
        named = None
        if operation.name in ("GLOBAL", "INST"):
            named = argument.replace(" ", ".")
        elif operation.name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4", "PERSID"):
            named = operation.name  # told by values that only executing it would give
        elif operation.name in ("PUT", "BINPUT", "LONG_BINPUT"):
            largest_place = max(largest_place, argument)
        if named and named not in allowed and not (prefix and named.startswith(prefix)):
            raise ValueError(f"it holds more than tensors, which is never loaded: {named[:80]}")
        if position is not None and position > LONGEST_PICKLE or operations > LONGEST_PICKLE:
            raise ValueError(f"its pickle has more than {LONGEST_PICKLE:,} bytes")
    if largest_place > operations:  # pickle makes a list as long as the largest
        raise ValueError(f"its pickle stores a value at place {largest_place:,}")


def check_tensors(content: object, file: str) -> None:
    """Look at every tensor in dicts, lists and tuples, however deep.

    Raises:
        ValueError: one is sparse, quantized, without values, or has more values than the file.
    """
    size = os.path.getsize(file)
    todo, seen = [("", content)], set()
    while todo:
        name, value = todo.pop()
        if isinstance(value, Tensor):
            if value.layout is not torch.strided or value.is_quantized or value.device.type != "cpu":
                kind = "quantized" if value.is_quantized else "sparse" if value.device.type == "cpu" else "empty"
                raise ValueError(f"its {name[:80]} is a {kind} tensor, no dense one on the CPU")
            if max(value.nbytes, value.untyped_storage().nbytes()) > size:
                raise ValueError(f"its {name[:80]} claims {value.numel():,} values, more than the file holds")
        elif isinstance(value, (dict, list, tuple)) and id(value) not in seen:
            seen.add(id(value))  # a pickle can put a list into itself
            items = value.items() if isinstance(value, dict) else ((name, item) for item in value)
            todo += ((key if isinstance(key, str) else name, item) for key, item in items)


def check_finite(tensors: Mapping[str, Tensor], file: str, advice: str) -> None:
    """UserError, with what to do, for the first tensor with values that are complex, NaN or infinite."""
    for name, tensor in tensors.items():
        if not _is_finite(tensor):
            raise CheckpointError(f"{file}: {name} has NaN, infinite or complex values: {advice}")


def _is_finite(tensor: Tensor) -> bool:
    if tensor.is_complex():
        return False
    if tensor.is_floating_point() and tensor.itemsize == 1:  # float8, which PyTorch hardly computes with
        tensor = tensor.float()
    return bool(tensor.isfinite().all())
