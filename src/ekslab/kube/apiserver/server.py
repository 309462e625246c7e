"""The API server: one ordered way for every request, whoever brought it.

    authorize -> find the resource -> the verb's own steps (reading, watching, writing, deleting,
    subresources, reviews) -> answer

HTTP (`http`) and in-process clients hand over the same `ApiRequest`; admission, RBAC and validation
cannot be bypassed by either. Upstream: `apiserver/pkg/server/config.go` (the handler chain) and
`pkg/endpoints/installer.go` (which verb does what).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from ekslab.kit.clock import Clock
from ekslab.kit.ids import Ids
from ekslab.kube.api import errors
from ekslab.kube.api.objects import Item
from ekslab.kube.api.ports import (
    Admission,
    Answer,
    Authenticator,
    Authorizer,
    Decision,
    NodeConnections,
    Verdict,
)
from ekslab.kube.api.requests import ApiRequest, Attributes
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.schema.catalog import Catalog
from ekslab.kube.api.well_known import ENDPOINTS, NAMESPACES
from ekslab.kube.apiserver.admission.chain import AdmissionChain
from ekslab.kube.apiserver.admission.webhooks.parts import WebhookParts
from ekslab.kube.apiserver.admission.webhooks.plugins import with_webhooks
from ekslab.kube.apiserver.allocators import ServiceAllocator
from ekslab.kube.apiserver.custom.following import CustomResources
from ekslab.kube.apiserver.custom.parts import Parts
from ekslab.kube.apiserver.decoding import Decoder
from ekslab.kube.apiserver.deleting import Deleter
from ekslab.kube.apiserver.documents import Documents
from ekslab.kube.apiserver.flow_control.control import FlowControl
from ekslab.kube.apiserver.health import Health
from ekslab.kube.apiserver.lister import StoreLister
from ekslab.kube.apiserver.metrics import Metrics
from ekslab.kube.apiserver.owning import Owning
from ekslab.kube.apiserver.patching import Patcher
from ekslab.kube.apiserver.reading import Reader
from ekslab.kube.apiserver.registry import Registry, Served
from ekslab.kube.apiserver.reviews import Reviews, RuleResolver
from ekslab.kube.apiserver.subresources.binding import Binder
from ekslab.kube.apiserver.subresources.connecting import ConnectDoor
from ekslab.kube.apiserver.subresources.eviction import Evictor
from ekslab.kube.apiserver.subresources.logs import LogDoor
from ekslab.kube.apiserver.subresources.proxies import ProxyDoor
from ekslab.kube.apiserver.subresources.scale import ScaleDoor
from ekslab.kube.apiserver.subresources.table import Subresources
from ekslab.kube.apiserver.subresources.tokens import TokenDoor, TokenIssuer
from ekslab.kube.apiserver.watching import Watcher
from ekslab.kube.apiserver.writing import Writer, main_rules
from ekslab.kube.auth.authorizers import denial
from ekslab.kube.store.port import Store, StoreError

_NAME_FIELD: Final = "metadata.name="
_DEPRECATED: Final = {
    ENDPOINTS: "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    Resource("", "v1", "componentstatuses"): "v1 ComponentStatus is deprecated in v1.19+",
}
_OF_ONE: Final = frozenset({"get", "update", "patch", "delete"})
_OF_ALL: Final = frozenset({"list", "watch"})
_Handler = Callable[[Served, ApiRequest], Awaitable[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """What a cluster tells its API server.

    `service_cidr` is where Services get addresses from; `git_version` is what `/version` says
    ("" makes one of the catalog's version, as EKS words it).
    """

    service_cidr: str = "10.100.0.0/16"
    git_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who asks, what they may do, and the tokens they get.

    `rules` lists what a user may do; `tokens` signs for service accounts.
    """

    authenticator: Authenticator
    authorizer: Authorizer
    rules: RuleResolver
    tokens: TokenIssuer


class ApiServer:
    """The pipeline of one cluster. A `RequestHandler`."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        store: Store,
        access: Access,
        admission: Sequence[Admission],
        clock: Clock,
        ids: Ids,
        nodes: NodeConnections,
        config: ServerConfig = ServerConfig(),
    ) -> None:
        self.config = config
        self.store = store
        self.clock = clock
        self.lister = StoreLister(store)
        self.registry = Registry(catalog)
        self.health = Health(store)
        self.flow_control = FlowControl(store, clock, attributes_of)
        self.metrics = Metrics(store, self.registry, self.flow_control)
        self._authorizer = access.authorizer
        self._reader = Reader(store)
        self._watcher = Watcher(store, clock)
        decoder = Decoder(catalog, self.registry)
        self._webhooks = WebhookParts(
            lister=self.lister,
            changed=store.changed,
            registry=self.registry,
            decoder=decoder,
            authorizer=access.authorizer,
            ids=ids,
        )
        chain = AdmissionChain(
            with_webhooks(admission, self._webhooks), revision=self._webhooks.revision
        )
        services = ServiceAllocator(self.lister, ids, cidr=config.service_cidr)
        self.kubernetes_service_ip = services.kubernetes_ip
        self.dns_service_ip = services.dns_ip
        self._writer = Writer(
            store=store,
            decoder=decoder,
            owning=Owning(clock),
            admission=chain,
            clock=clock,
            ids=ids,
            allocators={"services": services},
            may_create=self._may_create,
        )
        self._patcher = Patcher(self._writer, decoder, clock)
        self._deleter = Deleter(store=store, decoder=decoder, admission=chain, clock=clock)
        self._binder = Binder(
            store=store, decoder=decoder, catalog=catalog, admission=chain, clock=clock
        )
        self._subresources = self._doors(decoder, catalog, nodes, access.tokens, chain)
        self._reviews = Reviews(
            authorizer=access.authorizer,
            rules=access.rules,
            authenticator=access.authenticator,
            decoder=decoder,
        )
        self._documents = Documents(
            self.registry,
            git_version=config.git_version,
            issuer=access.tokens,
            health=self.health,
        )
        self._verbs: dict[str, _Handler] = {
            "get": self._get,
            "list": self._list,
            "watch": self._watch,
            "create": self._create,
            "update": self._update,
            "patch": self._patcher.patch,
            "delete": self._deleter.delete,
            "deletecollection": self._deleter.delete_collection,
        }
        self._custom_resources = CustomResources(
            Parts(
                handle=self.handle,
                delete_all=self._deleter.delete_collection,
                store=store,
                registry=self.registry,
                clock=clock,
            )
        )

    def _doors(
        self,
        decoder: Decoder,
        catalog: Catalog,
        nodes: NodeConnections,
        tokens: TokenIssuer,
        admission: AdmissionChain,
    ) -> Subresources:
        """The subresources, and what answers them."""
        connecting = ConnectDoor(
            reader=self._reader, admission=admission, nodes=nodes, may_create=self._may_create
        )
        proxies = ProxyDoor(
            reader=self._reader, lister=self.lister, admission=admission, nodes=nodes
        )
        evictor = Evictor(
            store=self.store,
            lister=self.lister,
            decoder=decoder,
            catalog=catalog,
            deleter=self._deleter,
            clock=self.clock,
        )
        return Subresources(
            reader=self._reader,
            writer=self._writer,
            patcher=self._patcher,
            scale=ScaleDoor(self._reader, self._writer, decoder, catalog),
            doors={
                ("pods", "attach"): connecting.command,
                ("pods", "binding"): self._binder.handle,
                ("pods", "eviction"): evictor.handle,
                ("pods", "exec"): connecting.command,
                ("pods", "log"): LogDoor(self._reader, nodes).handle,
                ("pods", "portforward"): connecting.port_forward,
                ("pods", "proxy"): proxies.handle,
                ("services", "proxy"): proxies.handle,
                ("nodes", "proxy"): proxies.handle,
                ("serviceaccounts", "token"): TokenDoor(decoder, catalog, tokens).handle,
            },
        )

    async def run(self) -> None:
        """Keep serving what the definitions of custom resources say, until cancelled."""
        await self._custom_resources.run()

    async def close(self) -> None:
        """Close the connections to others; the store is its owner's to close."""
        await self._webhooks.close()

    async def handle(self, request: ApiRequest) -> Answer:
        """Carry out one request.

        Raises:
            ApiError: every answer that is not success.
        """
        try:
            return await self._answer(request)
        except StoreError as error:  # a full disk: nothing was written
            raise errors.internal(str(error)) from error

    async def _answer(self, request: ApiRequest) -> Answer:
        self.authorize(request)
        if request.resource is None:
            return await self._path(request)
        served = self._find(request.resource, request)
        if request.subresource:
            return await self._subresources.handle(served, request)
        _check_verb(served, request)
        return await self._verbs[request.verb](served, request)

    def read(self, request: ApiRequest) -> Item:
        """Carry out the GET of one object: `handle` without waiting.

        Raises:
            ApiError: as `handle`.
        """
        self.authorize(request)
        assert request.resource is not None, "a path is no object"
        served = self._find(request.resource, request)
        _check_verb(served, request)
        return self._reader.get(served, request)

    def _find(self, resource: Resource, request: ApiRequest) -> Served:
        served = self.registry.find(resource)
        if served is None or (request.namespace and not served.info.namespaced):
            raise errors.path_not_found()
        deprecated = _DEPRECATED.get(resource)
        if deprecated is not None:
            request.warnings.append(deprecated)
        elif served.deprecated:
            request.warnings.append(served.deprecated)
        return served

    def authorize(self, request: ApiRequest) -> None:
        """Refuse what the user may not do.

        Raises:
            ApiError: 403, in the words kubectl users know.
        """
        self.check(attributes_of(request))

    def _may_create(self, request: ApiRequest) -> None:
        self.check(attributes_of(request, verb="create"))

    def check(self, attributes: Attributes) -> None:
        """Ask the authorizers.

        Raises:
            ApiError: 403.
        """
        verdict = self._authorizer.authorize(attributes)
        if verdict.decision is not Decision.ALLOW:
            raise denial(attributes, verdict)

    def verdict(self, request: ApiRequest) -> Verdict:
        """What the authorizers say of a request, for who tells of it."""
        return self._authorizer.authorize(attributes_of(request))

    async def _path(self, request: ApiRequest) -> Answer:
        if request.path == "/metrics":
            # Loaded when somebody scrapes for the first time.
            from ekslab.kube.apiserver import metrics_text

            return Answer(document=metrics_text.document(self.metrics))
        return self._documents.answer(request)

    async def _get(self, served: Served, request: ApiRequest) -> Answer:
        return Answer(item=self._reader.get(served, request))

    async def _list(self, served: Served, request: ApiRequest) -> Answer:
        return Answer(page=await self._reader.list(served, request))

    async def _watch(self, served: Served, request: ApiRequest) -> Answer:
        return Answer(watch=await self._watcher.watch(served, request))

    async def _create(self, served: Served, request: ApiRequest) -> Answer:
        review = self._reviews.find(served)
        if review is not None:
            return Answer(code=201, obj=await review(served, request))
        if served.storage == "bindings":
            return await self._binder.handle(served, request)
        return await self._writer.create(served, request)

    async def _update(self, served: Served, request: ApiRequest) -> Answer:
        return await self._writer.update(served, request, main_rules(served))


def _check_verb(served: Served, request: ApiRequest) -> None:
    """Refuse a method that the resource, or this path of it, does not have.

    Raises:
        ApiError: 405.
    """
    if request.verb not in served.info.verbs or not _fits(served, request):
        raise errors.ApiError(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
            details={},
        )


def _fits(served: Served, request: ApiRequest) -> bool:
    """Whether the verb is about one object, or all, as the path is: PUT needs a name, POST none.

    Over all namespaces one can only read; the handler of one object is found by namespace, too.
    """
    if bool(request.name) != (request.verb in _OF_ONE):
        return False
    return bool(request.namespace) or not served.info.namespaced or request.verb in _OF_ALL


def attributes_of(request: ApiRequest, *, verb: str = "") -> Attributes:
    """What an authorizer is asked about a request.

    A list or watch of the one object a field selector names is asked about by name, as upstream's
    RequestInfo does, so that `resourceNames` of a rule can allow it.
    """
    resource = request.resource
    if resource is None:
        return Attributes(user=request.user, verb=request.verb, path=request.path)
    name = request.name
    if not name and request.options and request.verb in {"list", "watch", "deletecollection"}:
        selector = request.options.get("fieldSelector", "")
        if selector.startswith(_NAME_FIELD) and "," not in selector:
            name = selector.removeprefix(_NAME_FIELD).removeprefix("=")
    # By position: this is done for every request, and names cost as much as the rest.
    return Attributes(
        request.user,
        verb or request.verb,
        resource.group,
        resource.version,
        resource.plural,
        request.subresource,
        name if resource == NAMESPACES else request.namespace,
        name,
        request.path,
        request.options.get("fieldSelector", "") if request.options else "",
    )
