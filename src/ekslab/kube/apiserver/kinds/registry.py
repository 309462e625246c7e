"""Which strategy each kind has. A kind that is not in the table is checked for types only."""

from typing import Final

from ekslab.kube.api.resources import ResourceInfo
from ekslab.kube.api.schema.model import Schema
from ekslab.kube.apiserver.kinds import namespaces, pods
from ekslab.kube.apiserver.kinds.strategy import CheckedOnly, Custom, Strategy

_BY_KIND: Final[dict[tuple[str, str], type[Strategy]]] = {
    ("", "Pod"): pods.PodStrategy,
    ("", "Namespace"): namespaces.NamespaceStrategy,
}

_OWN_GROUPS: Final = frozenset(
    {
        "", "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io",
        "apps", "authentication.k8s.io", "authorization.k8s.io", "autoscaling", "batch",
        "certificates.k8s.io", "coordination.k8s.io", "discovery.k8s.io", "events.k8s.io",
        "flowcontrol.apiserver.k8s.io", "internal.apiserver.k8s.io", "networking.k8s.io",
        "node.k8s.io", "policy", "rbac.authorization.k8s.io", "resource.k8s.io",
        "scheduling.k8s.io", "storage.k8s.io", "storagemigration.k8s.io",
    }
)  # fmt: skip


def strategy_for(info: ResourceInfo, schema: Schema) -> Strategy:
    """The strategy of a resource. Cheap, but make it once per resource and keep it."""
    found = _BY_KIND.get((info.resource.group, info.kind))
    if found is not None:
        return found(info, schema)
    if info.resource.group in _OWN_GROUPS:
        return CheckedOnly(info, schema)
    return Custom(info, schema)
