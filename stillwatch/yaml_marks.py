"""YAML with the place of every key, so that a mistake can be pointed at.

In: a text. Out: plain values, and line and column of each path of keys; or BadInput.
Never: a duplicate key passed over, a key that is no text, an object made by a tag.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from collector.errors import BadInput, shown

Path = tuple[str | int, ...]
Mark = tuple[int, int]
DEEPEST = 20  # levels; an alias that contains itself has no end
MOST = 1_000_000  # values; aliases of aliases of aliases grow without bound


@dataclass(frozen=True, slots=True)
class Document:
    """value: dicts, lists, texts, numbers, booleans, None. marks: path -> (line, column), as an editor counts."""

    value: Any
    marks: dict[Path, Mark] = field(default_factory=dict)


def read(text: str, file: str) -> Document:
    """The one document in `text` (None if it is empty). file: its name for messages. Raises BadInput."""
    loader = _loader()(text)
    try:
        node = loader.get_single_node()
        document = Document(None, {(): (1, 1)})
        if node is None:
            return document
        return Document(_value(loader, node, (), document.marks, file), document.marks)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise BadInput(file, line, column, f"what is no YAML: {error.problem}", "YAML") from None
    except (yaml.YAMLError, ValueError) as error:
        # A character that YAML does not allow, or a scalar such as 2022-02-31 that cannot be read.
        raise BadInput(file, 1, 1, f"what is no YAML: {str(error).splitlines()[0]}", "YAML") from None
    finally:
        loader.dispose()


def _loader() -> Any:
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _value(loader: Any, node: yaml.Node, path: Path, marks: dict[Path, Mark], file: str) -> Any:
    line, column = node.start_mark.line + 1, node.start_mark.column + 1
    marks.setdefault(path, (line, column))
    if len(path) > DEEPEST:
        raise BadInput(file, line, column, f"more than {DEEPEST} levels", "fewer")
    if len(marks) > MOST:
        raise BadInput(file, line, column, f"more than {MOST} values", "fewer")
    if isinstance(node, yaml.MappingNode):
        return {
            key: _value(loader, value, (*path, key), marks, file)
            for key, value in _keys(loader, node, path, marks, file)
        }
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, item, (*path, i), marks, file) for i, item in enumerate(node.value)]
    return _scalar(loader, node)


def _scalar(loader: Any, node: yaml.Node) -> Any:
    """YAML 1.1 takes 22:00 for a number to the base of 60; here it is a text, and a time of day."""
    if ":" in node.value and node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
        return node.value
    return loader.construct_object(node)


def _keys(
    loader: Any, node: yaml.MappingNode, path: Path, marks: dict[Path, Mark], file: str
) -> list[tuple[str, yaml.Node]]:
    pairs: dict[str, yaml.Node] = {}
    for key_node, value_node in node.value:
        line, column = key_node.start_mark.line + 1, key_node.start_mark.column + 1
        place = ".".join(map(str, path))
        key = _scalar(loader, key_node) if isinstance(key_node, yaml.ScalarNode) else key_node.value
        if not isinstance(key, str):
            said = key_node.value if isinstance(key_node, yaml.ScalarNode) else "a list or a mapping"
            raise BadInput(file, line, column, f"the key {shown(said)}", "a text (quote it)", place)
        if key in pairs:
            first = marks[(*path, key)][0]
            raise BadInput(
                file, line, column, "the same key a second time", f"it once (first in line {first})",
                ".".join(map(str, (*path, key))),
            )  # fmt: skip
        pairs[key] = value_node
        marks[(*path, key)] = (line, column)
    return list(pairs.items())
