"""All built-in types and resources of one Kubernetes version, from its table of facts.

The tables (`facts/<version>.json.gz`) are made by `tools/make_facts.py` from public packages; each
names its sources. A catalog is read once per process and shared by all tenants of that version:
nothing in it is ever changed.
"""

import gzip
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

import orjson

from ekslab.kube.api.resources import Resource, ResourceInfo, SubresourceInfo
from ekslab.kube.api.schema.model import Kind, ListType, Presence, Schema

SUPPORTED_VERSIONS: Final = ("1.34", "1.35", "1.36")
DEFAULT_VERSION: Final = "1.36"

_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
_SCALARS: Final = {
    "s": (Kind.STRING, ""),
    "i4": (Kind.INTEGER, "int32"),
    "i8": (Kind.INTEGER, "int64"),
    "n": (Kind.NUMBER, "double"),
    "b": (Kind.BOOLEAN, ""),
    "q": (Kind.QUANTITY, ""),
    "t": (Kind.TIME, "date-time"),
    "m": (Kind.MICRO_TIME, "date-time"),
    "y": (Kind.BYTES, "byte"),
    "x": (Kind.INT_OR_STRING, "int-or-string"),
    "a": (Kind.ANY, ""),
}
_PRESENCE: Final = {"p": Presence.POINTER, "w": Presence.WRITTEN, "": Presence.VALUE}
_NO_FIELDS: Final[dict[str, Schema]] = {}
_NO_DEFAULTS: Final[dict[str, Any]] = {}


class UnsupportedVersionError(ValueError):
    """A Kubernetes version that is not offered; the message names those that are."""


class Catalog:
    """Types and resources of one Kubernetes version.

    Attributes:
        version: `1.36`.
        resources: what is served, in the order of upstream's discovery.
        by_kind: the same by `(apiVersion, kind)`.
        about: the sources of the table and the day it was made.
        kinds_of: type name -> the (group, version, kind) triples it stands for in OpenAPI.
    """

    def __init__(self, table: dict[str, Any]) -> None:
        self.version: str = table["version"]
        self.about: Mapping[str, Any] = table["about"]
        self.kinds_of: Mapping[str, list[tuple[str, str, str]]] = {
            name: [(group, version, kind) for group, version, kind in entry["gvk"]]
            for name, entry in table["types"].items()
            if "gvk" in entry
        }
        self._types = _build_types(table["types"])
        infos = [_info(entry) for entry in table["resources"]]
        self.resources: Mapping[Resource, ResourceInfo] = MappingProxyType(
            {info.resource: info for info in infos}
        )
        self.by_kind: Mapping[tuple[str, str], ResourceInfo] = MappingProxyType(
            {(info.api_version, info.kind): info for info in infos}
        )
        self._stored = {
            info.resource: Resource(entry["sv"][0], entry["sv"][1], info.resource.plural)
            for info, entry in zip(infos, table["resources"], strict=True)
        }

    @property
    def types(self) -> Mapping[str, Schema]:
        """All types by full name."""
        return MappingProxyType(self._types)

    def type(self, full_name: str) -> Schema:
        """The type of that full name (`io.k8s.api.core.v1.Pod`).

        Raises:
            KeyError: there is none.
        """
        return self._types[full_name]

    def meta_type(self, name: str) -> Schema:
        """A type of meta/v1: `DeleteOptions`, `Status`, `ObjectMeta`, `LabelSelector`, ..."""
        return self._types[_META + name]

    def schema_of(self, info: ResourceInfo) -> Schema:
        """The type of a resource's objects."""
        return self._types[info.type_name]

    def schema_of_kind(self, group: str, version: str, kind: str) -> Schema | None:
        """The type that an object of this group, version and kind has: also those that are no
        resource, as subresources take them (`Eviction`, `TokenRequest`, `Scale`, `Binding`).
        """
        name = self._names_by_kind.get((group, version, kind))
        return None if name is None else self._types[name]

    @property
    def _names_by_kind(self) -> Mapping[tuple[str, str, str], str]:
        return _names_by_kind(self)

    def stored_as(self, info: ResourceInfo) -> ResourceInfo:
        """The resource under whose group and version objects of `info` are stored: itself, but for
        autoscaling/v1 (v2) and events.k8s.io (core).
        """
        return self.resources[self._stored[info.resource]]

    def __repr__(self) -> str:
        return f"<Catalog {self.version}>"


@cache
def _names_by_kind(catalog: Catalog) -> Mapping[tuple[str, str, str], str]:
    names: dict[tuple[str, str, str], str] = {}
    for name, kinds in catalog.kinds_of.items():
        for kind in kinds:
            names.setdefault(kind, name)
    return names


@cache
def load(version: str = DEFAULT_VERSION) -> Catalog:
    """The catalog of a Kubernetes version, `1.36`. Read once, then shared.

    Raises:
        UnsupportedVersionError: this version is not offered.
    """
    if version not in SUPPORTED_VERSIONS:
        offered = ", ".join(SUPPORTED_VERSIONS)
        raise UnsupportedVersionError(
            f'Kubernetes version "{version}" is not supported; supported versions: {offered}'
        )
    packed = resources.files(__package__).joinpath("facts", f"{version}.json.gz").read_bytes()
    return Catalog(orjson.loads(gzip.decompress(packed)))


def _build_types(entries: dict[str, Any]) -> dict[str, Schema]:
    types: dict[str, Schema] = {}
    for name, entry in entries.items():
        types[name] = Schema(
            Kind.OBJECT,
            name=name,
            fields={},
            required=frozenset(entry.get("req", ())),
            key_defaults=_NO_DEFAULTS,
            atomic="atomic" in entry,
        )
    for name, entry in entries.items():
        fields = types[name].fields
        for field, facts in entry["f"].items():
            fields[field] = _field(facts, types)
    return types


def _field(facts: dict[str, Any], types: dict[str, Schema]) -> Schema:
    schema = _wire(facts["t"], types)
    schema.presence = _PRESENCE[facts.get("p", "")]
    schema.go_type = facts.get("g", "")
    if "l" in facts:
        schema.list_type = ListType(facts["l"])
        schema.map_keys = tuple(facts.get("k", ()))
        schema.key_defaults = facts.get("kd", _NO_DEFAULTS)
    if "ma" in facts:
        schema.atomic = True
    if "ps" in facts:
        schema.patch_strategy = tuple(facts["ps"].split(","))
    schema.patch_merge_key = facts.get("pk", "")
    schema.default = facts.get("d")
    schema.enum = tuple(facts.get("e", ()))
    return schema


def _wire(code: str, types: dict[str, Schema]) -> Schema:
    """A fresh schema for a type code of the table: `LMs` is a list of maps of strings."""
    head, rest = code[0], code[1:]
    if head == "@":
        named = types[rest]
        return Schema(
            Kind.OBJECT,
            name=named.name,
            fields=named.fields,
            required=named.required,
            key_defaults=_NO_DEFAULTS,
            atomic=named.atomic,
        )
    if head in "LM":
        element = types[rest[1:]] if rest[0] == "@" else _wire(rest, types)
        return Schema(
            Kind.LIST if head == "L" else Kind.MAP,
            fields=_NO_FIELDS,
            key_defaults=_NO_DEFAULTS,
            element=element,
        )
    kind, form = _SCALARS[code]
    return Schema(kind, fields=_NO_FIELDS, key_defaults=_NO_DEFAULTS, format=form)


def _info(entry: dict[str, Any]) -> ResourceInfo:
    return ResourceInfo(
        resource=Resource(entry["g"], entry["v"], entry["p"]),
        kind=entry["k"],
        list_kind=entry["k"] + "List",
        singular=entry["k"].lower(),
        namespaced=entry["ns"],
        verbs=tuple(entry["verbs"]),
        type_name=entry["t"],
        short_names=tuple(entry["short"]),
        categories=tuple(entry["cat"]),
        storage_version=entry["sv"][1],
        subresources=tuple(
            SubresourceInfo(sub["n"], sub["gvk"][2], sub["gvk"][0], sub["gvk"][1], tuple(sub["v"]))
            for sub in entry["sub"]
        ),
    )
