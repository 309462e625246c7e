"""Makes the table of protobuf messages: `src/ekslab/kube/api/protobuf/facts.json.gz`.

Run by hand when a Kubernetes version is added:

    ./dev exec python tools/make_protobuf.py protobuf-fields.json

The argument holds `message -> field -> [number, type]` as the public `generated.proto` files say
it. It is joined with the catalogs of all supported versions, which know what the fields are called
in JSON and what Go does with those that hold nothing. Fields and messages that no supported version
knows are left out: upstream's servers of those versions pass over them as well.
"""

import argparse
import gzip
import json
from pathlib import Path
from typing import Any

from ekslab.kube.api.schema import catalog
from ekslab.kube.api.schema.model import Presence, Schema

_META = "k8s.io.apimachinery.pkg.apis.meta.v1."
_RUNTIME = "k8s.io.apimachinery.pkg.runtime."
_EXTENSIONS = "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1."
_SCALARS = {"string": "s", "int32": "i4", "int64": "i8", "double": "n", "bool": "b", "bytes": "y"}
# Messages that are no object in JSON.
_SPECIAL = {
    "k8s.io.apimachinery.pkg.api.resource.Quantity": "q",
    _META + "Time": "t",
    _META + "MicroTime": "m",
    "k8s.io.apimachinery.pkg.util.intstr.IntOrString": "x",
    _META + "FieldsV1": "r",
    _RUNTIME + "RawExtension": "r",
    _EXTENSIONS + "JSON": "r",
    _EXTENSIONS + "JSONSchemaPropsOrArray": f"ua@{_EXTENSIONS}JSONSchemaProps",
    _EXTENSIONS + "JSONSchemaPropsOrBool": f"ub@{_EXTENSIONS}JSONSchemaProps",
    _EXTENSIONS + "JSONSchemaPropsOrStringArray": f"us@{_EXTENSIONS}JSONSchemaProps",
}
_PRESENCE = {Presence.POINTER: "p", Presence.WRITTEN: "w", Presence.VALUE: ""}
# Kinds that OpenAPI does not list, with the fields whose zero differs from their absence (p) or is
# always written (w); apimachinery `pkg/apis/meta/v1/types.go`.
_UNLISTED: dict[str, dict[str, str]] = {
    "PartialObjectMetadata": {"metadata": "w"},
    "PartialObjectMetadataList": {"metadata": "w", "items": "w"},
    "CreateOptions": {},
    "UpdateOptions": {},
    "PatchOptions": {"force": "p"},
}
_OF_EVERY_VERSION = ("WatchEvent", "DeleteOptions", "CreateOptions", "UpdateOptions",
                     "PatchOptions")  # fmt: skip
# Numbers of fields that a supported version has and the newest definitions have not.
_GONE: dict[str, dict[str, list[Any]]] = {}

# Fields that hold an embedded Go struct, whose fields stand among those of the outer one in JSON.
_EMBEDDED = frozenset({
    "deviceConfiguration", "ephemeralContainerCommon", "handler", "ingressRuleValue",
    "localObjectReference", "persistentVolumeSource", "rule", "ruleWithOperations", "volumeSource",
})  # fmt: skip

Messages = dict[str, dict[str, list[Any]]]
Fields = dict[str, Schema]


def message_name(type_name: str) -> str:
    """`io.k8s.api.core.v1.Pod` -> `k8s.io.api.core.v1.Pod`."""
    return "k8s.io." + type_name.removeprefix("io.k8s.").replace("-", "_")


class Table:
    """The table in the making: messages are added with all that they refer to."""

    def __init__(self, messages: Messages, schemas: dict[str, Fields]) -> None:
        self._messages = messages
        self._schemas = schemas
        self.made: dict[str, list[list[Any]]] = {}

    def add(self, name: str, fields: Fields, presence: dict[str, str] | None = None) -> None:
        """Add a message whose JSON has these fields."""
        if name in self.made:
            return
        rows = self.made[name] = []
        by_text = {_plain(field): field for field in fields}
        for field, (number, form) in self._messages[name].items():
            wire = field if presence is not None else by_text.get(_plain(field), "")
            if wire:
                held = _PRESENCE[fields[wire].presence] if presence is None else presence.get(wire)
                rows.append([number, wire, self._code(name, form), held or ""])
            elif field in _EMBEDDED:
                rows.append([number, "", f"I@{form}", "w"])
                self.add(form, self._schemas.get(form, fields))
        rows.sort()

    def add_plain(self, name: str) -> None:
        """Add a message that is no object of the API, with all its fields and their own names."""
        if name in self.made:
            return
        rows = self.made[name] = []
        for field, (number, form) in self._messages[name].items():
            element = form.removeprefix("[]")
            if element not in _SCALARS and element not in self._messages:
                continue  # google.protobuf.Any
            if element not in _SCALARS:
                self.add_plain(element)
            code = _SCALARS.get(element, f"@{element}")
            rows.append([number, field, f"L{code}" if form != element else code, "p"])
        rows.sort()

    def _code(self, owner: str, form: str) -> str:
        if form.startswith("[]"):
            return "L" + self._code(owner, form[2:])
        if form.startswith("map<"):
            return "M" + self._code(owner, form[4:-1].partition(",")[2])
        if form in _SCALARS:
            return _SCALARS[form]
        name = form.removeprefix(".")
        if "." not in name:
            name = f"{owner.rpartition('.')[0]}.{name}"
        if name in _SPECIAL:
            code = _SPECIAL[name]
            if "@" in code:
                inner = code.partition("@")[2]
                self.add(inner, self._schemas[inner])
            return code
        if list(self._messages[name]) == ["items"] and name.endswith((".Verbs", ".ExtraValue")):
            return "e"
        self.add(name, self._schemas.get(name, {}))
        return f"@{name}"


def _plain(name: str) -> str:
    return name.replace("-", "").removeprefix("$").lower()


def _joined() -> tuple[dict[str, Fields], dict[str, dict[str, str]]]:
    """All fields of all supported versions by message, and message by apiVersion and kind."""
    schemas: dict[str, Fields] = {}
    kinds: dict[str, dict[str, str]] = {}
    for version in catalog.SUPPORTED_VERSIONS:  # ascending: the newest has the last word
        known = catalog.load(version)
        for type_name, schema in known.types.items():
            fields = dict(schema.fields)
            if type_name in known.kinds_of:
                fields.pop("kind", None)
                fields.pop("apiVersion", None)
            schemas.setdefault(message_name(type_name), {}).update(fields)
        for type_name, triples in known.kinds_of.items():
            for group, of_group, kind in triples:
                if kind not in _OF_EVERY_VERSION:
                    api_version = f"{group}/{of_group}" if group else of_group
                    kinds.setdefault(api_version, {})[kind] = message_name(type_name)
    return schemas, kinds


def main() -> None:
    """Make the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fields", type=Path, help="message -> field -> [number, type], as JSON")
    given = json.loads(parser.parse_args().fields.read_text())
    messages: Messages = given["messages"]
    for name, gone in _GONE.items():
        messages.setdefault(name, {}).update(gone)
    schemas, kinds = _joined()
    table = Table(messages, schemas)
    for of_version in kinds.values():
        for name in list(of_version.values()):
            if name in messages:
                table.add(name, schemas[name])
    for kind, presence in _UNLISTED.items():
        table.add(_META + kind, {}, presence)
    kinds["meta.k8s.io/v1"] = {kind: _META + kind for kind in _UNLISTED}
    kinds["*"] = {kind: _META + kind for kind in _OF_EVERY_VERSION}
    for name in kinds["*"].values():
        table.add(name, schemas.get(name, {}))
    table.add_plain("openapi.v2.Document")
    for api_version, of_version in kinds.items():
        kinds[api_version] = {k: n for k, n in sorted(of_version.items()) if n in table.made}
    result = {
        "about": {
            "sources": [
                given["about"],
                "names in JSON and presence: the catalogs of Kubernetes "
                + ", ".join(catalog.SUPPORTED_VERSIONS),
            ]
        },
        "kinds": dict(sorted(kinds.items())),
        "messages": dict(sorted(table.made.items())),
    }
    target = Path(__file__).parents[1] / "src/ekslab/kube/api/protobuf/facts.json.gz"
    raw = json.dumps(result, separators=(",", ":")).encode()
    target.write_bytes(gzip.compress(raw, 9, mtime=0))
    print(f"{target}: {len(table.made)} messages, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
