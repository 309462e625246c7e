"""Label and field selectors: parsed once, matched often.

Grammar, order of checks and error texts are those of apimachinery `pkg/labels/selector.go`,
`pkg/fields/selector.go` and `meta/v1/helpers.go`, because clients print them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ekslab.kit.remembering import remembered
from ekslab.kube.api.errors import ApiError, bad_request
from ekslab.kube.api.names import is_label_value, is_qualified_name
from ekslab.kube.api.requests import Object

_DIGITS_MOST: Final = 1_000
_REMEMBERED_LONGEST: Final = 4_096
_BINARY_OPERATORS: Final = "in, notin, =, ==, !=, gt, lt"
_SYMBOLS: Final = frozenset("=!(),><")
_TOKENS: Final = frozenset({")", ",", "!", "==", "=", "!=", "(", ">", "<"})
_INT64: Final = re.compile(r"[+-]?[0-9]+")
_EXPRESSION_OPERATORS: Final = {
    "In": "in",
    "NotIn": "notin",
    "Exists": "exists",
    "DoesNotExist": "!",
}


@dataclass(frozen=True, slots=True)
class LabelRequirement:
    """One condition. `operator` is one of = == != in notin exists ! gt lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels fulfils the condition."""
        value = labels.get(self.key)
        match self.operator:
            case "=" | "==" | "in":
                return value is not None and value in self.values
            case "!=" | "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
        if value is None or not _INT64.fullmatch(value):
            return False
        bound = int(self.values[0])
        return int(value) > bound if self.operator == "gt" else int(value) < bound

    def __str__(self) -> str:
        match self.operator:
            case "!":
                return f"!{self.key}"
            case "exists":
                return self.key
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(self.values)})"
        operator = {"gt": ">", "lt": "<"}.get(self.operator, self.operator)
        return f"{self.key}{operator}{self.values[0]}"


class LabelSelector:
    """All of its requirements must match. `str` gives the canonical text."""

    __slots__ = ("_others", "_wanted", "nothing", "requirements")

    def __init__(self, requirements: Sequence[LabelRequirement], *, nothing: bool = False) -> None:
        self.requirements = tuple(sorted(requirements, key=lambda each: each.key))
        self.nothing = nothing
        # Equality is what nearly every selector is made of: it is matched without a call.
        self._wanted = tuple(
            (each.key, each.values[0]) for each in self.requirements if each.operator in ("=", "==")
        )
        self._others = tuple(each for each in self.requirements if each.operator not in ("=", "=="))

    @property
    def empty(self) -> bool:
        """Whether it matches everything."""
        return not self.requirements and not self.nothing

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        if self.nothing:
            return False
        for key, value in self._wanted:
            if labels.get(key) != value:
                return False
        return not self._others or all(each.matches(labels) for each in self._others)

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    """One condition on a field; `operator` is = or !=."""

    field: str
    operator: str
    value: str


class FieldSelector:
    """All of its requirements must match. An absent field counts as the empty string."""

    __slots__ = ("requirements",)

    def __init__(self, requirements: Sequence[FieldRequirement]) -> None:
        self.requirements = tuple(requirements)

    @property
    def empty(self) -> bool:
        """Whether it matches everything."""
        return not self.requirements

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Whether an object with these selectable fields is selected."""
        for each in self.requirements:
            if (fields.get(each.field, "") == each.value) is not (each.operator == "="):
                return False
        return True

    def renamed(self, names: Mapping[str, str]) -> "FieldSelector":
        """The same selector with fields called by other names."""
        return FieldSelector(
            [
                FieldRequirement(names.get(each.field, each.field), each.operator, each.value)
                for each in self.requirements
            ]
        )

    def exact(self, field: str) -> str | None:
        """The value this selector demands of a field, if it demands one (an index can use it)."""
        for each in self.requirements:
            if each.field == field and each.operator == "=":
                return each.value
        return None

    def __str__(self) -> str:
        return ",".join(f"{r.field}{r.operator}{_escape(r.value)}" for r in self.requirements)


@remembered(1024, longest=_REMEMBERED_LONGEST)
def parse_labels(text: str) -> LabelSelector:
    """Parse `a=b,c!=d,e in (x,y),!f,g`.

    Raises:
        ApiError: 400 with upstream's words.
    """
    return LabelSelector(_LabelParser(text).parse())


def label_selector(obj: Object | None) -> LabelSelector:
    """The selector of a `metav1.LabelSelector` object: None selects nothing, {} everything.

    Raises:
        ApiError: 400 for an unknown operator or bad keys and values.
    """
    if obj is None:
        return LabelSelector((), nothing=True)
    requirements = [
        _requirement(key, "=", [value]) for key, value in (obj.get("matchLabels") or {}).items()
    ]
    for expression in obj.get("matchExpressions") or ():
        name = expression.get("operator", "")
        operator = _EXPRESSION_OPERATORS.get(name)
        if operator is None:
            raise bad_request(f'"{name}" is not a valid label selector operator')
        values = sorted(set(expression.get("values") or ()))
        requirements.append(_requirement(expression.get("key", ""), operator, values))
    return LabelSelector(requirements)


@remembered(1024, longest=_REMEMBERED_LONGEST)
def parse_fields(text: str) -> FieldSelector:
    """Parse `a=b,c!=d`; a backslash escapes `,`, `=` and itself in values.

    Which fields a resource supports is the caller's to decide.

    Raises:
        ApiError: 400 with upstream's words.
    """
    requirements = []
    for term in sorted(_split_terms(text)):
        if not term:
            continue
        found = re.search("!=|==|=", term)
        if found is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
        operator = "!=" if found.group() == "!=" else "="
        value = _unescape(term[found.end() :])
        requirements.append(FieldRequirement(term[: found.start()], operator, value))
    return FieldSelector(requirements)


def _requirement(key: str, operator: str, values: Sequence[str]) -> LabelRequirement:
    """Check and make one requirement, as upstream's `labels.NewRequirement`."""
    errors = []
    if found := is_qualified_name(key):
        errors.append(f"key: {_invalid(key, '; '.join(found))}")
    if operator in ("in", "notin") and not values:
        errors.append(
            "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"
        )
    if operator in ("exists", "!") and values:
        shown = "[" + ",".join(f'"{value}"' for value in values) + "]"
        why = "values set must be empty for exists and does not exist"
        errors.append(f"values: Invalid value: {shown}: {why}")
    if operator in ("gt", "lt") and not _is_int64(values[0]):
        why = "for 'Gt', 'Lt' operators, the value must be an integer"
        errors.append(f"values[0]: {_invalid(values[0], why)}")
    for index, value in enumerate(values):
        if found := is_label_value(value):
            errors.append(f"values[{index}][{key}]: {_invalid(value, '; '.join(found))}")
    if errors:
        raise bad_request(errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]")
    return LabelRequirement(key, operator, tuple(values))


def _invalid(value: str, why: str) -> str:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'Invalid value: "{quoted}": {why}'


def _is_int64(text: str) -> bool:
    return (
        len(text) < _DIGITS_MOST and bool(_INT64.fullmatch(text)) and -(2**63) <= int(text) < 2**63
    )


class _LabelParser:
    """Recursive descent over tokens, one method per rule of upstream's `labels.Parser`."""

    def __init__(self, text: str) -> None:
        self._tokens = [*_lex(text), ("end", "")]
        self._at = 0

    def parse(self) -> list[LabelRequirement]:
        requirements: list[LabelRequirement] = []
        while True:
            kind, literal = self._peek()
            if kind == "end":
                return requirements
            if kind not in ("identifier", "!"):
                raise bad_request(f"found '{literal}', expected: !, identifier, or 'end of string'")
            requirements.append(self._parse_requirement())
            kind, literal = self._next()
            if kind == "end":
                return requirements
            if kind != ",":
                raise bad_request(f"found '{literal}', expected: ',' or 'end of string'")
            kind, literal = self._peek()
            if kind not in ("identifier", "!"):
                raise bad_request(f"found '{literal}', expected: identifier after ','")

    def _parse_requirement(self) -> LabelRequirement:
        kind, key = self._next()
        negated = kind == "!"
        if negated:
            kind, key = self._next()
        if kind != "identifier":
            raise _bad_requirement(f"found '{key}', expected: identifier")
        if errors := is_qualified_name(key):
            raise _bad_requirement(f"<nil>: {_invalid(key, '; '.join(errors))}")
        if negated:
            return LabelRequirement(key, "!")
        if self._peek()[0] in ("end", ","):
            return LabelRequirement(key, "exists")
        operator = self._parse_operator()
        values = self._parse_values() if operator in ("in", "notin") else self._parse_value()
        try:
            return _requirement(key, operator, values)
        except ApiError as error:
            raise _bad_requirement(error.message) from None

    def _parse_operator(self) -> str:
        kind, literal = self._next()
        if kind == "identifier" and literal in ("in", "notin"):
            return literal
        if kind in ("=", "==", "!="):
            return kind
        if kind in (">", "<"):
            return "gt" if kind == ">" else "lt"
        raise _bad_requirement(f"found '{literal}', expected: {_BINARY_OPERATORS}")

    def _parse_value(self) -> list[str]:
        if self._peek()[0] in ("end", ","):
            return [""]
        kind, literal = self._next()
        if kind != "identifier":
            raise _bad_requirement(f"found '{literal}', expected: identifier")
        return [literal]

    def _parse_values(self) -> list[str]:
        kind, literal = self._next()
        if kind != "(":
            raise _bad_requirement(f"found '{literal}' expected: '('")
        kind, literal = self._peek()
        if kind == ")":
            self._next()
            return [""]
        if kind not in ("identifier", ","):
            raise _bad_requirement(f"found '{literal}', expected: ',', ')' or identifier")
        values = self._parse_list()
        self._next()  # the closing parenthesis: the list ends only before one
        return sorted(values)

    def _parse_list(self) -> set[str]:
        values: set[str] = set()
        while True:
            kind, literal = self._next()
            following, found = self._peek()
            if kind == "identifier":
                values.add(literal)
                if following == ")":
                    return values
                if following != ",":
                    raise _bad_requirement(f"found '{found}', expected: ',' or ')'")
            elif kind == ",":
                if not values:
                    values.add("")
                if following == ")":
                    values.add("")
                    return values
                if following == ",":
                    self._next()
                    values.add("")
            else:
                raise _bad_requirement(f"found '{literal}', expected: ',', or identifier")

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at]

    def _next(self) -> tuple[str, str]:
        token = self._tokens[self._at]
        # The end of the string can be read again and again.
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token


def _bad_requirement(why: str) -> ApiError:
    return bad_request(f"unable to parse requirement: {why}")


def _lex(text: str) -> Iterator[tuple[str, str]]:
    """Tokens as (kind, literal): identifiers, and symbols that are their own kind."""
    at = 0
    while at < len(text):
        if text[at] in " \t\r\n":
            at += 1
            continue
        start = at
        if text[at] in _SYMBOLS:
            # The longest known symbol: `!=` before `!`, `==` before `=`.
            at += 2 if text[at : at + 2] in _TOKENS else 1
            yield text[start:at], text[start:at]
            continue
        while at < len(text) and text[at] not in _SYMBOLS and text[at] not in " \t\r\n":
            at += 1
        yield "identifier", text[start:at]


def _split_terms(text: str) -> list[str]:
    """Split at commas that are not escaped; escapes stay."""
    return re.findall(r"(?:[^,\\]|\\.|\\$)+", text, re.DOTALL)


def _unescape(value: str) -> str:
    plain = []
    rest = iter(value)
    for char in rest:
        if char == "\\":
            escaped = next(rest, "")
            if not escaped or escaped not in "\\,=":
                sequence = f"\\{escaped}"
                raise bad_request(f"invalid field selector: invalid escape sequence: {sequence}")
            plain.append(escaped)
        elif char in ",=":
            raise bad_request(f"invalid field selector: unescaped character in value: {ord(char)}")
        else:
            plain.append(char)
    return "".join(plain)


def _escape(value: str) -> str:
    return re.sub(r"([\\,=])", r"\\\1", value)
