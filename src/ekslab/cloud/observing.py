"""The account's objects as the change feed shows them, in the wire form of `describe` calls.

Cheap to ask again after every call: each object has a signature, a tuple of the few attributes that
can change, and its value is built only when the signature is new.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ekslab.cloud.eks.state import ACCESS_ENTRY, CLUSTER, NODEGROUP
from ekslab.cloud.engine.engine import Engine
from ekslab.cloud.identities import Identities
from ekslab.cloud.records import Record, Records
from ekslab.cloud.subnets.interfaces import addresses_of

Value = Mapping[str, Any]
Entry = tuple[str, Any, Callable[[], Value]]
"""Id, signature, and how to build the value."""

EKS_KINDS = (CLUSTER, NODEGROUP, ACCESS_ENTRY)
EC2_KINDS = ("ec2:subnet", "ec2:network-interface", "ec2:instance", "autoscaling:group")
IAM_KINDS = ("iam:role", "iam:user")


class Observer:
    """Reads the objects of a kind out of moto's state and ours."""

    def __init__(
        self, engine: Engine, records: Records, identities: Identities, *, region: str
    ) -> None:
        self._engine = engine
        self._records = records
        self._identities = identities
        self._region = region
        self._readers: Mapping[str, Callable[[], Iterator[Entry]]] = {
            "ec2:subnet": self._subnets,
            "ec2:network-interface": self._interfaces,
            "ec2:instance": self._instances,
            "autoscaling:group": self._groups,
        }

    def entries(self, kind: str) -> Iterator[Entry]:
        """Every object of a kind."""
        if kind in self._readers:
            yield from self._readers[kind]()
        elif kind in IAM_KINDS:
            for found, value in self._identities.all_principals():
                if found == kind:
                    yield value["Arn"], value["Id"], lambda v=value: v  # type: ignore[misc]
        else:
            for key, record in self._records.under(kind):
                # Records are replaced, never changed: identity says whether one is new.
                yield key.split("/", 2)[2], id(record), lambda r=record, k=kind: _eks(k, r)  # type: ignore[misc]

    @property
    def _ec2(self) -> Any:
        return self._engine.backend("ec2", self._region)

    def _subnets(self) -> Iterator[Entry]:
        for subnet in self._ec2.describe_subnets():
            free = addresses_of(subnet).free_count if subnet.cidr_block else 0
            tags = _tags(subnet)
            signature = (free, subnet.map_public_ip_on_launch, _frozen(tags))
            yield subnet.id, signature, lambda s=subnet, f=free, t=tags: _subnet(s, f, t)  # type: ignore[misc]

    def _interfaces(self) -> Iterator[Entry]:
        for eni in self._ec2.enis.values():
            signature = (
                eni.status,
                eni.attachment_id,
                eni.delete_on_termination,
                tuple(entry["PrivateIpAddress"] for entry in eni.private_ip_addresses),
                eni.public_ip,
            )
            yield eni.id, signature, lambda e=eni: _interface(e)  # type: ignore[misc]

    def _instances(self) -> Iterator[Entry]:
        ec2 = self._ec2
        for reservation in ec2.reservations.values():
            for instance in reservation.instances:
                association = ec2.iam_instance_profile_associations.get(instance.id)
                profile = association.iam_instance_profile if association else None
                tags = _tags(instance)
                signature = (
                    instance.state,
                    tuple(eni.id for eni in instance.nics.values()),
                    profile.arn if profile else "",
                    _frozen(tags),
                    instance.instance_type,
                )
                yield (
                    instance.id,
                    signature,
                    lambda i=instance, p=profile, t=tags: _instance(i, p, t),  # type: ignore[misc]
                )

    def _groups(self) -> Iterator[Entry]:
        groups = self._engine.backend("autoscaling", self._region).autoscaling_groups
        for name, group in groups.items():
            states = [
                (s.instance.id, str(s.availability_zone), s.lifecycle_state, s.health_status)
                for s in group.instance_states
            ]
            signature = (group.min_size, group.max_size, group.desired_capacity, tuple(states))
            yield name, signature, lambda g=group, s=states: _group(g, s)  # type: ignore[misc]


def _tags(resource: Any) -> list[dict[str, str]]:
    return [{"Key": tag["key"], "Value": tag["value"]} for tag in resource.get_tags()]


def _frozen(tags: Sequence[Mapping[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((tag["Key"], tag["Value"]) for tag in tags)


def _eks(kind: str, record: Record) -> Value:
    """The wire object, and what the bridge needs beside it under names with an underscore."""
    wire, own = record["wire"], record["own"]
    if kind == CLUSTER:
        return {
            **wire,
            "_creator": own["creator"],
            "_oidcIssuer": own["oidcIssuer"],
            "_wantedVersion": own.get("wantedVersion") or wire["version"],
            "_bootstrapSelfManagedAddons": own["bootstrapSelfManagedAddons"],
        }
    if kind == NODEGROUP:
        return {**wire, "_imageId": own["imageId"]}
    return {
        **wire,
        "principalId": own["principalId"],
        "associatedAccessPolicies": own["policies"],
    }


def _subnet(subnet: Any, free: int, tags: list[dict[str, str]]) -> Value:
    return {
        "SubnetId": subnet.id,
        "VpcId": subnet.vpc_id,
        "CidrBlock": subnet.cidr_block,
        "AvailabilityZone": subnet.availability_zone,
        "AvailabilityZoneId": subnet.availability_zone_id,
        "AvailableIpAddressCount": free,
        "MapPublicIpOnLaunch": subnet.map_public_ip_on_launch in {True, "true"},
        "Tags": tags,
    }


def _interface(eni: Any) -> Value:
    value: dict[str, Any] = {
        "NetworkInterfaceId": eni.id,
        "SubnetId": eni.subnet.id,
        "VpcId": eni.subnet.vpc_id,
        "AvailabilityZone": eni.subnet.availability_zone,
        "Description": eni.description,
        "Status": eni.status,
        "MacAddress": eni.mac_address,
        "PrivateIpAddress": eni.private_ip_address,
        "PrivateDnsName": getattr(eni, "private_dns_name", ""),
        "PrivateIpAddresses": [
            {
                "PrivateIpAddress": entry["PrivateIpAddress"],
                "Primary": entry["PrivateIpAddress"] == eni.private_ip_address,
            }
            for entry in eni.private_ip_addresses
        ],
        "Groups": [{"GroupId": group.id, "GroupName": group.name} for group in eni._group_set],  # noqa: SLF001 - moto's field
        "TagSet": _tags(eni),
    }
    if eni.instance is not None:
        value["Attachment"] = {
            "AttachmentId": eni.attachment_id,
            "InstanceId": eni.instance.id,
            "DeviceIndex": eni.device_index,
            "DeleteOnTermination": bool(eni.delete_on_termination),
            "Status": "attached",
        }
    return value


def _instance(instance: Any, profile: Any, tags: list[dict[str, str]]) -> Value:
    subnet = instance.nics[0].subnet if 0 in instance.nics else None
    value: dict[str, Any] = {
        "InstanceId": instance.id,
        "InstanceType": instance.instance_type,
        "ImageId": instance.image_id,
        "Architecture": instance.architecture,
        "State": {"Name": instance.state, "Code": instance.state_code},
        "Placement": {"AvailabilityZone": str(instance.placement)},
        "LaunchTime": instance.launch_time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "Tags": tags,
        "NetworkInterfaces": [eni.id for eni in instance.nics.values()],
        "SecurityGroups": [{"GroupId": group.id} for group in instance.security_groups],
    }
    if profile is not None:
        value["IamInstanceProfile"] = {"Arn": profile.arn, "Id": profile.id}
    if instance.lifecycle:
        value["InstanceLifecycle"] = instance.lifecycle
    if subnet is not None and instance.state != "terminated":
        value |= {
            "SubnetId": subnet.id,
            "VpcId": subnet.vpc_id,
            "PrivateIpAddress": instance.private_ip,
            "PrivateDnsName": instance.private_dns_name,
        }
        value["Placement"]["AvailabilityZoneId"] = subnet.availability_zone_id
        if instance.public_ip:
            value["PublicIpAddress"] = instance.public_ip
            value["PublicDnsName"] = instance.public_dns_name
    return value


def _group(group: Any, states: Sequence[tuple[str, str, str, str]]) -> Value:
    return {
        "AutoScalingGroupName": group.name,
        "AutoScalingGroupARN": group.arn,
        "MinSize": group.min_size,
        "MaxSize": group.max_size,
        "DesiredCapacity": group.desired_capacity,
        "VPCZoneIdentifier": group.vpc_zone_identifier,
        "LaunchTemplate": group.launch_template,
        "Instances": [
            {
                "InstanceId": instance_id,
                "AvailabilityZone": zone,
                "LifecycleState": lifecycle,
                "HealthStatus": health,
            }
            for instance_id, zone, lifecycle, health in states
        ],
        "Tags": [{"Key": tag["Key"], "Value": tag["Value"]} for tag in group.tags],
    }
