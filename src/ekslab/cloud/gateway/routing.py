"""Which service and operation a request means.

A signed request says so in its credential scope (header or query form); an unsigned one only by its
target header or form action. The Host header decides nothing: one endpoint serves all services.
REST services are routed by botocore's model: method and `requestUri` against the *raw* path, so
that an ARN in a label may come as one escaped segment or as plain slashes.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from ekslab.cloud.gateway.faults import Protocol
from ekslab.cloud.gateway.sigv4 import Signed, header, query_pairs
from ekslab.cloud.ports import AwsRequest

_FORM = "application/x-www-form-urlencoded"
_REST_XML_SERVICES = frozenset({"s3", "route53", "cloudfront", "s3-control"})
_QUERY_VERSIONS = {"2011-06-15": "sts", "2010-05-08": "iam", "2016-11-15": "ec2"}
# Calls AWS answers without a signature: the caller proves itself by what the body carries.
UNSIGNED_ACTIONS = frozenset({"AssumeRoleWithWebIdentity", "AssumeRoleWithSAML"})

# Names of signing scopes that differ from the names of botocore's models.
_MODEL_NAMES = {
    "elasticfilesystem": "efs",
    "elasticloadbalancing": "elbv2",
    "monitoring": "cloudwatch",
    "states": "stepfunctions",
    "email": "ses",
}
_READ_PREFIXES = (
    "Describe",
    "List",
    "Get",
    "Head",
    "BatchGet",
    "Search",
    "Lookup",
    "Simulate",
    "Validate",
    "Filter",
    "Preview",
    "Select",
    "Query",
    "Scan",
    "Estimate",
    "Check",
    "Decode",
    "Verify",
)
# Whatever is sent to them is a form; one without an action is wrong, not of another protocol.
_FORMS_ALONE = frozenset({"ec2", "iam", "autoscaling"})
# Calls whose names sound like reading and which leave something behind.
_WRITES_DESPITE_NAME = frozenset({("ecr", "GetAuthorizationToken")})


@dataclass(frozen=True, slots=True)
class Route:
    """What a request asks for.

    Attributes:
        service: the signing name, such as `eks`, `ec2`, `elasticloadbalancing`.
        action: the operation's name; empty if no model knows it.
        parameters: form parameters of the query protocol; labels of a REST path.
    """

    service: str
    region: str
    action: str
    protocol: Protocol
    parameters: Mapping[str, str]


def find_route(request: AwsRequest, signed: Signed | None, *, default_region: str) -> Route | None:
    """Where the request goes; None if nothing in it names a service."""
    form = _form(request)
    target = header(request.headers, "x-amz-target")
    if signed is not None:
        service, region = signed.service, signed.region
    else:
        service, region = _unsigned_service(form), default_region
        if not service:
            return None
    if target:
        return Route(service, region, target.rpartition(".")[2], Protocol.JSON, {})
    if "Action" in form or service in _FORMS_ALONE:
        protocol = Protocol.EC2 if service == "ec2" else Protocol.QUERY
        return Route(service, region, form.get("Action", ""), protocol, form)
    protocol = Protocol.REST_XML if service in _REST_XML_SERVICES else Protocol.REST_JSON
    found = rest_router(service).find(request.method, request.raw_path, request.query)
    if found is None:
        return Route(service, region, "", protocol, {})
    return Route(service, region, found.operation, protocol, found.labels)


def is_mutating(route: Route, method: str) -> bool:
    """Whether a call may leave something behind that a restart must not lose."""
    if not route.action:
        return method not in {"GET", "HEAD"}
    if (route.service, route.action) in _WRITES_DESPITE_NAME:
        return True
    if route.service == "sts":
        return route.action not in {"GetCallerIdentity", "DecodeAuthorizationMessage"}
    return not route.action.startswith(_READ_PREFIXES)


@dataclass(frozen=True, slots=True)
class RestMatch:
    """An operation of a REST service and the decoded labels of its path."""

    operation: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Template:
    """The path of an operation; `required` are the parts of a query it must have."""

    operation: str
    method: str
    start: str
    pattern: re.Pattern[str]
    required: tuple[str, ...]


class RestRouter:
    """Method and raw path -> operation, from the `http` traits of a service model.

    Templates are kept by method and first segment (`clusters`), so that a few are tried and not
    all; those that begin with a label (`/{Bucket}`) are tried with every segment.
    """

    def __init__(self, operations: Mapping[str, Mapping[str, Any]]) -> None:
        templates = []
        for name, http in operations.items():
            path, _, query = str(http["requestUri"]).partition("?")
            required = tuple(part for part in query.split("&") if part)
            start = _first_segment(path)
            pattern = _pattern(path)
            templates.append((_Template(name, str(http["method"]), start, pattern, required), path))
        # The longest template first: `/a/{x}/b` is more than `/a/{x}` with a slash in x.
        templates.sort(key=lambda entry: (len(entry[0].required), len(entry[1])), reverse=True)
        self._starts = {entry.start for entry, _ in templates if not entry.start.startswith("{")}
        self._templates: dict[tuple[str, str], list[_Template]] = {}
        for start in (*self._starts, "{"):
            for entry, _ in templates:
                if entry.start == start or entry.start.startswith("{"):
                    self._templates.setdefault((entry.method, start), []).append(entry)

    def find(self, method: str, raw_path: str, query: str) -> RestMatch | None:
        """The operation a request names, or None."""
        start = _first_segment(raw_path)
        known = start if start in self._starts else "{"
        parts = query.split("&")
        present = {part.partition("=")[0] for part in parts}.union(parts)
        for template in self._templates.get((method, known), ()):
            if template.required and not present.issuperset(template.required):
                continue
            match = template.pattern.fullmatch(raw_path)
            if match is not None:
                labels = {key: unquote(value) for key, value in match.groupdict().items()}
                return RestMatch(template.operation, labels)
        return None


def _first_segment(path: str) -> str:
    return path[1:].partition("/")[0]


@functools.lru_cache(maxsize=64)
def rest_router(service: str) -> RestRouter:
    """The router of a service by its signing name; empty for services botocore does not know."""
    model = service_model(_MODEL_NAMES.get(service, service))
    if model is None:
        return RestRouter({})
    return RestRouter({name: model.operation_model(name).http for name in model.operation_names})


@functools.lru_cache(maxsize=64)
def service_model(name: str) -> Any | None:
    """Botocore's model of a service, None if it has none of this name."""
    import botocore.exceptions
    import botocore.session

    try:
        return _session().get_service_model(name)
    except botocore.exceptions.UnknownServiceError:
        return None


@functools.cache
def _session() -> Any:
    import botocore.session

    return botocore.session.Session()


def _pattern(template: str) -> re.Pattern[str]:
    """`/tags/{resourceArn}`: a label takes all but a slash, unless it is an ARN's or greedy."""
    parts = []
    for piece in re.split(r"(\{[^}]+\})", template):
        if piece.startswith("{"):
            name = piece[1:-1]
            greedy = name.endswith("+") or name.lower().endswith("arn")
            group = re.sub(r"\W", "_", name.rstrip("+"))
            parts.append(f"(?P<{group}>{'.+?' if greedy else '[^/]+'})")
        else:
            parts.append(re.escape(piece))
    text = "".join(parts)
    return re.compile(text if text.endswith("/") else text + "/?")


def _form(request: AwsRequest) -> Mapping[str, str]:
    pairs = query_pairs(request.query)
    if header(request.headers, "content-type").startswith(_FORM):
        pairs += query_pairs(request.body.decode("utf-8", "replace"))
    return dict(pairs)


def _unsigned_service(form: Mapping[str, str]) -> str:
    if form.get("Action") in UNSIGNED_ACTIONS:
        return "sts"
    return _QUERY_VERSIONS.get(form.get("Version", ""), "")
