"""Text to tokens, by the lexer rules of CEL's grammar (cel-go `parser/gen/CEL.g4`)."""

import re
from dataclasses import dataclass
from typing import Final

from ekslab.kube.api.cel.failures import Issue

_ESCAPE = (
    r"\\(?:[abfnrtv\"'\\?`]|[0-3][0-7][0-7]|[xX][0-9a-fA-F]{2}"
    r"|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})"
)
_STRING = (
    rf'[rR]"""(?s:.*?)"""|[rR]\'\'\'(?s:.*?)\'\'\''
    r'|[rR]"[^"\n\r]*"|[rR]\'[^\'\n\r]*\''
    rf'|"""(?:{_ESCAPE}|[^\\])*?"""|\'\'\'(?:{_ESCAPE}|[^\\])*?\'\'\''
    rf'|"(?:{_ESCAPE}|[^\\"\n\r])*"|\'(?:{_ESCAPE}|[^\\\'\n\r])*\''
)
_TOKEN: Final = re.compile(
    r"(?P<space>[\t \r\n\f]+|//[^\n]*)"
    rf"|(?P<BYTES>[bB](?:{_STRING}))|(?P<STRING>{_STRING})"
    r"|(?P<NUM_FLOAT>[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+"
    r"|\.[0-9]+(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<NUM_UINT>0x[0-9a-fA-F]+[uU]|[0-9]+[uU])|(?P<NUM_INT>0x[0-9a-fA-F]+|[0-9]+)"
    r"|(?P<IDENTIFIER>[A-Za-z_][A-Za-z0-9_]*)|(?P<ESC_IDENTIFIER>`[A-Za-z0-9_.\-/ ]+`)"
    r"|(?P<operator>==|!=|<=|>=|&&|\|\||[<>\[\]{}().,\-!?:+*/%])"
)
_WORDS: Final = frozenset({"true", "false", "null", "in"})
_SIMPLE_ESCAPES: Final = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
}  # fmt: skip
_ESCAPED: Final = re.compile(
    r"\\(?:([0-3][0-7]{2})|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))"
)
END: Final = "<EOF>"


@dataclass(frozen=True, slots=True)
class Token:
    """A token. `kind` is the operator or word itself, or the name of its class in the grammar."""

    kind: str
    text: str
    position: int


def tokens_of(text: str) -> tuple[list[Token], list[Issue]]:
    """All tokens, ended by END, and what of the text is no token at all."""
    tokens: list[Token] = []
    issues: list[Issue] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            end = _end_of_nonsense(text, at)
            message = f"Syntax error: token recognition error at: '{text[at:end]}'"
            issues.append(Issue(at, message))
            at = end
            continue
        kind = str(match.lastgroup)
        if kind != "space":
            word = match.group()
            plain = kind == "operator" or word in _WORDS
            tokens.append(Token(word if plain else kind, word, at))
        at = match.end()
    tokens.append(Token(END, END, len(text)))
    return tokens, issues


def _end_of_nonsense(text: str, at: int) -> int:
    """How far the lexer looked in vain: to the end of the line for a string that is not closed."""
    if text[at] not in "\"'":
        return at + 1
    end = at + 1
    while end < len(text) and text[end] not in "\r\n":
        if text[end] == "\\" and not _ESCAPED.match(text, end):
            break
        if text[end] == "\\" and re.compile(_ESCAPE).match(text, end) is None:
            return min(end + 2, len(text))
        end += 1
    return end


def string_value(text: str) -> str:
    """The value of a STRING token.

    Raises:
        ValueError: an escape that stands for no character.
    """
    raw = text[0] in "rR"
    body = _unquoted(text[1:] if raw else text)
    if raw or "\\" not in body:
        return body
    return _ESCAPED.sub(_character, body)


def bytes_value(text: str) -> bytes:
    """The value of a BYTES token: octal and hexadecimal escapes are bytes, all else UTF-8.

    Raises:
        ValueError: an escape that stands for no character.
    """
    text = text[1:]
    raw = text[0] in "rR"
    body = _unquoted(text[1:] if raw else text)
    if raw:
        return body.encode()
    made = bytearray()
    at = 0
    for match in _ESCAPED.finditer(body):
        made += body[at : match.start()].encode()
        octal, hexadecimal = match.group(1), match.group(2)
        if octal or hexadecimal:
            made.append(int(octal, 8) if octal else int(hexadecimal, 16))
        else:
            made += _character(match).encode()
        at = match.end()
    made += body[at:].encode()
    return bytes(made)


def _unquoted(text: str) -> str:
    width = 3 if text[:3] in {'"""', "'''"} else 1
    return text[width:-width]


def _character(match: re.Match[str]) -> str:
    octal, *coded, simple = match.groups()
    if octal:
        return chr(int(octal, 8))
    for code in coded:
        if code:
            number = int(code, 16)
            if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
                raise ValueError("invalid unicode code point")
            return chr(number)
    return _SIMPLE_ESCAPES.get(simple, simple)
