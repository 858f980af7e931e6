"""Config files and KEY VALUE pairs put into a config, with every mistake named.

A key must be known and its value of the known type, with two exceptions for third parties' trainers. A node directly
under TRAINER that no trainer here has declared is taken as it comes. And in a config with ``set_new_allowed(True)``
unknown keys are new ones, and what stands in the nodes under TRAINER is taken as it comes. No part of a key is empty.
"""

import math
import os
import warnings
from ast import literal_eval
from collections.abc import Iterator
from difflib import SequenceMatcher, get_close_matches

import yacs.config
import yaml

from dassl.config.safe_yaml import LONGEST, load_yaml
from dassl.utils.errors import ConfigError
from support.regular_file import regular_only

_LARGEST = {bool: 1, int: 2**53, float: 3.4e38}  # what floats and 32 bits hold
_VALUE_TYPES = (bool, int, float, str, list, tuple, type(None))


class CfgNode(yacs.config.CfgNode):
    """A yacs node whose merges raise ConfigError; plain yacs nodes may be assigned into it."""

    def merge_from_file(self, cfg_filename: str | os.PathLike) -> None:
        """See :func:`merge_from_file`."""
        merge_from_file(self, cfg_filename)

    def merge_from_list(self, cfg_list: list | None) -> None:
        """See :func:`merge_from_list`."""
        merge_from_list(self, cfg_list)

    def merge_from_other_cfg(self, cfg_other: dict, source: str = "the other config") -> None:
        """Put the values of another config into this one; ``source`` names it in messages."""
        _merge(self, self, cfg_other, (), source)


def merge_from_file(cfg: yacs.config.CfgNode, path: str | os.PathLike) -> None:
    """Put the values of a YAML file into ``cfg``.

    Raises:
        UserError: the file is missing or no YAML mapping, or a key or value does not fit.
    """
    _merge(cfg, cfg, read_yaml(path), (), str(path))


def read_yaml(path: str | os.PathLike) -> dict:
    """The values of a YAML file, {} of an empty one.

    Raises:
        UserError: the file is missing or no YAML mapping.
    """
    try:
        with open(path, encoding="utf-8", opener=regular_only) as file:
            values = load_yaml(file.read(LONGEST + 1))
    except FileNotFoundError as error:
        raise ConfigError(f"config file not found: {path}: correct the path") from error
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or a zero byte in the path
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot read the config file {path} ({reason}): make it a file of UTF-8 text") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(
            f"{path}{where}: not valid YAML ({getattr(error, 'problem', None) or error}): mend it"
        ) from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected KEY: value lines, got {type(values).__name__}")
    return values


def merge_from_list(cfg: yacs.config.CfgNode, pairs: list | None) -> None:
    """Put ``[KEY, VALUE, KEY, VALUE, ...]``, as from the command line, into ``cfg``; None is as good as [].

    Raises:
        UserError: a value is missing, or a key or value does not fit.
    """
    pairs = pairs or []
    if len(pairs) % 2:
        raise ConfigError(f'KEY VALUE pairs: "{pairs[-1]}" has no partner; write a key, a space, its value')
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        for part in reversed(key.split(".")):
            value = {part: value}
        _merge(cfg, cfg, value, (), "the KEY VALUE pairs")


def _merge(root, node, values: dict, path: tuple[str, ...], source: str) -> None:
    for key, value in values.items():
        key = str(key)
        full_key = ".".join([*path, key])
        named = bool(key.strip())
        if named and key not in node and isinstance(value, dict) and path == ("TRAINER",):
            _declare_third_party_node(node, key)
        in_trainer_node = path[:1] == ("TRAINER",) and len(path) > 1
        as_it_comes = named and node.is_new_allowed() and (key not in node or in_trainer_node)
        if key not in node and not as_it_comes:
            full_key = _down_to_first_value(full_key, value)
            raise ConfigError(f'unknown config key "{full_key}" in {source}{_nearest_key(root, full_key)}')
        if isinstance(value, str) and not is_printable(value):
            raise ConfigError(
                f'config key "{full_key}" in {source}: {_shown(value)} is not UTF-8 or has a zero byte, mend it'
            )
        old = node.get(key)
        if isinstance(value, dict):
            if not isinstance(old, yacs.config.CfgNode):
                if not as_it_comes:
                    raise ConfigError(f'config key "{full_key}" in {source}: expected a value, got a group of keys')
                node[key] = CfgNode(new_allowed=True)
            _merge(root, node[key], value, (*path, key), source)
        elif isinstance(old, yacs.config.CfgNode):
            if value is not None:  # "TRAINER:" with every line below it commented out
                raise ConfigError(f'config key "{full_key}" in {source}: expected a group of keys, got {_shown(value)}')
        elif as_it_comes:
            node[key] = _decoded(value)
        else:
            node[key] = _fitting(value, old, f'config key "{full_key}" in {source}')


def _declare_third_party_node(trainer_node, name: str) -> None:
    declared = {str(key).lower(): key for key, value in trainer_node.items() if isinstance(value, dict)}
    near = [key for lower, key in declared.items() if SequenceMatcher(None, name.lower(), lower).ratio() >= 0.8]
    if near:
        print(f"warning: no trainer declares TRAINER.{name}; if you meant TRAINER.{near[0]}, its values are ignored")
    trainer_node[name] = CfgNode(new_allowed=True)


def _decoded(value):
    """The value of a text such as "0.1" or "(224, 224)"; anything else, and text that is no literal, as it is."""
    if isinstance(value, str):
        if len(value) > LONGEST:
            return value
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the parser, which takes the text for a program
                literal = literal_eval(value)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return value
        return literal if isinstance(literal, _VALUE_TYPES) else value
    return value if isinstance(value, _VALUE_TYPES) else str(value)  # YAML knows dates


def _fitting(value, old, where: str):
    """Return ``value`` in the type of ``old``, the default."""
    new = _decoded(value)
    if isinstance(new, (int, float)) and isinstance(old, (int, float)) and _LARGEST[type(new)] < abs(new) < math.inf:
        raise ConfigError(f"{where}: {_shown(new)} is too large a number, choose a smaller one")
    if isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)):
        _check_parts(new, old, where)
        return type(old)(new)
    if old is None or type(new) is type(old):
        return new
    if isinstance(old, str) and (new is None or isinstance(value, str)):
        return "" if new is None else value  # a folder may be called 2024
    if isinstance(old, float) and type(new) is int:
        return float(new)
    raise ConfigError(f"{where}: expected {type(old).__name__} like {old!r}, got {_shown(new)}")


def _check_parts(new: list | tuple, old: list | tuple, where: str) -> None:
    """ConfigError where the parts of the default are all texts or all numbers, and those of ``new`` are not."""
    for kind, name in ((str, "text"), ((int, float), "number")):
        if not old or not all(isinstance(part, kind) for part in old):
            continue
        for part in new:
            if not isinstance(part, kind) or isinstance(part, bool):
                raise ConfigError(f"{where}: {_shown(part)} in it is no {name}, as in {old!r}")


def is_printable(text: str) -> bool:
    """Whether a text, which may be a path, can go into logs and results and to the system."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _down_to_first_value(full_key: str, value) -> str:
    while isinstance(value, dict) and value:
        key, value = next(iter(value.items()))
        full_key = f"{full_key}.{key}"
    return full_key


def _nearest_key(root, full_key: str) -> str:
    known = [key for key, _ in all_items(root)]
    same_name = [key for key in known if key.split(".")[-1] == full_key.split(".")[-1]]
    near = get_close_matches(full_key, same_name, n=1, cutoff=0.0) or get_close_matches(full_key, known, n=1)
    return f' (did you mean "{near[0]}"?)' if near else ""


def all_items(node: dict, prefix: str = "") -> Iterator[tuple[str, object]]:
    """The full keys of a config's nodes and values, with what they stand for."""
    for key, value in node.items():
        yield prefix + key, value
        if isinstance(value, yacs.config.CfgNode):
            yield from all_items(value, f"{prefix}{key}.")
