"""What a cluster needs of its VPC, and what EKS makes in it.

Rules of the EKS user guide (network requirements): at least two subnets in two zones of one VPC,
each with six free addresses or more; not every zone is supported; the service range is private,
between /24 and /12, and apart from the VPC's.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from ekslab.cloud.calls import first
from ekslab.cloud.eks.faults import invalid_parameter, unsupported_zone
from ekslab.cloud.eks.state import EksState, Wire
from ekslab.cloud.gateway.faults import AwsFault

_UNSUPPORTED_ZONE_IDS = frozenset({"use1-az3", "usw1-az2", "cac1-az3"})
_FREE_ADDRESSES_LEAST = 6
_CONTROL_PLANE_INTERFACES = 2
_PRIVATE_RANGES = tuple(
    ipaddress.IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
)
_TEN = _PRIVATE_RANGES[0]


def find_subnets(state: EksState, subnet_ids: Sequence[str], **fields: Any) -> list[Any]:
    """Moto's subnets of these ids.

    Raises:
        AwsFault: InvalidParameterException for one that is not there.
    """
    known = {subnet.id: subnet for subnet in state.ec2.describe_subnets()}
    missing = [subnet_id for subnet_id in subnet_ids if subnet_id not in known]
    if missing:
        raise invalid_parameter(f"The subnet ID '{missing[0]}' does not exist", **fields)
    return [known[subnet_id] for subnet_id in subnet_ids]


def check_cluster_subnets(state: EksState, cluster: str, subnet_ids: Sequence[str]) -> list[Any]:
    """The cluster's subnets, if they will do.

    Raises:
        AwsFault: InvalidParameterException or UnsupportedAvailabilityZoneException.
    """
    if len(set(subnet_ids)) < len(subnet_ids):
        raise invalid_parameter("Subnets specified are not unique", clusterName=cluster)
    subnets = find_subnets(state, subnet_ids, clusterName=cluster)
    if len({subnet.vpc_id for subnet in subnets}) > 1:
        raise invalid_parameter("Subnets must be in the same VPC", clusterName=cluster)
    wrong = [s for s in subnets if s.availability_zone_id in _UNSUPPORTED_ZONE_IDS]
    if wrong:
        zones = sorted(
            zone.name
            for zone in state.ec2.describe_availability_zones()
            if zone.zone_id not in _UNSUPPORTED_ZONE_IDS
        )
        raise unsupported_zone(
            f"Cannot create cluster '{cluster}' because {wrong[0].availability_zone}, the targeted "
            "availability zone, does not currently have sufficient capacity to support the cluster."
            f" Retry and choose from these availability zones: {', '.join(zones)}",
            zones,
            clusterName=cluster,
        )
    if len({subnet.availability_zone for subnet in subnets}) < 2:
        raise invalid_parameter(
            "Subnets specified must be in at least two different AZs", clusterName=cluster
        )
    for subnet in subnets:
        if subnet.available_ip_address_count < _FREE_ADDRESSES_LEAST:
            raise invalid_parameter(
                f"Subnet {subnet.id} has fewer than {_FREE_ADDRESSES_LEAST} free IP addresses",
                clusterName=cluster,
            )
    return subnets


def check_security_groups(state: EksState, cluster: str, group_ids: Sequence[str]) -> None:
    """The extra security groups must exist."""
    for group_id in group_ids:
        if state.ec2.get_security_group_from_id(group_id) is None:
            raise invalid_parameter(
                f"The security group '{group_id}' does not exist", clusterName=cluster
            )


def service_network(state: EksState, cluster: str, wanted: Mapping[str, Any], vpc_id: str) -> Wire:
    """`kubernetesNetworkConfig` of a new cluster.

    Raises:
        AwsFault: InvalidParameterException for a range that will not do.
    """
    vpc = state.ec2.get_vpc(vpc_id)
    vpc_ranges = [
        ipaddress.IPv4Network(association["cidr_block"])
        for association in vpc.get_cidr_block_association_set()
    ] or [ipaddress.IPv4Network(vpc.cidr_block)]
    family = wanted.get("ipFamily", "ipv4")
    text = wanted.get("serviceIpv4Cidr")
    if text:
        _check_service_range(cluster, text, vpc_ranges)
    elif any(network.subnet_of(_TEN) for network in vpc_ranges):
        text = "172.20.0.0/16"
    else:
        text = "10.100.0.0/16"
    config: Wire = {
        "serviceIpv4Cidr": text,
        "ipFamily": family,
        "elasticLoadBalancing": {
            "enabled": bool((wanted.get("elasticLoadBalancing") or {}).get("enabled", False))
        },
    }
    if family == "ipv6":
        raise invalid_parameter("ipFamily ipv6 is not available in this lab", clusterName=cluster)
    return config


def _check_service_range(
    cluster: str, text: str, vpc_ranges: Sequence[ipaddress.IPv4Network]
) -> None:
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError:
        raise invalid_parameter(
            f"The serviceIpv4Cidr {text} is not a valid CIDR block", clusterName=cluster
        ) from None
    if not any(network.subnet_of(private) for private in _PRIVATE_RANGES):
        raise invalid_parameter(
            "serviceIpv4Cidr must be within one of the private ranges 10.0.0.0/8, 172.16.0.0/12 "
            "or 192.168.0.0/16",
            clusterName=cluster,
        )
    if not 12 <= network.prefixlen <= 24:
        raise invalid_parameter(
            "serviceIpv4Cidr must have a prefix between /24 and /12", clusterName=cluster
        )
    if any(network.overlaps(vpc_range) for vpc_range in vpc_ranges):
        raise invalid_parameter(
            f"serviceIpv4Cidr {text} overlaps with the CIDR block of the VPC", clusterName=cluster
        )


def make_cluster_network(
    state: EksState, cluster: str, subnets: Sequence[Any], extra_groups: Sequence[str]
) -> tuple[str, list[str]]:
    """The cluster security group and the control plane's interfaces; their ids."""
    vpc_id = subnets[0].vpc_id
    tags = [
        {"Key": "Name", "Value": f"eks-cluster-sg-{cluster}-{state.ids.hex(8)}"},
        {"Key": f"kubernetes.io/cluster/{cluster}", "Value": "owned"},
        {"Key": "aws:eks:cluster-name", "Value": cluster},
    ]
    name = tags[0]["Value"]
    call = state.calls.query
    group_id = first(
        call(
            "ec2",
            state.region,
            "CreateSecurityGroup",
            GroupName=name,
            GroupDescription=(
                "EKS created security group applied to ENI that is attached to EKS Control Plane "
                "master nodes, as well as any managed workloads."
            ),
            VpcId=vpc_id,
        ),
        "groupId",
    )
    # moto refuses the aws: tag of its clients; EKS sets it as AWS itself.
    state.ec2.get_security_group_from_id(group_id)
    call("ec2", state.region, "CreateTags", ResourceId=[group_id], Tag=tags[:2])
    call(
        "ec2",
        state.region,
        "AuthorizeSecurityGroupIngress",
        GroupId=group_id,
        IpPermissions=[{"IpProtocol": "-1", "Groups": [{"GroupId": group_id}]}],
    )
    interfaces = []
    for subnet in _spread(subnets):
        made = call(
            "ec2",
            state.region,
            "CreateNetworkInterface",
            SubnetId=subnet.id,
            Description=f"Amazon EKS {cluster}",
            SecurityGroupId=[group_id, *extra_groups],
        )
        interfaces.append(first(made, "networkInterfaceId"))
    return group_id, interfaces


def remove_cluster_network(state: EksState, security_group: str, interfaces: Sequence[str]) -> None:
    """Take away what `make_cluster_network` made; what somebody else removed is no error."""
    call = state.calls.query
    for interface in interfaces:
        _ignore_gone(
            lambda i=interface: call(
                "ec2", state.region, "DeleteNetworkInterface", NetworkInterfaceId=i
            )
        )
    _ignore_gone(lambda: call("ec2", state.region, "DeleteSecurityGroup", GroupId=security_group))


def _spread(subnets: Sequence[Any]) -> list[Any]:
    """Subnets of different zones for the control plane's interfaces."""
    chosen: dict[str, Any] = {}
    for subnet in subnets:
        chosen.setdefault(subnet.availability_zone, subnet)
    return list(chosen.values())[:_CONTROL_PLANE_INTERFACES]


def _ignore_gone(action: Any) -> None:
    try:
        action()
    except AwsFault:
        # Gone already, or held by something of the user's: AWS leaves it behind too.
        return
