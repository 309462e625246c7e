"""The resources one cluster serves: built-in ones, shared by all tenants, and an overlay.

The built-in part is made once per Kubernetes version from the schema catalog; a tenant adds and
removes its own (custom resources) without touching anybody else's. Upstream: the storage map of
`pkg/controlplane` and the custom resource handler of apiextensions-apiserver.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ekslab.kube.api.objects import Item, encode
from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import Resource, ResourceInfo
from ekslab.kube.api.schema.catalog import Catalog
from ekslab.kube.api.schema.model import Schema
from ekslab.kube.apiserver import conversion
from ekslab.kube.apiserver.kinds import strategy_for
from ekslab.kube.apiserver.kinds.strategy import Strategy
from ekslab.kube.store.port import Key


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where an object has what its Scale shows; `selector` is a text, where it is anywhere."""

    spec: tuple[str, ...]
    status: tuple[str, ...]
    selector: tuple[str, ...]


@dataclass(slots=True, eq=False)
class Served:
    """One served resource: what discovery says, its type, its rules, and where it is kept.

    `kept_by` holds the rules of the stored version: selectable fields are read from what is stored.
    `scale` and `deprecated`, the warning of every request, are a custom resource's own.
    """

    info: ResourceInfo
    schema: Schema
    strategy: Strategy
    convert: conversion.Conversion | None = None
    is_custom: bool = False
    scale: ScalePaths | None = None
    deprecated: str = ""
    kept_by: Strategy = field(init=False)
    storage: str = field(init=False)
    has_status: bool = field(init=False)

    def __post_init__(self) -> None:
        kept = self.convert.stored if self.convert else self.info.resource
        self.storage = kept.qualified
        self.kept_by = self.strategy
        self.has_status = self.info.subresource("status") is not None

    @property
    def resource(self) -> Resource:
        """Group, version and plural as served."""
        return self.info.resource

    def key(self, namespace: str, name: str) -> Key:
        """Where the object of that name is kept."""
        return Key(self.storage, namespace, name)

    def object_of(self, item: Item) -> Object:
        """The decoded object in the served version: shared, not to be changed."""
        return self.convert.to_served(item.object) if self.convert else item.object

    def item_of(self, item: Item) -> Item:
        """The stored item in the served version; the very item where the versions are one."""
        if self.convert is None:
            return item
        obj = self.convert.to_served(item.object)
        if obj is item.object:
            return item
        return encode(
            obj,
            resource=self.storage,
            revision=item.revision,
            managed=item.segments[1],
            fields=item.fields,
        )

    def is_current(self, item: Item) -> bool:
        """Whether the item is stored as it would be stored now; a write of the same object brings
        others into the stored version (storage migration).
        """
        stored = self.convert.stored if self.convert is not None else self.resource
        return not self.is_custom or item.object["apiVersion"] == stored.api_version

    def encode(
        self, obj: Object, *, revision: int, managed: bytes, owners: Sequence[Any] | None = None
    ) -> Item:
        """The stored form of an object of the served version; see `objects.encode`."""
        if self.convert is not None:
            obj = self.convert.to_stored(obj)
        fields = self.kept_by.fields(obj)
        return self.encode_with(
            obj, revision=revision, managed=managed, owners=owners, fields=fields
        )

    def encode_with(
        self,
        obj: Object,
        *,
        revision: int,
        managed: bytes,
        owners: Sequence[Any] | None,
        fields: Mapping[str, str],
    ) -> Item:
        """As `encode`, of an object of the stored version whose selectable fields are known."""
        return encode(
            obj,
            resource=self.storage,
            revision=revision,
            managed=managed,
            owners=owners,
            fields=fields,
        )


@lru_cache(maxsize=8)
def _built_in(catalog: Catalog) -> dict[Resource, Served]:
    served = {}
    for resource, info in catalog.resources.items():
        schema = catalog.schema_of(info)
        rules = strategy_for(info, schema)
        served[resource] = Served(info, schema, rules, conversion.BUILT_IN.get(resource))
    for entry in served.values():
        if entry.convert is not None and entry.convert.stored in served:
            entry.kept_by = served[entry.convert.stored].strategy
    return served


class Registry:
    """Built-in resources of a version plus this tenant's own.

    `generation` changes whenever a resource comes or goes: a key for what is derived (discovery).
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.generation = 0
        self._built_in = _built_in(catalog)
        self._own: dict[Resource, Served] = {}
        self._own_kinds: dict[tuple[str, str], Served] = {}

    def find(self, resource: Resource) -> Served | None:
        """The served resource, or None."""
        return self._built_in.get(resource) or self._own.get(resource)

    def by_kind(self, api_version: str, kind: str) -> Served | None:
        """The served resource whose objects say this apiVersion and kind, or None."""
        info = self.catalog.by_kind.get((api_version, kind))
        if info is not None:
            return self._built_in[info.resource]
        return self._own_kinds.get((api_version, kind))

    def has_group(self, group: str) -> bool:
        """Whether anything of this group is served."""
        return any(resource.group == group for resource in (*self._built_in, *self._own))

    def __iter__(self) -> Iterator[Served]:
        yield from self._built_in.values()
        yield from self._own.values()

    def add(self, info: ResourceInfo, schema: Schema) -> None:
        """Serve a custom resource; built-in ones cannot be replaced."""
        assert info.resource not in self._built_in, info.resource
        self.replace((), (Served(info, schema, strategy_for(info, schema), is_custom=True),))

    def remove(self, resource: Resource) -> None:
        """Stop serving a custom resource."""
        served = self._own.get(resource)
        if served is not None:
            self.replace((served,), ())

    def replace(self, before: Iterable[Served], after: Iterable[Served]) -> None:
        """Serve `after` where `before` was served. Built-in resources cannot be replaced."""
        for served in before:
            self._own.pop(served.resource, None)
            self._own_kinds.pop((served.info.api_version, served.info.kind), None)
        for served in after:
            if served.resource not in self._built_in:
                self._own[served.resource] = served
                self._own_kinds[served.info.api_version, served.info.kind] = served
        self.generation += 1

    @property
    def own(self) -> Collection[Served]:
        """The tenant's own resources."""
        return self._own.values()
