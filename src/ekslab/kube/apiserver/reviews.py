"""Reviews: questions that are answered and never kept.

SubjectAccessReview and its kin (`kubectl auth can-i`), TokenReview, SelfSubjectReview (`kubectl
auth whoami`). Upstream: `pkg/registry/authorization/*` and `pkg/registry/authentication/*`.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from ekslab.kube.api import errors, media
from ekslab.kube.api.errors import ApiError, Cause, bad_request
from ekslab.kube.api.ports import Authenticator, Authorizer, Credentials, Decision
from ekslab.kube.api.requests import ApiRequest, Attributes, Object, UserInfo
from ekslab.kube.apiserver.decoding import Decoder
from ekslab.kube.apiserver.options import write_options
from ekslab.kube.apiserver.registry import Served

_AUTHORIZATION: Final = "authorization.k8s.io"
_AUTHENTICATION: Final = "authentication.k8s.io"
_TRANSFORMS: Final = (media.PARTIAL, media.PARTIAL_LIST)  # a review has no table


class Rule(Protocol):
    """One rule of what a user may do."""

    def as_object(self) -> Object:
        """The wire form of a PolicyRule."""


class ResolvedRules(Protocol):
    """All rules of a user in a namespace, and what could not be found out."""

    @property
    def rules(self) -> Sequence[Rule]:
        """The rules."""

    @property
    def errors(self) -> Sequence[str]:
        """Roles that could not be resolved."""


class RuleResolver(Protocol):
    """Lists what a user may do (upstream: `authorizer.RuleResolver`)."""

    def rules_for(self, user: UserInfo, namespace: str) -> ResolvedRules:
        """The rules of a user in a namespace."""


Review = Callable[[Served, ApiRequest], Awaitable[Object]]


class Reviews:
    """Answers creates of review resources."""

    def __init__(
        self,
        *,
        authorizer: Authorizer,
        rules: RuleResolver,
        authenticator: Authenticator,
        decoder: Decoder,
    ) -> None:
        self._authorizer = authorizer
        self._rules = rules
        self._authenticator = authenticator
        self._decoder = decoder
        self._reviews: dict[str, Review] = {
            f"subjectaccessreviews.{_AUTHORIZATION}": self._subject_access,
            f"localsubjectaccessreviews.{_AUTHORIZATION}": self._local_subject_access,
            f"selfsubjectaccessreviews.{_AUTHORIZATION}": self._self_subject_access,
            f"selfsubjectrulesreviews.{_AUTHORIZATION}": self._self_subject_rules,
            f"tokenreviews.{_AUTHENTICATION}": self._token,
            f"selfsubjectreviews.{_AUTHENTICATION}": self._self_subject,
        }

    def find(self, served: Served) -> Review | None:
        """What answers creates of this resource; None if it is no review."""
        return self._reviews.get(served.storage)

    def _body(self, served: Served, request: ApiRequest) -> Object:
        media.negotiate(request.accept, transforms=_TRANSFORMS, protobuf=True)
        return self._decoder.body(served, request, write_options(request).field_validation)

    async def _subject_access(self, served: Served, request: ApiRequest) -> Object:
        obj = self._body(served, request)
        spec = obj.get("spec") or {}
        _refuse(served, [*_attribute_causes(spec), *_subject_causes(spec)])
        return self._decided(obj, _subject(spec), spec)

    async def _local_subject_access(self, served: Served, request: ApiRequest) -> Object:
        obj = self._body(served, request)
        spec = obj.get("spec") or {}
        causes = _attribute_causes(spec) + _subject_causes(spec)
        if spec.get("nonResourceAttributes"):
            text = "Forbidden: disallowed on this kind of request"
            causes.append(Cause("spec.nonResourceAttributes", text, "FieldValueForbidden"))
        _refuse(served, causes)
        namespace = (spec.get("resourceAttributes") or {}).get("namespace", "")
        if namespace != request.namespace:
            message = f"spec.resourceAttributes.namespace must match namespace: {request.namespace}"
            raise bad_request(message)
        return self._decided(obj, _subject(spec), spec)

    async def _self_subject_access(self, served: Served, request: ApiRequest) -> Object:
        obj = self._body(served, request)
        spec = obj.get("spec") or {}
        _refuse(served, _attribute_causes(spec))
        return self._decided(obj, request.user, spec)

    def _decided(self, obj: Object, user: UserInfo, spec: dict[str, Any]) -> Object:
        """Ask the authorizer and write its verdict into the status."""
        resource = spec.get("resourceAttributes")
        if resource is not None:
            asked = Attributes(
                user=user,
                verb=resource.get("verb", ""),
                group=resource.get("group", ""),
                version=resource.get("version", ""),
                resource=resource.get("resource", ""),
                subresource=resource.get("subresource", ""),
                namespace=resource.get("namespace", ""),
                name=resource.get("name", ""),
            )
        else:
            path = spec["nonResourceAttributes"]
            asked = Attributes(user=user, verb=path.get("verb", ""), path=path.get("path", ""))
        verdict = self._authorizer.authorize(asked)
        status: dict[str, Any] = {"allowed": verdict.decision is Decision.ALLOW}
        if verdict.decision is Decision.DENY:
            status["denied"] = True
        if verdict.reason:
            status["reason"] = verdict.reason
        obj["status"] = status
        return obj

    async def _self_subject_rules(self, served: Served, request: ApiRequest) -> Object:
        obj = self._body(served, request)
        namespace = (obj.get("spec") or {}).get("namespace", "")
        if not namespace:
            raise bad_request("no namespace on request")
        resolved = self._rules.rules_for(request.user, namespace)
        resource_rules: list[Object] = []
        path_rules: list[Object] = []
        for rule in resolved.rules:
            wire = rule.as_object()
            if wire.get("nonResourceURLs"):
                kept = {"verbs": wire["verbs"], "nonResourceURLs": wire["nonResourceURLs"]}
                path_rules.append(kept)
            else:
                resource_rules.append(wire)
        status: Object = {
            "resourceRules": resource_rules,
            "nonResourceRules": path_rules,
            "incomplete": bool(resolved.errors),
        }
        if resolved.errors:
            status["evaluationError"] = "; ".join(resolved.errors)
        obj["status"] = status
        return obj

    async def _token(self, served: Served, request: ApiRequest) -> Object:
        obj = self._body(served, request)
        token = (obj.get("spec") or {}).get("token", "")
        if not token:
            raise bad_request("token is required for TokenReview in authentication")
        try:
            user = await self._authenticator.authenticate(Credentials(bearer_token=token))
        except ApiError as error:
            if error.code != 401:
                raise
            user = None
        obj["status"] = (
            {"user": {}}
            if user is None
            else {
                "authenticated": True,
                "user": _wire_user(user),
            }
        )
        if user is None:
            obj["status"]["error"] = "[invalid bearer token, unknown]"
        return obj

    async def _self_subject(self, served: Served, request: ApiRequest) -> Object:
        obj = self._body(served, request)
        obj["status"] = {"userInfo": _wire_user(request.user)}
        return obj


def _wire_user(user: UserInfo) -> Object:
    wire: Object = {"username": user.name}
    if user.uid:
        wire["uid"] = user.uid
    if user.groups:
        wire["groups"] = list(user.groups)
    if user.extra:
        wire["extra"] = {key: list(values) for key, values in user.extra.items()}
    return wire


def _subject(spec: dict[str, Any]) -> UserInfo:
    return UserInfo(
        name=spec.get("user", ""),
        groups=tuple(spec.get("groups") or ()),
        uid=spec.get("uid", ""),
        extra={key: tuple(values) for key, values in (spec.get("extra") or {}).items()},
    )


def _subject_causes(spec: dict[str, Any]) -> list[Cause]:
    if spec.get("user") or spec.get("groups"):
        return []
    text = 'Invalid value: "": at least one of user or group must be specified'
    return [Cause("spec.user", text)]


def _attribute_causes(spec: dict[str, Any]) -> list[Cause]:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and path is not None:
        text = "Invalid value: cannot be specified in combination with resourceAttributes"
        return [Cause("spec.nonResourceAttributes", text)]
    if resource is None and path is None:
        text = (
            "Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes"
            " must be specified"
        )
        return [Cause("spec.resourceAttributes", text)]
    return []


def _refuse(served: Served, causes: list[Cause]) -> None:
    if causes:
        raise errors.invalid(served.resource.group, served.info.kind, "", causes)
