"""Regular expressions in linear time, for patterns that Python's engine may never finish.

`^(a+)+$` on thirty `a` and a `b` takes Python's backtracking engine minutes, and all tenants of the
process would wait. Such patterns (a repetition that varies inside of one without end) run here: all
ways through the pattern at once, a character at a time, in order of preference (Pike's algorithm,
as RE2 does it). Ten to a hundred times slower than Python's engine where that is fast.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from re import _constants, _parser  # type: ignore[attr-defined]  # the parser of `re` itself
from typing import Any, Final

_STATES_MOST: Final = 20_000
_VARYING: Final = (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.BRANCH)
_REPEATS: Final = (_constants.MAX_REPEAT, _constants.MIN_REPEAT)
_MANY: Final = 32  # a bounded repetition of more is as bad as one without end


def is_needed(pattern: str) -> bool:
    """Whether Python's engine may take exponentially long on this pattern.

    Raises:
        re.error: it is no pattern.
    """
    return _is_dangerous(_parser.parse(pattern, re.ASCII))


def _is_dangerous(items: Iterable[Any]) -> bool:
    for kind, given in items:
        for below in _below(kind, given):
            if _is_dangerous(below) or (kind in _REPEATS and given[1] > _MANY and _varies(below)):
                return True
    return False


def _varies(items: Iterable[Any]) -> bool:
    for kind, given in items:
        if kind in _VARYING and (kind is _constants.BRANCH or given[0] != given[1]):
            return True
        if any(map(_varies, _below(kind, given))):
            return True
    return False


def _below(kind: Any, given: Any) -> list[Any]:
    if kind in _REPEATS:
        return [given[2]]
    if kind is _constants.SUBPATTERN:
        return [given[3]]
    return list(given[1]) if kind is _constants.BRANCH else []


@dataclass(slots=True, eq=False)
class _State:
    """One place in the pattern: `test` takes a character and leads on, `holds` looks around; with
    neither all of `out` are tried, in that order. No `out` is the end.
    """

    out: list["_State"] = field(default_factory=list)
    test: Callable[[str], bool] | None = None
    holds: Callable[[str, int], bool] | None = None


class Pattern:
    """A compiled pattern, with as much of `re.Pattern` as expressions need."""

    def __init__(self, pattern: str) -> None:
        tree = _parser.parse(pattern, re.ASCII)
        self._count = 0
        self._dotall = bool(tree.state.flags & re.DOTALL)
        self._ignore_case = bool(tree.state.flags & re.IGNORECASE)
        self._multiline = bool(tree.state.flags & re.MULTILINE)
        self._end = _State()
        self._start = self._sequence(list(tree), self._end)

    def search(self, text: str, start: int = 0) -> "Match | None":
        """The leftmost match from `start` on, the one that a backtracking engine would prefer."""
        threads: list[tuple[_State, int]] = []
        found: Match | None = None
        for position in range(start, len(text) + 1):
            if found is None:
                threads.append((self._start, position))
            elif not threads:
                break
            ready: list[tuple[_State, int]] = []
            seen: set[int] = set()
            for thread in threads:
                if self._follow(thread, (text, position), seen, ready):
                    found = Match(text, thread[1], position)
                    break  # whatever comes after is preferred less
            character = text[position : position + 1]
            threads = [
                (state.out[0], began)
                for state, began in ready
                if character and state.test is not None and state.test(character)
            ]
        return found

    def finditer(self, text: str) -> Iterable["Match"]:
        """All matches that do not overlap."""
        at = 0
        while at <= len(text) and (match := self.search(text, at)) is not None:
            yield match
            at = match.end if match.end > match.start else match.end + 1

    def _follow(
        self,
        thread: tuple[_State, int],
        place: tuple[str, int],
        seen: set[int],
        ready: list[tuple[_State, int]],
    ) -> bool:
        """Collect the states that wait for a character; True if the end was reached before."""
        state, began = thread
        waiting = [state]
        while waiting:
            state = waiting.pop()
            if id(state) in seen:
                continue
            seen.add(id(state))
            if state is self._end:
                return True
            if state.test is not None:
                ready.append((state, began))
            elif state.holds is None or state.holds(*place):
                waiting.extend(reversed(state.out))
        return False

    def _state(self, **given: Any) -> _State:
        self._count += 1
        if self._count > _STATES_MOST:
            raise re.error("expression too large")
        return _State(**given)

    def _sequence(self, items: list[Any], after: _State) -> _State:
        for kind, given in reversed(items):
            after = self._item(kind, given, after)
        return after

    def _item(self, kind: Any, given: Any, after: _State) -> _State:
        if kind in _REPEATS:
            return self._repeat(given, after, greedy=kind is _constants.MAX_REPEAT)
        if kind is _constants.SUBPATTERN:
            return self._sequence(list(given[3]), after)
        if kind is _constants.BRANCH:
            ways = [self._sequence(list(way), after) for way in given[1]]
            return self._state(out=ways)
        if kind is _constants.AT:
            return self._state(out=[after], holds=_around(given, multiline=self._multiline))
        return self._state(out=[after], test=self._test(kind, given))

    def _repeat(self, given: Any, after: _State, *, greedy: bool) -> _State:
        least, most, body = given
        items = list(body)
        if most is _constants.MAXREPEAT:
            entry = self._state()
            inside = self._sequence(items, entry)
            entry.out = [inside, after] if greedy else [after, inside]
        else:
            entry = after
            for _ in range(most - least):
                inside = self._sequence(items, entry)
                entry = self._state(out=[inside, after] if greedy else [after, inside])
        for _ in range(least):
            entry = self._sequence(items, entry)
        return entry

    def _test(self, kind: Any, given: Any) -> Callable[[str], bool]:
        """A test for one character, which `re` itself makes of its own piece of the pattern."""
        if kind is _constants.ANY:
            return (lambda _character: True) if self._dotall else (lambda each: each != "\n")
        members = [(kind, given)] if kind is not _constants.IN else list(given)
        tests = [_member(*member, ignore_case=self._ignore_case) for member in members]
        if members[0][0] is _constants.NEGATE:
            rest = tests[1:]
            return lambda each: not any(test(each) for test in rest)
        return lambda each: any(test(each) for test in tests)


@dataclass(frozen=True, slots=True)
class Match:
    """Where a pattern was found."""

    text: str
    start: int
    end: int

    def group(self) -> str:
        """What was found."""
        return self.text[self.start : self.end]


def _member(kind: Any, given: Any, *, ignore_case: bool) -> Callable[[str], bool]:
    if kind is _constants.NEGATE:
        return lambda _each: False
    if kind is _constants.CATEGORY:
        return _CATEGORIES[given]
    low, high = given if kind is _constants.RANGE else (given, given)

    def test(each: str) -> bool:
        inside = low <= ord(each) <= high
        if ignore_case and not inside:
            inside = any(low <= ord(c) <= high for c in (each.lower(), each.upper()) if len(c) == 1)
        return inside is not (kind is _constants.NOT_LITERAL)

    return test


_WORD: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_DIGITS: Final = frozenset("0123456789")
_SPACES: Final = frozenset(" \t\n\r\f\v")
_CATEGORIES: Final[dict[Any, Callable[[str], bool]]] = {
    _constants.CATEGORY_DIGIT: lambda each: each in _DIGITS,
    _constants.CATEGORY_NOT_DIGIT: lambda each: each not in _DIGITS,
    _constants.CATEGORY_SPACE: lambda each: each in _SPACES,
    _constants.CATEGORY_NOT_SPACE: lambda each: each not in _SPACES,
    _constants.CATEGORY_WORD: lambda each: each in _WORD,
    _constants.CATEGORY_NOT_WORD: lambda each: each not in _WORD,
}


def _boundary(text: str, at: int) -> bool:
    before = at > 0 and text[at - 1] in _WORD
    return before is not (at < len(text) and text[at] in _WORD)


def _around(kind: Any, *, multiline: bool) -> Callable[[str, int], bool]:
    """What an anchor wants of its place."""
    if kind is _constants.AT_BOUNDARY:
        return _boundary
    if kind is _constants.AT_NON_BOUNDARY:
        return lambda text, at: not _boundary(text, at)
    if kind is _constants.AT_END_STRING:
        return lambda text, at: at == len(text)
    if kind is _constants.AT_END:
        return lambda text, at: at == len(text) or (multiline and text[at] == "\n")
    if kind is _constants.AT_BEGINNING and multiline:
        return lambda text, at: at == 0 or text[at - 1] == "\n"
    return lambda _text, at: at == 0
