"""Nobody grants what they do not hold: writes of roles and bindings are checked against RBAC.

Upstream does this in the registry (`pkg/registry/rbac/*/policybased`, `escalation_check.go`), after
admission; here it is the last of the plugins. Ways out, as upstream: `system:masters`, the verb
`escalate` on the role, the verb `bind` on the role that is bound.
"""

from typing import ClassVar, Final

from ekslab.kube.api import errors
from ekslab.kube.api.ports import AdmissionRequest, Authorizer, Decision, Lister, Operation
from ekslab.kube.api.requests import Attributes, Object
from ekslab.kube.api.well_known import MASTERS_GROUP
from ekslab.kube.apiserver.admission.chain import CREATE_OR_UPDATE, Plugin, Takes, refusal
from ekslab.kube.auth import rules
from ekslab.kube.auth.rbac import MissingRoleError, RbacAuthorizer
from ekslab.kube.auth.rules import PolicyRule

_GROUP: Final = "rbac.authorization.k8s.io"
_GC_FIELDS: Final = ("ownerReferences", "finalizers")


class RoleEscalation(Plugin):
    """Roles and bindings hold only what their writer holds."""

    name = "RoleEscalation"
    takes: ClassVar[Takes] = {
        (f"{resource}.{_GROUP}", ""): CREATE_OR_UPDATE
        for resource in ("roles", "clusterroles", "rolebindings", "clusterrolebindings")
    }

    def __init__(self, lister: Lister, authorizer: Authorizer) -> None:
        self._rbac = RbacAuthorizer(lister)
        self._authorizer = authorizer

    async def validate(self, request: AdmissionRequest) -> None:
        """Refuse an escalation."""
        user = request.request.user
        if request.obj is None or MASTERS_GROUP in user.groups or _only_for_collector(request):
            return
        if request.info.resource.plural.endswith("roles"):
            self._check_role(request, request.obj)
        else:
            self._check_binding(request, request.obj)

    def _check_role(self, request: AdmissionRequest, role: Object) -> None:
        resource = request.info.resource.plural
        if self._allowed(request, "escalate", resource, request.request.name):
            return
        self._check_covered(request, rules.parse(role.get("rules")))
        # An aggregated role can gather anything, and an update can keep it from being tightened.
        gathers = role.get("aggregationRule") or (request.old or {}).get("aggregationRule")
        if gathers and rules.covers(self._own(request), _EVERYTHING):
            why = "must have cluster-admin privileges to use the aggregationRule"
            raise refusal(request, why)

    def _check_binding(self, request: AdmissionRequest, binding: Object) -> None:
        ref = binding.get("roleRef") or {}
        resource = {"ClusterRole": "clusterroles", "Role": "roles"}.get(ref.get("kind", ""), "")
        if resource and self._allowed(request, "bind", resource, ref.get("name", "")):
            return
        try:
            granted = self._rbac.rules_of(ref, request.request.namespace)
        except MissingRoleError as missing:
            raise errors.not_found(_GROUP, resource, ref.get("name", "")) from missing
        self._check_covered(request, granted)

    def _check_covered(self, request: AdmissionRequest, granted: tuple[PolicyRule, ...]) -> None:
        missing = rules.covers(self._own(request), granted)
        if missing:
            raise refusal(request, rules.escalation_message(request.request.user, missing))

    def _own(self, request: AdmissionRequest) -> tuple[PolicyRule, ...]:
        return self._rbac.rules_for(request.request.user, request.request.namespace).rules

    def _allowed(self, request: AdmissionRequest, verb: str, resource: str, name: str) -> bool:
        attributes = Attributes(
            user=request.request.user,
            verb=verb,
            group=_GROUP,
            version="*",
            resource=resource,
            name=name,
            namespace=request.request.namespace,
        )
        return self._authorizer.authorize(attributes).decision is Decision.ALLOW


_EVERYTHING: Final = (
    PolicyRule(("*",), ("*",), ("*",)),
    PolicyRule(("*",), urls=("*",)),
)


def _only_for_collector(request: AdmissionRequest) -> bool:
    """Whether an update touches only what the garbage collector needs to touch."""
    if request.operation is not Operation.UPDATE or request.obj is None or request.old is None:
        return False
    return _without_gc_fields(request.obj) == _without_gc_fields(request.old)


def _without_gc_fields(obj: Object) -> Object:
    metadata = dict(obj["metadata"])
    for field in (*_GC_FIELDS, "resourceVersion", "managedFields"):
        metadata.pop(field, None)
    return {**obj, "metadata": metadata}
