"""Which messages there are, with their fields' numbers, names in JSON, types and presence.

The table (`facts.json.gz`) is made by `tools/make_protobuf.py` and names its sources. It spans all
supported versions: a field that a cluster's version does not know is dropped when the decoded
object is checked by that version's schema.

Type codes: `s` string, `i4` `i8` integers, `b` boolean, `n` double, `y` bytes; `q` Quantity,
`t` Time, `m` MicroTime, `x` IntOrString, `r` JSON kept as text (RawExtension, FieldsV1, JSON),
`e` a list of strings in a message of its own; `@name` a message, `I@name` one whose fields stand
among those of the outer one in JSON; `ua@` `ub@` `us@` JSONSchemaPropsOrArray, -OrBool and
-OrStringArray; before them `L` for a list, `M` for a map from strings.
"""

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

import orjson

POINTER: Final = "p"
WRITTEN: Final = "w"
VALUE: Final = ""

_ANY_VERSION: Final = "*"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message. `name` is "" for an embedded message (code `I@`)."""

    number: int
    name: str
    code: str
    presence: str

    @property
    def keeps_zero(self) -> bool:
        """Whether a zero on the wire is a zero in JSON (or nothing, by Go's omitempty)."""
        return self.presence != VALUE


@dataclass(frozen=True, slots=True)
class Facts:
    """The table, read.

    Attributes:
        kinds: apiVersion -> kind -> message; "*" stands for every apiVersion.
        messages: message -> its fields by ascending number.
        about: the sources.
    """

    kinds: Mapping[str, Mapping[str, str]]
    messages: Mapping[str, Sequence[Field]]
    about: Mapping[str, Any]

    def message_of(self, api_version: str, kind: str) -> str | None:
        """The message of a kind; None for one that is not built in."""
        found = self.kinds.get(api_version, {}).get(kind)
        return found or self.kinds[_ANY_VERSION].get(kind)


@cache
def load() -> Facts:
    """The table; read once, when the first message comes by."""
    packed = resources.files(__package__).joinpath("facts.json.gz").read_bytes()
    table = orjson.loads(gzip.decompress(packed))
    messages = {name: [Field(*row) for row in rows] for name, rows in table["messages"].items()}
    return Facts(table["kinds"], messages, table["about"])
