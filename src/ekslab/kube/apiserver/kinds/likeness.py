"""When two specs are alike, so that what was found out about one holds for the other.

Pods of one template differ in nothing but a name that admission draws for the volume of their
token. Validation asks no more of it than that volume and mounts name the same:

    volume kube-api-access-9xq4d, mount kube-api-access-9xq4d   like the same with -7bz2k
"""

import re
from typing import Any, Final

import orjson

_DRAWN_VOLUME: Final = re.compile(rb"kube-api-access-[a-z0-9]{5}")
_NO_TEXT: Final = b"\0"  # JSON as orjson writes it holds no such byte
_REMEMBERED_MOST: Final = 512
_BYTES_MOST: Final = 16_384


def likeness(value: Any) -> bytes:
    """A text that is the same for values that are alike."""
    text = orjson.dumps(value)
    drawn = _DRAWN_VOLUME.search(text)
    # Of several such names one only: told apart they may be right, as one name twice they are not.
    return text if drawn is None else text.replace(drawn[0], _NO_TEXT)


class ValidBefore:
    """Likenesses of the values that were found valid last; the eldest are forgotten."""

    def __init__(self) -> None:
        self._known: dict[bytes, None] = {}

    def __contains__(self, text: bytes) -> bool:
        return text in self._known

    def add(self, text: bytes) -> None:
        """Remember a value, unless it is a large one."""
        if len(text) > _BYTES_MOST:
            return
        if len(self._known) >= _REMEMBERED_MOST:
            del self._known[next(iter(self._known))]
        self._known[text] = None
