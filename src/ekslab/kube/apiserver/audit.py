"""Auditing: which requests are told of, how much of each, and as what.

Upstream: `apiserver/pkg/audit` (`policy/checker.go`, `request.go`). A policy is upstream's
`audit.k8s.io/v1` Policy in a file; its first rule that fits a request decides the level:

    None             nothing
    Metadata         who, what, when, the code: never a body, so never a secret
    Request          the body of the request, too
    RequestResponse  both bodies

Events are JSON objects, one a line (`audit_log`). A server without a policy audits nothing and
loads none of this. Requests that nobody is believed for (401) are not told of.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Protocol

import orjson

from ekslab.kit.clock import rfc3339_micro
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.ports import Answer, Decision, Verdict
from ekslab.kube.api.requests import ApiRequest, Object, UserInfo
from ekslab.kube.api.schema.scalars import Pairs
from ekslab.kube.api.schema.yaml_text import YamlError, parse_yaml

_API_VERSION: Final = "audit.k8s.io/v1"
_BODY_BYTES_MOST: Final = 1 << 20


class PolicyError(Exception):
    """The policy file says something that cannot be followed."""


class Level(Enum):
    """How much is told of a request."""

    NONE = "None"
    METADATA = "Metadata"
    REQUEST = "Request"
    REQUEST_RESPONSE = "RequestResponse"


class Stage(Enum):
    """When it is told."""

    RECEIVED = "RequestReceived"
    STARTED = "ResponseStarted"
    COMPLETE = "ResponseComplete"


class Sink(Protocol):
    """Where events go."""

    def write(self, line: bytes) -> None:
        """Keep one event."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a policy."""

    level: Level
    users: frozenset[str]
    groups: frozenset[str]
    verbs: frozenset[str]
    namespaces: frozenset[str]
    resources: Sequence[Mapping[str, Any]]
    urls: Sequence[str]
    omitted: frozenset[Stage]
    omits_managed_fields: bool

    def fits(self, request: ApiRequest, user: UserInfo) -> bool:
        """Whether this rule is about the request of this user (who may act as another)."""
        if self.users and user.name not in self.users:
            return False
        if self.groups and not self.groups.intersection(user.groups):
            return False
        if self.verbs and request.verb not in self.verbs:
            return False
        if request.resource is None:
            about_resources = self.resources or self.namespaces
            return not about_resources and (not self.urls or _fits_url(self.urls, request.path))
        if self.urls and not self.resources and not self.namespaces:
            return False
        if self.namespaces and request.namespace not in self.namespaces:
            return False
        return not self.resources or any(_fits_resource(one, request) for one in self.resources)


@dataclass(slots=True)
class Audited:
    """One request that is told of, and what became of it."""

    rule: Rule
    base: dict[str, Any]
    request: ApiRequest
    is_started: bool = False
    answer: Answer | None = None
    error: ApiError | None = None
    body: bytes | None = field(default=None)


class Auditor:
    """Tells of requests what the policy says."""

    def __init__(
        self,
        rules: Sequence[Rule],
        sink: Sink,
        *,
        now: Callable[[], float],
        decide: Callable[[ApiRequest], Verdict],
    ) -> None:
        self._rules = rules
        self._sink = sink
        self._now = now
        self._decide = decide

    def begin(
        self, request: ApiRequest, *, asker: UserInfo, audit_id: str, uri: str, source: str
    ) -> Audited | None:
        """A request came; None if nothing is told of it."""
        rule = next((rule for rule in self._rules if rule.fits(request, asker)), None)
        if rule is None or rule.level is Level.NONE:
            return None
        base: dict[str, Any] = {
            "kind": "Event",
            "apiVersion": _API_VERSION,
            "level": rule.level.value,
            "auditID": audit_id,
            "stage": "",
            "requestURI": uri,
            "verb": request.verb,
            "user": _user(asker),
        }
        if request.user is not asker:
            base["impersonatedUser"] = _user(request.user)
        base["sourceIPs"] = [source]
        base["userAgent"] = request.user_agent
        if request.resource is not None:
            base["objectRef"] = _reference(request)
        base["requestReceivedTimestamp"] = rfc3339_micro(self._now())
        audited = Audited(rule, base, request)
        self._tell(audited, Stage.RECEIVED, {})
        return audited

    def note(self, audited: Audited, code: int) -> None:
        """It was answered; of a watch, that it is open, and the second time that it has ended."""
        opens = audited.request.verb == "watch" and audited.error is None
        stage = Stage.STARTED if opens and not audited.is_started else Stage.COMPLETE
        audited.is_started = True
        level, more = audited.rule.level, dict[str, Any]()
        more["responseStatus"] = _status(audited.error, code)
        if level in {Level.REQUEST, Level.REQUEST_RESPONSE}:
            sent = _decoded(audited.request.body)
            if sent is not None:
                more["requestObject"] = _trimmed(sent, audited.rule)
        if level is Level.REQUEST_RESPONSE and stage is Stage.COMPLETE:
            said = audited.error.status() if audited.error else _object_of(audited.answer)
            if said is not None:
                more["responseObject"] = _trimmed(said, audited.rule)
        verdict = self._decide(audited.request)
        allowed = verdict.decision is Decision.ALLOW
        more["annotations"] = {
            "authorization.k8s.io/decision": "allow" if allowed else "forbid",
            "authorization.k8s.io/reason": verdict.reason,
        }
        self._tell(audited, stage, more)

    def _tell(self, audited: Audited, stage: Stage, more: Mapping[str, Any]) -> None:
        if stage in audited.rule.omitted:
            return
        stamp = {"stageTimestamp": rfc3339_micro(self._now())}
        event = {**audited.base, "stage": stage.value, **more, **stamp}
        self._sink.write(orjson.dumps(event, default=str, option=orjson.OPT_APPEND_NEWLINE))


def policy_of(raw: bytes) -> Sequence[Rule]:
    """The rules of a policy file.

    Raises:
        PolicyError: it is none, or a rule cannot be followed; says which.
    """
    try:
        policy = _plain(parse_yaml(raw)[0])
    except YamlError as error:
        raise PolicyError(str(error)) from error
    if not isinstance(policy, dict) or policy.get("kind") != "Policy":
        raise PolicyError(f"expected a Policy of {_API_VERSION}")
    if policy.get("apiVersion") != _API_VERSION:
        raise PolicyError(f"apiVersion: expected {_API_VERSION}, found {policy.get('apiVersion')}")
    rules = policy.get("rules") or ()
    if not rules:
        raise PolicyError("rules: expected at least one")
    omitted = policy.get("omitStages") or ()
    trims = bool(policy.get("omitManagedFields"))
    try:
        return [_rule(rule, omitted, trims=trims) for rule in rules]
    except (ValueError, TypeError, AttributeError) as error:
        raise PolicyError(f"rules: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Pairs):
        return {key: _plain(item) for key, item in value}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _rule(rule: Mapping[str, Any], omitted: Sequence[str], *, trims: bool) -> Rule:
    if rule.get("nonResourceURLs") and (rule.get("resources") or rule.get("namespaces")):
        raise ValueError("a rule cannot apply to both regular resources and non-resource URLs")
    return Rule(
        level=Level(rule.get("level")),
        users=frozenset(rule.get("users") or ()),
        groups=frozenset(rule.get("userGroups") or ()),
        verbs=frozenset(rule.get("verbs") or ()),
        namespaces=frozenset(rule.get("namespaces") or ()),
        resources=tuple(rule.get("resources") or ()),
        urls=tuple(rule.get("nonResourceURLs") or ()),
        omitted=frozenset(Stage(one) for one in (*omitted, *(rule.get("omitStages") or ()))),
        omits_managed_fields=bool(rule.get("omitManagedFields", trims)),
    )


def _fits_resource(wanted: Mapping[str, Any], request: ApiRequest) -> bool:
    """Whether a GroupResources names what is asked for: `pods`, `pods/log`, `*/status`, `*`."""
    assert request.resource is not None
    if wanted.get("group", "") != request.resource.group:
        return False
    names = wanted.get("resourceNames") or ()
    if names and request.name not in names:
        return False
    plural, door = request.resource.plural, request.subresource
    full = f"{plural}/{door}" if door else plural
    patterns = {full, "*", f"{plural}/*", f"*/{door}"} if door else {full, "*"}
    resources = wanted.get("resources") or ()
    return not resources or any(one in patterns for one in resources)


def _fits_url(urls: Sequence[str], path: str) -> bool:
    return any(
        url in {"*", path} or (url.endswith("*") and path.startswith(url[:-1])) for url in urls
    )


def _user(user: UserInfo) -> Object:
    said: Object = {"username": user.name}
    if user.uid:
        said["uid"] = user.uid
    said["groups"] = list(user.groups)
    if user.extra:
        said["extra"] = {key: list(values) for key, values in user.extra.items()}
    return said


def _reference(request: ApiRequest) -> Object:
    resource = request.resource
    assert resource is not None
    said = {
        "resource": resource.plural,
        "namespace": request.namespace,
        "name": request.name,
        "apiGroup": resource.group,
        "apiVersion": resource.version,
        "subresource": request.subresource,
    }
    return {key: value for key, value in said.items() if value}


def _status(error: ApiError | None, code: int) -> Object:
    if error is None:
        return {"metadata": {}, "code": code}
    said = error.status()
    wanted = ("status", "message", "reason", "details", "code")
    return {"metadata": {}, **{key: said[key] for key in wanted if key in said}}


def _decoded(body: bytes | Object | None) -> Any:
    """A body of JSON; others (protobuf, YAML) are left out, and those that are too large."""
    if isinstance(body, dict):
        return body
    if not body or len(body) > _BODY_BYTES_MOST:
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _object_of(answer: Answer | None) -> Any:
    if answer is None:
        return None
    return answer.item.object if answer.item is not None else answer.obj


def _trimmed(obj: Any, rule: Rule) -> Any:
    if not rule.omits_managed_fields or not isinstance(obj, dict):
        return obj
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict) or "managedFields" not in metadata:
        return obj
    kept = {key: value for key, value in metadata.items() if key != "managedFields"}
    return {**obj, "metadata": kept}
