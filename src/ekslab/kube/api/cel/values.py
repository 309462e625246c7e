"""Values: what JSON decodes to is what expressions work on, without a copy.

    int  -> int     float -> double    str  -> string    bool -> bool
    None -> null    list  -> list      dict -> map, object

Only what JSON has no form for has a class here. `True == 1` is true in Python and false in CEL:
everything that compares goes through `equals`, `compare` and `find`. Upstream: cel-go
`common/types`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ekslab.kube.api.cel.failures import CelError, no_overload

INT_MOST: Final = 2**63 - 1
INT_LEAST: Final = -(2**63)
UINT_MOST: Final = 2**64 - 1
NANOSECONDS: Final = 1_000_000_000
# Years 1 to 9999, as the protobuf type.
_TIME_LEAST: Final = -62_135_596_800 * NANOSECONDS
_TIME_MOST: Final = 253_402_300_800 * NANOSECONDS - 1


class Uint(int):
    """A uint. An int to Python, so that numbers of different types compare as CEL has it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A span of time."""

    nanoseconds: int


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """A point in time, in nanoseconds since 1970."""

    nanoseconds: int


@dataclass(frozen=True, slots=True)
class TypeValue:
    """A type as a value: what `type(x)` gives."""

    name: str


class Optional:
    """A value that may be missing."""

    __slots__ = ("has_value", "value")

    def __init__(self, value: Any, *, has_value: bool = True) -> None:
        self.value = value
        self.has_value = has_value

    def __repr__(self) -> str:
        return f"optional({self.value!r})" if self.has_value else "optional.none()"


NONE: Final = Optional(None, has_value=False)


class SetList(list[Any]):
    """A list of `x-kubernetes-list-type: set`: order does not count."""

    __slots__ = ()


class MapList(list[Any]):
    """A list of `x-kubernetes-list-type: map`: elements are told apart by their keys."""

    __slots__ = ("keys",)

    def __init__(self, elements: Sequence[Any], keys: tuple[str, ...]) -> None:
        super().__init__(elements)
        self.keys = keys

    def key_of(self, element: Any) -> tuple[Any, ...]:
        """What tells an element apart."""
        return tuple(repr(element.get(key)) for key in self.keys)


_NUMBERS: Final = frozenset({int, float, Uint})
_ORDERED: Final = frozenset({str, bytes, Timestamp, Duration})
_NAMES: Final[Mapping[type, str]] = {
    bool: "bool",
    int: "int",
    Uint: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    type(None): "null_type",
    Timestamp: "google.protobuf.Timestamp",
    Duration: "google.protobuf.Duration",
    TypeValue: "type",
    Optional: "optional_type",
}


def name_of(value: Any) -> str:
    """The name of a value's type."""
    name = _NAMES.get(value.__class__)
    if name is not None:
        return name
    if isinstance(value, list):
        return "list"
    if isinstance(value, Mapping):
        return "map"
    return str(getattr(value, "type_name", "object"))


def integer(number: int) -> int:
    """An int that may have grown too large.

    Raises:
        CelError: it has.
    """
    if INT_LEAST <= number <= INT_MOST:
        return number
    raise CelError("integer overflow")


def unsigned(number: int) -> Uint:
    """A uint that may have left its range.

    Raises:
        CelError: it has.
    """
    if 0 <= number <= UINT_MOST:
        return Uint(number)
    raise CelError("unsigned integer overflow")


def duration(nanoseconds: int) -> Duration:
    """A duration that may have grown too long.

    Raises:
        CelError: it has.
    """
    if INT_LEAST <= nanoseconds <= INT_MOST:
        return Duration(nanoseconds)
    raise CelError("duration overflow")


def timestamp(nanoseconds: int) -> Timestamp:
    """A timestamp that may have left years 1 to 9999.

    Raises:
        CelError: it has.
    """
    if _TIME_LEAST <= nanoseconds <= _TIME_MOST:
        return Timestamp(nanoseconds)
    raise CelError("timestamp overflow")


def equals(left: Any, right: Any) -> bool:
    """`==`: numbers by value, lists and maps by their parts, everything else by type and value."""
    kind, other = left.__class__, right.__class__
    if kind is bool or other is bool:
        return left is right
    if kind in _NUMBERS:
        return other in _NUMBERS and bool(left == right)
    if isinstance(left, list):
        return isinstance(right, list) and _same_lists(left, right)
    if isinstance(left, Mapping):
        return isinstance(right, Mapping) and _same_maps(left, right)
    if kind is Optional and other is Optional:
        if left.has_value and right.has_value:
            return equals(left.value, right.value)
        return bool(left.has_value == right.has_value)
    return kind is other and bool(left == right)


def _same_lists(left: list[Any], right: list[Any]) -> bool:
    if len(left) != len(right):
        return False
    if isinstance(left, SetList):
        return all(contains(right, each) for each in left)
    if isinstance(left, MapList):
        others = {left.key_of(each): each for each in right}
        return all(
            (key := left.key_of(each)) in others and equals(each, others[key]) for each in left
        )
    return all(map(equals, left, right))


def _same_maps(left: Mapping[Any, Any], right: Mapping[Any, Any]) -> bool:
    if len(left) != len(right):
        return False
    for key, value in left.items():
        try:
            other = find(right, key)
        except CelError:
            return False
        if not equals(value, other):
            return False
    return True


def contains(elements: Sequence[Any], wanted: Any) -> bool:
    """Whether one of the elements equals `wanted`."""
    return any(equals(each, wanted) for each in elements)


def has_key(entries: Mapping[Any, Any], key: Any) -> bool:
    """Whether there is an entry for `key`."""
    if key.__class__ is str:
        return key in entries
    try:
        find(entries, key)
    except CelError:
        return False
    return True


def find(entries: Mapping[Any, Any], key: Any) -> Any:
    """The value of a key.

    Raises:
        CelError: there is none.
    """
    try:
        value = entries[key]
    except (KeyError, TypeError):
        raise CelError(f"no such key: {shown(key)}") from None
    if key.__class__ is not str and any(
        each == key and (each.__class__ is bool) is not (key.__class__ is bool) for each in entries
    ):
        raise CelError(f"no such key: {shown(key)}")
    return value


def shown(value: Any) -> str:
    """A value as it stands in an error."""
    if value.__class__ is bool:
        return "true" if value else "false"
    return str(value)


def compare(left: Any, right: Any) -> int:
    """Less than zero, zero or more, as `left` is before, like or after `right`.

    Raises:
        CelError: the two have no order.
    """
    kind, other = left.__class__, right.__class__
    if kind in _NUMBERS and other in _NUMBERS:
        if left != left or right != right:  # noqa: PLR0124 - NaN
            raise CelError("NaN values cannot be ordered")
    elif kind is not other or not (kind is bool or kind in _ORDERED):
        raise no_overload()
    return bool(left > right) - bool(left < right)


def size(value: Any) -> int:
    """How large a value is, as costs count it: elements, characters, 1 for scalars."""
    if isinstance(value, str | bytes | list | Mapping):
        return len(value)
    if value.__class__ is Optional and value.has_value:
        return size(value.value)
    return 1


def tenth(count: int) -> int:
    """The cost of looking at so many characters: a tenth, rounded up."""
    return -(-count // 10)
