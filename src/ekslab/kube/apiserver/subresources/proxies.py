"""`pods/proxy`, `services/proxy`, `nodes/proxy`: HTTP to what runs in the cluster.

Upstream: `pkg/registry/core/{pod,service,node}/strategy.go` (ResourceLocation: which pod a name
means) and `apimachinery/pkg/util/proxy/upgradeaware.go`. A name may have a port, and a scheme
before it: `web`, `web:http`, `https:web:443`.
"""

from collections.abc import Iterator
from functools import partial
from typing import Final, NamedTuple

from ekslab.kit.exchange import Exchange, Headers
from ekslab.kube.api.errors import bad_request, service_unavailable
from ekslab.kube.api.objects import Item
from ekslab.kube.api.ports import (
    AdmissionRequest,
    Answer,
    Lister,
    NodeConnections,
    Operation,
)
from ekslab.kube.api.requests import ApiRequest, Object
from ekslab.kube.api.streams import Backend, Reply
from ekslab.kube.api.well_known import ENDPOINT_SLICES, PODS, SERVICES
from ekslab.kube.apiserver.admission.chain import AdmissionChain
from ekslab.kube.apiserver.reading import Reader
from ekslab.kube.apiserver.registry import Served

_SCHEMES: Final = frozenset({"", "http", "https"})
_KINDS: Final = {"pods": "Pod", "services": "Service", "nodes": "Node"}
_SERVICE: Final = "kubernetes.io/service-name"
_KEPT_BACK: Final = frozenset(
    {b"authorization", b"connection", b"host", b"transfer-encoding", b"content-length"}
)


class _Place(NamedTuple):
    """Where a request goes."""

    pod: Item
    port: int
    path: str


class ProxyDoor:
    """Passes requests on."""

    def __init__(
        self, *, reader: Reader, lister: Lister, admission: AdmissionChain, nodes: NodeConnections
    ) -> None:
        self._reader = reader
        self._lister = lister
        self._admission = admission
        self._nodes = nodes

    async def handle(self, served: Served, request: ApiRequest) -> Answer:
        """Pass a request on to a pod, to one of a Service's pods, or to a node's agent.

        Raises:
            ApiError: 400 for a name or address that cannot be, 404, 503 without endpoints.
        """
        plural = served.resource.plural
        path = request.path.partition(f"/{plural}/{request.name}/proxy")[2]
        options: Object = {"kind": f"{_KINDS[plural]}ProxyOptions", "apiVersion": "v1"}
        if path:
            options["path"] = path
        admitted = AdmissionRequest(request, served.info, Operation.CONNECT, options, None)
        await self._admission.run(admitted)
        scheme, name, port = _split(request.name)
        if scheme not in _SCHEMES or not name:
            raise bad_request(f'invalid {served.info.singular} request "{request.name}"')
        if not path:
            return Answer(connect=_redirect)
        if plural == "nodes":
            self._reader.get(served, _named(request, name))
            return Answer(connect=partial(self._to_node, request, name, path))
        if plural == "services":
            pod, number = self._endpoint(request, name, port)
        else:
            pod = self._reader.get(served, _named(request, name))
            number = _port_of(pod.object, port)
        return Answer(connect=partial(self._to_pod, request, _Place(pod, number, path)))

    async def _to_pod(
        self, request: ApiRequest, place: "_Place", exchange: Exchange, headers: Headers
    ) -> None:
        pod = place.pod
        node = pod.object["spec"].get("nodeName")
        if not node or not (pod.object.get("status") or {}).get("podIP"):
            raise bad_request("address not allowed")
        backend = _backend(exchange, request, place.path)
        connection = self._nodes.connect(node)
        reply = await connection.ask(pod.namespace, pod.name, place.port, backend)
        _answer(exchange, headers, reply)

    async def _to_node(
        self, request: ApiRequest, name: str, path: str, exchange: Exchange, headers: Headers
    ) -> None:
        backend = _backend(exchange, request, path)
        _answer(exchange, headers, await self._nodes.connect(name).ask_agent(backend))

    def _endpoint(self, request: ApiRequest, name: str, port: str) -> tuple[Item, int]:
        """A pod behind a Service, and its port.

        Raises:
            ApiError: 404, 503.
        """
        service = self._lister.get(SERVICES, name, request.namespace)
        none = service_unavailable(f'no endpoints available for service "{request.name}"')
        if service is not None and port.isdecimal():
            found = [p for p in service.object["spec"].get("ports") or () if p["port"] == int(port)]
            if not found:
                text = f'no service port {int(port)} found for service "{name}"'
                raise service_unavailable(text)
            port = found[0].get("name", "")
        for slice_ in self._lister.list(ENDPOINT_SLICES, request.namespace):
            if slice_.labels.get(_SERVICE) != name:
                continue
            for pod_name, number in _ready(slice_.object, port):
                pod = self._lister.get(PODS, pod_name, request.namespace)
                if pod is not None:
                    return pod, number
        raise none


def _ready(slice_: Object, port: str) -> Iterator[tuple[str, int]]:
    """The pods of a slice that are ready, with the number of the port of that name."""
    for entry in slice_.get("ports") or ():
        if entry.get("name", "") != port:
            continue
        for endpoint in slice_.get("endpoints") or ():
            target = endpoint.get("targetRef") or {}
            if (endpoint.get("conditions") or {}).get("ready") and target.get("kind") == "Pod":
                yield target["name"], int(entry["port"])


def _split(name: str) -> tuple[str, str, str]:
    """Scheme, name and port: `SplitSchemeNamePort`."""
    parts = name.split(":")
    match parts:
        case [only]:
            return "", only, ""
        case [found, port]:
            return "", found, port
        case [scheme, found, port]:
            return scheme, found, port
        case _:
            return "", "", ""


def _port_of(pod: Object, port: str) -> int:
    """The port that is meant: without one the first that a container declares, else HTTP's."""
    if port.isdecimal():
        return int(port)
    for box in pod["spec"].get("containers") or ():
        for entry in box.get("ports") or ():
            if not port or entry.get("name") == port:
                return int(entry["containerPort"])
    return 80


def _named(request: ApiRequest, name: str) -> ApiRequest:
    return ApiRequest(
        verb="get",
        user=request.user,
        resource=request.resource,
        namespace=request.namespace,
        name=name,
    )


def _backend(exchange: Exchange, request: ApiRequest, path: str) -> Backend:
    query = f"?{request.query}" if request.query else ""
    kept = tuple(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in exchange.headers
        if name not in _KEPT_BACK and not name.startswith(b"impersonate-")
    )
    body = request.body if isinstance(request.body, bytes) else b""
    return Backend(exchange.method, path + query, kept, body)


def _answer(exchange: Exchange, headers: Headers, reply: Reply) -> None:
    found = [(name.lower().encode(), text.encode()) for name, text in reply.headers]
    exchange.answer(reply.status, [*headers, *found], reply.body)


async def _redirect(exchange: Exchange, headers: Headers) -> None:
    """A path that ends with `proxy` leads to the one that ends with `proxy/`."""
    query = b"?" + exchange.query if exchange.query else b""
    location = (b"location", exchange.raw_path + b"/" + query)
    exchange.answer(301, [*headers, location], b"")
