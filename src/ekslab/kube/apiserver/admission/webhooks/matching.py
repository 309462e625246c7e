"""Which webhooks want to see a request, and in which version.

Upstream: apiserver `pkg/admission/plugin/webhook/{generic/webhook.go, predicates}`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ekslab.kube.api import errors
from ekslab.kube.api.ports import AdmissionRequest, Lister, Operation
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.selectors import LabelSelector
from ekslab.kube.api.well_known import NAMESPACES
from ekslab.kube.apiserver.admission.webhooks.configurations import Webhook
from ekslab.kube.apiserver.registry import Registry

Part = Mapping[str, Any]


def equivalents(registry: Registry, resource: Resource) -> Sequence[Resource]:
    """Other served resources that are the same objects."""
    served = registry.find(resource)
    if served is None:
        return ()
    return [
        each.resource
        for each in registry
        if each.storage == served.storage and each.resource != resource
    ]


def may_match(hook: Webhook, resource: Resource, subresource: str, operation: Operation) -> bool:
    """Whether a rule names such requests, of whatever namespace."""
    return any(_names(rule, resource, subresource, operation) for rule in hook.rules)


def _names(rule: Part, resource: Resource, subresource: str, operation: Operation) -> bool:
    return (
        _has(rule.get("operations"), operation.value)
        and _has(rule.get("apiGroups"), resource.group)
        and _has(rule.get("apiVersions"), resource.version)
        and any(_is_of(each, resource.plural, subresource) for each in rule.get("resources") or ())
    )


def _has(names: Sequence[str] | None, name: str) -> bool:
    return names is not None and ("*" in names or name in names)


def _is_of(text: str, plural: str, subresource: str) -> bool:
    """Whether `pods`, `pods/exec`, `pods/*`, `*`, `*/*` names a resource."""
    wanted, _, part = text.partition("/")
    return wanted in {"*", plural} and part in {subresource, "*"}


def _is_in_scope(rule: Part, request: AdmissionRequest) -> bool:
    match rule.get("scope"):
        case "Namespaced":
            return request.info.namespaced
        case "Cluster":
            return not request.info.namespaced
    return True


def wanted_as(
    hook: Webhook, request: AdmissionRequest, registry: Registry, lister: Lister
) -> Resource | None:
    """The version a webhook wants to see a request's objects in; None: it does not want to.

    Raises:
        ApiError: 404, if its namespace is not there and the webhook would be called.
    """
    if not _selects(hook.objects, request):
        return None
    missing: errors.ApiError | None = None
    try:
        if not _selects_namespace(hook.namespaces, request, lister):
            return None
    except errors.ApiError as error:  # whom it does not concern is not told
        missing = error
    found = _by_rules(hook, request, registry)
    if found is not None and missing is not None:
        raise missing
    return found


def _by_rules(hook: Webhook, request: AdmissionRequest, registry: Registry) -> Resource | None:
    resource, subresource = request.info.resource, request.request.subresource
    rules = [rule for rule in hook.rules if _is_in_scope(rule, request)]
    if any(_names(rule, resource, subresource, request.operation) for rule in rules):
        return resource
    if not hook.equivalent:
        return None
    others = equivalents(registry, resource)
    for rule in rules:
        for each in others:
            if _names(rule, each, subresource, request.operation):
                return each
    return None


def _selects(selector: LabelSelector, request: AdmissionRequest) -> bool:
    """Whether the object as it is to be, or as it was, has the labels."""
    if selector.empty:
        return True
    return any(
        obj is not None
        and "metadata" in obj
        and selector.matches(obj["metadata"].get("labels") or {})
        for obj in (request.obj, request.old)
    )


def _selects_namespace(selector: LabelSelector, request: AdmissionRequest, lister: Lister) -> bool:
    """Whether the namespace has the labels. What is of no namespace is always selected."""
    is_namespace = request.info.resource == NAMESPACES
    if selector.empty or not (request.info.namespaced or is_namespace):
        return True
    if is_namespace and request.obj is not None and not request.request.subresource:
        return selector.matches(request.obj["metadata"].get("labels") or {})
    name = request.request.name if is_namespace else request.request.namespace
    found = lister.get(NAMESPACES, name)
    if found is None:
        raise errors.not_found("", "namespaces", name)
    return selector.matches(found.labels)
