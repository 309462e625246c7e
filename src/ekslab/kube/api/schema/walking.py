"""The exact walk over a body: every unknown and duplicate field by name, every error in Go's words.

Slower than the compiled types (`compiled.py`), which it must agree with: it runs when they refuse a
body, and when field validation has something to name. What comes out went through Go's round trip:
unknown fields and nulls gone, empty optional values left out, required zero values written,
quantities and instants canonical, fields in upstream's order.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ekslab.kube.api.schema.model import Kind, Presence, Schema
from ekslab.kube.api.schema.scalars import (
    SCALARS,
    ZEROS,
    FloatText,
    Pairs,
    ParseError,
    WrongValueError,
    word_of,
)

_ERRORS_MOST: Final = 100  # sigs.k8s.io/json stops counting there too
_DIGITS_MOST: Final = 400
_LEFT_OUT: Final = object()


class DecodeError(Exception):
    """A body that has not the type it should have; the message is Go's."""


def parse_pairs(raw: bytes) -> Any:
    """Parse JSON of correct syntax, keeping duplicate keys and the text of numbers.

    Raises:
        RecursionError: it is nested too deeply.
    """
    text = raw.decode("utf-8", "replace")
    return json.loads(
        text, object_pairs_hook=Pairs, parse_int=_parse_int, parse_float=FloatText
    )  # fmt: skip


def _parse_int(text: str) -> float:
    return int(text) if len(text) < _DIGITS_MOST else FloatText(text)


def plain(value: Any) -> Any:
    """A value without `Pairs`: the last of duplicate keys wins, as in Go."""
    if isinstance(value, Pairs):
        return {_text(key): plain(item) for key, item in value}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, FloatText):
        return float(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return float(str(value))  # what no 64 bits hold is a float in Go
    return _text(value) if isinstance(value, str) else value


def _text(text: str) -> str:
    """Half of a surrogate pair becomes U+FFFD, as in Go."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@dataclass(slots=True)
class Walk:
    """One walk; `problems` collects unknown and duplicate fields in the order they were met.

    `tells_duplicates` is off where the parser has told them already (YAML).
    """

    problems: list[str] = field(default_factory=list)
    tells_duplicates: bool = True
    _seen: set[str] = field(default_factory=set)

    def object(self, value: Any, schema: Schema, *, go_name: str) -> dict[str, Any]:
        """Walk a whole object.

        Raises:
            DecodeError: a value has the wrong type.
        """
        if value is None:
            value = {}
        if not isinstance(value, Mapping | Pairs):
            raise DecodeError(
                f"json: cannot unmarshal {word_of(value)} into Go value of type v1.{go_name}"
            )
        return self._object(value, schema, place=_Place("", ""))

    def _object(self, value: Any, schema: Schema, *, place: "_Place") -> dict[str, Any]:
        struct = schema.name.rsplit(".", 1)[-1]
        fields = schema.fields
        found: dict[str, Any] = {}
        seen: set[str] = set()
        for key, item in _items(value):
            known = fields.get(key)
            if known is None:
                if schema.open:
                    found[key] = plain(item)
                else:
                    self._problem("unknown", place.path, key)
                continue
            if key in seen:
                self._problem("duplicate", place.path, key)
            seen.add(key)
            if item is None:
                continue
            found[key] = self._value(item, known, known.go_type, place.field(struct, key))
        result: dict[str, Any] = {}
        for key, known in fields.items():
            kept = _kept(found.get(key, _LEFT_OUT), known)
            if kept is not _LEFT_OUT:
                result[key] = kept
        if schema.open:
            result.update((key, item) for key, item in found.items() if key not in fields)
        return result

    def _value(self, value: Any, schema: Schema, go_type: str, place: "_Place") -> Any:
        kind = schema.kind
        if kind is Kind.OBJECT:
            if not isinstance(value, Mapping | Pairs):
                raise place.wrong(word_of(value), go_type)
            return self._object(value, schema, place=place)
        if kind is Kind.LIST:
            return self._list(value, schema, go_type, place)
        if kind is Kind.MAP:
            return self._map(value, schema, go_type, place)
        if kind is Kind.ANY:
            return plain(value)
        try:
            checked = SCALARS[kind](value, schema.format)
        except WrongValueError as wrong:
            raise place.wrong(wrong.word, wrong.go_type or go_type) from None
        except ParseError as error:
            raise DecodeError(str(error)) from None
        return _text(checked) if isinstance(checked, str) else checked

    def _list(self, value: Any, schema: Schema, go_type: str, place: "_Place") -> list[Any]:
        if not isinstance(value, list) or isinstance(value, Pairs):
            raise place.wrong(word_of(value), go_type)
        element = schema.element
        assert element is not None
        inner = go_type.removeprefix("[]").removeprefix("*")
        return [
            _zero(element)
            if item is None
            else self._value(item, element, inner, place.element(index))
            for index, item in enumerate(value)
        ]

    def _map(self, value: Any, schema: Schema, go_type: str, place: "_Place") -> dict[str, Any]:
        if not isinstance(value, Mapping | Pairs):
            raise place.wrong(word_of(value), go_type)
        element = schema.element
        assert element is not None
        inner = go_type.partition("]")[2].removeprefix("*") or "string"
        found: dict[str, Any] = {}
        for raw_key, item in _items(value):
            key = _text(raw_key)
            if key in found:
                self._problem("duplicate", place.path, key)
            below = place.key(key)
            found[key] = (
                _zero(element) if item is None else self._value(item, element, inner, below)
            )
        return found

    def _problem(self, what: str, path: str, key: str) -> None:
        if what == "duplicate" and not self.tells_duplicates:
            return
        self.tell(what, f"{path}.{key}" if path else key)

    def tell(self, what: str, path: str) -> None:
        """Note an `unknown` or a `duplicate` field, once; only so many are counted."""
        text = f'{what} field "{path}"'
        if text not in self._seen and len(self.problems) < _ERRORS_MOST:
            self._seen.add(text)
            self.problems.append(text)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the walk is: `path` with indices for people, `fields` and `struct` as Go's errors."""

    path: str
    fields: str
    struct: str = ""

    def field(self, struct: str, key: str) -> "_Place":
        path = f"{self.path}.{key}" if self.path else key
        return _Place(path, f"{self.fields}.{key}" if self.fields else key, struct)

    def element(self, index: int) -> "_Place":
        return _Place(f"{self.path}[{index}]", self.fields, self.struct)

    def key(self, key: str) -> "_Place":
        return _Place(f"{self.path}.{key}", self.fields, self.struct)

    def wrong(self, word: str, go_type: str) -> DecodeError:
        return DecodeError(
            f"json: cannot unmarshal {word} into Go struct field {self.struct}.{self.fields}"
            f" of type {go_type}"
        )


def _items(value: Any) -> Iterable[tuple[str, Any]]:
    return value if isinstance(value, Pairs) else value.items()


def _kept(value: Any, schema: Schema) -> Any:
    """The value of a field as Go's encoder writes it, or `_LEFT_OUT`."""
    presence, kind = schema.presence, schema.kind
    if presence is Presence.WRITTEN:
        if value is not _LEFT_OUT:
            return value
        if kind in {Kind.LIST, Kind.MAP, Kind.ANY, Kind.BYTES}:
            return _LEFT_OUT
        return _zero(schema)
    if presence is Presence.VALUE and value is not _LEFT_OUT and is_empty(value, schema):
        return _LEFT_OUT
    return value


def is_empty(value: Any, schema: Schema) -> bool:
    """Whether Go's omitempty leaves the value out: zero scalars, empty lists and maps."""
    if schema.kind is Kind.ANY or schema.kind is Kind.OBJECT:
        return False
    return not value


def _zero(schema: Schema) -> Any:
    if schema.kind is Kind.OBJECT:
        result = {}
        for key, known in schema.fields.items():
            kept = _kept(_LEFT_OUT, known)
            if kept is not _LEFT_OUT:
                result[key] = kept
        return result
    if schema.kind is Kind.LIST:
        return []
    if schema.kind is Kind.MAP:
        return {}
    return ZEROS.get(schema.kind)
