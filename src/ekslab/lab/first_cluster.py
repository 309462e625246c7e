"""The cluster the lab comes with: asked for through the AWS API, as any user would.

Idempotent: each call looks at what is there and asks for what is missing.
"""

from typing import Any, Final

from ekslab.bridge.aws.client import AwsClient, AwsError
from ekslab.lab.home import LabConfig

NAME: Final = "lab"
NODEGROUP: Final = "default"
# The lab's VPC is 10.0.0.0/16; EKS then gives Services this range.
SERVICE_CIDR: Final = "172.20.0.0/16"
_CLUSTER_ROLE: Final = "ekslab-cluster-role"
_NODE_ROLE: Final = "ekslab-node-role"


async def ensure_cluster(aws: AwsClient, *, account: str, version: str) -> None:
    """Ask for the cluster, unless it is there.

    Raises:
        AwsError: the account refused.
    """
    if not await _missing(aws, f"/clusters/{NAME}"):
        return
    public, private = await _subnets(aws)
    body = {
        "name": NAME,
        "version": version,
        "roleArn": f"arn:aws:iam::{account}:role/{_CLUSTER_ROLE}",
        "resourcesVpcConfig": {"subnetIds": public + private},
        "accessConfig": {"authenticationMode": "API_AND_CONFIG_MAP"},
    }
    await aws.eks("POST", "/clusters", body)


async def ensure_nodegroup(aws: AwsClient, config: LabConfig, *, account: str) -> None:
    """Ask for the node group of the ACTIVE cluster, unless it is there.

    Raises:
        AwsError: the account refused.
    """
    path = f"/clusters/{NAME}/node-groups"
    if not config.nodes or not await _missing(aws, f"{path}/{NODEGROUP}"):
        return
    _, private = await _subnets(aws)
    scaling = {"minSize": 0, "desiredSize": config.nodes, "maxSize": max(config.nodes, 10)}
    body = {
        "nodegroupName": NODEGROUP,
        "nodeRole": f"arn:aws:iam::{account}:role/{_NODE_ROLE}",
        "subnets": private,
        "instanceTypes": [config.instance_type],
        "scalingConfig": scaling,
    }
    await aws.eks("POST", path, body)


async def _missing(aws: AwsClient, path: str) -> bool:
    try:
        await aws.eks("GET", path)
    except AwsError as error:
        if error.code == "ResourceNotFoundException":
            return True
        raise
    return False


async def _subnets(aws: AwsClient) -> tuple[list[str], list[str]]:
    """The ids of the lab's own subnets, public and private, by zone."""
    return (
        await _tagged(aws, "kubernetes.io/role/elb"),
        await _tagged(aws, "kubernetes.io/role/internal-elb"),
    )


async def _tagged(aws: AwsClient, tag: str) -> list[str]:
    answer = await aws.query("ec2", "DescribeSubnets", Filter=[{"Name": "tag-key", "Value": [tag]}])
    rows: list[dict[str, Any]] = answer.get("subnetSet") or []
    return [row["subnetId"] for row in sorted(rows, key=lambda row: row["availabilityZone"])]
