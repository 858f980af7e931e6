"""Files, seeds and names: the small functions of the Dassl API."""

import json
import os
import platform
import random
import warnings
from collections.abc import Iterable
from difflib import SequenceMatcher
from importlib import metadata

import numpy as np
import torch

from support.regular_file import regular_only
from support.system_files import is_system_file

from .atomic import atomic_write
from .errors import ConfigError, DataError, OutputError, UnknownNameError, did_you_mean
from .image_file import read_image as read_image  # upstream's place of it


def mkdir_if_missing(dirname: str) -> None:
    try:
        os.makedirs(dirname or ".", exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {dirname}: {error.strerror}; mend permissions, or choose another folder"
        ) from error


def check_isfile(fpath: str) -> bool:
    """Return whether ``fpath`` is a file, with a warning if it is not."""
    isfile = os.path.isfile(fpath)
    if not isfile:
        warnings.warn(f'No file found at "{fpath}"', stacklevel=2)
    return isfile


def listdir_nohidden(path: str, sort: bool = False) -> list[str]:
    """Names in the folder ``path``, without those that begin with a dot and those of systems, as @eaDir."""
    try:
        names = [name for name in os.listdir(path) if not is_system_file(name)]
    except OSError as error:
        raise DataError(
            f"cannot list the folder {path}: {error.strerror}; correct the path or its permissions"
        ) from error
    return sorted(names) if sort else names


def read_json(fpath: str, advice: str = "mend or replace it"):
    """The content of a JSON file.

    Args:
        advice: what to do where it is damaged.

    Raises:
        UserError: the file cannot be read, or is not valid JSON.
    """
    try:
        with open(fpath, encoding="utf-8", opener=regular_only) as file:
            return json.load(file)
    except OSError as error:
        raise DataError(f"cannot read {fpath}: {error.strerror}; correct the path or its permissions") from error
    except (RecursionError, ValueError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise DataError(f"{fpath} is not valid JSON ({reason}): {advice}") from error


def write_json(obj, fpath: str) -> None:
    with atomic_write(fpath) as file:
        json.dump(obj, file, indent=4, separators=(",", ": "))


def download_url(url: str, dst: str) -> None:
    """Download a file that other people's code asks for; only what is complete gets the name ``dst``.

    Its content is not checked: our own downloads go through ``verified_download``.
    """
    print(f'* url="{url}"\n* destination="{dst}"')
    try:
        torch.hub.download_url_to_file(url, dst)
    except OSError as error:
        reason = getattr(error, "reason", None) or error.strerror or error
        raise DataError(f"cannot download {url} to {dst}: {reason}; try again, or put the file there") from error


def set_random_seed(seed: int) -> None:
    """Seed Python's, NumPy's and torch's generators.

    Raises:
        UserError: ``seed`` is not in 0..2**32 - 1, all that NumPy takes.
    """
    if not 0 <= seed < 2**32:
        raise ConfigError(f"SEED is {seed}: choose a number from 0 to {2**32 - 1}")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)  # all GPUs too


def collect_env_info(use_cuda: bool = True) -> str:
    """Versions and hardware that a result depends on, one per line; of the GPUs only where they are used."""
    lines = [f"Python {platform.python_version()} on {platform.platform()}"]
    for package in ("torch", "torchvision", "numpy", "pillow", "open_clip_torch"):
        try:
            lines.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            lines.append(f"{package} not installed")
    lines.append(f"CPU: {platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    lines.append(f"torch threads: {torch.get_num_threads()}")
    for index in range(torch.cuda.device_count() if use_cuda else 0):
        lines.append(f"GPU {index}: {torch.cuda.get_device_name(index)} (CUDA {torch.version.cuda})")
    return "\n".join(lines)


def get_most_similar_str_to_a_from_b(a: str, b: Iterable[str]) -> str | None:
    """Return the string of ``b`` that is most like ``a``, however unlike; None if ``b`` is empty."""
    return max(b, key=lambda candidate: SequenceMatcher(None, a, candidate).ratio(), default=None)


def check_availability(requested: str, available: Iterable[str], what: str = "name") -> None:
    """Raise UnknownNameError, with the nearest known name, if ``requested`` is not ``available``.

    Args:
        what: the kind of thing or the config key asked for, for the message.
    """
    available = list(available)
    if requested not in available:
        known = ", ".join(map(str, available)) or "none"
        if not requested:
            raise UnknownNameError(f"no {what} is named: choose one of {known}")
        raise UnknownNameError(f'unknown {what} "{requested}"{did_you_mean(requested, available)}; known: {known}')


def tolist_if_not(x) -> list:
    return x if isinstance(x, list) else [x]
