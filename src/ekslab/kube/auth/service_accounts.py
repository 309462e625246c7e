"""Service accounts: issuing their tokens (TokenRequest) and believing them again.

Upstream: `pkg/registry/core/serviceaccount/storage/token.go` (requests), `pkg/serviceaccount/
claims.go` (a token lives only as long as the account, and the pod, secret or node it is bound to).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ekslab.kit.clock import parse_rfc3339, rfc3339
from ekslab.kit.ids import Ids
from ekslab.kube.api import errors
from ekslab.kube.api.errors import Cause
from ekslab.kube.api.objects import Item
from ekslab.kube.api.ports import Credentials, Lister
from ekslab.kube.api.requests import Object, UserInfo
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.well_known import (
    NODES,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICE_ACCOUNTS_GROUP,
)
from ekslab.kube.auth.tokens import LEEWAY_S, Claims, Ref, TokenError, TokenFormat

API_AUDIENCE: Final = "https://kubernetes.default.svc"
WARN_ONLY_EXPIRATION_S: Final = 3607  # what admission asks for: marks tokens that may live longer
_EXPIRATION_LEAST_S: Final = 600
_EXPIRATION_MOST_S: Final = 1 << 32
_EXPIRATION_DEFAULT_S: Final = 3600
_AUTHENTICATION: Final = "authentication.k8s.io"
_EXTRA: Final = "authentication.kubernetes.io/"
_BOUND_KINDS: Final = {"Pod": PODS, "Node": NODES, "Secret": SECRETS}


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """How long tokens live, in seconds.

    Attributes:
        extended_s: life of a token that was asked for by admission's volume (3607 s), so that old
            clients which never re-read the file go on; upstream a year, EKS 90 days.
        most_s: longest life anybody may ask for; 0 for no limit (EKS: 86,400).
    """

    extended_s: int = 365 * 24 * 3600
    most_s: int = 0


@dataclass(frozen=True, slots=True)
class Verified:
    """A token that was believed: whose it is, and for which of the asked audiences."""

    user: UserInfo
    audiences: tuple[str, ...]


class ServiceAccountTokens:
    """Issues and verifies tokens of one cluster. `now` is wall time."""

    def __init__(
        self,
        tokens: TokenFormat,
        lister: Lister,
        *,
        ids: Ids,
        now: Callable[[], float],
        audiences: Sequence[str] = (API_AUDIENCE,),
        policy: TokenPolicy = TokenPolicy(),
    ) -> None:
        self.format = tokens
        self.audiences = tuple(audiences)
        self._lister = lister
        self._ids = ids
        self._now = now
        self._policy = policy

    def request(
        self, namespace: str, name: str, token_request: Object, *, warnings: list[str]
    ) -> Object:
        """Carry out a TokenRequest (`serviceaccounts/token`); the answer carries the token.

        Raises:
            ApiError: 404, 400, 409 or 422, in upstream's words.
        """
        account = self._existing(SERVICE_ACCOUNTS, name, namespace)
        spec: dict[str, Any] = dict(token_request.get("spec") or {})
        metadata = dict(token_request.get("metadata") or {})
        _check_request(metadata, account)
        spec["audiences"] = list(spec.get("audiences") or self.audiences)
        expiration_s = _expiration(spec)
        bound = self._bound(spec.get("boundObjectRef"), account)
        if 0 < self._policy.most_s < expiration_s:
            warnings.append(
                f"requested expiration of {expiration_s} seconds shortened"
                f" to {self._policy.most_s} seconds"
            )
            expiration_s = self._policy.most_s
        spec["expirationSeconds"] = expiration_s
        now = int(self._now())
        claims = self._claims(account, bound, spec, now=now)
        metadata |= {
            "name": account.name,
            "namespace": account.namespace,
            "uid": account.uid,
            "creationTimestamp": rfc3339(now),
        }
        return {
            "kind": "TokenRequest",
            "apiVersion": f"{_AUTHENTICATION}/v1",
            "metadata": metadata,
            "spec": spec,
            "status": {
                "token": self.format.sign(claims),
                "expirationTimestamp": rfc3339(now + expiration_s),
            },
        }

    def verify(self, token: str, audiences: Sequence[str] = ()) -> Verified:
        """Believe a token, or not. `audiences` are those the asker is one of (default: the API's).

        Raises:
            TokenError: expired, forged, meant for others, or its account or bound object is gone.
        """
        claims = self.format.verify(token, now=self._now())
        wanted = tuple(audiences) or self.audiences
        common = tuple(audience for audience in wanted if audience in claims.audiences)
        if not common:
            raise TokenError("the token is meant for other audiences")
        self._check_alive(claims)
        return Verified(_user(claims), common)

    def _claims(
        self, account: Item, bound: dict[str, Ref], spec: dict[str, Any], *, now: int
    ) -> Claims:
        expiration_s: int = spec["expirationSeconds"]
        warn_after = 0
        if (
            "pod" in bound
            and expiration_s == WARN_ONLY_EXPIRATION_S
            and set(spec["audiences"]) <= set(self.audiences)
        ):
            warn_after = now + expiration_s
            expiration_s = self._policy.extended_s
        return Claims(
            namespace=account.namespace,
            service_account=Ref(account.name, account.uid),
            audiences=tuple(spec["audiences"]),
            issued_at=now,
            expires_at=now + expiration_s,
            id=self._ids.uid(),
            pod=bound.get("pod"),
            secret=bound.get("secret"),
            node=bound.get("node"),
            warn_after=warn_after,
        )

    def _bound(self, ref: dict[str, str] | None, account: Item) -> dict[str, Ref]:
        if ref is None:
            return {}
        kind, name = ref.get("kind", ""), ref.get("name", "")
        resource = _BOUND_KINDS.get(kind)
        if resource is None or ref.get("apiVersion", "v1") != "v1":
            group, _, version = ref.get("apiVersion", "").rpartition("/")
            kind_text = f"{group}/{version}, Kind={kind}"
            raise errors.bad_request(f"cannot bind token to object of type {kind_text}")
        item = self._existing(resource, name, "" if kind == "Node" else account.namespace)
        if kind == "Pod" and item.object["spec"].get("serviceAccountName") != account.name:
            raise errors.bad_request(
                f'cannot bind token for serviceaccount "{account.name}" to pod running with'
                " different serviceaccount name."
            )
        if ref.get("uid") and ref["uid"] != item.uid:
            why = (
                f"the UID in the bound object reference ({ref['uid']}) does not match the UID in"
                " record. The object might have been deleted and then recreated"
            )
            raise errors.conflict("", kind, name, why)
        bound = {kind.lower(): Ref(item.name, item.uid)}
        if kind == "Pod" and (node_name := item.object["spec"].get("nodeName")):
            node = self._lister.get(NODES, node_name)
            bound["node"] = Ref(node_name, node.uid if node else "")
        return bound

    def _existing(self, resource: Resource, name: str, namespace: str) -> Item:
        item = self._lister.get(resource, name, namespace)
        if item is None:
            raise errors.not_found(resource.group, resource.plural, name)
        return item

    def _check_alive(self, claims: Claims) -> None:
        namespace = claims.namespace
        self._check_ref(SERVICE_ACCOUNTS, claims.service_account, namespace)
        if claims.secret is not None:
            self._check_ref(SECRETS, claims.secret, namespace)
        if claims.pod is not None:
            self._check_ref(PODS, claims.pod, namespace)
        elif claims.node is not None:
            self._check_ref(NODES, claims.node, "")

    def _check_ref(self, resource: Resource, ref: Ref, namespace: str) -> None:
        item = self._lister.get(resource, ref.name, namespace)
        if item is None or item.uid != ref.uid:
            raise TokenError(f"{resource.plural} {ref.name} is gone: the token is invalid")
        deleted = item.object["metadata"].get("deletionTimestamp")
        # `deletionTimestamp` is lab time. With a lab clock wound forward it lies in the future of
        # the wall clock; the token then ends when the object is gone, as it does anyway.
        if deleted and parse_rfc3339(deleted) < self._now() - LEEWAY_S:
            raise TokenError(f"{resource.plural} {ref.name} has been deleted")


class ServiceAccountAuthenticator:
    """Bearer tokens that claim our issuer."""

    def __init__(self, tokens: ServiceAccountTokens) -> None:
        self._tokens = tokens

    async def authenticate(self, credentials: Credentials) -> UserInfo | None:
        """The service account's user; None if the token is of another issuer.

        Raises:
            ApiError: 401, if it is of ours and bad.
        """
        token = credentials.bearer_token
        if not token or not self._tokens.format.is_ours(token):
            return None
        try:
            return self._tokens.verify(token).user
        except TokenError as error:
            raise errors.unauthorized() from error


def user_name(namespace: str, name: str) -> str:
    """`system:serviceaccount:NAMESPACE:NAME`."""
    return f"system:serviceaccount:{namespace}:{name}"


def service_account_user(namespace: str, name: str, uid: str = "") -> UserInfo:
    """The user a service account is, with its groups: what in-process clients are bound to."""
    groups = (SERVICE_ACCOUNTS_GROUP, f"{SERVICE_ACCOUNTS_GROUP}:{namespace}")
    return UserInfo(
        name=user_name(namespace, name), groups=(*groups, "system:authenticated"), uid=uid
    )


def _user(claims: Claims) -> UserInfo:
    extra: dict[str, tuple[str, ...]] = {}
    if claims.id:
        extra[f"{_EXTRA}credential-id"] = (f"JTI={claims.id}",)
    if claims.node is not None:
        extra[f"{_EXTRA}node-name"] = (claims.node.name,)
        if claims.node.uid:
            extra[f"{_EXTRA}node-uid"] = (claims.node.uid,)
    if claims.pod is not None:
        extra[f"{_EXTRA}pod-name"] = (claims.pod.name,)
        extra[f"{_EXTRA}pod-uid"] = (claims.pod.uid,)
    return UserInfo(
        name=user_name(claims.namespace, claims.service_account.name),
        groups=(SERVICE_ACCOUNTS_GROUP, f"{SERVICE_ACCOUNTS_GROUP}:{claims.namespace}"),
        uid=claims.service_account.uid,
        extra=extra,
    )


def _check_request(metadata: dict[str, Any], account: Item) -> None:
    for field, value in (("name", account.name), ("namespace", account.namespace)):
        given = metadata.get(field)
        if given and given != value:
            must = f"must match the service account {field} if specified"
            cause = Cause(f"metadata.{field}", f'Invalid value: "{given}": {must}')
            raise errors.invalid(_AUTHENTICATION, "TokenRequest", account.name, [cause])
    uid = metadata.get("uid")
    if uid and uid != account.uid:
        why = (
            f"the UID in the token request ({uid}) does not match the UID of the service account"
            f" ({account.uid})"
        )
        raise errors.conflict(_AUTHENTICATION, "TokenRequest", account.name, why)


def _expiration(spec: dict[str, Any]) -> int:
    seconds: int = spec.get("expirationSeconds", _EXPIRATION_DEFAULT_S)
    what = ""
    if seconds < _EXPIRATION_LEAST_S:
        what = "may not specify a duration less than 10 minutes"
    elif seconds > _EXPIRATION_MOST_S:
        what = "may not specify a duration larger than 2^32 seconds"
    if what:
        cause = Cause("spec.expirationSeconds", f"Invalid value: {seconds}: {what}")
        raise errors.invalid(_AUTHENTICATION, "TokenRequest", "", [cause])
    return seconds
