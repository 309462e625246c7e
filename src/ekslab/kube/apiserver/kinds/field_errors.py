"""Field errors: upstream's `apimachinery/pkg/util/validation/field` as functions.

Each makes one `Cause`: the path, the message without the path, the machine-readable reason.
A value is shown as upstream's `ErrorBody` shows it: strings quoted as Go does, numbers and booleans
bare, everything else as JSON.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from ekslab.kube.api.errors import Cause

IMMUTABLE = "field is immutable"
NEGATIVE = "must be greater than or equal to 0"
_encode = json.JSONEncoder(ensure_ascii=False).encode


def go_quote(text: str) -> str:
    """`strconv.Quote`: like JSON, but `x00` forms for what cannot be printed."""
    quoted = _encode(text)
    return quoted.replace("\\u00", "\\x") if "\\u00" in quoted else quoted


def shown(value: Any) -> str:
    """The value as it stands in a message."""
    if value is None:
        return '"null"'
    if isinstance(value, str):
        return go_quote(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def required(path: str, detail: str = "") -> Cause:
    """A value that must be there is not."""
    message = f"Required value: {detail}" if detail else "Required value"
    return Cause(path, message, "FieldValueRequired")


def invalid(path: str, value: Any, detail: str) -> Cause:
    """A malformed value."""
    tail = f": {detail}" if detail else ""
    return Cause(path, f"Invalid value: {shown(value)}{tail}", "FieldValueInvalid")


def not_supported(path: str, value: Any, supported: Iterable[str]) -> Cause:
    """A value outside of an enumeration; the supported ones are named in the order given."""
    names = ", ".join(go_quote(name) for name in supported)
    tail = f": supported values: {names}" if names else ""
    return Cause(path, f"Unsupported value: {shown(value)}{tail}", "FieldValueNotSupported")


def forbidden(path: str, detail: str = "") -> Cause:
    """A value that may not stand here under these conditions."""
    tail = f": {detail}" if detail else ""
    return Cause(path, f"Forbidden{tail}", "FieldValueForbidden")


def duplicate(path: str, value: Any) -> Cause:
    """A value that must be unique is not."""
    return Cause(path, f"Duplicate value: {shown(value)}", "FieldValueDuplicate")


def too_long(path: str, most_bytes: int) -> Cause:
    """More bytes than allowed; the value itself is not shown."""
    message = f"Too long: may not be more than {most_bytes} bytes"
    return Cause(path, message, "FieldValueTooLong")


def too_many(path: str, actual: int, most: int) -> Cause:
    """More items than allowed."""
    noun = "item" if most == 1 else "items"
    message = f"Too many: {actual}: must have at most {most} {noun}"
    return Cause(path, message, "FieldValueTooMany")


def not_found(path: str, value: Any) -> Cause:
    """A value that refers to something that is not there."""
    return Cause(path, f"Not found: {shown(value)}", "FieldValueNotFound")


def each_invalid(path: str, value: Any, details: Sequence[str]) -> list[Cause]:
    """One `invalid` per thing a rule of `kube.api.names` found wrong."""
    return [invalid(path, value, detail) for detail in details]


def one_of(path: str, value: str, allowed: Sequence[str], detail: str = "") -> list[Cause]:
    """`required` for an empty value, `not_supported` for one that is not in `allowed`."""
    if not value:
        return [required(path, detail)]
    return [] if value in allowed else [not_supported(path, value, allowed)]


def unchanged(path: str, new: Any, old: Any) -> list[Cause]:
    """`field is immutable` if the two differ."""
    return [] if new == old else [invalid(path, new, IMMUTABLE)]


def not_negative(path: str, value: int | None) -> list[Cause]:
    """Refuses numbers below zero."""
    return [invalid(path, value, NEGATIVE)] if value is not None and value < 0 else []
