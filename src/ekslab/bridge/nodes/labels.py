"""The node object that a kubelet on an EKS AMI registers, from the instance it runs on. Pure.

Facts: amazon-eks-ami `nodeadm` (provider id, node name, cloud-provider=external), EKS user guide
(labels of managed nodes), upstream kubelet (labels it sets itself).
"""

from collections.abc import Mapping
from typing import Any, Final

from ekslab.bridge.cloud_controller import UNINITIALIZED_TAINT
from ekslab.bridge.nodes import groups
from ekslab.bridge.nodes.sizes import InstanceType

_PROVIDED_ADDRESS: Final = "alpha.kubernetes.io/provided-node-ip"
_UNINITIALIZED: Final = {"key": UNINITIALIZED_TAINT, "value": "true", "effect": "NoSchedule"}


def provider_id(instance: Mapping[str, Any]) -> str:
    """`aws:///<zone>/<instance id>`."""
    return f"aws:///{instance['Placement']['AvailabilityZone']}/{instance['InstanceId']}"


def kubelet_labels(
    instance: Mapping[str, Any], size: InstanceType, nodegroup: Mapping[str, Any] | None
) -> dict[str, str]:
    """Labels the node is registered with; the cloud controller adds those of its place."""
    name = str(instance["PrivateDnsName"])
    labels = {
        "beta.kubernetes.io/arch": size.architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": size.architecture,
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
    }
    if nodegroup is not None:
        labels |= groups.node_labels(nodegroup, image_id=str(instance.get("ImageId") or ""))
    return labels


def kubelet_annotations(instance: Mapping[str, Any]) -> dict[str, str]:
    """With an external cloud provider kubelet says which address it was given (`--node-ip`)."""
    return {_PROVIDED_ADDRESS: str(instance["PrivateIpAddress"])}


def kubelet_taints(nodegroup: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """Taints the node is registered with."""
    own = groups.node_taints(nodegroup) if nodegroup is not None else []
    return [*own, dict(_UNINITIALIZED)]


def addresses(instance: Mapping[str, Any]) -> list[dict[str, str]]:
    """`status.addresses`."""
    name = str(instance["PrivateDnsName"])
    rows = [{"type": "InternalIP", "address": str(instance["PrivateIpAddress"])}]
    if instance.get("PublicIpAddress"):
        rows.append({"type": "ExternalIP", "address": str(instance["PublicIpAddress"])})
    rows += [
        {"type": "InternalDNS", "address": name},
        {"type": "Hostname", "address": name},
    ]
    if instance.get("PublicDnsName"):
        rows.append({"type": "ExternalDNS", "address": str(instance["PublicDnsName"])})
    return rows
