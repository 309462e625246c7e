"""JSON paths of definitions: of the scale subresource and selectable fields, and of columns.

The former are plain (`.spec.replicas`), the latter the subset that printer columns use:
`.status.conditions[?(@.type=="Ready")].status`, `.spec.ports[*].port`, `.metadata.labels['a.b']`.
Upstream: client-go `util/jsonpath`, apiextensions-apiserver `pkg/apiserver/validation`.
"""

import re
from collections.abc import Callable
from typing import Any, Final

Step = Callable[[Any], list[Any]]
_SIMPLE: Final = re.compile(r"(\.[a-zA-Z_][a-zA-Z0-9_-]*)+")
_STEP: Final = re.compile(
    r"\.?\[\?\(@(?P<filter>(?:[^\[\]'\"]|'[^']*'|\"[^\"]*\")*)\)\]"
    r"|\.?\[\s*(?P<index>-?\d+)\s*\]"
    r"|\.?\[(?P<every>\*)\]|\.(?P<all>\*)"
    r"|\.?\[(?P<quote>['\"])(?P<key>.*?)(?P=quote)\]"
    r"|\.\.(?P<deep>[^.\[\]]+)"
    r"|\.(?P<field>(?:\\.|[^.\[\]])+)"
)
_FILTER: Final = re.compile(r"\s*(?P<path>[^=!<>]*?)\s*(?P<is>==|!=|<=|>=|<|>)\s*(?P<value>.+?)\s*")


class BadPathError(ValueError):
    """This is no path."""


def simple_path(text: str) -> tuple[str, ...] | None:
    """`.spec.replicas` as its names; None if it is anything else."""
    return tuple(text[1:].split(".")) if _SIMPLE.fullmatch(text) else None


def value_at(obj: Any, names: tuple[str, ...]) -> Any:
    """The value at a plain path, None if there is none."""
    for name in names:
        if not isinstance(obj, dict):
            return None
        obj = obj.get(name)
    return obj


def compile_path(text: str) -> Callable[[Any], list[Any]]:
    """What finds all values at the path of a column.

    Raises:
        BadPathError: it is no such path.
    """
    steps = []
    at = 0
    if not text.startswith((".", "[")):
        raise BadPathError(text)
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None:
            if text[at:] == ".":
                break
            raise BadPathError(text)
        steps.append(_step(found))
        at = found.end()

    def find(obj: Any) -> list[Any]:
        values = [obj]
        for step in steps:
            values = [each for value in values for each in step(value)]
        return values

    return find


def _step(found: re.Match[str]) -> Step:
    part = found.groupdict()
    if part["filter"] is not None:
        return _filtered(part["filter"])
    if part["index"] is not None:
        index = int(part["index"])
        return lambda value: _at(value, index)
    if part["every"] or part["all"]:
        return _every
    if part["deep"] is not None:
        deep = part["deep"]
        return lambda value: _deep(value, deep)
    name = part["key"] if part["key"] is not None else re.sub(r"\\(.)", r"\1", part["field"])
    return lambda value: [value[name]] if isinstance(value, dict) and name in value else []


def _at(value: Any, index: int) -> list[Any]:
    if isinstance(value, list) and -len(value) <= index < len(value):
        return [value[index]]
    return []


def _every(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    return list(value.values()) if isinstance(value, dict) else []


def _deep(value: Any, name: str) -> list[Any]:
    found = []
    if isinstance(value, dict) and name in value:
        found.append(value[name])
    for each in _every(value):
        found.extend(_deep(each, name))
    return found


def _filtered(text: str) -> Step:
    if not text:
        return _every
    compared = _FILTER.fullmatch(text)
    if compared is None:
        path = compile_path(text)
        return lambda value: [each for each in _every(value) if path(each)]
    path = compile_path(compared["path"]) if compared["path"] else lambda value: [value]
    wanted = _literal(compared["value"])
    holds = _COMPARISONS[compared["is"]]
    return lambda value: [
        each for each in _every(value) if any(holds(found, wanted) for found in path(each))
    ]


def _literal(text: str) -> Any:
    if text[:1] in {"'", '"'} and text[-1:] == text[:1]:
        return text[1:-1]
    if text in {"true", "false"}:
        return text == "true"
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        raise BadPathError(text) from None


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def holds(found: Any, wanted: Any) -> bool:
        try:
            return compare(found, wanted)
        except TypeError:
            return False

    return holds


_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": lambda found, wanted: bool(found == wanted),
    "!=": lambda found, wanted: bool(found != wanted),
    "<": _ordered(lambda found, wanted: found < wanted),
    ">": _ordered(lambda found, wanted: found > wanted),
    "<=": _ordered(lambda found, wanted: found <= wanted),
    ">=": _ordered(lambda found, wanted: found >= wanted),
}
