"""Types of the catalog as OpenAPI schemas: definitions of v2, components of v3.

Upstream: kube-openapi `pkg/builder` and `pkg/builder3`. The two differ in how a reference may carry
a description (`allOf` in v3), in unions of types, and in that only v3 says defaults and
enumerations.
"""

from collections.abc import Iterable
from typing import Any, Final

from ekslab.kube.api.schema.catalog import Catalog
from ekslab.kube.api.schema.model import Kind, ListType, Presence, Schema
from ekslab.kube.apiserver.openapi_texts import Texts

Json = dict[str, Any]

_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
_EXTENSIONS: Final = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
QUANTITY: Final = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING: Final = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
RAW_EXTENSION: Final = "io.k8s.apimachinery.pkg.runtime.RawExtension"
_NAMED: Final = {
    Kind.QUANTITY: QUANTITY,
    Kind.TIME: _META + "Time",
    Kind.MICRO_TIME: _META + "MicroTime",
    Kind.INT_OR_STRING: INT_OR_STRING,
}
_ANY_NAMES: Final = {
    "runtime.RawExtension": RAW_EXTENSION,
    "v1.FieldsV1": _META + "FieldsV1",
    "v1.JSON": _EXTENSIONS + "JSON",
    "v1.JSONSchemaPropsOrArray": _EXTENSIONS + "JSONSchemaPropsOrArray",
    "v1.JSONSchemaPropsOrBool": _EXTENSIONS + "JSONSchemaPropsOrBool",
    "v1.JSONSchemaPropsOrStringArray": _EXTENSIONS + "JSONSchemaPropsOrStringArray",
}
_SIMPLE: Final[dict[Kind, Json]] = {
    Kind.STRING: {"type": "string"},
    Kind.DURATION: {"type": "string"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.BYTES: {"type": "string", "format": "byte"},
    Kind.NUMBER: {"type": "number", "format": "double"},
}
_ZEROS: Final[dict[Kind, Any]] = {
    Kind.STRING: "", Kind.INTEGER: 0, Kind.BOOLEAN: False, Kind.NUMBER: 0,
}  # fmt: skip
_GVK: Final = "x-kubernetes-group-version-kind"


class Types:
    """Makes schemas of types; `v3` chooses the dialect."""

    def __init__(self, catalog: Catalog, texts: Texts, *, v3: bool) -> None:
        self._catalog = catalog
        self._texts = texts
        self._v3 = v3
        self._prefix = "#/components/schemas/" if v3 else "#/definitions/"

    def reference(self, name: str) -> Json:
        """`{"$ref": ...}` to a type."""
        return {"$ref": self._prefix + name}

    def closure(self, names: Iterable[str]) -> dict[str, Json]:
        """The schemas of these types and of all they refer to, sorted by name."""
        found: dict[str, Json] = {}
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name in found:
                continue
            found[name] = self._definition(name)
            waiting.extend(_references(found[name]))
        return dict(sorted(found.items()))

    def _definition(self, name: str) -> Json:
        schema = self._catalog.types.get(name)
        if schema is None:
            return self._special(name)
        document: Json = {}
        if text := self._texts.of_type(name):
            document["description"] = text
        document["type"] = "object"
        if schema.required:
            document["required"] = sorted(schema.required)
        if schema.fields:
            document["properties"] = {
                field: self._field(name, field, schema.fields[field])
                for field in sorted(schema.fields)
            }
        if schema.atomic:
            document["x-kubernetes-map-type"] = "atomic"
        if kinds := self._catalog.kinds_of.get(name):
            document[_GVK] = [
                {"group": group, "kind": kind, "version": version} for group, version, kind in kinds
            ]
        return document

    def _special(self, name: str) -> Json:
        """Types with their own JSON form."""
        text = self._texts.of_type(name)
        document: Json = {"description": text} if text else {}
        if name == QUANTITY:
            union = {"oneOf": [{"type": "string"}, {"type": "number"}]}
            return document | (union if self._v3 else {"type": "string"})
        if name == INT_OR_STRING:
            union = {"oneOf": [{"type": "integer"}, {"type": "string"}]}
            return (
                document | {"format": "int-or-string"} | (union if self._v3 else {"type": "string"})
            )
        if name in {_META + "Time", _META + "MicroTime"}:
            return document | {"type": "string", "format": "date-time"}
        if name.startswith(_EXTENSIONS):
            return document
        return document | {"type": "object"}

    def _field(self, owner: str, name: str, schema: Schema) -> Json:
        document = self._value(schema, schema.go_type)
        text = self._texts.of_field(owner, name)
        if self._v3 and schema.enum:
            listed = "\n".join(f' - `"{value}"`' for value in schema.enum)
            text = f"{text}\n\nPossible enum values:\n{listed}" if text else ""
            document["enum"] = list(schema.enum)
        if "$ref" in document and self._v3 and (text or schema.presence is Presence.WRITTEN):
            document = {"allOf": [document]}
        if self._v3:
            self._add_default(document, schema)
        if text:
            document["description"] = text
        if schema.kind is Kind.LIST:
            self._add_list(document, schema)
        elif schema.atomic and schema.kind is Kind.MAP:
            document["x-kubernetes-map-type"] = "atomic"
        if schema.patch_strategy:
            document["x-kubernetes-patch-strategy"] = ",".join(schema.patch_strategy)
        if schema.patch_merge_key:
            document["x-kubernetes-patch-merge-key"] = schema.patch_merge_key
        return document

    @staticmethod
    def _add_list(document: Json, schema: Schema) -> None:
        document["x-kubernetes-list-type"] = schema.list_type.value
        if schema.list_type is ListType.MAP:
            document["x-kubernetes-list-map-keys"] = list(schema.map_keys)

    @staticmethod
    def _add_default(document: Json, schema: Schema) -> None:
        if schema.default is not None:
            document["default"] = schema.default
        elif schema.presence is Presence.WRITTEN and schema.kind is Kind.OBJECT:
            document["default"] = {}
        elif schema.presence is Presence.WRITTEN and schema.kind in _ZEROS:
            document["default"] = _ZEROS[schema.kind]

    def _value(self, schema: Schema, go_type: str) -> Json:
        kind = schema.kind
        if kind is Kind.OBJECT:
            return self.reference(schema.name)
        if kind in _NAMED:
            return self.reference(_NAMED[kind])
        if kind is Kind.ANY:
            known = _ANY_NAMES.get(go_type)
            return self.reference(known) if known else {"type": "object"}
        if kind is Kind.LIST:
            assert schema.element is not None
            element = self._value(schema.element, go_type.removeprefix("[]").removeprefix("*"))
            return {"type": "array", "items": element}
        if kind is Kind.MAP:
            assert schema.element is not None
            element = self._value(schema.element, go_type.partition("]")[2].removeprefix("*"))
            return {"type": "object", "additionalProperties": element}
        if kind is Kind.INTEGER:
            return {"type": "integer", "format": schema.format}
        return dict(_SIMPLE[kind])


def _references(document: Any) -> Iterable[str]:
    """Names of all types a schema refers to."""
    if isinstance(document, dict):
        for key, value in document.items():
            if key == "$ref" and isinstance(value, str):
                yield value.rpartition("/")[2]
            else:
                yield from _references(value)
    elif isinstance(document, list):
        for value in document:
            yield from _references(value)
