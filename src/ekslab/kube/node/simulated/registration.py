"""The Node and Lease objects a simulated node writes about itself.

Upstream: kubelet `nodestatus/setters.go` (conditions, reasons, messages), `kubelet_node_status.go`
(registration, labels), component-helpers `lease/controller.go`. Versions are those of EKS's Amazon
Linux 2023 AMI.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ekslab.kit.clock import parse_rfc3339, rfc3339, rfc3339_micro
from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import LEASES

LEASE_NAMESPACE: Final = "kube-node-lease"
LEASE_DURATION_S: Final = 40
LEASE_RENEW_S: Final = 10.0
HEARTBEAT_S: Final = 300.0
KUBELET_VERSION: Final = "v1.36.0-eks-1a2b3c4"
_OS_IMAGE: Final = "Amazon Linux 2023.9.20260105"
_KERNEL: Final = "6.12.58-82.121.amzn2023"
_RUNTIME: Final = "containerd://2.1.5"
_NOT_YET: Final = (
    "[container runtime network not ready: NetworkReady=false"
    " reason:NetworkPluginNotReady message:Network plugin returns error:"
    " cni plugin not initialized]"
)
_STOPPING: Final = "node is shutting down"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """What a node is. `taints` are those it registers with, `addresses` its `status.addresses`."""

    name: str
    provider_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[Mapping[str, str]] = ()
    capacity: Mapping[str, str]
    allocatable: Mapping[str, str]
    addresses: Sequence[Mapping[str, str]]
    zone: str = ""
    architecture: str = "amd64"
    pod_cidr: str = ""
    kubelet_version: str = KUBELET_VERSION
    os_image: str = _OS_IMAGE
    kernel: str = _KERNEL
    runtime: str = _RUNTIME


def node_object(spec: NodeSpec, now_s: float) -> Object:
    """The Node as it registers: not ready yet."""
    labels = {
        "beta.kubernetes.io/arch": spec.architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": spec.architecture,
        "kubernetes.io/hostname": spec.name,
        "kubernetes.io/os": "linux",
        **spec.labels,
    }
    if spec.zone:
        labels.setdefault("topology.kubernetes.io/zone", spec.zone)
        labels.setdefault("failure-domain.beta.kubernetes.io/zone", spec.zone)
    body: Object = {}
    if spec.provider_id:
        body["providerID"] = spec.provider_id
    if spec.pod_cidr:
        body |= {"podCIDR": spec.pod_cidr, "podCIDRs": [spec.pod_cidr]}
    if spec.taints:
        body["taints"] = [dict(taint) for taint in spec.taints]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": spec.name,
            "labels": labels,
            "annotations": {
                "volumes.kubernetes.io/controller-managed-attach-detach": "true",
                **spec.annotations,
            },
        },
        "spec": body,
        "status": node_status(spec, conditions(now_s, now_s, why_not=_NOT_YET), ()),
    }


def node_status(
    spec: NodeSpec, rows: Sequence[Object], images: Sequence[Mapping[str, object]]
) -> Object:
    """`status` of the Node."""
    digest = hashlib.sha256(spec.name.encode()).hexdigest()
    status: Object = {
        "addresses": [dict(address) for address in spec.addresses],
        "capacity": dict(spec.capacity),
        "allocatable": dict(spec.allocatable),
        "conditions": list(rows),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "nodeInfo": {
            "machineID": f"ec2{digest[:29]}",
            "systemUUID": f"ec2{digest[:5]}-{digest[5:9]}-{digest[9:13]}-{digest[13:17]}"
            f"-{digest[17:29]}",
            "bootID": f"{digest[32:40]}-{digest[40:44]}-{digest[44:48]}-{digest[48:52]}"
            f"-{digest[52:64]}",
            "kernelVersion": spec.kernel,
            "osImage": spec.os_image,
            "containerRuntimeVersion": spec.runtime,
            "kubeletVersion": spec.kubelet_version,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": spec.architecture,
        },
    }
    if images:
        status["images"] = [dict(image) for image in images]
    return status


_PRESSURES: Final = (
    ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
)


def conditions(now_s: float, since_s: float, *, why_not: str = "") -> list[Object]:
    """The four conditions; `why_not` is why the node is not Ready, "" if it is."""
    now, since = rfc3339(now_s), rfc3339(since_s)
    rows = [(kind, "False", reason, text) for kind, reason, text in _PRESSURES]
    if why_not:
        rows.append(("Ready", "False", "KubeletNotReady", why_not))
    else:
        rows.append(("Ready", "True", "KubeletReady", "kubelet is posting ready status"))
    return [
        {
            "type": kind,
            "status": status,
            "lastHeartbeatTime": now,
            "lastTransitionTime": since,
            "reason": reason,
            "message": text,
        }
        for kind, status, reason, text in rows
    ]


def stopping_conditions(now_s: float, since_s: float) -> list[Object]:
    """The conditions of a node that shuts down in an orderly way."""
    rows = conditions(now_s, since_s, why_not=_STOPPING)
    rows[-1]["lastTransitionTime"] = rfc3339(now_s)
    return rows


def ready_conditions(now_s: float, since_s: float, ready_since_s: float) -> list[Object]:
    """The conditions of a node that works."""
    rows = conditions(now_s, since_s)
    rows[-1]["lastTransitionTime"] = rfc3339(ready_since_s)
    return rows


def lease_object(name: str, uid: str, now_s: float) -> Object:
    """The node's Lease, renewed now."""
    return {
        "apiVersion": LEASES.api_version,
        "kind": "Lease",
        "metadata": {
            "name": name,
            "namespace": LEASE_NAMESPACE,
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid}],
        },
        "spec": {
            "holderIdentity": name,
            "leaseDurationSeconds": LEASE_DURATION_S,
            "renewTime": rfc3339_micro(now_s),
        },
    }


NODE_EVENTS: Final = (
    ("Starting", "Starting kubelet."),
    ("NodeHasSufficientMemory", "Node {name} status is now: NodeHasSufficientMemory"),
    ("NodeHasNoDiskPressure", "Node {name} status is now: NodeHasNoDiskPressure"),
    ("NodeHasSufficientPID", "Node {name} status is now: NodeHasSufficientPID"),
    ("NodeAllocatableEnforced", "Updated Node Allocatable limit across pods"),
)
READY_EVENT: Final = ("NodeReady", "Node {name} status is now: NodeReady")


def ready_since(node: Object) -> float | None:
    """Since when a Node is Ready, in seconds since the epoch; None if it is not."""
    for row in (node.get("status") or {}).get("conditions") or ():
        if row["type"] == "Ready" and row["status"] == "True":
            return parse_rfc3339(row["lastTransitionTime"])
    return None
