"""The tree of an expression.

The parser makes it, macros are already their own nodes in it; the checker writes types and chosen
overloads into it; costing and evaluating read it. `position` is where messages point to: the
operator of an operation, the parenthesis of a call, the dot of a selection.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ekslab.kube.api.cel.functions import Overload
    from ekslab.kube.api.cel.types import Type


@dataclass(slots=True, eq=False, kw_only=True)
class Node:
    """Anything that has a value. `type` is None until it was checked."""

    position: int
    type: "Type | None" = None


@dataclass(slots=True, eq=False)
class Literal(Node):
    """A value that stands in the text."""

    value: Any


@dataclass(slots=True, eq=False)
class Ident(Node):
    """A variable, or the name of a type (`is_type`, once checked)."""

    name: str
    is_type: bool = False


@dataclass(slots=True, eq=False)
class Select(Node):
    """`operand.field`, `operand.?field` (optional), `has(operand.field)` (test)."""

    operand: Node
    field: str
    test: bool = False
    optional: bool = False


@dataclass(slots=True, eq=False)
class Call(Node):
    """A function or operator; operators have cel-go's names, `_+_`. `overloads` are those that the
    checker could not rule out.
    """

    function: str
    args: list[Node]
    target: Node | None = None
    overloads: list["Overload"] = field(default_factory=list)

    @property
    def operands(self) -> list[Node]:
        """Target, if there is one, and arguments."""
        return self.args if self.target is None else [self.target, *self.args]


@dataclass(slots=True, eq=False)
class ListLiteral(Node):
    """`[1, ?x]`; `optional` has the indexes of elements that may be left out."""

    elements: list[Node]
    optional: frozenset[int] = frozenset()


@dataclass(slots=True, eq=False)
class Entry:
    """One entry of a map literal."""

    key: Node
    value: Node
    optional: bool


@dataclass(slots=True, eq=False)
class MapLiteral(Node):
    """`{key: value}`."""

    entries: list[Entry]


class Fold(Enum):
    """The macros that go through a list or map."""

    ALL = "all"
    EXISTS = "exists"
    EXISTS_ONE = "exists_one"
    MAP = "map"  # also filter, transformList
    TRANSFORM_MAP = "transformMap"
    TRANSFORM_ENTRY = "transformMapEntry"
    SORT_BY = "sortBy"


@dataclass(slots=True, eq=False)
class Comprehension(Node):
    """A macro that goes through `range`.

    `names` are one variable (list element, map key) or two (index or key, then value). `condition`
    says which are taken (all, if None); `body` is what is asked or made of each.
    """

    fold: Fold
    range: Node
    names: tuple[str, ...]
    body: Node
    condition: Node | None = None


@dataclass(slots=True, eq=False)
class OptionalMap(Node):
    """`target.optMap(name, body)`; with `flat`, optFlatMap: the body is an optional itself."""

    target: Node
    name: str
    body: Node
    flat: bool
