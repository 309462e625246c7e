"""The macros that go through a list or map, as loops.

What each step costs follows the loops that cel-go expands them to: `all` looks at its accumulator
before (2) and in (1) each step, `exists` also negates it (3 and 1), `map` makes a list of one
element and adds it (12), and so on; the accumulator's value at the end costs 1.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cmp_to_key
from typing import Any

from ekslab.kube.api.cel.failures import CelError, no_overload
from ekslab.kube.api.cel.frames import Code, Frame, NodeCompiler, Run, pay
from ekslab.kube.api.cel.syntax import Comprehension, Fold
from ekslab.kube.api.cel.values import compare, shown


def comprehension(compiler: NodeCompiler, node: Comprehension) -> Code:
    """The loop of a macro."""
    source = compiler.code(node.range)
    scopes = [compiler.variable(name) for name in node.names]
    condition = None if node.condition is None else compiler.charged(node.condition)
    body = compiler.code(node.body)
    for _slot, end in reversed(scopes):
        end()
    walk = _walk(source.run, [slot for slot, _end in scopes])
    loop, after = _loop(node.fold, walk, condition, body)
    return Code(loop, source.cost + after)


def _walk(source: Run, slots: list[int]) -> Callable[[Frame], Iterator[Any]]:
    """Goes through the range, setting the variables; yields the key of a map or an index."""
    if len(slots) == 1:
        (only,) = slots

        def single(frame: Frame) -> Iterator[Any]:
            for each in _elements(source(frame)):
                frame[only] = each
                yield each

        return single
    first, second = slots

    def pairs(frame: Frame) -> Iterator[Any]:
        value = source(frame)
        entries = value.items() if isinstance(value, Mapping) else enumerate(_elements(value))
        for key, each in entries:
            frame[first], frame[second] = key, each
            yield key

    return pairs


def _elements(value: Any) -> Any:
    if isinstance(value, list | Mapping):
        return value
    raise no_overload()


def _loop(
    fold: Fold, walk: Callable[[Frame], Iterator[Any]], condition: Run | None, body: Code
) -> tuple[Run, int]:
    """The loop, and what it costs beside its steps."""
    match fold:
        case Fold.ALL:
            return _quantified(walk, body, decisive=False), 1
        case Fold.EXISTS:
            return _quantified(walk, body, decisive=True), 1
        case Fold.EXISTS_ONE:
            return _exists_one(walk, body), 2
        case Fold.MAP:
            return _mapped(walk, condition, body), 1
        case Fold.SORT_BY:
            return _sorted(walk, body), 23
        case Fold.TRANSFORM_MAP | Fold.TRANSFORM_ENTRY:
            return _transformed(fold, walk, condition, body), 1


def _quantified(walk: Callable[[Frame], Iterator[Any]], body: Code, *, decisive: bool) -> Run:
    """`all` and `exists`: an element that decides wins over errors of others."""
    test, before = body.run, 3 if decisive else 2
    step = before + 1 + body.cost

    def run(frame: Frame) -> bool:
        error: CelError | None = None
        found = False
        for _ in walk(frame):
            if found:
                pay(frame, before)
                return decisive
            pay(frame, step)
            try:
                value = test(frame)
            except CelError as failed:
                error = failed
                continue
            if value is decisive:
                found = True
            elif value is not (not decisive):
                error = no_overload()
        if found:
            return decisive
        if error is not None:
            raise error
        return not decisive

    return run


def _exists_one(walk: Callable[[Frame], Iterator[Any]], body: Code) -> Run:
    test, step = body.run, body.cost

    def run(frame: Frame) -> bool:
        count = 0
        for _ in walk(frame):
            pay(frame, step)
            value = test(frame)
            if value is True:
                pay(frame, 2)
                count += 1
            elif value is not False:
                raise no_overload()
        return count == 1

    return run


def _mapped(walk: Callable[[Frame], Iterator[Any]], condition: Run | None, body: Code) -> Run:
    make, step = body.run, body.cost + 12

    def run(frame: Frame) -> list[Any]:
        made: list[Any] = []
        for _ in walk(frame):
            if condition is not None and not _holds(condition(frame)):
                continue
            pay(frame, step)
            made.append(make(frame))
        return made

    return run


def _holds(value: Any) -> bool:
    if value is True or value is False:
        return bool(value)
    raise no_overload()


def _transformed(
    fold: Fold,
    walk: Callable[[Frame], Iterator[Any]],
    condition: Run | None,
    body: Code,
) -> Run:
    make, entries = body.run, fold is Fold.TRANSFORM_ENTRY
    step = body.cost + (2 if entries else 3)

    def run(frame: Frame) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for key in walk(frame):
            if condition is not None and not _holds(condition(frame)):
                continue
            pay(frame, step)
            value = make(frame)
            added = value if entries else {key: value}
            for new in added:
                if new in made:
                    raise CelError(f"insert failed: key {shown(new)} already exists")
            made.update(added)
        return made

    return run


def _sorted(walk: Callable[[Frame], Iterator[Any]], body: Code) -> Run:
    make, step, order = body.run, body.cost + 12, cmp_to_key(compare)

    def run(frame: Frame) -> list[Any]:
        keyed: list[tuple[Any, Any]] = []
        for each in walk(frame):
            pay(frame, step)
            keyed.append((make(frame), each))
        pay(frame, len(keyed) ** 2)
        keyed.sort(key=lambda pair: order(pair[0]))
        return [each for _key, each in keyed]

    return run
