"""An API server in memory with nothing around it, and short ways to ask it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from ekslab.kit.clock import LoopClock
from ekslab.kit.ids import Ids
from ekslab.kit.rng import Rng
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.ports import Admission, Answer, LogOptions, WatchEvent
from ekslab.kube.api.requests import ApiRequest, UserInfo
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.schema.catalog import load
from ekslab.kube.apiserver.bootstrap import LOOPBACK_USER, Advertised, bootstrap
from ekslab.kube.apiserver.lister import StoreLister
from ekslab.kube.apiserver.server import Access, ApiServer
from ekslab.kube.auth.authenticators import AuthenticatorChain
from ekslab.kube.auth.authorizers import AuthorizerChain, MastersAuthorizer
from ekslab.kube.auth.rbac import RbacAuthorizer
from ekslab.kube.client.in_process import InProcessClient
from ekslab.kube.store.memory import MemoryStore

EPOCH_S = 1_700_000_000.0
Object = dict[str, Any]


class OneLog:
    """A node whose every container has printed the same."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.pieces = pieces
        self.asked: list[LogOptions] = []

    def connect(self, node_name: str) -> "OneLog":
        del node_name
        return self

    async def logs(self, namespace: str, pod: str, options: LogOptions) -> AsyncIterator[bytes]:
        del namespace, pod
        self.asked.append(options)
        for piece in self.pieces:
            yield piece


class OneToken:
    """Issues the same token to everybody."""

    def request(
        self, namespace: str, name: str, token_request: Object, *, warnings: list[str]
    ) -> Object:
        del warnings
        status = {"token": f"{namespace}/{name}"}
        return {"kind": "TokenRequest", **token_request, "status": status}


class World:
    """One API server over a memory store."""

    def __init__(
        self,
        loop: Any,
        *,
        admission: Sequence[Admission] = (),
        history_events: int = 1_000,
        authenticators: Sequence[Any] = (),
        store: MemoryStore | None = None,
    ) -> None:
        self.clock = LoopClock(loop, epoch_s=EPOCH_S)
        self.store = store or MemoryStore(history_events=history_events)
        lister = StoreLister(self.store)
        rbac = RbacAuthorizer(lister)
        self.nodes = OneLog([b"one\n", b"two\n"])
        self.authenticator = AuthenticatorChain(authenticators, now=self.clock.now)
        self.server = ApiServer(
            catalog=load("1.36"),
            store=self.store,
            access=Access(
                authenticator=self.authenticator,
                authorizer=AuthorizerChain([MastersAuthorizer(), rbac]),
                rules=rbac,
                tokens=OneToken(),
            ),
            admission=admission,
            clock=self.clock,
            ids=Ids(Rng(1)),
            nodes=self.nodes,
        )

    async def bootstrap(self) -> None:
        await bootstrap(self.server, Advertised(address="10.0.0.1", port=6443))

    def client(self, user: UserInfo = LOOPBACK_USER, manager: str = "test") -> InProcessClient:
        return InProcessClient(self.server, user, field_manager=manager)

    async def ask(
        self,
        verb: str,
        resource: Resource | None,
        *,
        name: str = "",
        namespace: str = "default",
        subresource: str = "",
        options: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        user: UserInfo = LOOPBACK_USER,
        path: str = "",
        accept: str = "application/json",
    ) -> Answer:
        request = ApiRequest(
            verb=verb,
            user=user,
            resource=resource,
            namespace=namespace,
            name=name,
            subresource=subresource,
            options=options or {},
            body=body,
            content_type=content_type,
            path=path,
            accept=accept,
            user_agent="test/1.0",
        )
        self.warnings = request.warnings
        return await self.server.handle(request)

    async def refusal(self, verb: str, resource: Resource | None, **more: Any) -> ApiError:
        """The error a request is answered with."""
        try:
            answer = await self.ask(verb, resource, **more)
        except ApiError as error:
            return error
        raise AssertionError(f"not refused: {answer}")


def pod(name: str = "web", *, namespace: str = "default", **spec: Any) -> Object:
    containers = [{"name": "main", "image": "nginx"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": containers, **spec},
    }


def config_map(name: str = "settings", *, namespace: str = "default", **data: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }


def labelled(obj: Object, **labels: str) -> Object:
    obj["metadata"]["labels"] = labels
    return obj


async def next_events(watch: Any, count: int) -> list[WatchEvent]:
    """The next events of a watch; the iterator is kept on it between calls."""
    events: list[WatchEvent] = []
    while len(events) < count:
        events.extend(await anext(watch))
    return events
