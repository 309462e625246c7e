"""Paths and operations of the API for OpenAPI, from the catalog's resources.

Upstream: `apiserver/pkg/endpoints/installer.go` and its operation ids. kubectl looks here for the
query parameters `fieldValidation` and `dryRun` of PATCH, and for `x-kubernetes-action`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from ekslab.kube.api.resources import ResourceInfo, SubresourceInfo
from ekslab.kube.api.schema.catalog import Catalog

_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
STATUS: Final = _META + "Status"
DELETE_OPTIONS: Final = _META + "DeleteOptions"
PATCH: Final = _META + "Patch"

_LIST: Final = (
    "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit",
    "resourceVersion", "resourceVersionMatch", "sendInitialEvents", "timeoutSeconds", "watch",
)  # fmt: skip
_WRITE: Final = ("dryRun", "fieldManager", "fieldValidation")
_DELETE: Final = (
    "dryRun", "gracePeriodSeconds", "ignoreStoreReadErrorWithClusterBreakingPotential",
    "orphanDependents", "propagationPolicy",
)  # fmt: skip
QUERY: Final[dict[str, tuple[str, str]]] = {  # name -> (type, description)
    "allowWatchBookmarks": ("boolean", "Ask for watch events of type BOOKMARK."),
    "continue": ("string", "The token of the next page of a list, from the page before."),
    "dryRun": ("string", "`All`: carry the request out up to storing it."),
    "fieldManager": ("string", "The name of the actor that makes the change."),
    "fieldSelector": ("string", "Restrict the list to objects with these fields."),
    "fieldValidation": (
        "string",
        "What happens to unknown and duplicate fields: Ignore, Warn (the default) or Strict.",
    ),
    "force": ("boolean", "Apply only: take over fields that other managers own."),
    "gracePeriodSeconds": ("integer", "Seconds before the object is deleted; 0 is at once."),
    "ignoreStoreReadErrorWithClusterBreakingPotential": (
        "boolean",
        "Delete an object that can no longer be read from the store.",
    ),
    "labelSelector": ("string", "Restrict the list to objects with these labels."),
    "limit": ("integer", "The most objects of one page."),
    "orphanDependents": ("boolean", "Deprecated: use propagationPolicy."),
    "pretty": ("string", "If 'true', then the output is pretty printed."),
    "propagationPolicy": ("string", "Orphan, Background or Foreground."),
    "resourceVersion": ("string", "The version the answer is to have, see resourceVersionMatch."),
    "resourceVersionMatch": ("string", "How resourceVersion is meant: NotOlderThan or Exact."),
    "sendInitialEvents": ("boolean", "Begin a watch with the objects there are."),
    "timeoutSeconds": ("integer", "The most seconds a list or watch takes."),
    "watch": ("boolean", "Follow changes instead of listing."),
}
PATH_TEXTS: Final = {
    "name": "name of the {kind}",
    "namespace": "object name and auth scope, such as for teams and projects",
    "path": "path to the resource",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    `gives` and `takes` are type names ("" for none); `gives_text` says the answer is no object.
    """

    method: str
    action: str
    id: str
    description: str
    group: str
    version: str
    kind: str
    gives: str
    takes: str = ""
    query: tuple[str, ...] = ()
    code: int = 200
    gives_text: bool = False


@dataclass(frozen=True, slots=True)
class Path:
    """One path with its parameters and operations."""

    path: str
    parameters: tuple[str, ...]
    kind: str
    operations: tuple[Operation, ...]


def camel(group: str) -> str:
    """A group in operation ids: `Core`, `Apps`, `RbacAuthorization`."""
    parts = group.removesuffix(".k8s.io").split(".") if group else ["core"]
    return "".join(part[:1].upper() + part[1:] for part in parts)


def tag(group: str, version: str) -> str:
    """The tag of a group version: `core_v1`, `rbacAuthorization_v1`."""
    name = camel(group)
    return f"{name[:1].lower()}{name[1:]}_{version}"


def paths_of(catalog: Catalog, info: ResourceInfo) -> Iterator[Path]:
    """All paths of one resource."""
    resource = info.resource
    root = f"/apis/{resource.group}" if resource.group else "/api"
    root = f"{root}/{resource.version}"
    place = f"{root}/namespaces/{{namespace}}" if info.namespaced else root
    scope = ("namespace",) if info.namespaced else ()
    if collection := tuple(_collection(catalog, info)):
        yield Path(f"{place}/{resource.plural}", scope, info.kind, collection)
    if item := tuple(_item(info)):
        yield Path(f"{place}/{resource.plural}/{{name}}", ("name", *scope), info.kind, item)
    if info.namespaced and "list" in info.verbs:
        everywhere = _list(catalog, info, f"{info.kind}ForAllNamespaces")
        yield Path(f"{root}/{resource.plural}", (), info.kind, (everywhere,))
    for sub in info.subresources:
        path = f"{place}/{resource.plural}/{{name}}/{sub.name}"
        operations = tuple(_of_subresource(catalog, info, sub))
        yield Path(path, ("name", *scope), sub.kind, operations)
        if sub.name == "proxy":
            with_path = tuple(_of_subresource(catalog, info, sub, suffix="WithPath"))
            yield Path(path + "/{path}", ("name", *scope, "path"), sub.kind, with_path)


def _id(verb: str, info: ResourceInfo, what: str) -> str:
    return f"{verb}{camel(info.resource.group)}{info.resource.version.capitalize()}{what}"


def _what(info: ResourceInfo) -> str:
    return f"Namespaced{info.kind}" if info.namespaced else info.kind


def _operation(info: ResourceInfo, **more: Any) -> Operation:
    resource = info.resource
    return Operation(
        **{"group": resource.group, "version": resource.version, "kind": info.kind, **more}
    )


def _list(catalog: Catalog, info: ResourceInfo, what: str) -> Operation:
    listed = info.type_name + "List"
    return _operation(
        info,
        method="get",
        action="list",
        id=_id("list", info, what),
        description=f"list or watch objects of kind {info.kind}",
        gives=listed if listed in catalog.types else STATUS,
        query=_LIST,
    )


def _collection(catalog: Catalog, info: ResourceInfo) -> Iterator[Operation]:
    if "list" in info.verbs:
        yield _list(catalog, info, _what(info))
    if "create" in info.verbs:
        yield _operation(
            info,
            method="post",
            action="post",
            id=_id("create", info, _what(info)),
            description=f"create {_article(info.kind)}",
            gives=info.type_name,
            takes=info.type_name,
            query=_WRITE,
            code=201,
        )
    if "deletecollection" in info.verbs:
        yield _operation(
            info,
            method="delete",
            action="deletecollection",
            id=_id("delete", info, f"Collection{_what(info)}"),
            description=f"delete collection of {info.kind}",
            gives=STATUS,
            takes=DELETE_OPTIONS,
            query=tuple(sorted({*_LIST, *_DELETE} - {"watch", "allowWatchBookmarks"})),
        )


def _item(info: ResourceInfo) -> Iterator[Operation]:
    if "get" in info.verbs:
        yield _operation(
            info,
            method="get",
            action="get",
            id=_id("read", info, _what(info)),
            description=f"read the specified {info.kind}",
            gives=info.type_name,
        )
    if "update" in info.verbs:
        yield _operation(
            info,
            method="put",
            action="put",
            id=_id("replace", info, _what(info)),
            description=f"replace the specified {info.kind}",
            gives=info.type_name,
            takes=info.type_name,
            query=_WRITE,
        )
    if "patch" in info.verbs:
        yield _operation(
            info,
            method="patch",
            action="patch",
            id=_id("patch", info, _what(info)),
            description=f"partially update the specified {info.kind}",
            gives=info.type_name,
            takes=PATCH,
            query=(*_WRITE, "force"),
        )
    if "delete" in info.verbs:
        yield _operation(
            info,
            method="delete",
            action="delete",
            id=_id("delete", info, _what(info)),
            description=f"delete {_article(info.kind)}",
            gives=STATUS,
            takes=DELETE_OPTIONS,
            query=_DELETE,
        )


_STREAMS: Final = frozenset({"attach", "exec", "portforward", "proxy"})
_METHODS: Final = {  # verb -> (method, action, id, description)
    "get": ("get", "get", "read", "read {sub} of the specified {kind}"),
    "create": ("post", "post", "create", "create {sub} of {kind}"),
    "update": ("put", "put", "replace", "replace {sub} of the specified {kind}"),
    "patch": ("patch", "patch", "patch", "partially update {sub} of the specified {kind}"),
    "delete": ("delete", "delete", "delete", "delete {sub} of {kind}"),
}


def _of_subresource(
    catalog: Catalog, info: ResourceInfo, sub: SubresourceInfo, *, suffix: str = ""
) -> Iterator[Operation]:
    found = catalog.schema_of_kind(sub.group, sub.version, sub.kind)
    type_name = found.name if found is not None else ""
    streams = sub.name in _STREAMS
    for verb in sub.verbs:
        method, action, word, text = _METHODS[verb]
        name = sub.name[:1].upper() + sub.name[1:]
        if streams:
            word, action = f"connect{method.capitalize()}", "connect"
            text = "connect {method} requests to {sub} of {kind}"
        yield Operation(
            method=method,
            action=action,
            id=_id(word, info, f"{_what(info)}{name}{suffix}"),
            description=text.format(sub=sub.name, kind=info.kind, method=method.upper()),
            group=sub.group,
            version=sub.version,
            kind=sub.kind,
            gives="" if streams or sub.name == "log" else type_name,
            takes="" if streams or verb == "get" else PATCH if verb == "patch" else type_name,
            query=() if streams or verb == "get" else (*_WRITE, *_force(verb)),
            code=201 if verb == "create" and not streams else 200,
            gives_text=streams or sub.name == "log",
        )


def _force(verb: str) -> tuple[str, ...]:
    return ("force",) if verb == "patch" else ()


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "AEIO" else f"a {kind}"
