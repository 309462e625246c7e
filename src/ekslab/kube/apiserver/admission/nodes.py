"""NodeRestriction and TaintNodesByCondition: what nodes may write, and how they begin.

Upstream: `plugin/pkg/admission/{noderestriction,nodetaint}`. The node authorizer decides on names;
here the objects themselves are looked at.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from ekslab.kube.api import errors
from ekslab.kube.api.ports import AdmissionRequest, Lister, Operation
from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import ResourceInfo
from ekslab.kube.api.well_known import NODES, PODS
from ekslab.kube.apiserver.admission.chain import (
    ANY_WRITE,
    CREATE,
    Plugin,
    Takes,
    object_name,
    refusal,
)
from ekslab.kube.apiserver.admission.service_account import MIRROR_ANNOTATION
from ekslab.kube.auth.node import NODE_LEASES, node_name

_NOT_READY: Final = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
_RESTRICTED: Final = "node-restriction.kubernetes.io"
_KUBELET_LABELS: Final = frozenset(
    {
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "beta.kubernetes.io/os",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "kubernetes.io/arch",
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    }
)
_KUBELET_LABEL_NAMESPACES: Final = ("kubelet.kubernetes.io", "node.kubernetes.io")


class NodeRestriction(Plugin):
    """A member of `system:nodes` writes only its own objects and those of its pods."""

    name = "NodeRestriction"
    mutates = False

    def __init__(self, lister: Lister) -> None:
        self._lister = lister
        self._checks: dict[str, Callable[[str, AdmissionRequest], None]] = {
            "pods": self._pod,
            "nodes": _node,
            "persistentvolumeclaims": _claim,
            "serviceaccounts": self._service_account,
            "leases.coordination.k8s.io": _lease,
            "csinodes.storage.k8s.io": _csi_node,
        }

    def handles(self, info: ResourceInfo, subresource: str, operation: Operation) -> bool:
        """The types a node writes, with all their subresources."""
        del subresource
        return info.resource.qualified in self._checks and operation in ANY_WRITE

    async def admit(self, request: AdmissionRequest) -> None:
        """Refuse what is not the node's own."""
        node = node_name(request.request.user)
        if node is None:
            return
        if not node:
            user = request.request.user.name
            raise refusal(request, f'could not determine node from user "{user}"')
        self._checks[request.info.resource.qualified](node, request)

    def _pod(self, node: str, request: AdmissionRequest) -> None:
        match request.request.subresource:
            case "":
                self._whole_pod(node, request)
            case "status":
                _pod_status(node, request)
            case "eviction":
                pod = self._existing_pod(request, object_name(request))
                if pod["spec"].get("nodeName") != node:
                    why = f"node {node} can only evict pods with spec.nodeName set to itself"
                    raise refusal(request, why)
            case other:
                allowed = "only 'status' and 'eviction' are allowed"
                raise refusal(request, f'unexpected pod subresource "{other}", {allowed}')

    def _whole_pod(self, node: str, request: AdmissionRequest) -> None:
        if request.operation is Operation.CREATE:
            self._mirror_pod(node, request, request.obj or {})
        elif request.operation is Operation.DELETE:
            pod = request.old or self._existing_pod(request, request.request.name)
            if pod["spec"].get("nodeName") != node:
                why = f'node "{node}" can only delete pods with spec.nodeName set to itself'
                raise refusal(request, why)
        else:
            why = (
                f'unexpected operation "{request.operation.value}", node "{node}" can only create'
                " and delete mirror pods"
            )
            raise refusal(request, why)

    def _mirror_pod(self, node: str, request: AdmissionRequest, pod: Object) -> None:
        metadata: dict[str, Any] = pod["metadata"]
        can_only = f'node "{node}" can only create pods with'
        if MIRROR_ANNOTATION not in (metadata.get("annotations") or {}):
            why = f'pod does not have "{MIRROR_ANNOTATION}" annotation'
            raise refusal(request, f'{why}, node "{node}" can only create mirror pods')
        if pod["spec"].get("nodeName") != node:
            raise refusal(request, f"{can_only} spec.nodeName set to itself")
        owners = metadata.get("ownerReferences") or ()
        if len(owners) > 1:
            raise refusal(request, f"{can_only} a single owner reference set to itself")
        owner: dict[str, Any] = owners[0] if owners else {}
        if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
            raise refusal(request, f"{can_only} an owner reference set to itself")
        if not owner.get("controller"):
            raise refusal(request, f"{can_only} a controller owner reference set to itself")
        if owner.get("blockOwnerDeletion"):
            why = f'node "{node}" must not set blockOwnerDeletion on an owner reference'
            raise refusal(request, why)
        item = self._lister.get(NODES, node)
        if item is None:
            raise errors.not_found("", "nodes", node)
        if owner.get("uid") != item.uid:
            why = f"node {node} UID mismatch: expected {owner.get('uid', '')} got {item.uid}"
            raise refusal(request, why)

    def _service_account(self, node: str, request: AdmissionRequest) -> None:
        if request.request.subresource != "token" or request.operation is not Operation.CREATE:
            return
        spec: dict[str, Any] = (request.obj or {}).get("spec") or {}
        ref: dict[str, str] = spec.get("boundObjectRef") or {}
        name = ref.get("name", "")
        if (ref.get("apiVersion"), ref.get("kind")) != ("v1", "Pod") or not name:
            raise refusal(request, "node requested token not bound to a pod")
        if not ref.get("uid"):
            raise refusal(request, "node requested token with a pod binding without a uid")
        pod = self._existing_pod(request, name)
        if pod["metadata"]["uid"] != ref["uid"]:
            why = (
                f"the UID in the bound object reference ({ref['uid']}) does not match the UID in"
                " record. The object might have been deleted and then recreated"
            )
            raise refusal(request, why)
        if pod["spec"].get("nodeName") != node:
            why = "node requested token bound to a pod scheduled on a different node"
            raise refusal(request, why)
        _check_audience(request, pod, spec.get("audiences") or [])

    def _existing_pod(self, request: AdmissionRequest, name: str) -> Object:
        pod = self._lister.get(PODS, name, request.request.namespace)
        if pod is None:
            raise errors.not_found("", "pods", name)
        return pod.object


class TaintNodesByCondition(Plugin):
    """A new node is tainted not-ready, so that nothing is scheduled before it says it is."""

    name = "TaintNodesByCondition"
    takes: ClassVar[Takes] = {("nodes", ""): CREATE}

    async def admit(self, request: AdmissionRequest) -> None:
        """Append the taint, unless it is there."""
        if request.obj is None:
            return
        spec: dict[str, Any] = request.obj.setdefault("spec", {})
        taints = spec.get("taints") or []
        if not any(_NOT_READY.items() <= taint.items() for taint in taints):
            spec["taints"] = [*taints, dict(_NOT_READY)]


def _pod_status(node: str, request: AdmissionRequest) -> None:
    if request.operation is not Operation.UPDATE or request.obj is None or request.old is None:
        raise refusal(request, f'unexpected operation "{request.operation.value}"')
    old, new = request.old, request.obj
    if old["spec"].get("nodeName") != node:
        why = "can only update pod status for pods with spec.nodeName set to itself"
        raise refusal(request, f'node "{node}" {why}')
    if (old["metadata"].get("labels") or {}) != (new["metadata"].get("labels") or {}):
        raise refusal(request, f'node "{node}" cannot update labels through pod status')
    before, after = old.get("status") or {}, new.get("status") or {}
    if (before.get("resourceClaimStatuses") or []) != (after.get("resourceClaimStatuses") or []):
        raise refusal(request, f'node "{node}" cannot update resource claim statues')


def _node(node: str, request: AdmissionRequest) -> None:
    name = object_name(request)
    if name != node:
        raise refusal(request, f'node "{node}" is not allowed to modify node "{name}"')
    if request.obj is None:
        return
    new, old = request.obj, request.old or {}
    if request.operation is Operation.CREATE:
        labels = _forbidden_labels(new, {})
        if labels:
            why = f'node "{node}" is not allowed to set the following labels: {labels}'
            raise refusal(request, why)
        return
    taints = (_spec(new).get("taints") or [], _spec(old).get("taints") or [])
    if taints[0] != taints[1]:
        raise refusal(request, f'node "{node}" is not allowed to modify taints')
    if (new["metadata"].get("ownerReferences") or []) != (
        old["metadata"].get("ownerReferences") or []
    ):
        raise refusal(request, f'node "{node}" is not allowed to modify ownerReferences')
    labels = _forbidden_labels(new, old["metadata"].get("labels") or {})
    if labels:
        raise refusal(request, f"is not allowed to modify labels: {labels}")


def _claim(node: str, request: AdmissionRequest) -> None:
    if request.request.subresource != "status":
        raise refusal(request, "may only update PVC status")
    if request.operation is not Operation.UPDATE or request.obj is None or request.old is None:
        raise refusal(request, f'unexpected operation "{request.operation.value}"')
    if _without_progress(request.obj) != _without_progress(request.old):
        why = "is not allowed to update fields other than status.quantity and status.conditions"
        raise refusal(request, f'node "{node}" {why}')


def _without_progress(claim: Object) -> Object:
    """A claim without what a node reports in its status and what the server keeps itself."""
    status = dict(claim.get("status") or {})
    for field in ("capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"):
        status.pop(field, None)
    metadata = dict(claim["metadata"])
    for field in ("resourceVersion", "managedFields"):
        metadata.pop(field, None)
    return {**claim, "metadata": metadata, "status": status}


def _lease(node: str, request: AdmissionRequest) -> None:
    if request.request.namespace != NODE_LEASES:
        raise refusal(request, f'can only access leases in the "{NODE_LEASES}" system namespace')
    if object_name(request) != node:
        why = "can only access node lease with the same name as the requesting node"
        raise refusal(request, why)


def _csi_node(node: str, request: AdmissionRequest) -> None:
    if object_name(request) != node:
        why = "can only access CSINode with the same name as the requesting node"
        raise refusal(request, why)


def _check_audience(request: AdmissionRequest, pod: Object, audiences: list[str]) -> None:
    """A node may ask for the audiences that a volume of the pod names, one at a time."""
    if len(audiences) > 1:
        raise refusal(request, "node may only request 0 or 1 audiences")
    audience = audiences[0] if audiences else ""
    for volume in pod["spec"].get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            token = source.get("serviceAccountToken")
            if token is not None and token.get("audience", "") == audience:
                return
    user = request.request.user.name
    why = (
        f'audience "{audience}" not found in pod spec volume, {user} is not authorized to request'
        " tokens for this audience"
    )
    raise refusal(request, why)


def _spec(obj: Object) -> dict[str, Any]:
    spec: dict[str, Any] = obj.get("spec") or {}
    return spec


def _forbidden_labels(node: Object, before: Mapping[str, str]) -> str:
    """Labels that differ from `before` and that no node may set itself, as upstream lists them."""
    labels: Mapping[str, str] = node["metadata"].get("labels") or {}
    changed = {key for key in {*labels, *before} if labels.get(key) != before.get(key)}
    return ", ".join(sorted(key for key in changed if _is_forbidden(key)))


def _is_forbidden(label: str) -> bool:
    namespace = label.rpartition("/")[0]
    if _is_below(namespace, _RESTRICTED):
        return True
    if not (_is_below(namespace, "kubernetes.io") or _is_below(namespace, "k8s.io")):
        return False
    own = any(_is_below(namespace, allowed) for allowed in _KUBELET_LABEL_NAMESPACES)
    return label not in _KUBELET_LABELS and not own


def _is_below(namespace: str, suffix: str) -> bool:
    return namespace == suffix or namespace.endswith(f".{suffix}")
