"""The authorizer of EKS access policies, beside RBAC (port `Authorizer` of kube).

Policies are tied to the authenticated IAM principal, not to username or groups: rights are not
seen by `kubectl auth can-i --list`, and impersonation does not carry them (EKS user guide,
access-policies). Rules are only ever *allow*; the authorizer has no opinion otherwise.

The rights of Admin, Edit and View are those of upstream's aggregated roles of the same names plus
reading namespaces, which the user guide's tables amount to; they are asked of RBAC's own
evaluation with the role in question.
"""

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from ekslab.bridge.identity import arns
from ekslab.kube.api.ports import Decision, Verdict
from ekslab.kube.api.requests import Attributes, UserInfo

_PREFIX: Final = "arn:aws:eks::aws:cluster-access-policy/"
_READ: Final = frozenset({"get", "list", "watch"})
_ROLE_OF_POLICY: Final[Mapping[str, str]] = {
    "AmazonEKSAdminPolicy": "admin",
    "AmazonEKSEditPolicy": "edit",
    "AmazonEKSViewPolicy": "view",
}
_SILENT: Final = Verdict(Decision.NO_OPINION)

RoleAllows = Callable[[str, Attributes], bool]
"""Whether a ClusterRole's rules allow a request, whatever bindings say."""


class AccessPolicyAuthorizer:
    """Allows what the access policies of the caller's access entry allow."""

    def __init__(
        self,
        associations: Callable[[str], Iterable[Mapping[str, Any]]],
        role_allows: RoleAllows,
    ) -> None:
        """`associations` gives the associated policies of a principal by its canonical ARN."""
        self._associations = associations
        self._role_allows = role_allows

    def authorize(self, attributes: Attributes) -> Verdict:
        """Allow, or have no opinion."""
        principal = _principal(attributes.user)
        if principal is None:
            return _SILENT
        for association in self._associations(principal):
            name = str(association["policyArn"]).removeprefix(_PREFIX)
            scope = association.get("accessScope") or {}
            if _in_scope(scope, attributes) and self._allows(name, attributes):
                return Verdict(Decision.ALLOW, f"EKS Access Policy: allowed by {name}")
        return _SILENT

    def _allows(self, policy: str, attributes: Attributes) -> bool:
        if policy == "AmazonEKSClusterAdminPolicy":
            return True
        if policy == "AmazonEKSAdminViewPolicy":
            return attributes.is_resource_request and attributes.verb in _READ
        role = _ROLE_OF_POLICY.get(policy)
        if role is None:
            return False
        if attributes.resource == "namespaces" and attributes.verb in _READ:
            return True
        return self._role_allows(role, attributes)


def _principal(user: UserInfo) -> str | None:
    if not user.uid.startswith("aws-iam-authenticator:"):
        return None
    canonical = user.extra.get("canonicalArn", ())
    return arns.without_path(canonical[0]).lower() if canonical else None


def _in_scope(scope: Mapping[str, Any], attributes: Attributes) -> bool:
    if scope.get("type") == "cluster":
        return True
    if not attributes.namespace:
        return False
    return any(fnmatchcase(attributes.namespace, p) for p in scope.get("namespaces", ()))
