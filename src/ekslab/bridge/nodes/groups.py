"""What a managed node group consists of on AWS: pure functions from its description.

Names, tags and contents as the EKS user guide gives them (managed-node-groups, launch-templates).
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

_TAG_CLUSTER: Final = "eks:cluster-name"
_TAG_NODEGROUP: Final = "eks:nodegroup-name"
_TAINT_EFFECTS: Final = {
    "NO_SCHEDULE": "NoSchedule",
    "NO_EXECUTE": "NoExecute",
    "PREFER_NO_SCHEDULE": "PreferNoSchedule",
}
_USER_DATA: Final = """MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="//"

--//
Content-Type: application/node.eks.aws

---
apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  cluster:
    name: {name}
    apiServerEndpoint: {endpoint}
    certificateAuthority: {authority}
    cidr: {cidr}
--//--
"""


def suffix(nodegroup: Mapping[str, Any]) -> str:
    """The unique part of the group's ARN, which names everything made for it."""
    return str(nodegroup["nodegroupArn"]).rsplit("/", 1)[-1]


def launch_template_name(nodegroup: Mapping[str, Any]) -> str:
    """`eks-<unique>`."""
    return f"eks-{suffix(nodegroup)}"


def instance_profile_name(nodegroup: Mapping[str, Any]) -> str:
    """`eks-<unique>`: carries the node role to the instances."""
    return f"eks-{suffix(nodegroup)}"


def role_name(nodegroup: Mapping[str, Any]) -> str:
    """The node role's name, without its path."""
    return str(nodegroup["nodeRole"]).rsplit("/", 1)[-1]


def autoscaling_group_name(nodegroup: Mapping[str, Any]) -> str:
    """`eks-<nodegroup>-<unique>`."""
    return f"eks-{nodegroup['nodegroupName']}-{suffix(nodegroup)}"


def instance_tags(nodegroup: Mapping[str, Any]) -> dict[str, str]:
    """Tags that EKS puts on the group's instances; the group's own tags are not among them."""
    cluster = str(nodegroup["clusterName"])
    return {
        _TAG_CLUSTER: cluster,
        _TAG_NODEGROUP: str(nodegroup["nodegroupName"]),
        f"kubernetes.io/cluster/{cluster}": "owned",
    }


def group_tags(nodegroup: Mapping[str, Any]) -> dict[str, str]:
    """Tags of the Auto Scaling group."""
    cluster = str(nodegroup["clusterName"])
    return {
        **instance_tags(nodegroup),
        "k8s.io/cluster-autoscaler/enabled": "true",
        f"k8s.io/cluster-autoscaler/{cluster}": "owned",
    }


def launch_template_data(
    nodegroup: Mapping[str, Any], cluster: Mapping[str, Any], *, image_id: str
) -> dict[str, Any]:
    """Parameters of `CreateLaunchTemplate` for the group."""
    user_data = _USER_DATA.format(
        name=cluster["name"],
        endpoint=cluster.get("endpoint", ""),
        authority=(cluster.get("certificateAuthority") or {}).get("data", ""),
        cidr=cluster["kubernetesNetworkConfig"]["serviceIpv4Cidr"],
    )
    tags = [{"Key": key, "Value": value} for key, value in instance_tags(nodegroup).items()]
    data: dict[str, Any] = {
        "ImageId": image_id,
        "InstanceType": instance_types(nodegroup)[0],
        "IamInstanceProfile": {"Name": instance_profile_name(nodegroup)},
        "UserData": base64.b64encode(user_data.encode()).decode(),
        "MetadataOptions": {"HttpPutResponseHopLimit": 2, "HttpTokens": "required"},
        "BlockDeviceMapping": [
            {
                "DeviceName": "/dev/xvda",
                "Ebs": {"VolumeSize": nodegroup.get("diskSize") or 20, "VolumeType": "gp3"},
            }
        ],
        "TagSpecification": [{"ResourceType": "instance", "Tag": tags}],
    }
    security_group = (cluster.get("resourcesVpcConfig") or {}).get("clusterSecurityGroupId")
    if security_group:
        data["SecurityGroupId"] = [security_group]
    return data


def instance_types(nodegroup: Mapping[str, Any]) -> Sequence[str]:
    """The types asked for, `t3.medium` if none were."""
    return nodegroup.get("instanceTypes") or ["t3.medium"]


def scaling(nodegroup: Mapping[str, Any]) -> tuple[int, int, int]:
    """`(min, desired, max)`."""
    config = nodegroup["scalingConfig"]
    return int(config["minSize"]), int(config["desiredSize"]), int(config["maxSize"])


def node_labels(nodegroup: Mapping[str, Any], *, image_id: str) -> dict[str, str]:
    """Labels that the group gives its nodes: EKS's own and the user's."""
    return {
        **(nodegroup.get("labels") or {}),
        "eks.amazonaws.com/capacityType": nodegroup.get("capacityType") or "ON_DEMAND",
        "eks.amazonaws.com/nodegroup": str(nodegroup["nodegroupName"]),
        "eks.amazonaws.com/nodegroup-image": image_id,
    }


def node_taints(nodegroup: Mapping[str, Any]) -> list[dict[str, str]]:
    """The group's taints in Kubernetes' spelling."""
    taints = []
    for taint in nodegroup.get("taints") or ():
        row = {"key": taint["key"], "effect": _TAINT_EFFECTS[taint["effect"]]}
        if taint.get("value"):
            row["value"] = taint["value"]
        taints.append(row)
    return taints


def owner(tags: Mapping[str, str]) -> tuple[str, str]:
    """`(cluster, nodegroup)` that an instance's tags name; "" where they name none.

    Self-managed nodes carry only `kubernetes.io/cluster/<name>`.
    """
    cluster = tags.get(_TAG_CLUSTER, "")
    if not cluster:
        prefix = "kubernetes.io/cluster/"
        owned = [key for key in tags if key.startswith(prefix)]
        cluster = owned[0].removeprefix(prefix) if owned else ""
    return cluster, tags.get(_TAG_NODEGROUP, "")
