"""Decoded JSON checked against a shape of botocore's models.

Required members, types, lengths, ranges, patterns and enumerations are checked; what the model does
not know is ignored, as AWS does. Texts follow the validation errors of AWS's services ("1
validation error detected: Value ... failed to satisfy constraint: ...").
"""

import functools
import re
from collections.abc import Mapping
from typing import Any


class _Problem(Exception):  # noqa: N818 - found in a request
    pass


def problem_of(shape: Any, value: Mapping[str, Any]) -> str:
    """The first thing in which `value` is not of this structure; empty if there is none."""
    try:
        _check_structure(shape, value, "")
    except _Problem as problem:
        return str(problem)
    except RecursionError:
        return "The request is nested too deeply"
    return ""


def _check_structure(shape: Any, value: Mapping[str, Any], path: str) -> None:
    for name in shape.required_members:
        if value.get(name) is None:
            raise _Problem(
                f"1 validation error detected: Value null at '{path}{name}' failed to satisfy "
                "constraint: Member must not be null"
            )
    for name, member in shape.members.items():
        if value.get(name) is not None:
            _check(member, value[name], f"{path}{name}")


def _check(shape: Any, value: Any, path: str) -> None:
    expected = _TYPES.get(shape.type_name)
    if expected is not None and (
        not isinstance(value, expected)
        or (isinstance(value, bool) and shape.type_name != "boolean")
    ):
        raise _Problem(f"Invalid type for '{path}': expected {shape.type_name}")
    match shape.type_name:
        case "structure":
            _check_structure(shape, value, f"{path}.")
        case "list":
            _check_size(shape, len(value), value, path)
            for index, item in enumerate(value, start=1):
                _check(shape.member, item, f"{path}.{index}.member")
        case "map":
            _check_size(shape, len(value), value, path)
            for key, item in value.items():
                _check(shape.key, key, path)
                _check(shape.value, item, f"{path}.{key}.member")
        case "string":
            _check_text(shape, value, path)
        case "integer" | "long" | "double" | "float":
            _check_range(shape, value, path)


_TYPES: Mapping[str, tuple[type, ...]] = {
    "structure": (dict,),
    "list": (list,),
    "map": (dict,),
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "double": (int, float),
    "float": (int, float),
    "boolean": (bool,),
}


def _fails(value: Any, path: str, constraint: str) -> _Problem:
    return _Problem(
        f"1 validation error detected: Value '{value}' at '{path}' failed to satisfy constraint: "
        f"Member must {constraint}"
    )


def _check_text(shape: Any, value: str, path: str) -> None:
    _check_size(shape, len(value), value, path)
    pattern = shape.metadata.get("pattern")
    if pattern and not _fits(pattern, value):
        raise _fails(value, path, f"satisfy regular expression pattern: {pattern}")
    values = shape.metadata.get("enum")
    if values and value not in values:
        raise _fails(value, path, f"satisfy enum value set: [{', '.join(values)}]")


def _check_size(shape: Any, size: int, value: Any, path: str) -> None:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        raise _fails(value, path, f"have length greater than or equal to {least}")
    if most is not None and size > most:
        raise _fails(value, path, f"have length less than or equal to {most}")


def _check_range(shape: Any, value: float, path: str) -> None:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and value < least:
        raise _fails(value, path, f"have value greater than or equal to {least}")
    if most is not None and value > most:
        raise _fails(value, path, f"have value less than or equal to {most}")


def _fits(pattern: str, value: str) -> bool:
    compiled = _compiled(pattern)
    return compiled is None or compiled.fullmatch(value) is not None


@functools.lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    """None for patterns of Java that Python does not read."""
    try:
        return re.compile(pattern)
    except re.error:
        return None
