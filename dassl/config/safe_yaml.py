"""YAML whose anchors and depth are bounded: a few lines can stand for more values than memory holds."""

from __future__ import annotations

import yaml

LONGEST = 200_000  # characters, which take some seconds to parse
DEEPEST = 50
MOST_VALUES = 50_000  # with each value counted as often as it is referred to


def load_yaml(text: str) -> object:
    """The value of a YAML document, of plain types, None of an empty one.

    Raises:
        yaml.YAMLError: it is not valid, too long, too deep, or grows too large by its anchors; ``problem_mark`` tells
            the place where there is one.
    """
    if len(text) > LONGEST:
        raise yaml.YAMLError(f"it has more than {LONGEST:,} characters")
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _count(node, {}, 0)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError:
        raise
    except RecursionError as error:
        raise yaml.YAMLError(f"it is nested more than {DEEPEST} deep") from error
    except Exception as error:  # dates that do not exist, numbers of too many digits, keys that are no keys
        raise yaml.YAMLError(f"{type(error).__name__}: {error}") from error


def _count(node: yaml.Node, counted: dict[int, int | None], depth: int) -> int:
    """How many values a node stands for, with those that anchors repeat."""
    if id(node) in counted:
        count = counted[id(node)]
        if count is None:
            raise yaml.MarkedYAMLError(problem="an anchor that refers to itself", problem_mark=node.start_mark)
        return count
    if depth > DEEPEST:
        raise yaml.MarkedYAMLError(problem=f"nested more than {DEEPEST} deep", problem_mark=node.start_mark)
    counted[id(node)] = None
    parts = []
    if isinstance(node, yaml.SequenceNode):
        parts = node.value
    elif isinstance(node, yaml.MappingNode):
        parts = [part for pair in node.value for part in pair]
    count = 1 + sum(_count(part, counted, depth + 1) for part in parts)
    if count > MOST_VALUES:
        raise yaml.MarkedYAMLError(
            problem=f"it stands for more than {MOST_VALUES:,} values", problem_mark=node.start_mark
        )
    counted[id(node)] = count
    return count
