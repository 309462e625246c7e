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


async def ensure(aws: AwsClient, config: LabConfig, *, account: str, version: str) -> None:
    """Ask for the cluster and its node group, where they are not there.

    Raises:
        AwsError: the account refused.
    """
    subnets = await _subnets(aws)
    if await _missing(aws, f"/clusters/{NAME}"):
        await aws.eks(
            "POST",
            "/clusters",
            {
                "name": NAME,
                "version": version,
                "roleArn": f"arn:aws:iam::{account}:role/{_CLUSTER_ROLE}",
                "resourcesVpcConfig": {"subnetIds": subnets["public"] + subnets["private"]},
                "accessConfig": {"authenticationMode": "API_AND_CONFIG_MAP"},
            },
        )
    if config.nodes and await _missing(aws, f"/clusters/{NAME}/node-groups/{NODEGROUP}"):
        await aws.eks(
            "POST",
            f"/clusters/{NAME}/node-groups",
            {
                "nodegroupName": NODEGROUP,
                "nodeRole": f"arn:aws:iam::{account}:role/{_NODE_ROLE}",
                "subnets": subnets["private"],
                "instanceTypes": [config.instance_type],
                "scalingConfig": {
                    "minSize": 0,
                    "desiredSize": config.nodes,
                    "maxSize": max(config.nodes, 10),
                },
            },
        )


async def _missing(aws: AwsClient, path: str) -> bool:
    try:
        await aws.eks("GET", path)
    except AwsError as error:
        if error.code == "ResourceNotFoundException":
            return True
        raise
    return False


async def _subnets(aws: AwsClient) -> dict[str, list[str]]:
    """The ids of the lab's own subnets, public and private, by zone."""
    found: dict[str, list[str]] = {}
    for kind, tag in (
        ("public", "kubernetes.io/role/elb"),
        ("private", "kubernetes.io/role/internal-elb"),
    ):
        answer = await aws.query(
            "ec2", "DescribeSubnets", Filter=[{"Name": "tag-key", "Value": [tag]}]
        )
        rows: list[dict[str, Any]] = answer.get("subnetSet") or []
        rows.sort(key=lambda row: str(row["availabilityZone"]))
        found[kind] = [row["subnetId"] for row in rows]
    return found
