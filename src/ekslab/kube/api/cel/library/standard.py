"""CEL's own operators, conversions and functions (cel-go `common/stdlib/standard.go`)."""

from collections.abc import Callable
from typing import Any, Final

from ekslab.kube.api.cel import numbers
from ekslab.kube.api.cel.failures import CelError, no_overload
from ekslab.kube.api.cel.functions import Overload, matching, member, plain
from ekslab.kube.api.cel.library.patterns import compiled
from ekslab.kube.api.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    UINT,
    A,
    B,
    Type,
    list_of,
    map_of,
    optional_of,
    type_of,
)  # fmt: skip
from ekslab.kube.api.cel.values import (
    NANOSECONDS,
    NONE,
    Duration,
    MapList,
    Optional,
    SetList,
    Timestamp,
    TypeValue,
    Uint,
    compare,
    contains,
    duration,
    equals,
    find,
    has_key,
    integer,
    name_of,
    shown,
    size,
    tenth,
    timestamp,
    unsigned,
)

_NUMERIC: Final = (INT, UINT, DOUBLE)
_SCALARS: Final = (BOOL, INT, UINT, DOUBLE, STRING, BYTES, TIMESTAMP, DURATION)


def _divided(left: int, right: int) -> int:
    """Integer division towards zero, as Go's."""
    if right == 0:
        raise CelError("division by zero")
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) is (right < 0) else -quotient


def _rest(left: int, right: int) -> int:
    if right == 0:
        raise CelError("modulus by zero")
    return left - right * _divided(left, right)


def _real_divided(left: float, right: float) -> float:
    if right:
        return left / right
    if left == 0 or left != left:  # noqa: PLR0124 - NaN
        return float("nan")
    return float("inf") if (left > 0) is (str(right)[0] != "-") else float("-inf")


def _arithmetic() -> list[Overload]:
    made = []
    integers: dict[str, Callable[[int, int], int]] = {
        "_+_": lambda a, b: a + b,
        "_-_": lambda a, b: a - b,
        "_*_": lambda a, b: a * b,
        "_/_": _divided,
        "_%_": _rest,
    }
    for name, run in integers.items():
        made.append(plain(name, (INT, INT), INT, _checked(integer, run)))
        made.append(plain(name, (UINT, UINT), UINT, _checked(unsigned, run)))
    reals: dict[str, Callable[[float, float], float]] = {
        "_+_": lambda a, b: a + b,
        "_-_": lambda a, b: a - b,
        "_*_": lambda a, b: a * b,
        "_/_": _real_divided,
    }
    made.extend(plain(name, (DOUBLE, DOUBLE), DOUBLE, run) for name, run in reals.items())
    made += [
        plain("-_", (INT,), INT, lambda a: integer(-a)),
        plain("-_", (DOUBLE,), DOUBLE, lambda a: -a),
        plain("!_", (BOOL,), BOOL, lambda a: not a),
        plain("_+_", (STRING, STRING), STRING, lambda a, b: a + b, _joined),
        plain("_+_", (BYTES, BYTES), BYTES, lambda a, b: a + b, _joined),
        plain("_+_", (list_of(A), list_of(A)), list_of(A), _concatenated),
        plain("_+_", (DURATION, DURATION), DURATION, _sum(duration)),
        plain("_+_", (DURATION, TIMESTAMP), TIMESTAMP, _sum(timestamp)),
        plain("_+_", (TIMESTAMP, DURATION), TIMESTAMP, _sum(timestamp)),
        plain("_-_", (DURATION, DURATION), DURATION, _difference(duration)),
        plain("_-_", (TIMESTAMP, DURATION), TIMESTAMP, _difference(timestamp)),
        plain("_-_", (TIMESTAMP, TIMESTAMP), DURATION, _difference(duration)),
    ]
    return made


def _checked(
    check: Callable[[int], int], run: Callable[[int, int], int]
) -> Callable[[int, int], int]:
    return lambda left, right: check(run(left, right))


def _concatenated(left: list[Any], right: list[Any]) -> list[Any]:
    """Lists one after the other; a list that is a set or a map stays one."""
    if isinstance(left, SetList):
        return SetList([*left, *(each for each in right if not contains(left, each))])
    if isinstance(left, MapList):
        merged = {left.key_of(each): each for each in [*left, *right]}
        return MapList(list(merged.values()), left.keys)
    return [*left, *right]


def _sum(make: Callable[[int], Any]) -> Callable[[Any, Any], Any]:
    return lambda left, right: make(left.nanoseconds + right.nanoseconds)


def _difference(make: Callable[[int], Any]) -> Callable[[Any, Any], Any]:
    return lambda left, right: make(left.nanoseconds - right.nanoseconds)


def _joined(args: tuple[Any, ...], _result: Any) -> int:
    return tenth(len(args[0]) + len(args[1]))


def _shorter(args: tuple[Any, ...], _result: Any) -> int:
    return tenth(min(size(args[0]), size(args[1])))


def _relations() -> list[Overload]:
    tests: dict[str, Callable[[Any, Any], bool]] = {
        "_<_": lambda a, b: compare(a, b) < 0,
        "_<=_": lambda a, b: compare(a, b) <= 0,
        "_>_": lambda a, b: compare(a, b) > 0,
        "_>=_": lambda a, b: compare(a, b) >= 0,
    }
    made = [
        plain("_==_", (A, A), BOOL, equals, _shorter),
        plain("_!=_", (A, A), BOOL, lambda a, b: not equals(a, b), _shorter),
    ]
    for name, run in tests.items():
        for kind in _SCALARS:
            cost = _shorter if kind in (STRING, BYTES) else None
            made.append(plain(name, (kind, kind), BOOL, run, cost))
        made.extend(
            plain(name, (left, right), BOOL, run)
            for left in _NUMERIC
            for right in _NUMERIC
            if left != right
        )
    return made


def _item(value: Any, key: Any) -> Any:
    """`value[key]`."""
    if isinstance(value, list):
        if key.__class__ is float and key.is_integer():
            key = int(key)
        if not isinstance(key, int) or key.__class__ is bool:
            raise CelError(f"unsupported index type '{name_of(key)}' in list")
        if not 0 <= key < len(value):
            raise CelError(f"index out of bounds: {key}")
        return value[key]
    if value.__class__ is Optional:
        return _optional_item(value, key)
    if hasattr(value, "items"):
        return find(value, key)
    raise no_overload()


def _if_found(_args: tuple[Any, ...], result: Any) -> int:
    return int(result.has_value)


def _optional_item(value: Any, key: Any) -> Any:
    """`value[?key]`."""
    if value.__class__ is Optional:
        if not value.has_value:
            return NONE
        value = value.value
    try:
        return Optional(_item(value, key))
    except CelError as error:
        if str(error).startswith(("no such key", "index out of bounds")):
            return NONE
        raise


def _containers() -> list[Overload]:
    entries = map_of(A, B)
    inside: Callable[[tuple[Any, ...], Any], int] = lambda args, _result: len(args[1])  # noqa: E731
    return [
        plain("_[_]", (list_of(A), INT), A, _item),
        plain("_[_]", (entries, A), B, _item),
        plain("_[_]", (optional_of(list_of(A)), INT), optional_of(A), _optional_item),
        plain("_[_]", (optional_of(entries), A), optional_of(B), _optional_item),
        plain("_[?_]", (list_of(A), INT), optional_of(A), _optional_item, _if_found),
        plain("_[?_]", (entries, A), optional_of(B), _optional_item, _if_found),
        plain("_[?_]", (optional_of(list_of(A)), INT), optional_of(A), _optional_item),
        plain("_[?_]", (optional_of(entries), A), optional_of(B), _optional_item),
        plain("@in", (A, list_of(A)), BOOL, lambda a, b: contains(b, a), inside),
        plain("@in", (A, entries), BOOL, lambda a, b: has_key(b, a)),
        *(
            make("size", (kind,), INT, len)
            for make in (plain, member)
            for kind in (STRING, BYTES, list_of(A), entries)
        ),
    ]


def _texts() -> list[Overload]:
    def traversed(args: tuple[Any, ...], _result: Any) -> int:
        return tenth(len(args[0]))

    def searched(args: tuple[Any, ...], _result: Any) -> int:
        return tenth(len(args[0])) * tenth(len(args[1]))

    two = (STRING, STRING)
    return [
        member("contains", two, BOOL, lambda a, b: b in a, searched),
        member("startsWith", two, BOOL, lambda a, b: a.startswith(b), traversed),
        member("endsWith", two, BOOL, lambda a, b: a.endswith(b), traversed),
        member("matches", two, BOOL, _matches, matching),
        plain("matches", two, BOOL, _matches, matching),
    ]


def _matches(text: str, pattern: str) -> bool:
    return compiled(pattern).search(text) is not None


def _conversion_error(value: Any, to: str) -> CelError:
    return CelError(f"type conversion error from '{name_of(value)}' to '{to}'")


def _to_int(value: Any) -> int:
    if isinstance(value, float):
        if not -(2.0**63) < value < 2.0**63:
            raise CelError("integer overflow")
        return int(value)
    if isinstance(value, Timestamp):
        return value.nanoseconds // NANOSECONDS
    if isinstance(value, Duration):
        return value.nanoseconds
    if isinstance(value, str):
        try:
            number = int(value) if value.isascii() and "_" not in value else None
        except ValueError:
            number = None
        if number is None or not -(2**63) <= number < 2**63 or value != value.strip():
            raise _conversion_error(value, "int")
        return number
    return integer(int(value))


def _to_uint(value: Any) -> Uint:
    if isinstance(value, str):
        if not value.isascii() or not value.isdigit() or len(value) > 100 or int(value) >= 2**64:
            raise _conversion_error(value, "uint")
        return Uint(value)
    if isinstance(value, float) and not 0 <= value < 2.0**64:
        raise CelError("unsigned integer overflow")
    return unsigned(int(value))


def _to_double(value: Any) -> float:
    if isinstance(value, str) and ("_" in value or value != value.strip()):
        raise _conversion_error(value, "double")
    try:
        return float(value)
    except ValueError:
        raise _conversion_error(value, "double") from None


_TRUE: Final = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def _to_bool(value: str) -> bool:
    if value not in _TRUE | _FALSE:
        raise _conversion_error(value, "bool")
    return value in _TRUE


def _to_string(value: Any) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise CelError("invalid UTF-8 in bytes, cannot convert to string") from None
    if isinstance(value, float):
        return numbers.shortest(value)
    if isinstance(value, Timestamp):
        return numbers.timestamp_text(value.nanoseconds)
    if isinstance(value, Duration):
        return numbers.duration_text(value.nanoseconds)
    return shown(value)


def to_duration(value: str) -> Duration:
    """`duration('1h')`.

    Raises:
        CelError: it is none.
    """
    parsed = numbers.parse_duration(value)
    if parsed is None or not -(2**63) <= parsed < 2**63:
        raise _conversion_error(value, DURATION.name)
    return Duration(parsed)


def to_timestamp(value: str) -> Timestamp:
    """`timestamp('2020-01-02T03:04:05Z')`.

    Raises:
        CelError: it is none.
    """
    parsed = numbers.parse_timestamp(value)
    if parsed is None:
        raise _conversion_error(value, TIMESTAMP.name)
    return timestamp(parsed)


def _conversions() -> list[Overload]:
    forms: dict[str, tuple[Type, tuple[Type, ...], Callable[[Any], Any]]] = {
        "int": (INT, (INT, UINT, DOUBLE, STRING, TIMESTAMP, DURATION), _to_int),
        "uint": (UINT, (UINT, INT, DOUBLE, STRING), _to_uint),
        "double": (DOUBLE, (DOUBLE, INT, UINT, STRING), _to_double),
        "string": (
            STRING,
            (STRING, BOOL, INT, UINT, DOUBLE, BYTES, TIMESTAMP, DURATION),
            _to_string,
        ),
    }
    made = [
        plain(name, (kind,), result, run)
        for name, (result, kinds, run) in forms.items()
        for kind in kinds
    ]
    return [
        *made,
        plain("bool", (BOOL,), BOOL, bool),
        plain("bool", (STRING,), BOOL, _to_bool),
        plain("bytes", (BYTES,), BYTES, bytes),
        plain("bytes", (STRING,), BYTES, lambda value: value.encode()),
        plain("duration", (DURATION,), DURATION, lambda value: value),
        plain("duration", (STRING,), DURATION, to_duration),
        plain("timestamp", (TIMESTAMP,), TIMESTAMP, lambda value: value),
        plain("timestamp", (STRING,), TIMESTAMP, to_timestamp),
        plain("timestamp", (INT,), TIMESTAMP, lambda value: timestamp(value * NANOSECONDS)),
        plain("dyn", (A,), DYN, lambda value: value),
        plain("type", (A,), type_of(A), lambda value: TypeValue(name_of(value))),
    ]


def _on_clock(take: Callable[[Any], int]) -> Callable[..., int]:
    def run(value: Timestamp, zone: str = "UTC") -> int:
        try:
            return take(numbers.moment_at(value.nanoseconds, zone))
        except (ValueError, OverflowError) as error:
            raise CelError(str(error)) from None

    return run


def _clocks() -> list[Overload]:
    parts: dict[str, Callable[[Any], int]] = {
        "getFullYear": lambda moment: moment.year,
        "getMonth": lambda moment: moment.month - 1,
        "getDate": lambda moment: moment.day,
        "getDayOfMonth": lambda moment: moment.day - 1,
        "getDayOfWeek": lambda moment: moment.isoweekday() % 7,
        "getDayOfYear": lambda moment: moment.timetuple().tm_yday - 1,
        "getHours": lambda moment: moment.hour,
        "getMinutes": lambda moment: moment.minute,
        "getSeconds": lambda moment: moment.second,
    }
    made = []
    for name, take in parts.items():
        made.append(member(name, (TIMESTAMP,), INT, _on_clock(take)))
        made.append(member(name, (TIMESTAMP, STRING), INT, _on_clock(take)))

    def milliseconds(value: Timestamp, _zone: str = "") -> int:
        return value.nanoseconds % NANOSECONDS // 1_000_000

    made.append(member("getMilliseconds", (TIMESTAMP,), INT, milliseconds))
    made.append(member("getMilliseconds", (TIMESTAMP, STRING), INT, milliseconds))
    units = {
        "getHours": 3600 * NANOSECONDS,
        "getMinutes": 60 * NANOSECONDS,
        "getSeconds": NANOSECONDS,
        "getMilliseconds": 1_000_000,
    }
    made.extend(member(name, (DURATION,), INT, _in_units(unit)) for name, unit in units.items())
    return made


def _in_units(unit: int) -> Callable[[Duration], int]:
    return lambda value: _divided(value.nanoseconds, unit)


def _value_of(value: Optional) -> Any:
    if not value.has_value:
        raise CelError("optional.none() dereference")
    return value.value


def _non_zero(value: Any) -> Optional:
    empty = value is None or value in (False, 0, "", b"", [], {}, Duration(0))
    return NONE if empty else Optional(value)


def _optionals() -> list[Overload]:
    maybe = optional_of(A)
    return [
        plain("optional.of", (A,), maybe, Optional),
        plain("optional.ofNonZeroValue", (A,), maybe, _non_zero),
        plain("optional.none", (), maybe, lambda: NONE),
        plain("optional.unwrap", (list_of(maybe),), list_of(A), _unwrapped),
        member("unwrapOpt", (list_of(maybe),), list_of(A), _unwrapped),
        member("value", (maybe,), A, _value_of),
        member("hasValue", (maybe,), BOOL, lambda value: value.has_value),
    ]


def _unwrapped(values: list[Any]) -> list[Any]:
    return [each.value for each in values if each.has_value]


OVERLOADS: Final = [
    *_arithmetic(),
    *_relations(),
    *_containers(),
    *_texts(),
    *_conversions(),
    *_clocks(),
    *_optionals(),
    # Evaluated by the evaluator, because not every argument is.
    plain("_&&_", (BOOL, BOOL), BOOL, lambda a, b: a and b),
    plain("_||_", (BOOL, BOOL), BOOL, lambda a, b: a or b),
    plain("_?_:_", (BOOL, A, A), A, lambda a, b, c: b if a else c),
    member("or", (optional_of(A), optional_of(A)), optional_of(A), lambda a, b: a or b),
    member("orValue", (optional_of(A), A), A, lambda a, b: a or b),
]
