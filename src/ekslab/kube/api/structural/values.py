"""Values against their schema, in upstream's words.

    spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10

What an update leaves as it was is not asked again (ratcheting): parts are compared with their old
selves by field and, in lists of type map, by key. Upstream: kube-openapi `pkg/validation/validate`
and `errors/schema.go`, apiextensions-apiserver `pkg/apiserver/validation`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from ekslab.kube.api.cel.failures import CelError
from ekslab.kube.api.cel.library import patterns
from ekslab.kube.api.errors import Cause
from ekslab.kube.api.structural.formats import is_of_format

Json = Mapping[str, Any]
ABSENT: Final = object()
"""Stands for an old value that is not there or cannot be found."""

_CAUSES_MOST: Final = 100
_UNIONS: Final = ("allOf", "anyOf", "oneOf", "not")
TYPE_INVALID: Final = "FieldValueTypeInvalid"
BLOCKING: Final = frozenset(
    {"FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", TYPE_INVALID}
)
"""Reasons that keep rules from being checked: they could not rely on the object's shape."""


def check_value(value: Any, wire: Json, path: str = "", old: Any = ABSENT) -> list[Cause]:
    """Everything wrong with a value that replaces `old`."""
    check = _Check()
    check.value(value, wire, path, old)
    return check.causes


@dataclass(slots=True)
class _Check:
    """One look at a value. `passed` counts what was right: the nearest of several schemas is the
    one that most is right of.
    """

    causes: list[Cause] = field(default_factory=list)
    passed: int = 0

    def value(self, value: Any, wire: Json, path: str, old: Any = ABSENT) -> None:
        if old is not ABSENT and value == old and type(value) is type(old):
            return
        if len(self.causes) >= _CAUSES_MOST:
            return
        if not self._has_type(value, wire, path):
            return
        for union in _UNIONS:
            if union in wire:
                self._union(union, value, wire[union], path, old)
        if value is None:
            return
        if isinstance(value, str):
            self._string(value, wire, path)
        elif isinstance(value, dict):
            self._object(value, wire, path, old)
        elif isinstance(value, list):
            self._list(value, wire, path, old)
        elif not isinstance(value, bool):
            self._number(value, wire, path)
        self._enum(value, wire, path)

    def _fail(self, path: str, shown: str, why: str, reason: str = "FieldValueInvalid") -> None:
        self.causes.append(Cause(path or "<nil>", f"Invalid value: {shown}: {why}", reason))

    def _has_type(self, value: Any, wire: Json, path: str) -> bool:
        if wire.get("x-kubernetes-int-or-string"):
            wanted: tuple[str, ...] = ("integer", "string")
        else:
            wanted = (wire["type"],) if wire.get("type") else ()
        if value is None:
            if wire.get("nullable") or not wanted:
                return True
        elif not wanted or any(_is_a(value, kind) for kind in wanted):
            self.passed += 1
            return True
        word = type_word(value)
        why = f'{path} in body must be of type {",".join(wanted)}: "{word}"'
        self._fail(path, f'"{word}"', why, TYPE_INVALID)
        return False

    def _string(self, value: str, wire: Json, path: str) -> None:
        longest = wire.get("maxLength")
        if longest is not None and len(value) > longest:
            why = f"Too long: may not be more than {longest} bytes"
            self.causes.append(Cause(path, why, "FieldValueTooLong"))
        shortest = wire.get("minLength")
        if shortest is not None and len(value) < shortest:
            why = f"{path} in body should be at least {shortest} chars long"
            self._fail(path, shown(value), why)
        pattern = wire.get("pattern")
        if pattern and not matches(pattern, value):
            self._fail(path, shown(value), f"{path} in body should match '{pattern}'")
        form = wire.get("format")
        if form and not is_of_format(form, value):
            text = shown(value)
            self._fail(path, text, f"{path} in body must be of type {form}: {text}", TYPE_INVALID)

    def _number(self, value: float, wire: Json, path: str) -> None:
        most, least = wire.get("maximum"), wire.get("minimum")
        if most is not None:
            strict = wire.get("exclusiveMaximum")
            if value > most or (strict and value == most):
                what = "less than" if strict else "less than or equal to"
                why = f"{path} in body should be {what} {number(most)}"
                self._fail(path, shown(value), why)
        if least is not None:
            strict = wire.get("exclusiveMinimum")
            if value < least or (strict and value == least):
                what = "greater than" if strict else "greater than or equal to"
                why = f"{path} in body should be {what} {number(least)}"
                self._fail(path, shown(value), why)
        factor = wire.get("multipleOf")
        if factor and not float(value / factor).is_integer():
            why = f"{path} in body should be a multiple of {number(factor)}"
            self._fail(path, shown(value), why)

    def _object(self, value: dict[str, Any], wire: Json, path: str, old: Any) -> None:
        most, least = wire.get("maxProperties"), wire.get("minProperties")
        if most is not None and len(value) > most:
            self._too_many(path, len(value), most)
        if least is not None and len(value) < least:
            why = f"{path} in body should have at least {least} properties"
            self._fail(path, str(len(value)), why)
        for name in wire.get("required") or ():
            if name not in value:
                at = f"{path}.{name}" if path else name
                self.causes.append(Cause(at, "Required value", "FieldValueRequired"))
        properties = wire.get("properties") or {}
        additional = wire.get("additionalProperties")
        before = old if isinstance(old, dict) else {}
        for name, each in value.items():
            known = properties.get(name)
            if known is None:
                if not isinstance(additional, Mapping):
                    continue
                known = additional
            self.value(each, known, f"{path}.{name}" if path else name, before.get(name, ABSENT))

    def _list(self, value: list[Any], wire: Json, path: str, old: Any) -> None:
        most, least = wire.get("maxItems"), wire.get("minItems")
        if most is not None and len(value) > most:
            self._too_many(path, len(value), most)
        if least is not None and len(value) < least:
            why = f"{path} in body should have at least {least} items"
            self._fail(path, str(len(value)), why)
        if wire.get("uniqueItems") and has_twins(value):
            self._fail(path, '""', f"{path} in body shouldn't contain duplicates")
        items = wire.get("items")
        if not isinstance(items, Mapping):
            return
        before = _by_key(old, wire)
        keys = wire.get("x-kubernetes-list-map-keys") or ()
        for index, each in enumerate(value):
            past = before.get(_key_of(each, keys), ABSENT) if before else ABSENT
            self.value(each, items, f"{path}[{index}]", past)

    def _too_many(self, path: str, count: int, most: int) -> None:
        noun = "item" if most == 1 else "items"
        why = f"Too many: {count}: must have at most {most} {noun}"
        self.causes.append(Cause(path or "<nil>", why, "FieldValueTooMany"))

    def _enum(self, value: Any, wire: Json, path: str) -> None:
        allowed = wire.get("enum")
        if not allowed:
            return
        if any(each == value and isinstance(each, bool) is isinstance(value, bool)
               for each in allowed):  # fmt: skip
            self.passed += 1
            return
        names = ", ".join(
            shown(each if isinstance(each, str) else orjson.dumps(each).decode())
            for each in allowed
        )
        why = f"Unsupported value: {shown(value)}: supported values: {names}"
        self.causes.append(Cause(path or "<nil>", why, "FieldValueNotSupported"))

    def _union(self, union: str, value: Any, wire: Any, path: str, old: Any) -> None:
        if union == "not":
            if not check_value(value, wire, path):
                why = f'"{path}" must not validate the schema (not)'
                self._fail("", '""', why)
            return
        looks = []
        for each in wire:
            look = _Check()
            look.value(value, each, path, old)
            looks.append(look)
        good = sum(not look.causes for look in looks)
        if union == "allOf":
            for look in looks:
                self.causes.extend(look.causes)
            if good < len(looks):
                tail = "" if good else ". None validated"
                why = f'"{path}" must validate all the schemas (allOf){tail}'
                self._fail("", '""', why)
            return
        if good == 1 or (good and union == "anyOf"):
            return
        if union == "anyOf":
            self._fail("", '""', f'"{path}" must validate at least one schema (anyOf)')
        else:
            found = f"Found {good} valid alternatives" if good else "Found none valid"
            why = f'"{path}" must validate one and only one schema (oneOf). {found}'
            self._fail("", '""', why)
        if not good:
            self.causes.extend(max(looks, key=lambda look: look.passed).causes)


def _is_a(value: Any, kind: str) -> bool:
    if kind == "integer":
        if isinstance(value, float):
            return value.is_integer()
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type_word(value) == kind


def type_word(value: Any) -> str:
    """The schema type of a value, as messages name it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    return "object" if isinstance(value, dict) else "array"


def shown(value: Any) -> str:
    """A value as field errors show it."""
    if value is None:
        return '"null"'
    if isinstance(value, float):
        return number(value)
    return orjson.dumps(value).decode()


def number(value: float) -> str:
    """A number as Go's `%v` writes it: `10`, `0.5`, `1e+06`."""
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e21):
        return str(int(value))
    return repr(value)


def has_twins(values: Sequence[Any]) -> bool:
    """Whether two of the values are equal."""
    texts = [orjson.dumps(value, option=orjson.OPT_SORT_KEYS) for value in values]
    return len(set(texts)) < len(texts)


def _key_of(item: Any, keys: Sequence[str]) -> bytes:
    found = [item.get(key) for key in keys] if isinstance(item, dict) else None
    return orjson.dumps(found, option=orjson.OPT_SORT_KEYS)


def _by_key(old: Any, wire: Json) -> dict[bytes, Any]:
    """The elements of an old list by their keys; nothing where elements have no identity."""
    if not isinstance(old, list) or wire.get("x-kubernetes-list-type") != "map":
        return {}
    keys = wire.get("x-kubernetes-list-map-keys") or ()
    return {_key_of(item, keys): item for item in old}


def is_pattern(pattern: str) -> bool:
    """Whether this is a regular expression of RE2."""
    try:
        patterns.compiled(pattern)
    except CelError:
        return False
    return True


def matches(pattern: str, value: str) -> bool:
    """Whether a pattern is found in a text, in time that grows with the text as RE2's does."""
    return is_pattern(pattern) and patterns.compiled(pattern).search(value) is not None
