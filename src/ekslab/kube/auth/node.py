"""The node authorizer: a node may touch itself, its pods, and what its pods refer to.

Upstream: `plugin/pkg/auth/authorizer/node` (rules, reasons, and which references count). Upstream
keeps a graph of all pods; here the question is answered from the lister when it is asked: what a
node does all day (its own Node, Lease, pods, their status) needs no search, and a Secret or
ConfigMap costs one pass over the pods of its namespace by their indexed `spec.nodeName`.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from ekslab.kube.api.ports import Decision, Lister, Verdict
from ekslab.kube.api.requests import Attributes, Object, UserInfo
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.well_known import (
    NODE_USER_PREFIX,
    NODES_GROUP,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
)
from ekslab.kube.auth.bootstrap import node_rules

NODE_LEASES: Final = "kube-node-lease"
VOLUME_ATTACHMENTS: Final = Resource("storage.k8s.io", "v1", "volumeattachments")
_MIRROR_ANNOTATION: Final = "kubernetes.io/config.mirror"
_ALLOW: Final = Verdict(Decision.ALLOW)
_SILENT: Final = Verdict(Decision.NO_OPINION)
_READS: Final = frozenset({"get", "list", "watch"})
_OWN_OBJECT_VERBS: Final = frozenset({"get", "create", "update", "patch", "delete"})


def node_name(user: UserInfo) -> str | None:
    """The node a user is: "" for a node without a name, None for somebody else.

    Upstream: `pkg/auth/nodeidentifier`.
    """
    if not user.name.startswith(NODE_USER_PREFIX) or NODES_GROUP not in user.groups:
        return None
    return user.name[len(NODE_USER_PREFIX) :]


class NodeAuthorizer:
    """Decides for members of `system:nodes`. Says ALLOW or NO_OPINION with upstream's reason."""

    def __init__(self, lister: Lister) -> None:
        self._lister = lister
        self._special: dict[tuple[str, str], Callable[[str, Attributes], Verdict]] = {
            ("", "secrets"): self._read_referenced,
            ("", "configmaps"): self._read_referenced,
            ("", "persistentvolumeclaims"): self._claim,
            ("", "persistentvolumes"): self._get_related,
            ("resource.k8s.io", "resourceclaims"): self._get_related,
            ("storage.k8s.io", "volumeattachments"): self._get_related,
            ("", "serviceaccounts"): self._service_account,
            ("coordination.k8s.io", "leases"): _lease,
            ("storage.k8s.io", "csinodes"): _csi_node,
            ("", "nodes"): _node,
            ("", "pods"): self._pod,
        }
        self._uniform: dict[tuple[str, str, str, str], bool] = {}

    def authorize(self, attributes: Attributes) -> Verdict:
        """Decide."""
        name = node_name(attributes.user)
        if name is None:
            return _SILENT
        if not name:
            return _no(f'unknown node for user "{attributes.user.name}"')
        special = self._special.get((attributes.group, attributes.resource))
        if special is not None:
            return special(name, attributes)
        return _ALLOW if self._allowed_to_all(attributes) else _SILENT

    def _allowed_to_all(self, attributes: Attributes) -> bool:
        """Whether the role `system:node` allows it: the same for every node."""
        if not attributes.resource:
            return any(rule.allows(attributes) for rule in node_rules())
        key = (
            attributes.verb,
            attributes.group,
            attributes.resource,
            attributes.subresource,
        )
        allowed = self._uniform.get(key)
        if allowed is None:
            if len(self._uniform) >= 4096:  # verbs and resources come from the request
                self._uniform.clear()
            allowed = any(rule.allows(attributes) for rule in node_rules())
            self._uniform[key] = allowed
        return allowed

    def _read_referenced(self, node: str, attributes: Attributes) -> Verdict:
        if attributes.verb not in _READS:
            return _no("can only read resources of this type")
        if attributes.subresource:
            return _no("cannot read subresource")
        if not attributes.namespace:
            return _no("can only read namespaced object of this type")
        return self._related(node, attributes)

    def _get_related(self, node: str, attributes: Attributes) -> Verdict:
        if attributes.verb != "get":
            return _no("can only get individual resources of this type")
        if attributes.subresource:
            return _no("cannot get subresource")
        return self._related(node, attributes)

    def _claim(self, node: str, attributes: Attributes) -> Verdict:
        if attributes.subresource != "status":
            return self._get_related(node, attributes)
        if attributes.verb not in {"update", "patch"}:
            return _no("can only get/update/patch this type")
        return self._related(node, attributes)

    def _service_account(self, node: str, attributes: Attributes) -> Verdict:
        if attributes.verb == "get" and not attributes.subresource:
            return self._read_referenced(node, attributes)
        if attributes.verb != "create" or not attributes.name:
            return _no("can only create tokens for individual service accounts")
        if attributes.subresource != "token":
            return _no("can only create token subresource of serviceaccount")
        return self._related(node, attributes)

    def _pod(self, node: str, attributes: Attributes) -> Verdict:
        match attributes.subresource, attributes.verb:
            case ("", "get"):
                return self._get_related(node, attributes)
            case ("", "list" | "watch"):
                wanted = attributes.field_selector.replace("==", "=").split(",")
                if f"spec.nodeName={node}" in wanted:
                    return _ALLOW
                if attributes.name:
                    return self._related(node, attributes)
                return _no("can only list/watch pods with spec.nodeName field selector")
            case (
                ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create")
            ):
                return _ALLOW  # NodeRestriction looks at the object
        return _SILENT

    def _related(self, node: str, attributes: Attributes) -> Verdict:
        if not attributes.name:
            return _no("No Object name found")
        if self._is_related(node, attributes.resource, attributes.namespace, attributes.name):
            return _ALLOW
        return _no(f"no relationship found between node '{node}' and this object")

    def _is_related(self, node: str, resource: str, namespace: str, name: str) -> bool:
        match resource:
            case "pods":
                pod = self._lister.get(PODS, name, namespace)
                return pod is not None and pod.object["spec"].get("nodeName") == node
            case "volumeattachments":
                item = self._lister.get(VOLUME_ATTACHMENTS, name)
                return item is not None and item.object["spec"].get("nodeName") == node
            case "persistentvolumes":
                volume = self._lister.get(PERSISTENT_VOLUMES, name)
                return volume is not None and self._uses_volume(node, volume.object)
            case "persistentvolumeclaims":
                return self._uses_claim(node, namespace, name)
            case "secrets":
                return self._refers(node, namespace, ("secrets", name)) or any(
                    (namespace, name) in set(_volume_secrets(volume.object))
                    and self._uses_volume(node, volume.object)
                    for volume in self._lister.list(PERSISTENT_VOLUMES)
                )
        return self._refers(node, namespace, (resource, name))

    def _uses_volume(self, node: str, volume: Object) -> bool:
        claim = volume["spec"].get("claimRef") or {}
        return self._uses_claim(node, claim.get("namespace", ""), claim.get("name", ""))

    def _uses_claim(self, node: str, namespace: str, name: str) -> bool:
        # The claim must be there: a pod can name one that is not made yet.
        return (
            bool(name)
            and self._lister.get(PERSISTENT_VOLUME_CLAIMS, name, namespace) is not None
            and self._refers(node, namespace, ("persistentvolumeclaims", name))
        )

    def _refers(self, node: str, namespace: str, wanted: tuple[str, str]) -> bool:
        """Whether a pod of the node in the namespace refers to (resource, name)."""
        if not namespace:
            return False
        for pod in self._lister.list(PODS, namespace):
            bound_to = pod.fields.get("spec.nodeName")
            if bound_to is None:
                bound_to = pod.object["spec"].get("nodeName", "")
            if bound_to == node and wanted in set(_pod_references(pod.object)):
                return True
        return False


def _lease(node: str, attributes: Attributes) -> Verdict:
    if attributes.verb not in _OWN_OBJECT_VERBS:
        return _no("can only get, create, update, patch, or delete a node lease")
    if attributes.namespace != NODE_LEASES:
        return _no(f'can only access leases in the "{NODE_LEASES}" system namespace')
    if attributes.verb != "create" and attributes.name != node:
        return _no("can only access node lease with the same name as the requesting node")
    return _ALLOW


def _csi_node(node: str, attributes: Attributes) -> Verdict:
    if attributes.verb not in _OWN_OBJECT_VERBS:
        return _no("can only get, create, update, patch, or delete a CSINode")
    if attributes.subresource:
        return _no("cannot authorize CSINode subresources")
    if attributes.verb != "create" and attributes.name != node:
        return _no("can only access CSINode with the same name as the requesting node")
    return _ALLOW


def _node(node: str, attributes: Attributes) -> Verdict:
    match attributes.subresource, attributes.verb:
        case ("", "create" | "update" | "patch") | ("status", "update" | "patch"):
            return _ALLOW  # NodeRestriction looks at the object
        case ("", "get" | "list" | "watch"):
            if attributes.name == node:
                return _ALLOW
            if not attributes.name:
                return _no(f"node '{node}' cannot read all nodes, only its own Node object")
            return _no(f"node '{node}' cannot read '{attributes.name}', only its own Node object")
    return _SILENT


def _no(reason: str) -> Verdict:
    return Verdict(Decision.NO_OPINION, reason)


def _pod_references(pod: Object) -> Iterator[tuple[str, str]]:
    """(resource, name) of everything in its namespace that a pod refers to."""
    spec = pod["spec"]
    if _MIRROR_ANNOTATION in (pod["metadata"].get("annotations") or {}):
        return  # what a node writes itself opens nothing
    if spec.get("serviceAccountName"):
        yield "serviceaccounts", spec["serviceAccountName"]
    for ref in spec.get("imagePullSecrets") or ():
        yield "secrets", ref.get("name", "")
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            yield from _environment_references(container)
    for volume in spec.get("volumes") or ():
        yield from _volume_references(volume, pod["metadata"]["name"])
    statuses = (pod.get("status") or {}).get("resourceClaimStatuses") or ()
    for claim in (*(spec.get("resourceClaims") or ()), *statuses):
        if claim.get("resourceClaimName"):
            yield "resourceclaims", claim["resourceClaimName"]


def _environment_references(container: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for env in container.get("env") or ():
        source = env.get("valueFrom") or {}
        if source.get("secretKeyRef"):
            yield "secrets", source["secretKeyRef"].get("name", "")
        if source.get("configMapKeyRef"):
            yield "configmaps", source["configMapKeyRef"].get("name", "")
    for source in container.get("envFrom") or ():
        if source.get("secretRef"):
            yield "secrets", source["secretRef"].get("name", "")
        if source.get("configMapRef"):
            yield "configmaps", source["configMapRef"].get("name", "")


def _volume_references(volume: dict[str, Any], pod_name: str) -> Iterator[tuple[str, str]]:
    if volume.get("persistentVolumeClaim"):
        yield "persistentvolumeclaims", volume["persistentVolumeClaim"].get("claimName", "")
    if volume.get("ephemeral"):
        yield "persistentvolumeclaims", f"{pod_name}-{volume['name']}"
    if volume.get("configMap"):
        yield "configmaps", volume["configMap"].get("name", "")
    if volume.get("secret"):
        yield "secrets", volume["secret"].get("secretName", "")
    for source in (volume.get("projected") or {}).get("sources") or ():
        if source.get("secret"):
            yield "secrets", source["secret"].get("name", "")
        if source.get("configMap"):
            yield "configmaps", source["configMap"].get("name", "")
    for driver, field in (
        ("azureFile", "secretName"),
        ("csi", "nodePublishSecretRef"),
        ("cephfs", "secretRef"),
        ("cinder", "secretRef"),
        ("flexVolume", "secretRef"),
        ("iscsi", "secretRef"),
        ("rbd", "secretRef"),
        ("scaleIO", "secretRef"),
        ("storageos", "secretRef"),
    ):
        ref = (volume.get(driver) or {}).get(field)
        if ref:
            yield "secrets", ref if isinstance(ref, str) else ref.get("name", "")


def _volume_secrets(volume: Object) -> Iterator[tuple[str, str]]:
    """(namespace, name) of the secrets a node needs for a persistent volume."""
    spec = volume["spec"]
    claim_namespace = (spec.get("claimRef") or {}).get("namespace", "")
    csi = spec.get("csi") or {}
    refs = [csi.get("nodePublishSecretRef"), csi.get("nodeStageSecretRef")]
    refs += [csi.get("nodeExpandSecretRef")]
    refs += [
        (spec.get(driver) or {}).get("secretRef")
        for driver in ("cephfs", "cinder", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos")
    ]
    for ref in refs:
        if ref:
            yield ref.get("namespace") or claim_namespace, ref.get("name", "")
