"""The AWS endpoint: one ordered list of steps from a request to its answer.

    identify   which service and operation is meant
    verify     whose signature it is, checked with the real secret
    authorize  what the caller's policies say
    serve      EKS and STS here, everything else by moto
    keep       on the disk before the answer
    announce   the change feed

Everything is synchronous: requests do not overlap, so neither moto nor we need a lock.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from ekslab.cloud.actions import question_for
from ekslab.cloud.calls import Calls
from ekslab.cloud.eks.service import EksService
from ekslab.cloud.gateway import parameters, policies, sigv4
from ekslab.cloud.gateway.faults import (
    AwsFault,
    DoorFault,
    Protocol,
    Refusal,
    door_fault,
    render,
)
from ekslab.cloud.gateway.routing import UNSIGNED_ACTIONS, Route, find_route, is_mutating
from ekslab.cloud.identities import Caller, Identities
from ekslab.cloud.journal import JournalError
from ekslab.cloud.ports import AwsRequest, AwsResponse
from ekslab.cloud.sts.service import StsService
from ekslab.kit import logs
from ekslab.kit.clock import WallClock
from ekslab.kit.ids import Ids

_BLOCKED_PATHS = ("/moto-api", "/latest/meta-data", "/latest/api", "/favicon.ico")
# Calls everybody may make about himself.
_ALWAYS_ALLOWED = frozenset({("sts", "GetCallerIdentity"), ("sts", "GetSessionToken")})
_log = logs.get("cloud.endpoint")


@dataclass(slots=True)
class Exchange:
    """What is known of a request on its way through the steps."""

    request: AwsRequest
    request_id: str
    now_s: float
    protocol: Protocol = Protocol.REST_XML
    signed: sigv4.Signed | None = None
    route: Route | None = None
    caller: Caller | None = None
    answer: AwsResponse = field(default_factory=lambda: AwsResponse(500, (), b""))


class AwsEndpoint:
    """Implements `cloud.ports.Endpoint`."""

    def __init__(
        self,
        *,
        calls: Calls,
        identities: Identities,
        sts: StsService,
        eks: EksService,
        region: str,
        keep: Callable[[], None],
        announce: Callable[[Route], None],
        wall_clock: WallClock,
        ids: Ids,
    ) -> None:
        """`keep` makes what happened durable; `announce` tells the feed what a call touched."""
        self._calls = calls
        self._identities = identities
        self._sts = sts
        self._eks = eks
        self._region = region
        self._keep = keep
        self._announce = announce
        self._wall_clock = wall_clock
        self._ids = ids
        self._steps: tuple[Callable[[Exchange], None], ...] = (
            self._identify,
            self._verify,
            self._authorize,
            self._serve,
            self._keep_and_announce,
        )

    async def handle(self, request: AwsRequest) -> AwsResponse:
        """Answer one request. Never raises."""
        exchange = Exchange(request, self._ids.uid(), self._wall_clock.now())
        try:
            for step in self._steps:
                step(exchange)
        except DoorFault as fault:
            return self._refuse(exchange, door_fault(fault, exchange.protocol))
        except AwsFault as fault:
            # moto may have changed something before it failed.
            return self._settle_failure(exchange, fault)
        except JournalError as error:
            _log.error("not durable", error=str(error))
            return self._refuse(exchange, AwsFault("InternalFailure", str(error), status=500))
        except Exception:  # noqa: BLE001 - whatever it was, the client gets AWS's form of it
            route = exchange.route
            operation = f"{route.service}:{route.action}" if route else ""
            _log.exception("broken", request_id=exchange.request_id, operation=operation)
            return self._settle_failure(exchange, _internal_fault(exchange))
        return exchange.answer

    def _identify(self, exchange: Exchange) -> None:
        request = exchange.request
        if request.raw_path.startswith(_BLOCKED_PATHS):
            raise AwsFault("AccessDenied", "Access Denied", status=403)
        exchange.protocol = _protocol_guess(request)
        exchange.signed = sigv4.read_signature(request)
        exchange.route = find_route(request, exchange.signed, default_region=self._region)
        if exchange.route is None:
            raise DoorFault(Refusal.UNSIGNED)
        exchange.protocol = exchange.route.protocol

    def _verify(self, exchange: Exchange) -> None:
        signed, route = exchange.signed, exchange.route
        assert route is not None
        if signed is None:
            if route.action in UNSIGNED_ACTIONS:
                return
            raise DoorFault(Refusal.UNSIGNED)
        secret = self._identities.secret_of(
            signed.access_key_id, session_token=signed.session_token, now_s=exchange.now_s
        )
        sigv4.check(exchange.request, signed, secret=secret, now_s=exchange.now_s)
        exchange.caller = self._identities.caller_of(signed.access_key_id)

    def _authorize(self, exchange: Exchange) -> None:
        caller, route = exchange.caller, exchange.route
        assert route is not None
        if caller is None or caller.service or (route.service, route.action) in _ALWAYS_ALLOWED:
            # A service's own session acts for AWS; STS asks the trust policy itself.
            return
        if (route.service, route.action) == ("sts", "AssumeRole"):
            return
        question = question_for(route, exchange.request, caller, now_s=exchange.now_s)
        documents = self._identities.policies_of(caller.principal)
        effect = policies.evaluate(documents, question)
        if effect is not policies.Effect.ALLOW:
            raise DoorFault(Refusal.DENIED, _denial(caller, question, effect))

    def _serve(self, exchange: Exchange) -> None:
        route, request = exchange.route, exchange.request
        assert route is not None
        if route.service == "sts":
            exchange.answer = self._sts.call(
                request,
                route.action,
                caller=exchange.caller,
                parameters=route.parameters,
                request_id=exchange.request_id,
                now_s=exchange.now_s,
            )
        elif route.service == "eks":
            assert exchange.caller is not None
            exchange.answer = self._eks.call(
                request, route, caller=exchange.caller, request_id=exchange.request_id
            )
        else:
            parameters.check(route, request.body)
            exchange.answer = self._calls.forward(
                request,
                service=route.service,
                region=route.region,
                action=route.action,
                mutates=is_mutating(route, request.method),
            )

    def _keep_and_announce(self, exchange: Exchange) -> None:
        assert exchange.route is not None
        self._keep()
        if is_mutating(exchange.route, exchange.request.method):
            self._announce(exchange.route)

    def _settle_failure(self, exchange: Exchange, fault: AwsFault) -> AwsResponse:
        try:
            if exchange.route is not None:
                self._keep_and_announce(exchange)
        except JournalError as error:
            _log.error("not durable", error=str(error))
        return self._refuse(exchange, fault)

    def _refuse(self, exchange: Exchange, fault: AwsFault) -> AwsResponse:
        return render(fault, exchange.protocol, request_id=exchange.request_id)


def _protocol_guess(request: AwsRequest) -> Protocol:
    """The form of an error that comes before the service is known."""
    content_type = sigv4.header(request.headers, "content-type")
    authorization = sigv4.header(request.headers, "authorization")
    if "/ec2/aws4_request" in authorization:
        return Protocol.EC2
    if content_type.startswith("application/x-www-form-urlencoded") or "Action=" in request.query:
        return Protocol.QUERY
    if sigv4.header(request.headers, "x-amz-target"):
        return Protocol.JSON
    if "/eks/aws4_request" in authorization or content_type.startswith("application/json"):
        return Protocol.REST_JSON
    return Protocol.REST_XML


def _internal_fault(exchange: Exchange) -> AwsFault:
    """A mistake of ours, in the service's word for its own."""
    code = "InternalError" if exchange.protocol is Protocol.EC2 else "InternalFailure"
    if exchange.route is not None and exchange.route.service == "eks":
        code = "ServerException"
    return AwsFault(code, "An internal error has occurred", status=500)


def _denial(caller: Caller, question: policies.Question, effect: policies.Effect) -> str:
    resource = f" on resource: {question.resource}" if question.resource else ""
    why = (
        " with an explicit deny in an identity-based policy"
        if effect is policies.Effect.DENY
        else f" because no identity-based policy allows the {question.action} action"
    )
    return f"User: {caller.arn} is not authorized to perform: {question.action}{resource}{why}"
