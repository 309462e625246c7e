"""The lab's prepared account: what a team has before it makes its first cluster.

An administrator (`ekslab`) with real keys; a VPC of three zones with public and private subnets, an
internet gateway and one NAT gateway, tagged for load balancers as the EKS user guide asks; the
cluster role and the node role with its instance profile; EKS's service-linked roles.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from ekslab.cloud.calls import Calls, first
from ekslab.cloud.records import Records

KIND = "lab:account"
ADMIN_NAME = "ekslab"
CLUSTER_ROLE = "ekslab-cluster-role"
NODE_ROLE = "ekslab-node-role"
_VPC_CIDR = "10.0.0.0/16"
_PUBLIC_CIDRS = ("10.0.0.0/20", "10.0.16.0/20", "10.0.32.0/20")
_PRIVATE_CIDRS = ("10.0.64.0/18", "10.0.128.0/18", "10.0.192.0/18")
_POLICY = "arn:aws:iam::aws:policy/"
_NODE_POLICIES = (
    "AmazonEKSWorkerNodePolicy",
    "AmazonEKS_CNI_Policy",
    "AmazonEC2ContainerRegistryReadOnly",
)
# Service principal -> (service-linked role, its managed policy); EKS user guide.
SERVICE_ROLES: Mapping[str, tuple[str, str]] = {
    "eks.amazonaws.com": ("AWSServiceRoleForAmazonEKS", "AmazonEKSServiceRolePolicy"),
    "eks-nodegroup.amazonaws.com": (
        "AWSServiceRoleForAmazonEKSNodegroup",
        "AWSServiceRoleForAmazonEKSNodegroup",
    ),
    "eks-fargate.amazonaws.com": (
        "AWSServiceRoleForAmazonEKSForFargate",
        "AmazonEKSForFargateServiceRolePolicy",
    ),
}


@dataclass(frozen=True, slots=True)
class PreparedAccount:
    """What the lab tells its user."""

    account_id: str
    region: str
    access_key_id: str
    secret_access_key: str
    vpc_id: str
    public_subnets: Sequence[str]
    private_subnets: Sequence[str]
    cluster_role_arn: str
    node_role_arn: str


def find(records: Records) -> PreparedAccount | None:
    """The account as it was prepared, None before that."""
    record = records.get(KIND, "account")
    return None if record is None else PreparedAccount(**record)


def prepare(
    calls: Calls, records: Records, *, account_id: str, region: str, zones: Sequence[str]
) -> PreparedAccount:
    """Make everything, once."""
    keys = _make_admin(calls, region)
    roles = _make_roles(calls, region)
    vpc_id, public, private = _make_network(calls, region, zones)
    account = PreparedAccount(
        account_id=account_id,
        region=region,
        access_key_id=keys[0],
        secret_access_key=keys[1],
        vpc_id=vpc_id,
        public_subnets=public,
        private_subnets=private,
        cluster_role_arn=roles[CLUSTER_ROLE],
        node_role_arn=roles[NODE_ROLE],
    )
    records.put(KIND, "account", asdict(account))
    return account


def make_service_role(calls: Calls, region: str, service: str) -> None:
    """The service-linked role of an EKS service principal."""
    name, policy = SERVICE_ROLES[service]
    calls.query(
        "iam",
        region,
        "CreateRole",
        RoleName=name,
        Path=f"/aws-service-role/{service}/",
        AssumeRolePolicyDocument=_trust(service),
    )
    calls.query(
        "iam",
        region,
        "AttachRolePolicy",
        RoleName=name,
        PolicyArn=f"{_POLICY}aws-service-role/{policy}",
    )


def _make_admin(calls: Calls, region: str) -> tuple[str, str]:
    calls.query("iam", region, "CreateUser", UserName=ADMIN_NAME)
    calls.query(
        "iam",
        region,
        "AttachUserPolicy",
        UserName=ADMIN_NAME,
        PolicyArn=f"{_POLICY}AdministratorAccess",
    )
    made = calls.query("iam", region, "CreateAccessKey", UserName=ADMIN_NAME)
    return first(made, "AccessKeyId"), first(made, "SecretAccessKey")


def _make_roles(calls: Calls, region: str) -> Mapping[str, str]:
    arns = {}
    plans = (
        (CLUSTER_ROLE, "eks.amazonaws.com", ("AmazonEKSClusterPolicy",)),
        (NODE_ROLE, "ec2.amazonaws.com", _NODE_POLICIES),
    )
    for name, service, policies in plans:
        made = calls.query(
            "iam",
            region,
            "CreateRole",
            RoleName=name,
            AssumeRolePolicyDocument=_trust(service),
        )
        arns[name] = first(made, "Arn")
        for policy in policies:
            calls.query(
                "iam", region, "AttachRolePolicy", RoleName=name, PolicyArn=_POLICY + policy
            )
    calls.query("iam", region, "CreateInstanceProfile", InstanceProfileName=NODE_ROLE)
    calls.query(
        "iam", region, "AddRoleToInstanceProfile", InstanceProfileName=NODE_ROLE, RoleName=NODE_ROLE
    )
    for service in SERVICE_ROLES:
        make_service_role(calls, region, service)
    return arns


def _trust(service: str) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
    }
    return orjson.dumps({"Version": "2012-10-17", "Statement": [statement]}).decode()


class _Network:
    """The steps of a VPC, with their names and tags."""

    def __init__(self, calls: Calls, region: str) -> None:
        self._calls = calls
        self._region = region

    def do(self, action: str, **parameters: Any) -> str:
        return self._calls.query("ec2", self._region, action, **parameters)

    def make(
        self, action: str, kind: str, id_tag: str, tags: Mapping[str, str], **more: Any
    ) -> str:
        spec = {
            "ResourceType": kind,
            "Tag": [{"Key": key, "Value": value} for key, value in tags.items()],
        }
        return first(self.do(action, TagSpecification=[spec], **more), id_tag)


def _make_network(
    calls: Calls, region: str, zones: Sequence[str]
) -> tuple[str, list[str], list[str]]:
    network = _Network(calls, region)
    vpc = network.make("CreateVpc", "vpc", "vpcId", {"Name": "ekslab"}, CidrBlock=_VPC_CIDR)
    network.do("ModifyVpcAttribute", VpcId=vpc, EnableDnsHostnames={"Value": True})
    gateway = network.make(
        "CreateInternetGateway", "internet-gateway", "internetGatewayId", {"Name": "ekslab"}
    )
    network.do("AttachInternetGateway", InternetGatewayId=gateway, VpcId=vpc)
    public = _make_subnets(network, vpc, "public", _PUBLIC_CIDRS, zones)
    private = _make_subnets(network, vpc, "private", _PRIVATE_CIDRS, zones)
    for subnet in public:
        network.do("ModifySubnetAttribute", SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    address = network.make(
        "AllocateAddress", "elastic-ip", "allocationId", {"Name": "ekslab-nat"}, Domain="vpc"
    )
    nat = network.make(
        "CreateNatGateway",
        "natgateway",
        "natGatewayId",
        {"Name": "ekslab"},
        SubnetId=public[0],
        AllocationId=address,
    )
    _make_routes(network, vpc, "public", public, GatewayId=gateway)
    _make_routes(network, vpc, "private", private, NatGatewayId=nat)
    return vpc, public, private


def _make_subnets(
    network: _Network, vpc: str, kind: str, cidrs: Sequence[str], zones: Sequence[str]
) -> list[str]:
    role = "kubernetes.io/role/elb" if kind == "public" else "kubernetes.io/role/internal-elb"
    return [
        network.make(
            "CreateSubnet",
            "subnet",
            "subnetId",
            {"Name": f"ekslab-{kind}-{zone}", role: "1"},
            VpcId=vpc,
            CidrBlock=cidr,
            AvailabilityZone=zone,
        )
        for cidr, zone in zip(cidrs, zones, strict=True)
    ]


def _make_routes(
    network: _Network, vpc: str, kind: str, subnets: Sequence[str], **target: str
) -> None:
    table = network.make(
        "CreateRouteTable", "route-table", "routeTableId", {"Name": f"ekslab-{kind}"}, VpcId=vpc
    )
    network.do("CreateRoute", RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", **target)
    for subnet in subnets:
        network.do("AssociateRouteTable", RouteTableId=table, SubnetId=subnet)
