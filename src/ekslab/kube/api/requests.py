"""One request to the API, whoever makes it and whatever brought it here.

The HTTP layer and the in-process client build the same `ApiRequest` and hand it to the same
pipeline. A `Response` carries bytes for HTTP; the in-process client asks for the `Item` instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from ekslab.kube.api.resources import Resource

Object = dict[str, Any]
"""An API object in the wire's spelling. Objects that come out of the API are shared: never change
one in place; `editable` gives a private copy."""


@dataclass(frozen=True, slots=True)
class UserInfo:
    """Who asks. The same four fields as upstream's `authentication.k8s.io/v1 UserInfo`."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


ANONYMOUS: Final = UserInfo(name="system:anonymous", groups=("system:unauthenticated",))


@dataclass(slots=True, kw_only=True)
class ApiRequest:
    """What is asked: verb and target, options, body, and who asks.

    `verb` is one of get, list, watch, create, update, patch, delete, deletecollection; for a path
    that is no resource (`/version`) `resource` is None and `verb` is the HTTP method in lower case.
    `namespace` is "" for cluster-scoped objects and for lists over all namespaces.
    `body` holds raw bytes as they came (`content_type` says of what), or a decoded object: whoever
    hands over an object gives it up.
    `options` are the query parameters, each with its first value.
    `query` is where they came from: for those that stand there more than once.
    `is_encoded_here` says that the bytes of the body were made from such an object.
    """

    verb: str
    user: UserInfo
    resource: Resource | None = None
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    path: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Object | None = None
    content_type: str = "application/json"
    accept: str = "application/json"
    user_agent: str = ""
    warnings: list[str] = field(default_factory=list)
    is_encoded_here: bool = False
    query: str = ""


class Attributes(NamedTuple):
    """What an authorizer decides on (upstream: `authorizer.Attributes`).

    `field_selector` is that of a list, watch or deletecollection, as it came: the node authorizer
    looks for `spec.nodeName`. If it asks for one `metadata.name`, `name` holds that, as upstream.
    A tuple, because one is made for every request: a frozen dataclass costs six times that.
    """

    user: UserInfo
    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    field_selector: str = ""

    @property
    def is_resource_request(self) -> bool:
        """False for paths such as `/version`."""
        return bool(self.resource)
