"""Says what is wrong with a JSON text, in the words of Go's decoder.

Clients see these words: `invalid character 'x' looking for beginning of value`. Only texts that the
fast decoders refused come here, so this is a plain scanner, not a parser. Upstream: encoding/json
`scanner.go`, which sigs.k8s.io/json keeps.
"""

from typing import Final, NoReturn

_SPACE: Final = frozenset(b" \t\r\n")
_HEX: Final = frozenset(b"0123456789abcdefABCDEF")
_DIGITS: Final = frozenset(b"0123456789")
_ESCAPED: Final = frozenset(b'bfnrt\\/"')
_LITERALS: Final = {ord("t"): b"true", ord("f"): b"false", ord("n"): b"null"}
_NESTED_MOST: Final = 10_000

END: Final = "unexpected end of JSON input"
TOO_DEEP: Final = "exceeded max depth"


class _WrongError(Exception):
    """The text is wrong here; the message says how."""


def syntax_error(raw: bytes) -> str | None:
    """What is wrong with `raw` as one JSON value; None if nothing is."""
    scanner = _Scanner(raw)
    try:
        scanner.document()
    except _WrongError as wrong:
        return str(wrong)
    return None


def quoted(byte: int) -> str:
    """A byte as Go quotes it in these messages: in single quotes, control characters escaped."""
    special = {
        0x27: "'\\''", 0x22: "'\"'", 0x0A: "'\\n'", 0x0D: "'\\r'", 0x09: "'\\t'", 0x5C: "'\\\\'",
        0x07: "'\\a'", 0x08: "'\\b'", 0x0C: "'\\f'", 0x0B: "'\\v'",
    }  # fmt: skip
    if byte in special:
        return special[byte]
    if byte < 0x20 or byte == 0x7F:
        return f"'\\x{byte:02x}'"
    if 0x80 <= byte <= 0xA0 or byte == 0xAD:
        return f"'\\u{byte:04x}'"
    return f"'{chr(byte)}'"


class _Scanner:
    """Walks over the text without recursion: `open_` holds what is to be closed."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0
        self._open: list[int] = []

    def document(self) -> None:
        self._value("looking for beginning of value")
        while self._open:
            self._after_value()
        byte = self._skip_space()
        if byte is not None:
            self._wrong(byte, "after top-level value")

    def _value(self, where: str) -> None:
        """Enter the next value: a scalar is passed, an object or a list is opened."""
        while True:
            byte = self._needed()
            self._at += 1
            if byte == 0x7B:
                if self._begin_object(byte):
                    continue
                return
            if byte == 0x5B:
                self._push(byte)
                if self._needed() == 0x5D:
                    self._close()
                    return
                where = "looking for beginning of value"
                continue
            self._scalar(byte, where)
            return

    def _begin_object(self, byte: int) -> bool:
        """After `{`: True if a key was read and its value is next."""
        self._push(byte)
        if self._needed() == 0x7D:
            self._close()
            return False
        self._key("looking for beginning of object key string")
        return True

    def _push(self, byte: int) -> None:
        self._open.append(byte)
        if len(self._open) > _NESTED_MOST:
            raise _WrongError(TOO_DEEP)

    def _close(self) -> None:
        self._at += 1
        self._open.pop()

    def _key(self, where: str) -> None:
        byte = self._needed()
        if byte != 0x22:
            self._wrong(byte, where)
        self._at += 1
        self._string()
        byte = self._needed()
        if byte != 0x3A:
            self._wrong(byte, "after object key")
        self._at += 1

    def _after_value(self) -> None:
        """Inside of an object or a list, after one value."""
        byte = self._needed()
        inside_object = self._open[-1] == 0x7B
        if byte == (0x7D if inside_object else 0x5D):
            self._close()
            return
        if byte != 0x2C:
            after = "object key:value pair" if inside_object else "array element"
            self._wrong(byte, f"after {after}")
        self._at += 1
        if inside_object:
            self._key("looking for beginning of object key string")
        self._value("looking for beginning of value")

    def _scalar(self, byte: int, where: str) -> None:
        if byte == 0x22:
            self._string()
        elif byte == 0x2D or byte in _DIGITS:
            self._number(byte)
        elif byte in _LITERALS:
            self._literal(_LITERALS[byte])
        else:
            self._wrong(byte, where)

    def _string(self) -> None:
        while True:
            byte = self._byte()
            if byte == 0x22:
                return
            if byte < 0x20:
                self._wrong(byte, "in string literal")
            if byte == 0x5C:
                self._escape()

    def _escape(self) -> None:
        byte = self._byte()
        if byte == 0x75:
            for _ in range(4):
                byte = self._byte()
                if byte not in _HEX:
                    self._wrong(byte, "in \\u hexadecimal character escape")
        elif byte not in _ESCAPED:
            self._wrong(byte, "in string escape code")

    def _literal(self, text: bytes) -> None:
        for expected in text[1:]:
            byte = self._byte()
            if byte != expected:
                word = text.decode()
                self._wrong(byte, f"in literal {word} (expecting '{chr(expected)}')")

    def _number(self, byte: int) -> None:
        if byte == 0x2D:
            byte = self._byte()
            if byte not in _DIGITS:
                self._wrong(byte, "in numeric literal")
        if byte != 0x30:
            self._digits()
        if self._peek() == 0x2E:
            self._at += 1
            self._digit("after decimal point in numeric literal")
        if self._peek() in {0x65, 0x45}:
            self._at += 1
            if self._peek() in {0x2B, 0x2D}:
                self._at += 1
            self._digit("in exponent of numeric literal")

    def _digit(self, where: str) -> None:
        byte = self._byte()
        if byte not in _DIGITS:
            self._wrong(byte, where)
        self._digits()

    def _digits(self) -> None:
        while self._peek() in _DIGITS:
            self._at += 1

    def _peek(self) -> int | None:
        return self._raw[self._at] if self._at < len(self._raw) else None

    def _byte(self) -> int:
        byte = self._peek()
        if byte is None:
            raise _WrongError(END)
        self._at += 1
        return byte

    def _skip_space(self) -> int | None:
        while self._peek() in _SPACE:
            self._at += 1
        return self._peek()

    def _needed(self) -> int:
        byte = self._skip_space()
        if byte is None:
            raise _WrongError(END)
        return byte

    @staticmethod
    def _wrong(byte: int, where: str) -> NoReturn:
        raise _WrongError(f"invalid character {quoted(byte)} {where}")
