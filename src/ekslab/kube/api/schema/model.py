"""The shape of one type, as every user of the schema sees it.

Built-in types come from the tables of a Kubernetes version (`schema/catalog.py`), custom ones from
a CustomResourceDefinition; nobody downstream sees a difference.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Kind(Enum):
    """What a value is on the wire."""

    OBJECT = "object"  # known fields
    MAP = "map"  # any keys, one type of values
    LIST = "list"
    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    INT_OR_STRING = "int-or-string"
    QUANTITY = "quantity"
    TIME = "time"
    MICRO_TIME = "micro-time"
    DURATION = "duration"
    BYTES = "bytes"  # base64 in JSON
    ANY = "any"  # RawExtension, JSON, FieldsV1: not looked into


class ListType(Enum):
    """How a list is owned and merged (`x-kubernetes-list-type`)."""

    ATOMIC = "atomic"
    SET = "set"
    MAP = "map"


class Presence(Enum):
    """What upstream's encoder does with a field that holds nothing (Go's tags and pointers)."""

    POINTER = "pointer"  # absent and zero differ: kept as it was sent
    VALUE = "value"  # zero and empty are left out
    WRITTEN = "written"  # always written, zero if it was absent


@dataclass(slots=True, eq=False, repr=False)
class Schema:
    """One type. A graph, not a tree: types refer to each other (JSONSchemaProps to itself).

    Attributes:
        kind: what the value is.
        name: the type's full name (`io.k8s.api.core.v1.Pod`) for objects that have one.
        fields: of an OBJECT, by wire name.
        required: names of fields that must be there (types.go without omitempty or optional).
        element: of a LIST or MAP.
        list_type, map_keys: ownership of a LIST; `map_keys` name the fields that identify an
            element of a MAP list.
        key_defaults: values that stand for an absent map key (`protocol` -> "TCP").
        atomic: an OBJECT or MAP owned as one (`x-kubernetes-map-type: atomic`).
        patch_strategy, patch_merge_key: of strategic merge patch, on the field's schema.
        format: `int32`, `int64`, `date-time`, `byte`, ...
        default: the default of the field that has this schema, or None.
        enum: allowed strings, empty for any.
        open: an OBJECT whose unknown fields are kept (x-kubernetes-preserve-unknown-fields).
        presence: of the field that has this schema, when it holds nothing.
        go_type: upstream's name for the field's type in decode errors (`[]v1.Container`).
        reads: of whole custom objects, what reads a body in place of the exact walk, to which it
            tells what it finds.
        source: of whole custom objects, the schema as it was written, which is published.
    """

    kind: Kind
    name: str = ""
    fields: dict[str, "Schema"] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    element: "Schema | None" = None
    list_type: ListType = ListType.ATOMIC
    map_keys: tuple[str, ...] = ()
    key_defaults: dict[str, Any] = field(default_factory=dict)
    atomic: bool = False
    patch_strategy: tuple[str, ...] = ()
    patch_merge_key: str = ""
    format: str = ""
    default: Any = None
    enum: tuple[str, ...] = ()
    open: bool = False
    presence: Presence = Presence.POINTER
    go_type: str = ""
    reads: Callable[[Any, Any], dict[str, Any]] | None = None
    source: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        return f"<Schema {self.name or self.kind.value}>"
