"""What one JSON scalar becomes in Go's hands: strings, numbers, quantities, instants, bytes.

Each function takes a decoded value and gives the value to keep, or raises `WrongValueError` with
Go's words for the value (`number 1.5`), or `ParseError` with the words of the type's own parser.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

from ekslab.kube.api.quantity import QuantityError, canonical
from ekslab.kube.api.schema.instants import InstantError, canonical_micro_time, canonical_time
from ekslab.kube.api.schema.model import Kind

_BOUNDS: Final = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}


class Pairs(list[tuple[str, Any]]):
    """A JSON object as it was written: keys in order, duplicates kept."""


class FloatText(float):
    """A number with fraction or exponent that remembers how it was written."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        """Parse the text of a number."""
        self = super().__new__(cls, text)
        self.text = text
        return self


class WrongValueError(Exception):
    """A value of the wrong type: `word` is Go's name for it, `go_type` what was expected, if it is
    not the field's own type.
    """

    def __init__(self, word: str, go_type: str = "") -> None:
        super().__init__(word)
        self.word = word
        self.go_type = go_type


class ParseError(Exception):
    """A value that its type's own parser refuses; the message is the parser's."""


def word_of(value: Any) -> str:
    """Go's word for a JSON value in a decode error."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, (int, float)):
        return "number"
    if value is None:
        return "null"
    return "object" if isinstance(value, Mapping | Pairs) else "array"


def number_text(value: float) -> str:
    """A number as it was written."""
    return value.text if isinstance(value, FloatText) else repr(value)


def _string(value: Any, _format: str) -> str:
    if isinstance(value, str):
        return value
    raise WrongValueError(word_of(value))


def _integer(value: Any, form: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise WrongValueError(word_of(value))
    low, high = _BOUNDS[form or "int64"]
    if isinstance(value, float) or not low <= value <= high:
        raise WrongValueError(f"number {number_text(value)}")
    return value


def _number(value: Any, _format: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise WrongValueError(word_of(value))
    if isinstance(value, FloatText):
        return float(value)
    return value


def _boolean(value: Any, _format: str) -> bool:
    if isinstance(value, bool):
        return value
    raise WrongValueError(word_of(value))


def _int_or_string(value: Any, _format: str) -> int | str:
    if isinstance(value, str):
        return value
    try:
        return _integer(value, "int32")
    except WrongValueError as wrong:
        raise WrongValueError(wrong.word, "int32") from None


def _quantity(value: Any, _format: str) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = number_text(value)
    elif not isinstance(value, str):
        value = "true"  # Go hands over the raw text, which no quantity can be
    return canonical_quantity(value)


def canonical_quantity(text: str) -> str:
    """The canonical text of a quantity, or `ParseError`."""
    try:
        return canonical(text)
    except QuantityError as error:
        raise ParseError(str(error)) from None


def _time(value: Any, _format: str) -> str:
    if not isinstance(value, str):
        raise WrongValueError(word_of(value), "string")
    try:
        return canonical_time(value)
    except InstantError as error:
        raise ParseError(str(error)) from None


def _micro_time(value: Any, _format: str) -> str:
    if not isinstance(value, str):
        raise WrongValueError(word_of(value), "string")
    try:
        return canonical_micro_time(value)
    except InstantError as error:
        raise ParseError(str(error)) from None


def _bytes(value: Any, _format: str) -> str:
    if not isinstance(value, str):
        raise WrongValueError(word_of(value), "[]uint8")
    return canonical_base64(value)


def canonical_base64(text: str) -> str:
    """Base64 as Go writes it: line breaks are passed over, all else must be exact."""
    plain = text.replace("\n", "").replace("\r", "")
    try:
        return base64.b64encode(binascii.a2b_base64(plain, strict_mode=True)).decode()
    except (binascii.Error, ValueError):
        raise ParseError(f"illegal base64 data at input byte {_first_wrong(plain)}") from None


def _first_wrong(text: str) -> int:
    """Where Go's decoder stops: at the first character that cannot stand there, or at the end."""
    for index, char in enumerate(text):
        if char == "=":
            good = index % 4 >= 2 and text[index:] in {"=", "=="} and len(text) % 4 == 0
            return len(text) if good else index
        if not (char.isascii() and (char.isalnum() or char in "+/")):
            return index
    return len(text) - len(text) % 4


SCALARS: Final[Mapping[Kind, Callable[[Any, str], Any]]] = {
    Kind.STRING: _string,
    Kind.INTEGER: _integer,
    Kind.NUMBER: _number,
    Kind.BOOLEAN: _boolean,
    Kind.INT_OR_STRING: _int_or_string,
    Kind.QUANTITY: _quantity,
    Kind.TIME: _time,
    Kind.MICRO_TIME: _micro_time,
    Kind.DURATION: _string,
    Kind.BYTES: _bytes,
}
ZEROS: Final[Mapping[Kind, Any]] = {
    Kind.STRING: "",
    Kind.INTEGER: 0,
    Kind.NUMBER: 0,
    Kind.BOOLEAN: False,
    Kind.INT_OR_STRING: 0,
    Kind.QUANTITY: "0",
    Kind.TIME: None,
    Kind.MICRO_TIME: None,
    Kind.DURATION: "",
    Kind.BYTES: "",
}
