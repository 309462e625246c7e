"""Writes the rules of aggregated ClusterRoles. Key: the role's name."""

from typing import ClassVar

from ekslab.kube.api.objects import Item
from ekslab.kube.api.ports import PatchType
from ekslab.kube.api.well_known import CLUSTER_ROLES
from ekslab.kube.controllers.cluster_role_aggregation.plan import missing_rules
from ekslab.kube.runtime.controller import DONE, Controller, Result, Toolbox


class ClusterRoleAggregationController(Controller[str]):
    """Upstream's `clusterrole-aggregation-controller`."""

    name: ClassVar[str] = "clusterrole-aggregation-controller"

    def __init__(self, tools: Toolbox) -> None:
        super().__init__(tools)
        self._aggregated: set[str] = set()
        self._roles = self.watch(CLUSTER_ROLES, self._on_role)

    def _on_role(self, old: Item | None, new: Item | None) -> None:
        # Which role depends on which is not known: any change asks all aggregated ones again.
        changed = new or old
        assert changed is not None, "a change has an object"
        if new is not None and new.object.get("aggregationRule") is not None:
            self._aggregated.add(new.name)
        else:
            self._aggregated.discard(changed.name)
        for name in sorted(self._aggregated):
            self.queue.add(name)

    async def reconcile(self, key: str) -> Result:
        """Apply the rules, if they are not those the role should have."""
        item = self._roles.get("", key)
        roles = sorted(self._roles.list(), key=lambda role: role.name)
        rules = missing_rules(item.object if item else None, [role.object for role in roles])
        if rules is not None:
            patch = {
                "apiVersion": CLUSTER_ROLES.api_version,
                "kind": "ClusterRole",
                "metadata": {"name": key},
                "rules": rules,
            }
            await self.client.patch(CLUSTER_ROLES, key, patch=patch, patch_type=PatchType.APPLY)
        return DONE
