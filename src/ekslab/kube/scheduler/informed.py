"""What the scheduler looks up beside nodes and pods: services, owners, volume claims.

Upstream: kube-scheduler `framework/plugins/helper/spread.go` (DefaultSelector) and
`volumebinding` (PreFilter). Provisioning for claims that wait for their first consumer is the
storage room's; here such a pod waits until its claim is bound.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.well_known import (
    PERSISTENT_VOLUME_CLAIMS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    SERVICES,
    STATEFUL_SETS,
)
from ekslab.kube.client.informers import InformerFactory
from ekslab.kube.runtime.selection import map_matcher

_OWNERS: Final[Mapping[str, Resource]] = {
    "ReplicaSet": REPLICA_SETS,
    "StatefulSet": STATEFUL_SETS,
    "ReplicationController": REPLICATION_CONTROLLERS,
}
_UNBOUND: Final = "pod has unbound immediate PersistentVolumeClaims"


class Surroundings:
    """Services, owners and claims, from informers.

    `on_selectors` is called when what `default_selectors` says may have changed, `on_claims` when
    a claim did.
    """

    def __init__(
        self,
        informers: InformerFactory,
        *,
        on_selectors: Callable[[], None],
        on_claims: Callable[[], None],
    ) -> None:
        self._services = informers.informer(SERVICES)
        self._owners = {kind: informers.informer(one) for kind, one in _OWNERS.items()}
        self._claims = informers.informer(PERSISTENT_VOLUME_CLAIMS)
        self._services.on_change(lambda _old, _new: on_selectors())
        self._claims.on_change(lambda _old, _new: on_claims())

    def default_selectors(self, pod: Object) -> Sequence[Mapping[str, Any]] | None:
        """Selectors of the services and the owner of a pod; None if its owner is not known yet."""
        metadata = pod["metadata"]
        namespace, labels = metadata.get("namespace", ""), metadata.get("labels") or {}
        found: list[Mapping[str, Any]] = []
        for item in self._services.list(namespace):
            chosen = item.object["spec"].get("selector")
            if map_matcher(chosen)(labels):
                found.append({"matchLabels": chosen})
        for ref in metadata.get("ownerReferences") or ():
            informer = self._owners.get(ref["kind"]) if ref.get("controller") else None
            if informer is None:
                continue
            owner = informer.get(namespace, ref["name"])
            if owner is None or owner.uid != ref["uid"]:
                return None
            selector = owner.object["spec"].get("selector") or {}
            is_map = ref["kind"] == "ReplicationController"
            found.append({"matchLabels": selector} if is_map else selector)
        return found

    def claims_in_the_way(self, namespace: str, claims: Sequence[str]) -> str:
        """Why these claims keep a pod from being scheduled, or ""."""
        for name in claims:
            item = self._claims.get(namespace, name)
            if item is None:
                return f'persistentvolumeclaim "{name}" not found'
            claim = item.object
            if claim["metadata"].get("deletionTimestamp"):
                return f'persistentvolumeclaim "{name}" is being deleted'
            if (claim.get("status") or {}).get("phase") == "Lost":
                return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume'
            if not claim["spec"].get("volumeName"):
                return _UNBOUND
        return ""
