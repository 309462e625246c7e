"""A Lister over plain objects, for authorizers and admission plugins."""

from collections.abc import Sequence

from ekslab.kube.api.objects import Item, encode
from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.well_known import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    LIMIT_RANGES,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    PRIORITY_CLASSES,
    RESOURCE_QUOTAS,
    ROLE_BINDINGS,
    ROLES,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    STORAGE_CLASSES,
)

_BY_KIND = {
    "ClusterRole": CLUSTER_ROLES,
    "ClusterRoleBinding": CLUSTER_ROLE_BINDINGS,
    "ConfigMap": CONFIG_MAPS,
    "EndpointSlice": ENDPOINT_SLICES,
    "IngressClass": Resource("networking.k8s.io", "v1", "ingressclasses"),
    "LimitRange": LIMIT_RANGES,
    "Namespace": NAMESPACES,
    "Node": NODES,
    "PersistentVolume": PERSISTENT_VOLUMES,
    "PersistentVolumeClaim": PERSISTENT_VOLUME_CLAIMS,
    "Pod": PODS,
    "PriorityClass": PRIORITY_CLASSES,
    "ResourceQuota": RESOURCE_QUOTAS,
    "Role": ROLES,
    "RoleBinding": ROLE_BINDINGS,
    "RuntimeClass": Resource("node.k8s.io", "v1", "runtimeclasses"),
    "Secret": SECRETS,
    "Service": SERVICES,
    "ServiceAccount": SERVICE_ACCOUNTS,
    "StorageClass": STORAGE_CLASSES,
    "VolumeAttachment": Resource("storage.k8s.io", "v1", "volumeattachments"),
}


class FakeLister:
    """Objects that `put` and `remove` change, as the store's publishing would."""

    def __init__(self, *objects: Object) -> None:
        self._items: dict[str, dict[tuple[str, str], Item]] = {}
        self._revision = 0
        self._revisions: dict[str, int] = {}
        for obj in objects:
            self.put(obj)

    def put(self, obj: Object) -> Item:
        resource = _BY_KIND[obj["kind"]]
        self._revision += 1
        fields = {}
        if resource == PODS:
            fields["spec.nodeName"] = obj["spec"].get("nodeName", "")
        item = encode(obj, resource=resource.qualified, revision=self._revision, fields=fields)
        self._items.setdefault(resource.qualified, {})[item.key] = item
        self._revisions[resource.qualified] = self._revision
        return item

    def remove(self, kind: str, name: str, namespace: str = "") -> None:
        resource = _BY_KIND[kind]
        self._revision += 1
        del self._items[resource.qualified][namespace, name]
        self._revisions[resource.qualified] = self._revision

    @property
    def newest(self) -> int:
        return self._revision

    def get(self, resource: Resource, name: str, namespace: str = "") -> Item | None:
        return self._items.get(resource.qualified, {}).get((namespace, name))

    def list(self, resource: Resource, namespace: str = "") -> Sequence[Item]:
        items = self._items.get(resource.qualified, {})
        return [item for key, item in sorted(items.items()) if namespace in ("", key[0])]

    def revision(self, resource: Resource) -> int:
        return self._revisions.get(resource.qualified, 0)


def meta(name: str, namespace: str = "", **more: object) -> Object:
    """Metadata with a uid made of the name."""
    metadata: Object = {"name": name, "uid": f"uid-{name}", **more}
    if namespace:
        metadata["namespace"] = namespace
    return metadata


def pod(name: str = "web", namespace: str = "default", *, node: str = "", **spec: object) -> Object:
    """A pod with one container; only what matters is named."""
    full: Object = {"containers": [{"name": "main", "image": "nginx"}], **spec}
    if node:
        full["nodeName"] = node
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta(name, namespace), "spec": full}


def namespace(name: str, phase: str = "Active") -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": meta(name),
        "status": {"phase": phase},
    }


def service_account(name: str, namespace: str = "default", **more: object) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": meta(name, namespace),
        **more,
    }
