"""`'%s is %d'.format([a, 1])`: cel-go `ext/formatting.go`."""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from ekslab.kube.api.cel import numbers
from ekslab.kube.api.cel.failures import CelError
from ekslab.kube.api.cel.values import Duration, Timestamp, TypeValue, name_of

_CLAUSE: Final = re.compile(r"%(?:\.([0-9]+))?(.?)", re.DOTALL)
_KNOWN: Final = frozenset("sdfexXob")
_SUPERSCRIPT: Final = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_PRECISION_MOST: Final = 1000
_INTEGERS: Final = frozenset({"int", "uint"})
_TAKES: Final[Mapping[str, tuple[frozenset[str], str]]] = {
    "d": (_INTEGERS, "decimal clause can only be used on integers"),
    "f": (
        frozenset({"double", "int", "uint"}),
        "fixed-point clause can only be used on doubles",
    ),
    "e": (frozenset({"double", "int", "uint"}), "scientific clause can only be used on doubles"),
    "b": (_INTEGERS | {"bool"}, "binary clause can only be used on integers and bools"),
    "o": (_INTEGERS, "octal clause can only be used on integers"),
    "x": (
        _INTEGERS | {"string", "bytes"},
        "only integers, byte buffers, and strings can be formatted as hex",
    ),
}
_STRING_TAKES: Final = (
    "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types,"
    " durations, and timestamps"
)
_SHOWN: Final = frozenset(
    {
        "string", "bool", "bytes", "int", "uint", "double", "null_type", "null", "type", "list",
        "map", "google.protobuf.Timestamp", "google.protobuf.Duration",
    }
)  # fmt: skip


def formatted(template: str, values: Sequence[Any]) -> str:
    """The template with the values in it.

    Raises:
        CelError: a clause that is none, a value it does not take, or no value for it.
    """
    made: list[str] = []
    at = used = 0
    for match in _clauses(template):
        made.append(template[at : match.start()])
        at = match.end()
        precision, clause = match.groups()
        if match.group() == "%%":
            made.append("%")
            continue
        message = _refused(clause, precision)
        if message is not None:
            raise CelError(message)
        if used >= len(values):
            raise CelError(f"index {used} out of range")
        value = values[used]
        used += 1
        message = _mistaken(clause, name_of(value))
        if message is not None:
            raise CelError(f"error during formatting: {message}")
        made.append(_FORMS[clause](value, 6 if precision is None else int(precision)))
    made.append(template[at:])
    return "".join(made)


def problem(template: str, types: Sequence[str]) -> tuple[int | None, str] | None:
    """What is wrong with a template for values of these types: the index of the value and why."""
    used = 0
    for match in _clauses(template):
        precision, clause = match.groups()
        if match.group() == "%%":
            continue
        message = _refused(clause, precision)
        if message is not None:
            return None, message
        if used >= len(types):
            return None, f"index {used} out of range"
        kind = types[used].partition("(")[0]
        message = None if kind == "dyn" else _mistaken(clause, kind)
        if message is not None:
            return used, f"error during formatting: {message}"
        used += 1
    return None


def _clauses(template: str) -> list[re.Match[str]]:
    return list(re.finditer(r"%%|" + _CLAUSE.pattern, template, re.DOTALL))


def _refused(clause: str, precision: str | None) -> str | None:
    if not clause:
        return "unexpected end of string"
    if clause not in _KNOWN:
        why = f'unrecognized formatting clause "{clause}"'
        return f"could not parse formatting clause: {why}"
    if precision is not None and int(precision[:9]) > _PRECISION_MOST:
        return f"precision too large: {precision}"
    return None


def _mistaken(clause: str, kind: str) -> str | None:
    takes = _TAKES.get(clause.lower())
    if takes is None:
        if kind in _SHOWN:
            return None
        return f"{_STRING_TAKES}, was given {kind}"
    return None if kind in takes[0] else f"{takes[1]}, was given {kind}"


def shown(value: Any) -> str:
    """A value as `%s` shows it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, float):
        return _real(value)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, Duration):
        return numbers.duration_text(value.nanoseconds)
    if isinstance(value, Timestamp):
        return numbers.timestamp_text(value.nanoseconds)
    if isinstance(value, TypeValue):
        return value.name
    if isinstance(value, list):
        return "[" + ", ".join(_nested(each) for each in value) + "]"
    if isinstance(value, Mapping):
        entries = sorted((shown(key), _nested(each), _nested(key)) for key, each in value.items())
        return "{" + ", ".join(f"{key}:{each}" for _sort, each, key in entries) + "}"
    return str(value)


def _nested(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, float):
        return _fixed(value, 6)
    if isinstance(value, Duration | Timestamp):
        kind = "duration" if isinstance(value, Duration) else "timestamp"
        return f'{kind}("{shown(value)}")'
    return shown(value)


def _real(value: float) -> str:
    if value != value or value in {float("inf"), float("-inf")}:  # noqa: PLR0124 - NaN
        return _special(value)
    return numbers.plain_decimal(Decimal(repr(value)))


def _special(value: float) -> str:
    if value != value:  # noqa: PLR0124 - NaN
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _fixed(value: float, precision: int) -> str:
    if abs(value) == float("inf") or value != value:  # noqa: PLR0124 - NaN
        return _special(value)
    return f"{value:.{precision}f}"


def _scientific(value: float, precision: int) -> str:
    if abs(value) == float("inf") or value != value:  # noqa: PLR0124 - NaN
        return _special(value)
    mantissa, _, exponent = f"{value:.{precision}e}".partition("e")
    sign = "⁻" if exponent[0] == "-" else ""
    return f"{mantissa}\u00d710{sign}{exponent[1:].rjust(2, '0').translate(_SUPERSCRIPT)}"


def _based(base: str) -> Callable[[Any, int], str]:
    def run(value: Any, _precision: int) -> str:
        if isinstance(value, str):
            value = value.encode()
        if isinstance(value, bytes):
            text = value.hex()
            return text.upper() if base == "X" else text
        return format(int(value), base)

    return run


_FORMS: Final[Mapping[str, Callable[[Any, int], str]]] = {
    "s": lambda value, _precision: shown(value),
    "d": lambda value, _precision: str(int(value)),
    "f": _fixed,
    "e": _scientific,
    "b": _based("b"),
    "o": _based("o"),
    "x": _based("x"),
    "X": _based("X"),
}
