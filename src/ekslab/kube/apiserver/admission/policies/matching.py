"""Which requests a policy or a binding is about: `MatchResources`.

Upstream: apiserver `pkg/admission/plugin/policy/matching` and `webhook/predicates`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ekslab.kube.api import selectors
from ekslab.kube.api.ports import AdmissionRequest, Lister
from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import NAMESPACES

Part = Mapping[str, Any]


class MatchingError(Exception):
    """It cannot be told whether there is a match; the message is upstream's."""


def matches(
    constraints: Part, request: AdmissionRequest, lister: Lister, *, open_rules: bool
) -> bool:
    """Whether a request is among those that `constraints` describe. With `open_rules` no rules
    mean all requests, as for bindings.

    Raises:
        MatchingError: the namespace is not there.
    """
    rules = constraints.get("resourceRules") or ()
    if any(_rule_matches(rule, request) for rule in constraints.get("excludeResourceRules") or ()):
        return False
    if not (open_rules and not rules) and not any(_rule_matches(rule, request) for rule in rules):
        return False
    return _namespace_matches(constraints.get("namespaceSelector"), request, lister) and (
        _object_matches(constraints.get("objectSelector"), request)
    )


def _rule_matches(rule: Part, request: AdmissionRequest) -> bool:
    resource = request.info.resource
    return (
        _among(request.operation.value, rule.get("operations"))
        and _among(resource.group, rule.get("apiGroups"))
        and _among(resource.version, rule.get("apiVersions"))
        and _scope_matches(rule.get("scope"), namespaced=request.info.namespaced)
        and _named(rule.get("resourceNames"), request)
        and any(
            _resource_matches(each, resource.plural, request.request.subresource)
            for each in rule.get("resources") or ()
        )
    )


def _among(value: str, allowed: Sequence[str] | None) -> bool:
    return bool(allowed) and ("*" in allowed or value in allowed)  # type: ignore[operator]


def _scope_matches(scope: str | None, *, namespaced: bool) -> bool:
    return scope in {None, "*"} or (scope == "Namespaced") is namespaced


def _named(names: Sequence[str] | None, request: AdmissionRequest) -> bool:
    if not names:
        return True
    metadata = (request.obj or {}).get("metadata") or {}
    return (request.request.name or metadata.get("name", "")) in names


def _resource_matches(pattern: str, plural: str, subresource: str) -> bool:
    """`pods`, `pods/status`, `*`, `*/status`, `pods/*`, `*/*`."""
    wanted, slash, below = pattern.partition("/")
    if wanted not in {"*", plural}:
        return False
    return below in {"*", subresource} if slash else not subresource


def _namespace_matches(selector: Part | None, request: AdmissionRequest, lister: Lister) -> bool:
    if not selector:
        return True
    if request.info.resource == NAMESPACES:
        if request.request.subresource:
            return True
        return _selected(selector, request.obj or request.old)
    name = request.request.namespace
    if not name:
        return True
    item = lister.get(NAMESPACES, name)
    if item is None:
        raise MatchingError(f'namespaces "{name}" not found')
    return _selected(selector, item.object)


def _object_matches(selector: Part | None, request: AdmissionRequest) -> bool:
    if not selector:
        return True
    objects = [obj for obj in (request.obj, request.old) if obj is not None]
    return any(_selected(selector, obj) for obj in objects)


def _selected(selector: Part, obj: Object | None) -> bool:
    labels = ((obj or {}).get("metadata") or {}).get("labels") or {}
    return selectors.label_selector(dict(selector)).matches(labels)
