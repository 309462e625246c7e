"""OpenAPI of a tenant with custom resources: what all share, and its own put in.

`kubectl explain`, client-side validation and `kubectl apply` read it. Upstream: apiextensions-
apiserver `pkg/controller/openapi{,v3}` and its `builder`.
"""

import gzip
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from ekslab.kube.api.ports import Document
from ekslab.kube.api.protobuf.openapi import MEDIA_TYPE, openapi_message
from ekslab.kube.api.resources import ResourceInfo
from ekslab.kube.apiserver.openapi import GVK, SECURITY, OpenApi, v2_path, v3_path
from ekslab.kube.apiserver.openapi_paths import Path, paths_of
from ekslab.kube.apiserver.openapi_texts import Texts
from ekslab.kube.apiserver.openapi_types import Types
from ekslab.kube.apiserver.registry import Registry, Served

Json = dict[str, Any]

_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
_OBJECT_META: Final = _META + "ObjectMeta"
_LIST_META: Final = _META + "ListMeta"
_PATCHES: Final = (
    "application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json",
)  # fmt: skip
_TEXTS: Final = {
    "apiVersion": (
        "APIVersion defines the versioned schema of this representation of an object. Servers"
        " should convert recognized schemas to the latest internal value, and may reject"
        " unrecognized values. More info: https://git.k8s.io/community/contributors/devel/"
        "sig-architecture/api-conventions.md#resources"
    ),
    "kind": (
        "Kind is a string value representing the REST resource this object represents. Servers may"
        " infer this from the endpoint the client submits requests to. Cannot be updated. In"
        " CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/"
        "api-conventions.md#types-kinds"
    ),
    "metadata": (
        "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/"
        "sig-architecture/api-conventions.md#metadata"
    ),
    "list": (
        "Standard list metadata. More info: https://git.k8s.io/community/contributors/devel/"
        "sig-architecture/api-conventions.md#types-kinds"
    ),
}
# What v2 cannot say: left out there, as upstream's ToStructuralOpenAPIV2 does.
_ONLY_V3: Final = frozenset(
    {"oneOf", "anyOf", "allOf", "not", "nullable", "default", "x-kubernetes-validations"}
)


def document_of(
    path: str, registry: Registry, shared: OpenApi, *, media_type: str
) -> Document | None:
    """The document at a path under `/openapi/`; see `OpenApi.document`."""
    if path == "v2":
        own = _v2(registry)
        if media_type == MEDIA_TYPE:
            # Messages one after the other are one message: repeated fields go on.
            base = shared.document(path, media_type=media_type)
            assert base is not None
            return _document(base.content + openapi_message(own), MEDIA_TYPE)
        whole = orjson.loads(shared.v2())
        for part in ("paths", "definitions"):
            whole[part].update(own[part])
        return _document(orjson.dumps(whole))
    groups = _by_group(registry)
    if path == "v3":
        index = orjson.loads(shared.v3_index())
        for group, own_served in groups.items():
            content = _v3(own_served, registry, shared)
            index["paths"][group] = {
                "serverRelativeURL": f"/openapi/v3/{group}?hash={_hash(content)}"
            }
        return _document(orjson.dumps(index))
    mine = groups.get(path.removeprefix("v3/")) if path.startswith("v3/") else None
    if mine is None:
        return shared.document(path, media_type=media_type)
    return _document(_v3(mine, registry, shared))


def _document(content: bytes, media_type: str = "application/json") -> Document:
    packed = gzip.compress(content, 6, mtime=0)
    return Document(content, media_type, _hash(content), packed)


def _hash(content: bytes) -> str:
    return hashlib.sha512(content).hexdigest().upper()


def _by_group(registry: Registry) -> dict[str, list[Served]]:
    groups: dict[str, list[Served]] = {}
    for served in registry.own:
        groups.setdefault(f"apis/{served.info.api_version}", []).append(served)
    return groups


def _v3(mine: Iterable[Served], registry: Registry, shared: OpenApi) -> bytes:
    """The document of one group version."""
    types = Types(registry.catalog, Texts(), v3=True)
    paths = {path.path: path for served in mine for path in _paths(registry, served.info)}
    schemas: Json = {}
    for served in mine:
        schemas |= _definitions(served, types, v3=True)
    named = {
        name for path in paths.values() for op in path.operations for name in (op.gives, op.takes)
    }
    needed = (named | {_OBJECT_META, _LIST_META}) - {""} - schemas.keys()
    return orjson.dumps(
        {
            "openapi": "3.0.0",
            "info": shared.about(),
            "paths": {name: v3_path(path, types, patches=_PATCHES) for name, path in paths.items()},
            "components": {
                "schemas": types.closure(sorted(needed)) | schemas,
                "securitySchemes": SECURITY,
            },
        }
    )


def _v2(registry: Registry) -> Json:
    """Paths and definitions of the tenant's own resources."""
    types = Types(registry.catalog, Texts(), v3=False)
    paths: Json = {}
    definitions: Json = {}
    for served in registry.own:
        for path in _paths(registry, served.info):
            paths[path.path] = v2_path(path, types, patches=_PATCHES)
        definitions |= _definitions(served, types, v3=False)
    return {"paths": paths, "definitions": definitions}


def _paths(registry: Registry, info: ResourceInfo) -> Iterable[Path]:
    """The resource's paths; its lists are of a type of its own, its status is the whole object."""
    for path in paths_of(registry.catalog, info):
        operations = []
        for operation in path.operations:
            gives, takes = operation.gives, operation.takes
            if operation.action == "list":
                gives = f"{info.type_name}List"
            elif not gives and not operation.gives_text:
                gives = info.type_name
                takes = takes or ("" if operation.method == "get" else info.type_name)
            operations.append(replace(operation, gives=gives, takes=takes))
        yield replace(path, operations=tuple(operations))


def _definitions(served: Served, types: Types, *, v3: bool) -> Json:
    """The schemas of a resource's objects and of lists of them."""
    info = served.info
    resource = info.resource
    kind = {"group": resource.group, "kind": info.kind, "version": resource.version}
    wire = served.schema.source if served.schema.source is not None else {"type": "object"}
    if not v3 and wire.get("x-kubernetes-preserve-unknown-fields"):
        schema: Json = {"type": "object"}
        if "description" in wire:
            schema["description"] = wire["description"]
    else:
        schema = _published(wire, types, v3=v3)
        properties = schema.setdefault("properties", {})
        properties |= _identity(types, v3=v3)
        schema["properties"] = dict(sorted(properties.items()))
    schema[GVK] = [kind]
    listed = {
        "description": f"{info.list_kind} is a list of {info.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            **_identity(types, v3=v3),
            "items": {
                "description": (
                    f"List of {resource.plural}. More info: https://git.k8s.io/community/"
                    "contributors/devel/sig-architecture/api-conventions.md"
                ),
                "type": "array",
                "items": types.reference(info.type_name),
            },
            "metadata": _reference(types, _LIST_META, _TEXTS["list"], v3=v3),
        },
        GVK: [{**kind, "kind": info.list_kind}],
    }
    return {info.type_name: schema, f"{info.type_name}List": listed}


def _identity(types: Types, *, v3: bool) -> Json:
    return {
        "apiVersion": {"description": _TEXTS["apiVersion"], "type": "string"},
        "kind": {"description": _TEXTS["kind"], "type": "string"},
        "metadata": _reference(types, _OBJECT_META, _TEXTS["metadata"], v3=v3),
    }


def _reference(types: Types, name: str, text: str, *, v3: bool) -> Json:
    reference = types.reference(name)
    return {"allOf": [reference], "description": text} if v3 else {**reference, "description": text}


def _published(wire: Mapping[str, Any], types: Types, *, v3: bool) -> Json:
    """A schema as it is published."""
    schema = {key: value for key, value in wire.items() if v3 or key not in _ONLY_V3}
    if not v3:
        # v2 has no null, no unions, and validates what it knows: say nothing rather than too much.
        if wire.get("x-kubernetes-int-or-string") or wire.get("nullable"):
            schema.pop("type", None)
        if wire.get("x-kubernetes-preserve-unknown-fields") or wire.get("nullable"):
            for key in ("properties", "items", "required", "additionalProperties"):
                schema.pop(key, None)
            if not wire.get("nullable") and not wire.get("type"):
                schema.pop("type", None)
    if "properties" in schema:
        schema["properties"] = {
            name: _published(each, types, v3=v3) for name, each in schema["properties"].items()
        }
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), Mapping):
            schema[key] = _published(schema[key], types, v3=v3)
    if wire.get("x-kubernetes-embedded-resource") and (v3 or "properties" in schema):
        schema["properties"] = {**schema.get("properties", {}), **_identity(types, v3=v3)}
    return schema
