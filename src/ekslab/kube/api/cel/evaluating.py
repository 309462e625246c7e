"""A checked tree to closures, and what evaluating them costs.

A frame is a list: the budget that is left, then the variables of the environment, then those of
macros. Costs are those of cel-go's `interpreter/runtimecost.go`, but summed when the tree is
compiled: what always runs together is charged at once, where it begins; only what depends on values
(sizes, short circuits, loops) is charged as it goes. So a rule like `self.min <= self.max` pays for
one subtraction.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ekslab.kube.api.cel import folding
from ekslab.kube.api.cel.checking import children
from ekslab.kube.api.cel.failures import CelError, CostExceededError, no_overload
from ekslab.kube.api.cel.frames import ABSENT, Code, Frame, Run, constant, paying
from ekslab.kube.api.cel.functions import Overload, test_of
from ekslab.kube.api.cel.syntax import (
    Call,
    Comprehension,
    Ident,
    ListLiteral,
    Literal,
    MapLiteral,
    Node,
    OptionalMap,
    Select,
)
from ekslab.kube.api.cel.types import BOOL, DOUBLE, INT, STRING, TYPE_NAMES, Type
from ekslab.kube.api.cel.values import (
    INT_LEAST,
    INT_MOST,
    NONE,
    Optional,
    TypeValue,
    contains,
    integer,
    shown,
)

_LIST_COST: Final = 10
_MAP_COST: Final = 30
_CONSTANT_BUDGET: Final = 1_000_000  # folding a constant is not charged to anybody
_CONVERSIONS: Final = frozenset(
    {"bool", "bytes", "double", "duration", "int", "string", "timestamp", "type", "uint", "dyn"}
)
_PLAIN: Final = frozenset({bool, int, float, str, list, dict, type(None)})
_OPERATORS: Final = frozenset(
    {
        "_+_", "_-_", "_*_", "_/_", "_%_", "_<_", "_<=_", "_>_", "_>=_", "_==_", "_!=_", "-_", "!_",
        "_[_]", "@in",
    }
)  # fmt: skip


class Compiler:
    """Compiles the nodes of one expression. `slots` says where variables stand in a frame."""

    def __init__(self, slots: Mapping[str, int]) -> None:
        self._slots = {name: slot + 1 for name, slot in slots.items()}
        self.frame_size = len(slots) + 1

    def whole(self, node: Node) -> Run:
        """The expression; everything it costs is charged."""
        return self.charged(node)

    def charged(self, node: Node) -> Run:
        """A node that pays for itself: what may run, or run again, apart from what is around it."""
        code = self.code(node)
        return paying(code.run, code.cost) if code.cost else code.run

    def variable(self, name: str) -> tuple[int, Callable[[], None]]:
        """A slot for a macro's variable, and what to call at the end of its scope."""
        slot = self.frame_size
        self.frame_size += 1
        before = self._slots.get(name)
        self._slots[name] = slot

        def end() -> None:
            if before is None:
                del self._slots[name]
            else:
                self._slots[name] = before

        return slot, end

    def code(self, node: Node) -> Code:
        """Compile one node and what is below it."""
        match node:
            case Literal():
                return constant(node.value)
            case Ident():
                return self._ident(node)
            case Select():
                return self._select(node)
            case Call():
                return self._call(node)
            case ListLiteral():
                return self._list(node)
            case MapLiteral():
                return self._map(node)
            case Comprehension():
                return folding.comprehension(self, node)
            case OptionalMap():
                return self._optional_map(node)
        raise AssertionError(node)

    def _ident(self, node: Ident) -> Code:
        if node.is_type:
            return constant(TypeValue("null_type" if node.name == "null" else _own_name(node.name)))
        slot, name = self._slots[node.name], node.name

        def run(frame: Frame) -> Any:
            value = frame[slot]
            if value is ABSENT:
                raise CelError(f"no such attribute(s): {name}")
            return value

        return Code(run, 1)

    def _select(self, node: Select) -> Code:
        operand = self.code(node.operand)
        kind = node.operand.type
        assert kind is not None
        field, read = node.field, None
        inner = kind.params[0] if kind.name == "optional_type" else kind
        if inner.shape is not None:
            read = inner.shape.fields[field].read
            field = inner.shape.wire.get(field, field)
        if node.test:
            return Code(_presence(operand.run, field), operand.cost)
        if node.optional or kind.name == "optional_type":
            return Code(_optional_selection(operand.run, field, read), operand.cost)
        return Code(_selection(operand.run, field, node.field, read), operand.cost + 1)

    def _call(self, node: Call) -> Code:
        match node.function:
            case "_&&_" | "_||_":
                return self._logic(node)
            case "_?_:_":
                return self._conditional(node)
            case "or" | "orValue" if node.target is not None:
                return self._alternative(node)
            case "@in" if isinstance(node.args[1], ListLiteral) and _is_constant(node.args[1]):
                return self._in_constants(node)
        codes = [self.code(operand) for operand in node.operands]
        if node.function in _CONVERSIONS and codes[0].is_constant:
            return constant(_applied(node, [codes[0].run], 0).run([_CONSTANT_BUDGET]))
        cost = sum(code.cost for code in codes)
        return _applied(node, [code.run for code in codes], cost)

    def _logic(self, node: Call) -> Code:
        """`&&` and `||`: the side that decides wins over an error of the other."""
        left, decisive = self.code(node.args[0]), node.function == "_||_"
        first, second = left.run, self.charged(node.args[1])

        def run(frame: Frame) -> Any:
            try:
                value = first(frame)
                if value is decisive:
                    return decisive
                error = None if value is (not decisive) else no_overload()
            except CelError as failed:
                error = failed
            other = second(frame)
            if other is decisive:
                return decisive
            if error is not None:
                raise error
            if other is not (not decisive):
                raise no_overload()
            return not decisive

        return Code(run, left.cost)

    def _conditional(self, node: Call) -> Code:
        condition = self.code(node.args[0])
        test, yes, no = condition.run, self.charged(node.args[1]), self.charged(node.args[2])

        def run(frame: Frame) -> Any:
            value = test(frame)
            if value is True:
                return yes(frame)
            if value is False:
                return no(frame)
            raise no_overload()

        return Code(run, condition.cost)

    def _alternative(self, node: Call) -> Code:
        """`a.or(b)`, `a.orValue(b)`: b runs only if a has no value."""
        assert node.target is not None
        target = self.code(node.target)
        first, second = target.run, self.charged(node.args[0])
        unwrap = node.function == "orValue"

        def run(frame: Frame) -> Any:
            value = first(frame)
            if value.__class__ is not Optional:
                raise no_overload(node.function)
            if not value.has_value:
                return second(frame)
            return value.value if unwrap else value

        return Code(run, target.cost)

    def _in_constants(self, node: Call) -> Code:
        assert isinstance(node.args[1], ListLiteral)
        item = self.code(node.args[0])
        values = [each.value for each in node.args[1].elements if isinstance(each, Literal)]
        run = item.run
        if all(value.__class__ is str for value in values):
            texts = frozenset(values)
            return Code(lambda frame: _in_texts(run(frame), texts), item.cost)
        return Code(lambda frame: contains(values, run(frame)), item.cost)

    def _list(self, node: ListLiteral) -> Code:
        codes = [self.code(element) for element in node.elements]
        cost = sum(code.cost for code in codes) + _LIST_COST
        runs = [code.run for code in codes]
        if not node.optional:
            if all(code.is_constant for code in codes):
                return constant([run([]) for run in runs])
            return Code(lambda frame: [run(frame) for run in runs], cost)
        optional = node.optional

        def run(frame: Frame) -> list[Any]:
            made = []
            for index, element in enumerate(runs):
                value = element(frame)
                if index not in optional:
                    made.append(value)
                elif _given(value, "list element"):
                    made.append(value.value)
            return made

        return Code(run, cost)

    def _map(self, node: MapLiteral) -> Code:
        parts = []
        cost = _MAP_COST
        constant = bool(node.entries)
        for entry in node.entries:
            key, value = self.code(entry.key), self.code(entry.value)
            cost += key.cost + value.cost
            parts.append((key.run, value.run, entry.optional))
            constant &= isinstance(entry.key, Literal) and isinstance(entry.value, Literal)

        def run(frame: Frame) -> dict[Any, Any]:
            made: dict[Any, Any] = {}
            for key, value, optional in parts:
                found = value(frame)
                if not optional:
                    made[key(frame)] = found
                elif _given(found, f"entry '{shown(key(frame))}'"):
                    made[key(frame)] = found.value
            return made

        return Code(run, 0 if constant or not node.entries else cost)

    def _optional_map(self, node: OptionalMap) -> Code:
        target = self.code(node.target)
        slot, end = self.variable(node.name)
        body = self.code(node.body)
        end()
        first, flat = target.run, node.flat
        # As cel-go, which evaluates the target a second time when its value is asked for.
        again = target.cost + 1 if _uses(node.body, node.name) else 0
        second = paying(body.run, body.cost + again + (not flat))

        def run(frame: Frame) -> Any:
            value = first(frame)
            if value.__class__ is not Optional:
                raise no_overload("hasValue")
            if not value.has_value:
                return NONE
            frame[slot] = value.value
            made = second(frame)
            return made if flat else Optional(made)

        return Code(run, target.cost + 1)


def _uses(node: Node, name: str) -> bool:
    if isinstance(node, Ident) and node.name == name:
        return True
    return any(_uses(child, name) for child in children(node))


def _own_name(name: str) -> str:
    return TYPE_NAMES[name].name


def _is_constant(node: ListLiteral) -> bool:
    return not node.optional and all(isinstance(each, Literal) for each in node.elements)


def _given(value: Any, what: str) -> bool:
    if value.__class__ is not Optional:
        raise CelError(f"cannot initialize optional {what} from non-optional value {shown(value)}")
    return bool(value.has_value)


def _in_texts(value: Any, texts: frozenset[str]) -> bool:
    return value.__class__ is str and value in texts


def _selection(operand: Run, field: str, name: str, read: Callable[[Any], Any] | None) -> Run:
    def run(frame: Frame) -> Any:
        value = operand(frame)
        try:
            return value[field]
        except (KeyError, TypeError, IndexError):
            pass
        raise CelError(f"no such key: {name}")

    if read is None:
        return run

    def reading(frame: Frame) -> Any:
        value = run(frame)
        return None if value is None else read(value)

    return reading


def _presence(operand: Run, field: str) -> Run:
    def run(frame: Frame) -> bool:
        value = operand(frame)
        if value.__class__ is Optional:
            value = value.value
        return isinstance(value, Mapping) and field in value

    return run


def _optional_selection(operand: Run, field: str, read: Callable[[Any], Any] | None) -> Run:
    def run(frame: Frame) -> Optional:
        value = operand(frame)
        if value.__class__ is Optional:
            value = value.value
        if not isinstance(value, Mapping) or field not in value:
            return NONE
        frame[0] -= 1
        found = value[field]
        return Optional(found if read is None or found is None else read(found))

    return run


def _applied(node: Call, runs: Sequence[Run], cost: int) -> Code:
    """A call. Where types are known, its one overload; else the first that fits the values."""
    kinds = [operand.type for operand in node.operands]
    if len(node.overloads) == 1 and all(kind is not None and not _is_open(kind) for kind in kinds):
        overload = node.overloads[0]
        quick = _quick(node, runs)
        if quick is not None:
            return Code(quick, cost + 1)
        return _direct(overload, runs, cost)
    if node.function == "_[_]":
        return _direct(node.overloads[0], runs, cost)
    name = "" if node.function in _OPERATORS else node.function
    # cel-go does not know which overload it will be, and charges 1.
    is_unpriced = node.function in _OPERATORS and len(node.overloads) > 1
    candidates = [
        (overload, [test_of(param) for param in overload.params]) for overload in node.overloads
    ]

    known: dict[tuple[type, ...], Overload] = {}

    def run(frame: Frame) -> Any:
        values = tuple([each(frame) for each in runs])
        kinds = tuple([value.__class__ for value in values])
        overload = known.get(kinds)
        if overload is None:
            overload = _fitting(candidates, values)
            if overload is None:
                raise no_overload(name)
            if _PLAIN.issuperset(kinds):  # of other classes, values may have several types
                known[kinds] = overload
        result = overload.run(*values)
        price = overload.cost
        charge = 1 if price is None or is_unpriced else price(values, result)
        left = frame[0] - charge
        frame[0] = left
        if left < 0:
            raise CostExceededError
        return result

    return Code(run, cost)


def _fitting(
    candidates: Sequence[tuple[Overload, list[Callable[[Any], bool] | None]]],
    values: tuple[Any, ...],
) -> Overload | None:
    for overload, tests in candidates:
        if all(test is None or test(v) for test, v in zip(tests, values, strict=True)):
            return overload
    return None


def _is_open(kind: Type) -> bool:
    return kind.name == "dyn" or kind.is_variable


def _direct(overload: Overload, runs: Sequence[Run], cost: int) -> Code:
    work, price = overload.run, overload.cost
    if price is None:
        if len(runs) == 1:
            (one,) = runs
            return Code(lambda frame: work(one(frame)), cost + 1)
        if len(runs) == 2:
            one, two = runs
            return Code(lambda frame: work(one(frame), two(frame)), cost + 1)
        return Code(lambda frame: work(*(run(frame) for run in runs)), cost + 1)

    def run(frame: Frame) -> Any:
        values = tuple(each(frame) for each in runs)
        result = work(*values)
        left = frame[0] - price(values, result)
        frame[0] = left
        if left < 0:
            raise CostExceededError
        return result

    return Code(run, cost)


def _quick(node: Call, runs: Sequence[Run]) -> Run | None:
    """The operators that rules are made of, where both sides have one plain type: no detours."""
    if len(runs) != 2:
        return None
    left, right = (operand.type for operand in node.operands)
    if left != right or left not in (INT, DOUBLE, STRING, BOOL):
        return None
    one, two = runs
    if left == STRING and not _short(node):
        return None
    if left == INT and node.function in {"_+_", "_-_"}:
        return _quick_sum(one, two, subtract=node.function == "_-_")
    if left == DOUBLE and node.function not in {"_==_", "_!=_"}:
        return None
    return _quick_relation(node.function, one, two)


def _short(node: Call) -> bool:
    """Whether one side is a short text, so that the cost of comparing is 1."""
    return any(
        isinstance(operand, Literal) and 1 <= len(operand.value) <= 10 for operand in node.operands
    )


def _quick_sum(one: Run, two: Run, *, subtract: bool) -> Run:
    def run(frame: Frame) -> int:
        number: int = one(frame) - two(frame) if subtract else one(frame) + two(frame)
        return number if INT_LEAST <= number <= INT_MOST else integer(number)

    return run


def _quick_relation(function: str, one: Run, two: Run) -> Run | None:
    match function:
        case "_==_":
            return lambda frame: bool(one(frame) == two(frame))
        case "_!=_":
            return lambda frame: bool(one(frame) != two(frame))
        case "_<_":
            return lambda frame: bool(one(frame) < two(frame))
        case "_<=_":
            return lambda frame: bool(one(frame) <= two(frame))
        case "_>_":
            return lambda frame: bool(one(frame) > two(frame))
        case "_>=_":
            return lambda frame: bool(one(frame) >= two(frame))
    return None
