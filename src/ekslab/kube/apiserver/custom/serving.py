"""From a definition to what the registry serves: one resource for each served version.

What is stored stays as it was written; it is read as the definition says now: in the version asked
for, pruned, with today's defaults. Upstream: `getOrCreateServingInfoFor` in
apiextensions-apiserver `pkg/apiserver/customresource_handler.go`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ekslab.kube.api.errors import internal
from ekslab.kube.api.objects import editable
from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import Resource, ResourceInfo, SubresourceInfo
from ekslab.kube.api.schema.model import Schema
from ekslab.kube.api.structural.defaulting import fill_defaults, lacks_defaults
from ekslab.kube.api.structural.nodes import Node, compile_node, schema_of
from ekslab.kube.api.structural.paths import simple_path
from ekslab.kube.api.structural.reading import has_unknown, prune, reader
from ekslab.kube.apiserver.conversion import Conversion
from ekslab.kube.apiserver.custom.printing import Printer
from ekslab.kube.apiserver.custom.strategy import CustomStrategy, VersionRules
from ekslab.kube.apiserver.discovery import version_order
from ekslab.kube.apiserver.registry import ScalePaths, Served

_VERBS: Final = (
    "delete", "deletecollection", "get", "list", "patch", "create", "update", "watch",
)  # fmt: skip
_VERBS_OF_THE_LAST: Final = ("delete", "deletecollection", "get", "list", "watch")
_PART_VERBS: Final = ("get", "patch", "update")
_ANYTHING: Final = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}

_Change = Callable[[Object, str], Object]
"""Makes an object of one version into one of another, which is not the same."""


@dataclass(frozen=True, slots=True)
class Offered:
    """What a definition offers: its served versions, and how its stored one is handled."""

    served: tuple[Served, ...]
    stored: Served


def offered(definition: Object, meta: Schema, *, is_ending: bool) -> Offered:
    """What an established definition offers; `meta` is the type of metadata."""
    spec = definition["spec"]
    versions = spec["versions"]
    kept = tuple(
        dict.fromkeys(
            each["jsonPath"] for version in versions for each in version.get("selectableFields", ())
        )
    )
    converts = len(versions) > 1 or definition["metadata"].get("generation", 1) > 1
    storage = next(each["name"] for each in versions if each.get("storage"))
    made = {
        version["name"]: _served(
            definition, version, meta, kept, is_ending=is_ending, stored=storage if converts else ""
        )
        for version in versions
    }
    served = tuple(made[each["name"]] for each in versions if each.get("served"))
    return Offered(served, made[storage])


def _served(
    definition: Object,
    version: Mapping[str, Any],
    meta: Schema,
    kept: tuple[str, ...],
    *,
    is_ending: bool,
    stored: str,
) -> Served:
    group = definition["spec"]["group"]
    wire = (version.get("schema") or {}).get("openAPIV3Schema") or _ANYTHING
    node = compile_node(wire)
    info = _info(definition, version, is_ending=is_ending)
    schema = schema_of(node, meta, name=info.type_name)
    schema.reads = reader(node, meta)
    schema.source = wire
    scale = (version.get("subresources") or {}).get("scale")
    rules = VersionRules(
        node=node,
        selectable=tuple(each["jsonPath"] for each in version.get("selectableFields", ())),
        kept=kept,
        scale=scale or {},
    )
    convert = None
    if stored:
        webhook = (definition["spec"].get("conversion") or {}).get("strategy") == "Webhook"
        change = _refused(info.kind) if webhook else _renamed
        convert = Conversion(
            Resource(group, stored, info.resource.plural),
            _as_version(f"{group}/{stored}", change),
            _as_read(node, info.api_version, change),
        )
    return Served(
        info,
        schema,
        CustomStrategy(info, schema, rules),
        convert,
        is_custom=True,
        scale=_scale_paths(scale) if scale else None,
        deprecated=_deprecation(definition, version),
    )


def _info(definition: Object, version: Mapping[str, Any], *, is_ending: bool) -> ResourceInfo:
    spec = definition["spec"]
    kinds = (definition.get("status") or {}).get("acceptedNames") or spec["names"]
    group, name = spec["group"], version["name"]
    backwards = ".".join(reversed(group.split(".")))
    subresources = version.get("subresources") or {}
    parts = []
    if "status" in subresources:
        parts.append(SubresourceInfo("status", kinds["kind"], group, name, _PART_VERBS))
    if "scale" in subresources:
        parts.append(SubresourceInfo("scale", "Scale", "autoscaling", "v1", _PART_VERBS))
    return ResourceInfo(
        resource=Resource(group, name, kinds["plural"]),
        kind=kinds["kind"],
        list_kind=kinds.get("listKind") or f"{kinds['kind']}List",
        singular=kinds.get("singular") or kinds["kind"].lower(),
        namespaced=spec["scope"] == "Namespaced",
        verbs=_VERBS_OF_THE_LAST if is_ending else _VERBS,
        type_name=f"{backwards}.{name}.{kinds['kind']}",
        short_names=tuple(kinds.get("shortNames") or ()),
        categories=tuple(kinds.get("categories") or ()),
        storage_version=next(each["name"] for each in spec["versions"] if each.get("storage")),
        subresources=tuple(parts),
        printer=Printer(version.get("additionalPrinterColumns") or ()),
    )


def _renamed(obj: Object, api_version: str) -> Object:
    """Conversion strategy None: nothing but the apiVersion changes."""
    return {**obj, "apiVersion": api_version}


def _refused(kind: str) -> _Change:
    """Conversion strategy Webhook: we call none yet, and say so rather than pass off an object of
    one version for one of another.
    """

    def change(obj: Object, api_version: str) -> Object:
        said = f"conversion webhook for {obj['apiVersion']}, Kind={kind} failed"
        raise internal(
            f"{said}: ekslab does not call conversion webhooks ({api_version} was asked)"
        )

    return change


def _as_version(api_version: str, change: _Change) -> Callable[[Object], Object]:
    """An object in that version; the very object if it is."""

    def convert(obj: Object) -> Object:
        return obj if obj["apiVersion"] == api_version else change(obj, api_version)

    return convert


def _as_read(node: Node, api_version: str, change: _Change) -> Callable[[Object], Object]:
    """As a version shows what was stored, perhaps under an older schema; the very object where
    nothing is to be done.
    """

    def convert(obj: Object) -> Object:
        if obj["apiVersion"] != api_version:
            obj = change(obj, api_version)
        if has_unknown(obj, node, is_root=True) or lacks_defaults(obj, node):
            obj = editable(obj)
            prune(obj, node, [], is_root=True)
            fill_defaults(obj, node)
        return obj

    return convert


def _scale_paths(scale: Mapping[str, str]) -> ScalePaths:
    return ScalePaths(
        spec=simple_path(scale["specReplicasPath"]) or (),
        status=simple_path(scale["statusReplicasPath"]) or (),
        selector=simple_path(scale.get("labelSelectorPath") or "") or (),
    )


def _deprecation(definition: Object, version: Mapping[str, Any]) -> str:
    """What requests for a deprecated version are warned of; "" for the others."""
    if not version.get("deprecated"):
        return ""
    said = version.get("deprecationWarning")
    if said is not None:
        return str(said)
    spec = definition["spec"]
    group, kind = spec["group"], spec["names"]["kind"]
    text = f"{group}/{version['name']} {kind} is deprecated"
    newer = [
        each["name"]
        for each in spec["versions"]
        if each.get("served")
        and not each.get("deprecated")
        and version_order(each["name"]) < version_order(version["name"])
    ]
    if newer:
        text += f"; use {group}/{min(newer, key=version_order)} {kind}"
    return text
