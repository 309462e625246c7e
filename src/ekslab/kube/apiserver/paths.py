"""From an HTTP method and path to what is asked.

Upstream: `apiserver/pkg/endpoints/request/requestinfo.go`. Paths of resources:

    /api/v1/namespaces/{namespace}/{plural}[/{name}[/{subresource}]]
    /apis/{group}/{version}/{plural}[/{name}[/{subresource}]]

`/api/v1/namespaces/{name}` and its `status` and `finalize` are the namespace itself. Anything else
is no resource. The rest behind `proxy` is kept in the path.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from ekslab.kit.remembering import remembered
from ekslab.kube.api.resources import Resource

_NAMESPACE_DOORS: Final = frozenset({"status", "finalize"})
_VERB_OF_NAMED: Final = {
    "GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch",
    "DELETE": "delete",
}  # fmt: skip
_VERB_OF_ALL: Final = {
    "GET": "list", "HEAD": "list", "POST": "create", "PUT": "update", "PATCH": "patch",
    "DELETE": "deletecollection",
}  # fmt: skip
_PATHS_KEPT: Final = 4_096
_PATH_LONGEST: Final = 1_024


@dataclass(frozen=True, slots=True)
class Target:
    """What a path names; `resource` is None where it is no resource."""

    resource: Resource | None
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    watch: bool = False

    def verb(self, method: str) -> str:
        """The verb of a method; for paths that are no resource the method in lower case."""
        if self.resource is None:
            return method.lower()
        if self.watch:
            return "watch"
        verbs = _VERB_OF_NAMED if self.name else _VERB_OF_ALL
        return verbs.get(method, method.lower())


_NO_RESOURCE: Final = Target(None)


@lru_cache(maxsize=512)
def _resource(group: str, version: str, plural: str) -> Resource:
    return Resource(group, version, plural)


@remembered(_PATHS_KEPT, longest=_PATH_LONGEST)
def parse(path: str) -> Target:
    """What a path names."""
    parts = [unquote(part) for part in path.split("/") if part]
    if len(parts) >= 3 and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return _NO_RESOURCE
    watch = rest[0] == "watch"
    if watch:
        rest = rest[1:]
        if not rest:
            return _NO_RESOURCE
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        if len(rest) > 2 and rest[2] not in _NAMESPACE_DOORS:
            namespace, rest = rest[1], rest[2:]
        elif group or len(rest) > 3:
            return _NO_RESOURCE
    plural, *names = rest
    name = names[0] if names else ""
    subresource = names[1] if len(names) > 1 else ""
    if len(names) > 2 and subresource != "proxy":
        return _NO_RESOURCE
    known = _resource if len(path) <= _PATH_LONGEST else Resource
    return Target(known(group, version, plural), namespace, name, subresource, watch)
