"""Types as the checker knows them, and what it knows of a schema's values (`Shape`).

A type is a name with parameters: `list(int)`. Objects have fields and are told apart by name. Type
parameters of overloads are types whose name begins with `$`. Upstream: cel-go
`common/types/types.go` and `checker/types.go`; apiserver `pkg/cel/types.go` for shapes
(there DeclType).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Type:
    """A type. `shape` is that of an object, and does not take part in comparing."""

    name: str
    params: tuple["Type", ...] = ()
    shape: "Shape | None" = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        if not self.params:
            return "dyn" if self.name.startswith("$") else self.name
        return f"{self.name}({', '.join(map(str, self.params))})"

    @property
    def is_variable(self) -> bool:
        """Whether this stands for a type that is not known yet."""
        return self.name.startswith("$")


@dataclass(slots=True, eq=False, kw_only=True)
class Shape:
    """A type with what a schema says of its values: how many there may be, how they are read.

    Attributes:
        type: its type.
        fields: of an object, by the name that expressions use (`escaped`).
        wire: names of those fields in JSON, where they differ.
        element, key: of lists and maps.
        most: the most elements, entries or characters; for scalars 0, as upstream has it.
        least_bytes: the shortest JSON of such a value.
        read: makes a CEL value of what JSON decodes to; None where they are the same.
    """

    type: Type
    fields: Mapping[str, "Shape"] = field(default_factory=dict)
    wire: Mapping[str, str] = field(default_factory=dict)
    element: "Shape | None" = None
    key: "Shape | None" = None
    most: int = 0
    least_bytes: int = 1
    read: Callable[[Any], Any] | None = None


DYN: Final = Type("dyn")
NULL: Final = Type("null")
BOOL: Final = Type("bool")
INT: Final = Type("int")
UINT: Final = Type("uint")
DOUBLE: Final = Type("double")
STRING: Final = Type("string")
BYTES: Final = Type("bytes")
TIMESTAMP: Final = Type("google.protobuf.Timestamp")
DURATION: Final = Type("google.protobuf.Duration")
URL: Final = Type("kubernetes.URL")
QUANTITY: Final = Type("kubernetes.Quantity")
SEMVER: Final = Type("kubernetes.Semver")
FORMAT: Final = Type("kubernetes.NamedFormat")
IP: Final = Type("net.IP")
CIDR: Final = Type("net.CIDR")
AUTHORIZER: Final = Type("kubernetes.authorization.Authorizer")
PATH_CHECK: Final = Type("kubernetes.authorization.PathCheck")
GROUP_CHECK: Final = Type("kubernetes.authorization.GroupCheck")
RESOURCE_CHECK: Final = Type("kubernetes.authorization.ResourceCheck")
DECISION: Final = Type("kubernetes.authorization.Decision")
A: Final = Type("$A")
B: Final = Type("$B")

_NOT_NULLABLE: Final = frozenset(
    {"bool", "int", "uint", "double", "string", "bytes", "list", "map", "type"}
)


def list_of(element: Type) -> Type:
    """`list(element)`."""
    return Type("list", (element,))


def map_of(key: Type, value: Type) -> Type:
    """`map(key, value)`."""
    return Type("map", (key, value))


def optional_of(value: Type) -> Type:
    """`optional_type(value)`."""
    return Type("optional_type", (value,))


def type_of(value: Type) -> Type:
    """The type of a type: `type(int)`."""
    return Type("type", (value,))


TYPE_NAMES: Final[Mapping[str, Type]] = {
    **{
        each.name: each
        for each in (
            BOOL, INT, UINT, DOUBLE, STRING, BYTES, TIMESTAMP, DURATION, URL, QUANTITY, SEMVER,
            FORMAT, IP, CIDR,
        )
    },
    "null_type": NULL,
    "dyn": DYN,
    "list": list_of(DYN),
    "map": map_of(DYN, DYN),
    "type": type_of(DYN),
    "optional_type": optional_of(DYN),
}  # fmt: skip


class Bindings:
    """What type parameters stand for. Fresh ones for each use of an overload."""

    def __init__(self) -> None:
        self._bound: dict[str, Type] = {}
        self._made = 0

    def fresh(self) -> Type:
        """A type that is not known yet."""
        self._made += 1
        return Type(f"${self._made}")

    def instance(self, kind: Type, made: dict[str, Type]) -> Type:
        """The type with its own type parameters, which `made` collects."""
        if kind.is_variable:
            if kind.name not in made:
                made[kind.name] = self.fresh()
            return made[kind.name]
        if not kind.params:
            return kind
        return Type(kind.name, tuple(self.instance(p, made) for p in kind.params), kind.shape)

    def resolved(self, kind: Type) -> Type:
        """The type with all that is known put in."""
        while kind.is_variable and kind.name in self._bound:
            kind = self._bound[kind.name]
        if not kind.params:
            return kind
        return Type(kind.name, tuple(self.resolved(p) for p in kind.params), kind.shape)

    def closed(self, kind: Type) -> Type:
        """As `resolved`, with `dyn` for what is still unknown."""
        kind = self.resolved(kind)
        if kind.is_variable:
            return DYN
        if not kind.params:
            return kind
        return Type(kind.name, tuple(self.closed(p) for p in kind.params), kind.shape)

    def accept(self, wanted: list[Type], given: list[Type]) -> bool:
        """Whether all of `given` fit; if so type parameters are bound, if not nothing changed."""
        before = dict(self._bound)
        if all(self._fits(to, what) for to, what in zip(wanted, given, strict=True)):
            return True
        self._bound = before
        return False

    def undo(self) -> Callable[[], None]:
        """A way back to what is known now."""
        before = dict(self._bound)

        def back() -> None:
            self._bound = before

        return back

    def _fits(self, to: Type, what: Type) -> bool:
        to, what = self._shallow(to), self._shallow(what)
        if to is what or to == what:
            return True
        if to.is_variable:
            return self._bind(to, what)
        if what.is_variable:
            return self._bind(what, to)
        if DYN in (to, what):
            return True
        if NULL in (to, what):
            other = what if to == NULL else to
            return other.name not in _NOT_NULLABLE
        if to.name != what.name or len(to.params) != len(what.params):
            return False
        return all(self._fits(a, b) for a, b in zip(to.params, what.params, strict=True))

    def _shallow(self, kind: Type) -> Type:
        while kind.is_variable and kind.name in self._bound:
            kind = self._bound[kind.name]
        return kind

    def _bind(self, variable: Type, kind: Type) -> bool:
        if variable == kind:
            return True
        if _mentions(self.resolved(kind), variable):
            return False
        self._bound[variable.name] = kind
        return True


def _mentions(kind: Type, variable: Type) -> bool:
    return kind == variable or any(_mentions(each, variable) for each in kind.params)
