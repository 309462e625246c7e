"""Which door of which resource leads where."""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from ekslab.kit.clock import Clock
from ekslab.kube.api import errors
from ekslab.kube.api.ports import Answer, Lister, NodeConnections
from ekslab.kube.api.requests import ApiRequest, Object
from ekslab.kube.api.schema.catalog import Catalog
from ekslab.kube.apiserver.admission.chain import AdmissionChain
from ekslab.kube.apiserver.decoding import Decoder
from ekslab.kube.apiserver.deleting import Deleter
from ekslab.kube.apiserver.options import write_options
from ekslab.kube.apiserver.patching import Patcher
from ekslab.kube.apiserver.reading import Reader
from ekslab.kube.apiserver.registry import Served
from ekslab.kube.apiserver.subresources.binding import Binder
from ekslab.kube.apiserver.subresources.eviction import Evictor
from ekslab.kube.apiserver.subresources.logs import LogDoor
from ekslab.kube.apiserver.subresources.partial import PARTIAL_RULES, RulesOf
from ekslab.kube.apiserver.subresources.scale import ScaleDoor
from ekslab.kube.apiserver.writing import Writer, status_rules
from ekslab.kube.store.port import Store

_TOKEN_REQUEST: Final = "io.k8s.api.authentication.v1.TokenRequest"  # noqa: S105 - a type's name
_SCALE: Final = "io.k8s.api.autoscaling.v1.Scale"
_Door = Callable[[Served, ApiRequest], Awaitable[Answer]]


class TokenIssuer(Protocol):
    """Carries out TokenRequests."""

    def request(
        self, namespace: str, name: str, token_request: Object, *, warnings: list[str]
    ) -> Object:
        """The request with its token.

        Raises:
            ApiError: 404, 400, 409 or 422, in upstream's words.
        """


class Subresources:
    """Answers requests for subresources."""

    def __init__(
        self,
        *,
        reader: Reader,
        writer: Writer,
        patcher: Patcher,
        deleter: Deleter,
        decoder: Decoder,
        catalog: Catalog,
        store: Store,
        lister: Lister,
        nodes: NodeConnections,
        tokens: TokenIssuer,
        admission: AdmissionChain,
        clock: Clock,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._patcher = patcher
        self._decoder = decoder
        self._tokens = tokens
        self._token_schema = catalog.type(_TOKEN_REQUEST)
        self._binder = Binder(
            store=store, decoder=decoder, catalog=catalog, admission=admission, clock=clock
        )
        evictor = Evictor(
            store=store, lister=lister, decoder=decoder, catalog=catalog, deleter=deleter,
            clock=clock,
        )  # fmt: skip
        logs = LogDoor(reader, nodes)
        self._doors: dict[tuple[str, str], _Door] = {
            ("pods", "binding"): self._binder.handle,
            ("pods", "eviction"): evictor.handle,
            ("pods", "log"): logs.handle,
            ("serviceaccounts", "token"): self._token,
        }
        self._scale = ScaleDoor(reader, writer, decoder, catalog.type(_SCALE))

    async def handle(self, served: Served, request: ApiRequest) -> Answer:
        """Answer a request for a subresource.

        Raises:
            ApiError: 404 for one that is not there, 405 for a verb it does not know.
        """
        known = served.info.subresource(request.subresource)
        if known is None:
            raise errors.path_not_found()
        if request.verb not in known.verbs:
            qualified = f"{served.resource.plural}/{known.name}"
            raise errors.method_not_supported(served.resource.group, qualified, request.verb)
        door = self._doors.get((served.storage, request.subresource))
        if door is not None:
            return await door(served, request)
        if request.subresource == "scale":
            return await self._scale.handle(served, request)
        return await self._partial(served, request)

    async def bind(self, served: Served, request: ApiRequest) -> Answer:
        """POST of a Binding to `bindings` itself: the old way to bind a pod."""
        return await self._binder.handle(served, request)

    async def _partial(self, served: Served, request: ApiRequest) -> Answer:
        """Doors that show the whole object and change a part of it: status and its like."""
        if request.verb == "get":
            return Answer(item=await self._reader.get(served, request))
        rules_of: RulesOf | None = PARTIAL_RULES.get((served.storage, request.subresource))
        if rules_of is None and request.subresource == "status":
            rules_of = status_rules
        if rules_of is None:
            message = f"{request.subresource} is not served by this cluster"
            raise errors.ApiError(501, "NotImplemented", message)
        rules = rules_of(served)
        if request.verb == "patch":
            return await self._patcher.patch_by(served, request, rules)
        return await self._writer.update(served, request, rules)

    async def _token(self, served: Served, request: ApiRequest) -> Answer:
        options = write_options(request)
        body = self._decoder.typed(
            request,
            schema=self._token_schema,
            kind="TokenRequest",
            api_version="authentication.k8s.io/v1",
            mode=options.field_validation,
        )
        del served
        obj = self._tokens.request(request.namespace, request.name, body, warnings=request.warnings)
        return Answer(code=201, obj=obj)
