"""YAML bodies, read as upstream's YAML library reads them.

Upstream: sigs.k8s.io/yaml (goyaml.v2). It differs from PyYAML's own reading: dates stay strings,
`1e3` is a number, `1:30` is none, keys become strings, only the first document counts, documents
that alias without end are refused, and duplicate keys are told with their lines.
"""

import re
from typing import Any, Final

import yaml

from ekslab.kube.api.schema.levels import LEVELS_MOST
from ekslab.kube.api.schema.scalars import Pairs

_LOADER: Final[type] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ALIASED_MOST: Final = 50_000  # nodes that aliases may add; goyaml has a ratio with this effect
_DEPTH_MOST: Final = LEVELS_MOST
_TOO_DEEP: Final = "yaml: exceeded max depth"
_OPENING_MOST: Final = 1_000
_INDENTED: Final = re.compile(rb"(?<![-?: \t\0])[-?: \t\0]{1000}")
_TOO_MANY_ALIASES: Final = "yaml: document contains excessive aliasing"
_MERGE: Final = "tag:yaml.org,2002:merge"
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE: Final = frozenset({"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"})
_FALSE: Final = frozenset(
    {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"}
)
_INTEGER: Final = re.compile(r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]+|[1-9][0-9_]*|0)", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)


class YamlError(ValueError):
    """A text that is no YAML; the message is like goyaml's."""


class _Reader:
    """Turns composed nodes into `Pairs`, lists and scalars; `duplicates` are goyaml's lines."""

    def __init__(self) -> None:
        self.duplicates: list[str] = []
        self._depth = 0
        self._sizes: dict[int, int] = {}

    def document(self, root: Any) -> Any:
        """The value of a whole document, once it is known not to be too large."""
        if self._size(root) > len(self._sizes) + _ALIASED_MOST:
            raise YamlError(_TOO_MANY_ALIASES)
        return self.value(root)

    def _size(self, node: Any) -> int:
        """How many nodes there are below one when aliases are followed; each is looked at once."""
        known = self._sizes.get(id(node))
        if known == 0:  # it is being counted: it holds itself
            raise YamlError(_TOO_MANY_ALIASES)
        if known is not None:
            return known
        self._sizes[id(node)] = 0
        size = 1
        if isinstance(node, yaml.MappingNode):
            size += sum(self._size(part) for pair in node.value for part in pair)
        elif isinstance(node, yaml.SequenceNode):
            size += sum(self._size(part) for part in node.value)
        self._sizes[id(node)] = size
        return size

    def value(self, node: Any) -> Any:
        """The value of one node."""
        self._depth += 1
        if self._depth > _DEPTH_MOST:
            raise YamlError(_TOO_DEEP)
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node)
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item) for item in node.value]
            return _scalar(node)
        finally:
            self._depth -= 1

    def _mapping(self, node: Any) -> Pairs:
        pairs, merged, seen = Pairs(), Pairs(), set()
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE or (key_node.value == "<<" and not key_node.style):
                merged.extend(self._merged(value_node))
                continue
            key = _key(self.value(key_node))
            if key in seen:
                line = key_node.start_mark.line + 1
                self.duplicates.append(f'  line {line}: key "{key}" already set in map')
            seen.add(key)
            pairs.append((key, self.value(value_node)))
        own = {key for key, _ in pairs}
        return Pairs([*pairs, *((key, value) for key, value in merged if key not in own)])

    def _merged(self, node: Any) -> Pairs:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        found: dict[str, Any] = {}
        for one in nodes:
            value = self.value(one)
            if not isinstance(value, Pairs):
                raise YamlError("yaml: map merge requires map or sequence of maps as the value")
            for key, item in value:
                found.setdefault(key, item)
        return Pairs(found.items())


def parse_yaml(raw: bytes) -> tuple[Any, list[str]]:
    """The first document of a YAML text, and what a strict reader says of it.

    Raises:
        YamlError: it is no YAML.
    """
    loader: Any = None
    reader = _Reader()
    try:
        check_depth(raw)
        loader = _LOADER(raw)
        node = loader.get_node() if loader.check_node() else None
        value = None if node is None else reader.document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f"line {mark.line + 1}: " if mark is not None else ""
        raise YamlError(f"yaml: {line}{error.problem}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise YamlError("yaml: control characters are not allowed") from None
    except RecursionError:
        raise YamlError(_TOO_DEEP) from None
    finally:
        if loader is not None:
            loader.dispose()
    problems = ["yaml: unmarshal errors:\n" + "\n".join(reader.duplicates)]
    return value, problems if reader.duplicates else []


def check_depth(raw: bytes) -> None:
    """Make sure that a text can be composed: libyaml's composer in C calls itself for every level,
    and a text of 100,000 brackets would end the process.

    A level takes a bracket, or a column of a line's beginning; a text with few of both is not deep.

    Raises:
        YamlError: it is too deep.
        yaml.YAMLError: it is no YAML.
    """
    opening = raw.count(b"[") + raw.count(b"{")
    if opening <= _OPENING_MOST and _INDENTED.search(raw) is None:
        return
    depth = 0
    for event in yaml.parse(raw, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEPTH_MOST:
                raise YamlError(_TOO_DEEP)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentEndEvent):
            return  # only the first counts


def _scalar(node: Any) -> Any:
    text: str = node.value
    if node.style or node.tag in {"tag:yaml.org,2002:binary", "!"}:
        return text
    if text in _NULLS:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text) and len(text) < 64:
        return float(text)
    return text


def _integer(text: str) -> int | str:
    plain = text.replace("_", "")
    digits = plain.lstrip("+-")
    sign = -1 if plain.startswith("-") else 1
    if digits.startswith("0") and digits[1:2].isdigit():
        digits = "0o" + digits[1:]
    return sign * int(digits, 0) if len(digits) < 64 else text


def _key(key: Any) -> str:
    """Keys become strings, as in JSON."""
    if isinstance(key, bool):
        return "true" if key else "false"
    if key is None:
        return "null"
    return str(key)
