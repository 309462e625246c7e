"""Texts: cel-go's extension library for strings, version 2 (`ext/strings.go`)."""

from typing import Final

from ekslab.kube.api.cel.failures import CelError
from ekslab.kube.api.cel.functions import double_traversal, free, member, plain, traversal
from ekslab.kube.api.cel.library.formatting import formatted
from ekslab.kube.api.cel.types import DYN, INT, STRING, list_of
from ekslab.kube.api.cel.values import size, tenth

_QUOTED: Final = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
    "\\": "\\\\", '"': '\\"',
}  # fmt: skip
_SPACE: Final = "\t\n\v\f\r \u0085\u00a0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
_LOWER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_UPPER: Final = {lower: lower - 32 for lower in range(ord("a"), ord("z") + 1)}


def _character(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise CelError(f"index out of range: {index}")
    return text[index : index + 1]


def _index(text: str, part: str, start: int = 0) -> int:
    if not part:
        return start
    if not 0 <= start < max(len(text), 1) + (not text):
        raise CelError(f"index out of range: {start}")
    return text.find(part, start)


def _last_index(text: str, part: str, start: int | None = None) -> int:
    if start is None:
        return len(text) if not part else text.rfind(part)
    if not part:
        return start
    if not 0 <= start < len(text):
        raise CelError(f"index out of range: {start}")
    return text.rfind(part, 0, start + len(part))


def _substring(text: str, start: int, end: int | None = None) -> str:
    if end is None:
        if not 0 <= start <= len(text):
            raise CelError(f"index out of range: {start}")
        return text[start:]
    if start > end:
        raise CelError(f"invalid substring range. start: {start}, end: {end}")
    for index in (start, end):
        if not 0 <= index <= len(text):
            raise CelError(f"index out of range: {index}")
    return text[start:end]


def _split(text: str, separator: str, most: int = -1) -> list[str]:
    if most == 0:
        return []
    if not separator:
        parts = list(text)
        return parts if most < 0 or len(parts) <= most else [*parts[: most - 1], text[most - 1 :]]
    return text.split(separator, most - 1 if most > 0 else -1)


def _joined(texts: list[str], separator: str = "") -> str:
    if not all(isinstance(text, str) for text in texts):
        raise CelError("no such overload")
    return separator.join(texts)


def quoted(text: str) -> str:
    """A text as it stands in an expression, with escapes."""
    return '"' + "".join(_QUOTED.get(character, character) for character in text) + '"'


def _cost_of_result(_args: tuple[object, ...], result: object) -> int:
    return -(-size(result) // 5)


def _template(args: tuple[object, ...], _result: object) -> int:
    return tenth(size(args[0]))


_TEXTS: Final = list_of(STRING)
_ONE: Final = (STRING,)
_TWO: Final = (STRING, STRING)
_INDEXED: Final = (STRING, STRING, INT)
OVERLOADS: Final = [
    member("charAt", (STRING, INT), STRING, _character),
    member("indexOf", _TWO, INT, _index, free),
    member("indexOf", _INDEXED, INT, _index, free),
    member("lastIndexOf", _TWO, INT, _last_index, free),
    member("lastIndexOf", _INDEXED, INT, _last_index, free),
    member("lowerAscii", _ONE, STRING, lambda text: text.translate(_LOWER), traversal),
    member("upperAscii", _ONE, STRING, lambda text: text.translate(_UPPER), traversal),
    member(
        "replace",
        (STRING, STRING, STRING),
        STRING,
        lambda a, b, c: a.replace(b, c),
        double_traversal,
    ),
    member(
        "replace",
        (STRING, STRING, STRING, INT),
        STRING,
        lambda a, b, c, most: a.replace(b, c, most),
        double_traversal,
    ),
    member("split", _TWO, _TEXTS, _split, double_traversal),
    member("split", _INDEXED, _TEXTS, _split, double_traversal),
    member("substring", (STRING, INT), STRING, _substring, traversal),
    member("substring", (STRING, INT, INT), STRING, _substring, traversal),
    member("trim", _ONE, STRING, lambda text: text.strip(_SPACE), traversal),
    member("join", (_TEXTS,), STRING, _joined, _cost_of_result),
    member("join", (_TEXTS, STRING), STRING, _joined, _cost_of_result),
    member("format", (STRING, list_of(DYN)), STRING, formatted, _template),
    plain("strings.quote", _ONE, STRING, quoted, traversal),
]
