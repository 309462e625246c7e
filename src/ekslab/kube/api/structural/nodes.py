"""The schema of one version of a definition, compiled once: a tree of `Node`.

Made of `openAPIV3Schema` as it is on the wire, which `kinds/definitions.py` has found to be
structural. Upstream: apiextensions-apiserver `pkg/apiserver/schema/structural.go`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ekslab.kube.api.schema.model import Kind, ListType, Schema

Json = Mapping[str, Any]

_SCALARS: Final = {
    "string": Kind.STRING,
    "integer": Kind.INTEGER,
    "number": Kind.NUMBER,
    "boolean": Kind.BOOLEAN,
}
_IDENTITY: Final = ("apiVersion", "kind", "metadata")


@dataclass(slots=True, eq=False, repr=False)
class Node:
    """What a schema says of one value.

    Attributes:
        wire: the schema itself, for the keywords that only validation asks for.
        properties: known fields of an object.
        additional: the schema of the other fields of an object, None if there is none.
        has_additional: whether other fields are allowed (`additionalProperties: true` has no
            schema).
        items: of an array.
        preserves: unknown fields are kept.
        embedded: an object with apiVersion, kind and metadata of its own.
        nullable: null may stand here.
        default: the value that stands for an absent one; `has_default` as null is one, too.
        defaults_below: whether anything here or below has a default.
    """

    wire: Json
    properties: dict[str, "Node"] = field(default_factory=dict)
    additional: "Node | None" = None
    has_additional: bool = False
    items: "Node | None" = None
    preserves: bool = False
    embedded: bool = False
    nullable: bool = False
    default: Any = None
    has_default: bool = False
    defaults_below: bool = False

    @property
    def type(self) -> str:
        """The type on the wire, "" if none is said."""
        text: str = self.wire.get("type") or ""
        return text


NOTHING: Final = Node({})
"""Says nothing: what is pruned by it loses everything, what is validated by it is valid."""


def compile_node(wire: Json) -> Node:
    """The node of a schema and of all below it."""
    node = Node(
        wire,
        preserves=bool(wire.get("x-kubernetes-preserve-unknown-fields")),
        embedded=bool(wire.get("x-kubernetes-embedded-resource")),
        nullable=bool(wire.get("nullable")),
        default=wire.get("default"),
        has_default="default" in wire,
    )
    node.properties = {
        name: compile_node(each) for name, each in (wire.get("properties") or {}).items()
    }
    additional = wire.get("additionalProperties")
    node.has_additional = bool(additional) or additional == {}
    if isinstance(additional, Mapping):
        node.additional = compile_node(additional)
    items = wire.get("items")
    if isinstance(items, Mapping):
        node.items = compile_node(items)
    below = (*node.properties.values(), node.additional, node.items)
    node.defaults_below = node.has_default or any(
        each is not None and each.defaults_below for each in below
    )
    return node


def schema_of(node: Node, meta: Schema, *, name: str) -> Schema:
    """The type of whole objects, for patches and ownership; `meta` is that of metadata."""
    schema = _schema(node, meta)
    schema.kind = Kind.OBJECT
    schema.name = name
    schema.element = None
    schema.open = node.preserves
    schema.fields = {
        **schema.fields,
        "apiVersion": Schema(Kind.STRING),
        "kind": Schema(Kind.STRING),
        "metadata": meta,
    }
    return schema


def _schema(node: Node, meta: Schema) -> Schema:
    wire = node.wire
    if wire.get("x-kubernetes-int-or-string"):
        return Schema(Kind.INT_OR_STRING)
    kind = node.type
    if kind == "array":
        return _list(node, meta)
    if kind in _SCALARS:
        form = wire.get("format") or ""
        return Schema(_SCALARS[kind], format=form if kind == "integer" else "")
    if kind != "object" and not node.properties:
        return Schema(Kind.ANY)
    fields = {name: _schema(each, meta) for name, each in node.properties.items()}
    if node.embedded:
        fields |= {"apiVersion": Schema(Kind.STRING), "kind": Schema(Kind.STRING), "metadata": meta}
    atomic = wire.get("x-kubernetes-map-type") == "atomic"
    if not fields and node.has_additional:
        element = _schema(node.additional, meta) if node.additional else Schema(Kind.ANY)
        return Schema(Kind.MAP, element=element, atomic=atomic)
    if not fields and node.preserves and not atomic:
        return Schema(Kind.ANY)
    required = frozenset(wire.get("required") or ())
    return Schema(Kind.OBJECT, fields=fields, required=required, atomic=atomic, open=node.preserves)


def _list(node: Node, meta: Schema) -> Schema:
    wire = node.wire
    element = _schema(node.items, meta) if node.items is not None else Schema(Kind.ANY)
    keys = tuple(wire.get("x-kubernetes-list-map-keys") or ())
    known = node.items.properties if node.items is not None else {}
    defaults = {key: known[key].default for key in keys if key in known and known[key].has_default}
    return Schema(
        Kind.LIST,
        element=element,
        list_type=ListType(wire.get("x-kubernetes-list-type") or "atomic"),
        map_keys=keys,
        key_defaults=defaults,
    )


def is_identity(key: str) -> bool:
    """Whether every whole object has this field, whatever its schema says."""
    return key in _IDENTITY
