"""Asking the authorizer: apiserver `pkg/cel/library/authz.go`.

    authorizer.group('apps').resource('deployments').namespace('prod').check('create').allowed()

The authorizer itself is given to the evaluation as a value: whatever is a `Lookup`.
"""

from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from ekslab.kube.api import names
from ekslab.kube.api.cel.failures import CelError
from ekslab.kube.api.cel.functions import member
from ekslab.kube.api.cel.types import (
    AUTHORIZER,
    BOOL,
    DECISION,
    GROUP_CHECK,
    PATH_CHECK,
    RESOURCE_CHECK,
    STRING,
)  # fmt: skip
from ekslab.kube.api.cel.values import tenth

_CHECK_COST: Final = 350_000  # two in one expression, then its limit is reached


@dataclass(frozen=True, slots=True)
class Question:
    """What the authorizer is asked. `service_account` is (namespace, name), or None for the user
    who sent the request.
    """

    verb: str = ""
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    label_selector: str = ""
    service_account: tuple[str, str] | None = None


class Lookup(Protocol):
    """Answers questions of authorization."""

    def decide(self, question: Question) -> tuple[bool, str]:
        """Whether it is allowed, and why."""


@dataclass(frozen=True, slots=True)
class Check:
    """A question on its way: what `authorizer.group()` and the others give."""

    type_name: str
    lookup: Lookup
    question: Question = Question()


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer."""

    allowed: bool
    reason: str
    type_name: str = DECISION.name


def _path(check: Check, path: str) -> Check:
    if not path.strip():
        raise CelError("path must not be empty")
    return Check(PATH_CHECK.name, check.lookup, replace(check.question, path=path))


def _group(check: Check, group: str) -> Check:
    return Check(GROUP_CHECK.name, check.lookup, replace(check.question, group=group))


def _service_account(check: Check, namespace: str, name: str) -> Check:
    if names.is_dns1123_subdomain(name):
        raise CelError("Invalid service account name")
    if names.is_dns1123_label(namespace):
        raise CelError("Invalid service account namespace")
    question = replace(check.question, service_account=(namespace, name))
    return Check(AUTHORIZER.name, check.lookup, question)


def _resource(check: Check, resource: str) -> Check:
    if not resource.strip():
        raise CelError("resource must not be empty")
    return Check(RESOURCE_CHECK.name, check.lookup, replace(check.question, resource=resource))


def _part(field: str) -> Any:
    def run(check: Check, value: str) -> Check:
        changed: dict[str, Any] = {field: value}
        return Check(check.type_name, check.lookup, replace(check.question, **changed))

    return run


def _check(check: Check, verb: str) -> Decision:
    allowed, reason = check.lookup.decide(replace(check.question, verb=verb))
    return Decision(allowed, reason)


def _check_cost(_args: tuple[Any, ...], _result: Any) -> int:
    return _CHECK_COST


def _selector_cost(args: tuple[Any, ...], _result: Any) -> int:
    length = len(args[1])
    return 10 + tenth(length) + -(-length // 2) * 50


OVERLOADS: Final = [
    member("path", (AUTHORIZER, STRING), PATH_CHECK, _path),
    member("group", (AUTHORIZER, STRING), GROUP_CHECK, _group),
    member("serviceAccount", (AUTHORIZER, STRING, STRING), AUTHORIZER, _service_account),
    member("resource", (GROUP_CHECK, STRING), RESOURCE_CHECK, _resource),
    member("subresource", (RESOURCE_CHECK, STRING), RESOURCE_CHECK, _part("subresource")),
    member("namespace", (RESOURCE_CHECK, STRING), RESOURCE_CHECK, _part("namespace")),
    member("name", (RESOURCE_CHECK, STRING), RESOURCE_CHECK, _part("name")),
    member(
        "fieldSelector", (RESOURCE_CHECK, STRING), RESOURCE_CHECK, _part("field_selector"),
        _selector_cost,
    ),
    member(
        "labelSelector", (RESOURCE_CHECK, STRING), RESOURCE_CHECK, _part("label_selector"),
        _selector_cost,
    ),
    member("check", (PATH_CHECK, STRING), DECISION, _check, _check_cost),
    member("check", (RESOURCE_CHECK, STRING), DECISION, _check, _check_cost),
    member("errored", (DECISION,), BOOL, lambda _decision: False),
    member("error", (DECISION,), STRING, lambda _decision: ""),
    member("allowed", (DECISION,), BOOL, lambda decision: decision.allowed),
    member("reason", (DECISION,), STRING, lambda decision: decision.reason),
]  # fmt: skip
