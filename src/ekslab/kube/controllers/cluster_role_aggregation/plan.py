"""The rules of one aggregated role. Upstream: `pkg/controller/clusterroleaggregation`."""

from collections.abc import Sequence

from ekslab.kube.api.requests import Object
from ekslab.kube.auth.rules import aggregate


def missing_rules(role: Object | None, roles: Sequence[Object]) -> list[Object] | None:
    """The rules the role should have; None if it has them, or is not aggregated.

    `roles` are all ClusterRoles in order of their names.
    """
    if role is None or role.get("aggregationRule") is None:
        return None
    selectors = role["aggregationRule"].get("clusterRoleSelectors") or ()
    rules = aggregate(role["metadata"]["name"], selectors, roles)
    return None if rules == (role.get("rules") or []) else rules
