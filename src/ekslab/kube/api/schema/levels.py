"""How deep a body may be.

Upstream reads 10,000 levels of JSON. What is kept here is written by orjson, which writes 254, and
an object is embedded in events, lists and the ownership of its own fields; so bodies have 200.
"""

from typing import Any, Final

import orjson

LEVELS_MOST: Final = 200
_WRITTEN_MOST: Final = 254


def may_be_deep(raw: bytes) -> bool:
    """Whether a JSON text has as many opening brackets as a deep one needs."""
    return raw.count(b"{") + raw.count(b"[") > LEVELS_MOST


def is_deep(value: Any) -> bool:
    """Whether plain JSON data has more levels than bodies may have."""
    for _ in range(_WRITTEN_MOST - LEVELS_MOST):
        value = [value]
    try:
        orjson.dumps(value)
    except TypeError as error:
        return "ecursion" in str(error)
    return False
