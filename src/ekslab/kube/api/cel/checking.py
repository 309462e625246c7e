"""Type checking: gives every node its type and every call the overloads that fit.

What is wrong is collected, not raised one by one, so that a user sees all of it. Upstream: cel-go
`checker/checker.go`; the words of `checker/errors.go`.
"""

from typing import TYPE_CHECKING, Any, Final

from ekslab.kube.api.cel.environments import Environment
from ekslab.kube.api.cel.failures import CelError, CompileError, Issue
from ekslab.kube.api.cel.functions import Overload
from ekslab.kube.api.cel.syntax import (
    Call,
    Comprehension,
    Fold,
    Ident,
    ListLiteral,
    Literal,
    MapLiteral,
    Node,
    OptionalMap,
    Select,
)
from ekslab.kube.api.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DYN,
    INT,
    NULL,
    STRING,
    TYPE_NAMES,
    UINT,
    Bindings,
    Type,
    list_of,
    map_of,
    optional_of,
    type_of,
)
from ekslab.kube.api.cel.values import Uint

if TYPE_CHECKING:
    from collections.abc import Callable

_LITERALS: Final[dict[type, Type]] = {
    bool: BOOL, int: INT, Uint: UINT, float: DOUBLE, str: STRING, bytes: BYTES, type(None): NULL,
}  # fmt: skip
_ERROR: Final = Type("!error!")
# Functions with a text that can be looked at before anything runs: cel-go's AST validators.
_CHECKED_TEXTS: Final = frozenset({"duration", "timestamp", "matches"})


def check(node: Node, environment: Environment, text: str) -> Node:
    """The tree with types in it; a qualified function or type becomes one node.

    Raises:
        CompileError: with everything that is wrong.
    """
    checker = _Checker(environment)
    node = checker.visit(node)
    if not checker.issues:
        checker.close(node)
        checker.look_at_literals(node)
    if checker.issues:
        raise CompileError(text, sorted(checker.issues, key=lambda issue: issue.position))
    return node


class _Checker:
    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._scopes: list[dict[str, Type]] = [environment.variables]
        self._bindings = Bindings()
        self._takes_any = 0  # how many calls around take lists of any types
        self.issues: list[Issue] = []

    def visit(self, node: Node) -> Node:
        """Check one node and what is below it."""
        match node:
            case Literal():
                node.type = _LITERALS[node.value.__class__]
            case Ident():
                node.type = self._ident(node)
            case Select():
                return self._select(node)
            case Call():
                self._call(node)
            case ListLiteral():
                self._list(node)
            case MapLiteral():
                self._map(node)
            case Comprehension():
                self._comprehension(node)
            case OptionalMap():
                self._optional_map(node)
        return node

    def close(self, node: Node) -> None:
        """Replace what stayed unknown by `dyn`, everywhere."""
        assert node.type is not None
        node.type = self._bindings.closed(node.type)
        for child in children(node):
            self.close(child)

    def _wrong(self, position: int, message: str) -> Type:
        self.issues.append(Issue(position, message))
        return _ERROR

    def _typed(self, node: Node) -> Type:
        assert node.type is not None
        return self._bindings.resolved(node.type)

    def _named(self, name: str) -> Type | None:
        for scope in reversed(self._scopes):
            if name in scope:
                return scope[name]
        return None

    def _ident(self, node: Ident) -> Type:
        found = self._named(node.name)
        if found is not None:
            return found
        if node.name in TYPE_NAMES:
            node.is_type = True
            return type_of(TYPE_NAMES[node.name])
        return self._undeclared(node.position, node.name)

    def _undeclared(self, position: int, name: str) -> Type:
        return self._wrong(position, f"undeclared reference to '{name}' (in container '')")

    def _select(self, node: Select) -> Node:
        qualified = _qualified(node)
        if "." in qualified and (known := self._environment.variables.get(qualified)) is not None:
            return Ident(qualified, position=node.position, type=known)
        if qualified in TYPE_NAMES and self._named(qualified.partition(".")[0]) is None:
            kind = type_of(TYPE_NAMES[qualified])
            return Ident(qualified, is_type=True, position=node.position, type=kind)
        node.operand = self.visit(node.operand)
        kind = self._typed(node.operand)
        optional = node.optional
        if kind.name == "optional_type":
            kind, optional = self._bindings.resolved(kind.params[0]), True
        found = self._field(node, kind)
        if node.test:
            node.type = BOOL
        else:
            node.type = optional_of(found) if optional else found
        return node

    def _field(self, node: Select, kind: Type) -> Type:
        if kind.shape is not None:
            field = kind.shape.fields.get(node.field)
            if field is None:
                return self._wrong(node.position, f"undefined field '{node.field}'")
            return field.type
        if kind.name == "map":
            return kind.params[1]
        if kind in {_ERROR, DYN} or kind.is_variable:
            return _ERROR if kind == _ERROR else DYN
        return self._wrong(node.position, f"type '{kind}' does not support field selection")

    def _call(self, node: Call) -> None:
        if node.target is not None:
            qualified = f"{_qualified(node.target)}.{node.function}"
            overloads = [o for o in self._environment.function(qualified) if not o.member]
            if overloads and self._named(qualified.partition(".")[0]) is None:
                node.function, node.target = qualified, None
            else:
                node.target = self.visit(node.target)
        self._takes_any += node.function == "format"
        node.args = [self.visit(arg) for arg in node.args]
        self._takes_any -= node.function == "format"
        if node.function in {"_&&_", "_||_"}:
            self._logic(node)
            return
        declared = self._environment.function(node.function)
        if not declared:
            node.type = self._undeclared(node.position, node.function)
            return
        node.type = self._resolve(node, declared)

    def _logic(self, node: Call) -> None:
        for arg in node.args:
            given = self._typed(arg)
            if given != _ERROR and not self._bindings.accept([BOOL], [given]):
                self._wrong(arg.position, f"expected type 'bool' but found '{given}'")
        node.type = BOOL

    def _resolve(self, node: Call, declared: list[Overload]) -> Type:
        given = [self._typed(operand) for operand in node.operands]
        if _ERROR in given:
            return _ERROR
        is_member = node.target is not None
        fitting: list[Overload] = []
        result: Type | None = None
        for overload in declared:
            if overload.member is not is_member or len(overload.params) != len(given):
                continue
            made: dict[str, Type] = {}
            wanted = [self._bindings.instance(param, made) for param in overload.params]
            back = self._bindings.undo()
            if not self._bindings.accept(wanted, given):
                continue
            fitting.append(overload)
            kind = self._bindings.instance(overload.result, made)
            if result is None:
                result = kind
            elif self._bindings.resolved(result) != self._bindings.resolved(kind):
                back()
                result = DYN
        if result is None:
            shown = ", ".join(str(self._bindings.resolved(kind)) for kind in given[is_member:])
            signature = f"{given[0]}.({shown})" if is_member else f"({shown})"
            message = f"found no matching overload for '{node.function}' applied to '{signature}'"
            return self._wrong(node.position, message)
        node.overloads = fitting
        return result

    def _list(self, node: ListLiteral) -> None:
        node.elements = [self.visit(element) for element in node.elements]
        joined: Type | None = None
        for index, element in enumerate(node.elements):
            kind = self._typed(element)
            if index in node.optional:
                kind = self._unwrapped(element, kind)
            joined = self._joined(element.position, joined, kind)
        node.type = list_of(joined if joined is not None else self._bindings.fresh())

    def _map(self, node: MapLiteral) -> None:
        key: Type | None = None
        value: Type | None = None
        for entry in node.entries:
            entry.key, entry.value = self.visit(entry.key), self.visit(entry.value)
            key = self._joined(entry.key.position, key, self._typed(entry.key))
            kind = self._typed(entry.value)
            if entry.optional:
                kind = self._unwrapped(entry.value, kind)
            value = self._joined(entry.value.position, value, kind)
        node.type = map_of(key or self._bindings.fresh(), value or self._bindings.fresh())

    def _unwrapped(self, node: Node, kind: Type) -> Type:
        if kind.name == "optional_type":
            return self._bindings.resolved(kind.params[0])
        if kind in (DYN, _ERROR):
            return kind
        message = f"expected type 'optional_type({kind})' but found '{kind}'"
        return self._wrong(node.position, message)

    def _joined(self, position: int, joined: Type | None, kind: Type) -> Type:
        """The type of elements so far and one more: literals hold values of one type."""
        if joined is None or joined == _ERROR:
            return kind
        if kind == _ERROR:
            return joined
        if not self._bindings.accept([joined], [kind]):
            if self._takes_any:
                return DYN
            self._wrong(position, f"expected type '{joined}' but found '{kind}'")
            return joined
        return DYN if DYN in (joined, kind) else joined

    def _comprehension(self, node: Comprehension) -> None:
        node.range = self.visit(node.range)
        scope = self._variables(node)
        self._scopes.append(scope)
        if node.condition is not None:
            node.condition = self.visit(node.condition)
            self._expect_bool(node.condition)
        node.body = self.visit(node.body)
        self._scopes.pop()
        node.type = self._folded(node)

    def _variables(self, node: Comprehension) -> dict[str, Type]:
        kind = self._typed(node.range)
        if kind.name == "list":
            types = [kind.params[0]] if len(node.names) == 1 else [INT, kind.params[0]]
        elif kind.name == "map":
            types = list(kind.params)
        else:
            if kind not in (DYN, _ERROR) and not kind.is_variable:
                self._wrong(
                    node.range.position,
                    f"expression of type '{kind}' cannot be range of a comprehension"
                    " (must be list, map, or dynamic)",
                )
                kind = _ERROR
            types = [DYN if kind != _ERROR else _ERROR] * 2
        return dict(zip(node.names, types, strict=False))

    def _expect_bool(self, node: Node) -> None:
        kind = self._typed(node)
        if kind != _ERROR and not self._bindings.accept([BOOL], [kind]):
            self._wrong(node.position, f"expected type 'bool' but found '{kind}'")

    def _folded(self, node: Comprehension) -> Type:
        body = self._typed(node.body)
        match node.fold:
            case Fold.ALL | Fold.EXISTS | Fold.EXISTS_ONE:
                self._expect_bool(node.body)
                return BOOL
            case Fold.MAP:
                return list_of(body)
            case Fold.SORT_BY:
                return self._typed(node.range)
            case Fold.TRANSFORM_MAP:
                kind = self._typed(node.range)
                key = kind.params[0] if kind.name == "map" else INT
                return map_of(key if kind.name in {"map", "list"} else DYN, body)
            case Fold.TRANSFORM_ENTRY:
                return body if body.name == "map" else map_of(DYN, DYN)

    def _optional_map(self, node: OptionalMap) -> None:
        node.target = self.visit(node.target)
        kind = self._typed(node.target)
        inner = kind.params[0] if kind.name == "optional_type" else DYN
        if kind.name != "optional_type" and kind not in (DYN, _ERROR):
            message = f"found no matching overload for 'hasValue' applied to '{kind}.()'"
            self._wrong(node.position, message)
            inner = _ERROR
        self._scopes.append({node.name: inner})
        node.body = self.visit(node.body)
        self._scopes.pop()
        body = self._typed(node.body)
        if not node.flat:
            node.type = optional_of(body)
        elif body.name == "optional_type" or body in (DYN, _ERROR):
            node.type = body
        else:
            signature = f"(bool, {body}, optional_type(dyn))"
            message = f"found no matching overload for '_?_:_' applied to '{signature}'"
            node.type = self._wrong(node.position, message)

    def look_at_literals(self, node: Node) -> None:
        """Texts of durations, times and patterns that stand in the expression must be right."""
        if isinstance(node, Call):
            text = node.args[-1] if node.args else None
            is_text = isinstance(text, Literal) and isinstance(text.value, str)
            if text is not None and is_text and node.function in _CHECKED_TEXTS:
                self._look_at(node, text)
            elif node.function == "format" and node.target is not None:
                self._look_at_format(node)
        for child in children(node):
            self.look_at_literals(child)

    def _look_at(self, node: Call, text: Node) -> None:
        from ekslab.kube.api.cel.library import patterns, standard

        assert isinstance(text, Literal)
        checks: dict[str, Callable[[str], Any]] = {
            "duration": standard.to_duration,
            "timestamp": standard.to_timestamp,
            "matches": patterns.compiled,
        }
        try:
            checks[node.function](text.value)
        except CelError:
            self._wrong(text.position, f"invalid {node.function} argument")

    def _look_at_format(self, node: Call) -> None:
        from ekslab.kube.api.cel.library import formatting

        if not isinstance(node.target, Literal) or not isinstance(node.args[0], ListLiteral):
            return
        elements = node.args[0].elements
        found = formatting.problem(
            node.target.value, [str(self._typed(element)) for element in elements]
        )
        if found is not None:
            index, message = found
            at: Node = node if index is None else elements[index]
            self._wrong(at.position, message)


def children(node: Node) -> list[Node]:
    """The nodes right below one."""
    match node:
        case Select():
            return [node.operand]
        case Call():
            return node.operands
        case ListLiteral():
            return node.elements
        case MapLiteral():
            return [each for entry in node.entries for each in (entry.key, entry.value)]
        case Comprehension():
            condition = [] if node.condition is None else [node.condition]
            return [node.range, *condition, node.body]
        case OptionalMap():
            return [node.target, node.body]
    return []


def _qualified(node: Node) -> str:
    """`a.b.c` of a chain of names; empty for anything else."""
    if isinstance(node, Ident):
        return node.name
    if isinstance(node, Select) and not node.test and not node.optional:
        before = _qualified(node.operand)
        return f"{before}.{node.field}" if before else ""
    return ""
