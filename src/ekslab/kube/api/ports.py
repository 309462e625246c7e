"""The ports of kube: what its rooms meet through. Each is small and says its errors."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from ekslab.kit.exchange import Exchange, Headers
from ekslab.kube.api.objects import Item
from ekslab.kube.api.requests import ApiRequest, Attributes, Object, UserInfo
from ekslab.kube.api.resources import Resource, ResourceInfo
from ekslab.kube.api.streams import Backend, CommandOptions, Port, Reply, Run


class PatchType(Enum):
    """Media types of PATCH bodies."""

    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a list, at one revision."""

    items: Sequence[Item]
    revision: int
    continue_token: str = ""
    remaining: int | None = None


class WatchEvent(NamedTuple):
    """ADDED, MODIFIED, DELETED with the item; BOOKMARK with only `revision` set.

    `initial_events_end` marks the bookmark that ends the initial events of a streaming list.
    """

    type: str
    revision: int
    item: Item | None = None
    initial_events_end: bool = False


class Watch(Protocol):
    """An open watch: iterate it, then close it.

    Iteration ends when the server ends the stream (a slow reader, a timeout); the reader goes on
    from the last revision it saw. It raises `ApiError` 410 when that revision is gone.
    """

    def __aiter__(self) -> AsyncIterator[Sequence[WatchEvent]]:
        """Batches of events, in order, each event once."""

    def close(self) -> None:
        """End the watch; iterating ends."""


class Client(Protocol):
    """The one door to the API, bound to one identity. Every method raises `ApiError`.

    Objects that come back are shared: never change them in place. An object handed in is given
    up by the caller. All methods take the namespace "" for cluster-scoped objects and for lists
    over all namespaces.
    """

    async def get(
        self, resource: Resource, name: str, namespace: str = "", *, subresource: str = ""
    ) -> Object:
        """Read one object."""

    async def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
    ) -> ListPage:
        """Read objects, all of them or a page of `limit`."""

    async def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        revision: int,
        label_selector: str = "",
        field_selector: str = "",
    ) -> Watch:
        """Follow changes after `revision` (of a list); bookmarks are on."""

    async def create(
        self, resource: Resource, obj: Object, *, subresource: str = "", name: str = ""
    ) -> Object:
        """Create; the namespace is the object's own. With `subresource` (binding, eviction,
        token) `name` says on which object.
        """

    async def update(self, resource: Resource, obj: Object, *, subresource: str = "") -> Object:
        """Replace; a resourceVersion in `obj` is a precondition (409 on mismatch)."""

    async def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        patch: Object | Sequence[Object],
        patch_type: PatchType = PatchType.MERGE,
        subresource: str = "",
    ) -> Object:
        """Change parts. With `PatchType.APPLY` the field manager is the client's, forced."""

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        revision: int = 0,
        grace_period_s: int | None = None,
        propagation: str = "",
    ) -> None:
        """Delete; `uid` and `revision` are preconditions, `propagation` one of Background,
        Foreground, Orphan.
        """

    async def delete_collection(
        self, resource: Resource, namespace: str = "", *, label_selector: str = ""
    ) -> None:
        """Delete all objects of the type in the namespace that match."""


class Credentials(NamedTuple):
    """What a connection shows: bearer token, client certificate (DER, verified by TLS)."""

    bearer_token: str = ""
    certificate_der: bytes | None = None


class Authenticator(Protocol):
    """Finds out who asks."""

    async def authenticate(self, credentials: Credentials) -> UserInfo | None:
        """The user; None if these credentials are not of this authenticator's kind.

        Raises:
            ApiError: 401, if they are of its kind and bad. No later authenticator is asked.
        """


class RememberingAuthenticator(Authenticator, Protocol):
    """Finds out who asks, and remembers it for a while: what stands at the door."""

    def believed(self, credentials: Credentials) -> UserInfo | None:
        """The user of credentials that were believed a moment ago; None if one has to ask."""


class Decision(Enum):
    """What an authorizer says. The first that does not say NO_OPINION decides; all silent: deny."""

    ALLOW = "allow"
    DENY = "deny"
    NO_OPINION = "no opinion"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision and upstream's words for it (they appear in 403 messages and in reviews)."""

    decision: Decision
    reason: str = ""


class Authorizer(Protocol):
    """Says what a user may do, from rules in memory: synchronous and fast."""

    def authorize(self, attributes: Attributes) -> Verdict:
        """Decide. Never raises."""


class Operation(Enum):
    """What admission is asked about."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    CONNECT = "CONNECT"


@dataclass(slots=True)
class AdmissionRequest:
    """One object on its way in. `obj` is private to the request: mutating plugins change it in
    place; `old` (None on create) and everything else is read only. `obj` is None on delete.

    A mutating plugin that changed the object in a way others should see sets `reinvocation` to what
    it wants to remember: then all run once more.
    """

    request: ApiRequest
    info: ResourceInfo
    operation: Operation
    obj: Object | None
    old: Object | None
    dry_run: bool = False
    reinvocation: object | None = None


class Admission(Protocol):
    """One admission plugin. Both methods raise `ApiError` to refuse.

    `handles` is asked once per resource and operation, and its answer is cached.
    """

    name: str

    def handles(self, info: ResourceInfo, subresource: str, operation: Operation) -> bool:
        """Whether this plugin wants to see such requests."""

    async def admit(self, request: AdmissionRequest) -> None:
        """Mutating phase: may change `request.obj`."""

    async def validate(self, request: AdmissionRequest) -> None:
        """Validating phase: may only refuse."""


class Lister(Protocol):
    """Published objects in memory, for authorizers, admission and allocators: synchronous.

    Reads what the store has published; the API server gives it to those that decide inside of it.
    """

    @property
    def newest(self) -> int:
        """Changes whenever any object changes: while it stays, every `revision` stays."""

    def get(self, resource: Resource, name: str, namespace: str = "") -> Item | None:
        """One object, or None."""

    def list(self, resource: Resource, namespace: str = "") -> Sequence[Item]:
        """All objects of a type, in a namespace or ("") everywhere."""

    def revision(self, resource: Resource) -> int:
        """Changes whenever an object of that type changes: a key for what is derived from it."""


@dataclass(frozen=True, slots=True)
class LogOptions:
    """Options of `pods/log`, as upstream's PodLogOptions."""

    container: str = ""
    follow: bool = False
    previous: bool = False
    tail_lines: int | None = None
    since_s: int | None = None
    since_time: str = ""
    timestamps: bool = False
    limit_bytes: int | None = None


class NodeConnection(Protocol):
    """The API server's way to one node's agent (upstream: the kubelet's HTTPS API)."""

    def logs(self, namespace: str, pod: str, options: LogOptions) -> AsyncIterator[bytes]:
        """The log of one container, in pieces; ends when it ends or, following, never.

        Raises:
            ApiError: 400 if the container is waiting to start, 404 if there is none.
        """

    def exec(self, namespace: str, pod: str, options: CommandOptions) -> Run:
        """A command in a container.

        Raises:
            ApiError: 404 if the pod is not there, 500 if its container does not run.
        """

    def attach(self, namespace: str, pod: str, options: CommandOptions) -> Run:
        """What runs in a container.

        Raises:
            ApiError: as `exec`.
        """

    def forward(self, namespace: str, pod: str, port: int) -> Port:
        """What listens on a port of a pod.

        Raises:
            ApiError: 404 if the pod is not there, 500 if nothing listens.
        """

    async def ask(self, namespace: str, pod: str, port: int, request: Backend) -> Reply:
        """The answer of what listens on a port of a pod to one request.

        Raises:
            ApiError: as `forward`.
        """

    async def ask_agent(self, request: Backend) -> Reply:
        """The answer of the node's agent itself to one request."""


class NodeConnections(Protocol):
    """Finds the connection to a node by its name."""

    def connect(self, node_name: str) -> NodeConnection:
        """The connection.

        Raises:
            ApiError: 404 or 500 in upstream's words, if the node is unknown or cannot be reached.
        """


@dataclass(frozen=True, slots=True)
class Document:
    """Ready bytes of one media type: discovery, OpenAPI, metrics, health.

    `etag` (without quotes) names the content; `gzipped` is the same content compressed, if at hand.
    """

    content: bytes
    media_type: str = "application/json"
    etag: str = ""
    gzipped: bytes | None = None


class Answer(NamedTuple):
    """What the pipeline says to an `ApiRequest`. One of the fields below `code` is set.

    The HTTP layer encodes it by the media type asked for; the in-process client takes it as it is.
    `connect` answers an exchange itself, with these headers and its own (upstream's
    `rest.Connecter`); it raises `ApiError` only as long as nothing was answered.
    """

    code: int = 200
    item: Item | None = None
    obj: Object | None = None
    page: ListPage | None = None
    watch: Watch | None = None
    stream: AsyncIterator[bytes] | None = None
    document: Document | None = None
    connect: Callable[[Exchange, Headers], Awaitable[None]] | None = None


class RequestHandler(Protocol):
    """The API server's pipeline as its callers see it: HTTP adapter and in-process clients."""

    async def handle(self, request: ApiRequest) -> Answer:
        """Carry out one request.

        Raises:
            ApiError: every answer that is not success.
        """
