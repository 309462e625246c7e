"""Addresses of subnets: the allocation alone against a naive model, then EC2's calls over it."""

import ipaddress
import re
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ekslab.cloud.calls import first
from ekslab.cloud.subnets.allocation import (
    AddressesExhaustedError,
    AddressRefusedError,
    SubnetAddresses,
)
from ekslab.cloud.subnets.zones import Member, Place, choose_places, choose_victims
from tests.cloud.lab import Lab

NETWORK = ipaddress.IPv4Network("10.0.1.0/28")
USABLE = [str(address) for address in list(NETWORK)[4:-1]]


class Addresses(RuleBasedStateMachine):
    """The allocation and a plain set of addresses, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.real = SubnetAddresses(str(NETWORK))
        self.model: set[str] = set()

    @rule(count=st.integers(0, 6))
    def allocate(self, count: int) -> None:
        if count > len(USABLE) - len(self.model):
            with pytest.raises(AddressesExhaustedError):
                self.real.allocate(count)
            return
        taken = self.real.allocate(count)
        assert len(set(taken)) == count
        assert not set(taken) & self.model
        assert set(taken) <= set(USABLE)
        self.model |= set(taken)

    @rule(address=st.sampled_from([str(address) for address in NETWORK] + ["10.0.2.4", "x"]))
    def claim(self, address: str) -> None:
        if address in USABLE and address not in self.model:
            self.real.claim(address)
            self.model.add(address)
        else:
            with pytest.raises(AddressRefusedError):
                self.real.claim(address)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def release(self, data: Any) -> None:
        address = data.draw(st.sampled_from(sorted(self.model)))
        self.real.release(address)
        self.model.remove(address)

    @invariant()
    def counts_agree(self) -> None:
        assert self.real.free_count == len(USABLE) - len(self.model)


TestAddresses = Addresses.TestCase
TestAddresses.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_freed_addresses_are_not_reused_at_once() -> None:
    addresses = SubnetAddresses("10.0.1.0/28")
    given = addresses.allocate(1)[0]
    addresses.release(given)
    assert addresses.allocate(1) == ["10.0.1.5"]


PLACES = [Place("a", "1a", 100), Place("b", "1b", 100), Place("c", "1c", 100)]


@pytest.mark.parametrize(
    ("places", "now", "count", "chosen"),
    [
        pytest.param(PLACES, [], 3, ["a", "b", "c"], id="one in each zone"),
        pytest.param(PLACES, ["1a", "1a", "1b"], 3, ["c", "b", "c"], id="emptiest zone first"),
        pytest.param([Place("a", "1a", 0), *PLACES[1:]], [], 2, ["b", "c"], id="full subnet"),
        pytest.param([Place("a", "1a", 1)], [], 3, ["a"], id="not enough room"),
        pytest.param(
            [Place("a1", "1a", 1), Place("a2", "1a", 9)], [], 1, ["a2"], id="roomiest in zone"
        ),
    ],
)
def test_instances_start_where_the_group_has_fewest(
    places: list[Place], now: list[str], count: int, chosen: list[str]
) -> None:
    assert choose_places(places, now, count) == chosen


def test_instances_end_where_the_group_has_most_oldest_first() -> None:
    members = [Member("i0", "1a", 0), Member("i1", "1b", 1), Member("i2", "1a", 2)]
    assert choose_victims(members, ["i0", "i1", "i2"], 2) == ["i0", "i1"]
    assert choose_victims(members, ["i2"], 2) == ["i2"]


async def _small_subnet(lab: Lab) -> str:
    made = await lab.query(
        "ec2",
        "CreateSubnet",
        VpcId=lab.cloud.account.vpc_id,
        CidrBlock="10.0.48.0/28",
        AvailabilityZone="us-east-1a",
    )
    return first(made.body.decode(), "subnetId")


async def _free(lab: Lab, subnet: str) -> int:
    answer = await lab.query("ec2", "DescribeSubnets", SubnetId_1=subnet)
    return int(first(answer.body.decode(), "availableIpAddressCount"))


async def _interface(lab: Lab, subnet: str, **more: Any) -> str:
    made = await lab.query("ec2", "CreateNetworkInterface", SubnetId=subnet, **more)
    assert made.status == 200, made.body
    return first(made.body.decode(), "networkInterfaceId")


async def _instances(lab: Lab, subnet: str, count: int, kind: str = "t3.medium") -> list[str]:
    answer = await lab.query(
        "ec2",
        "RunInstances",
        ImageId="ami-12345678",
        MinCount=count,
        MaxCount=count,
        InstanceType=kind,
        SubnetId=subnet,
    )
    assert answer.status == 200, answer.body
    return list(dict.fromkeys(re.findall(r"<instanceId>(i-\w+)<", answer.body.decode())))


async def _error(answer: Any) -> tuple[int, str]:
    return answer.status, first(answer.body.decode(), "Code")


async def test_a_subnet_gives_each_address_once_and_counts_right(lab: Lab) -> None:
    subnet = await _small_subnet(lab)
    assert await _free(lab, subnet) == 11
    for _ in range(11):
        await _interface(lab, subnet)
    answer = await lab.query(
        "ec2", "DescribeNetworkInterfaces", Filter_1_Name="subnet-id", Filter_1_Value_1=subnet
    )
    found = set(re.findall(r"<privateIpAddress>([\d.]+)<", answer.body.decode()))
    assert found == {f"10.0.48.{last}" for last in range(4, 15)}
    assert await _free(lab, subnet) == 0
    refused = await lab.query("ec2", "CreateNetworkInterface", SubnetId=subnet)
    assert await _error(refused) == (400, "InsufficientFreeAddressesInSubnet")


async def test_instances_in_a_full_subnet_are_refused_as_a_whole(lab: Lab) -> None:
    subnet = await _small_subnet(lab)
    await _instances(lab, subnet, 9)
    refused = await lab.query(
        "ec2",
        "RunInstances",
        ImageId="ami-12345678",
        MinCount=3,
        MaxCount=3,
        InstanceType="t3.medium",
        SubnetId=subnet,
    )
    assert await _error(refused) == (400, "InsufficientFreeAddressesInSubnet")
    assert await _free(lab, subnet) == 2


async def test_addresses_come_back_when_their_owner_goes(lab: Lab) -> None:
    subnet = await _small_subnet(lab)
    machines = await _instances(lab, subnet, 3)
    loose = await _interface(lab, subnet, SecondaryPrivateIpAddressCount=2)
    assert await _free(lab, subnet) == 5
    await lab.query("ec2", "TerminateInstances", InstanceId_1=machines[0])
    await lab.query("ec2", "DeleteNetworkInterface", NetworkInterfaceId=loose)
    assert await _free(lab, subnet) == 9
    held = await lab.query(
        "ec2",
        "DescribeNetworkInterfaces",
        Filter_1_Name="attachment.instance-id",
        Filter_1_Value_1=machines[1],
    )
    eni = first(held.body.decode(), "networkInterfaceId")
    refused = await lab.query("ec2", "DeleteNetworkInterface", NetworkInterfaceId=eni)
    assert await _error(refused) == (400, "InvalidParameterValue")


async def test_secondary_addresses_stop_at_the_types_limit(lab: Lab) -> None:
    subnet = lab.cloud.account.private_subnets[0]
    machine = (await _instances(lab, subnet, 1))[0]
    found = await lab.query(
        "ec2",
        "DescribeNetworkInterfaces",
        Filter_1_Name="attachment.instance-id",
        Filter_1_Value_1=machine,
    )
    eni = first(found.body.decode(), "networkInterfaceId")
    given = await lab.query(
        "ec2", "AssignPrivateIpAddresses", NetworkInterfaceId=eni, SecondaryPrivateIpAddressCount=5
    )
    addresses = re.findall(r"<privateIpAddress>([\d.]+)<", given.body.decode())
    assert len(addresses) == 5
    refused = await lab.query(
        "ec2", "AssignPrivateIpAddresses", NetworkInterfaceId=eni, SecondaryPrivateIpAddressCount=1
    )
    assert await _error(refused) == (400, "PrivateIpAddressLimitExceeded")
    back = await lab.query(
        "ec2", "UnassignPrivateIpAddresses", NetworkInterfaceId=eni, PrivateIpAddress_1=addresses[0]
    )
    assert back.status == 200
    again = await lab.query(
        "ec2", "AssignPrivateIpAddresses", NetworkInterfaceId=eni, PrivateIpAddress_1=addresses[1]
    )
    assert again.status == 200


async def test_interfaces_stop_at_the_types_limit(lab: Lab) -> None:
    subnet, elsewhere, _ = lab.cloud.account.private_subnets
    machine = (await _instances(lab, subnet, 1))[0]
    for index in (1, 2):
        eni = await _interface(lab, subnet)
        answer = await lab.query(
            "ec2",
            "AttachNetworkInterface",
            NetworkInterfaceId=eni,
            InstanceId=machine,
            DeviceIndex=index,
        )
        assert answer.status == 200
    again = await lab.query(
        "ec2", "AttachNetworkInterface", NetworkInterfaceId=eni, InstanceId=machine, DeviceIndex=3
    )
    assert await _error(again) == (400, "InvalidNetworkInterface.InUse")
    fourth = await _interface(lab, subnet)
    refused = await lab.query(
        "ec2",
        "AttachNetworkInterface",
        NetworkInterfaceId=fourth,
        InstanceId=machine,
        DeviceIndex=3,
    )
    assert await _error(refused) == (400, "AttachmentLimitExceeded")
    assert "Interface count 4 exceeds the limit for t3.medium" in refused.body.decode()
    other = (await _instances(lab, elsewhere, 1))[0]
    refused = await lab.query(
        "ec2", "AttachNetworkInterface", NetworkInterfaceId=fourth, InstanceId=other, DeviceIndex=1
    )
    assert await _error(refused) == (400, "InvalidParameterCombination")


async def test_an_interface_goes_with_its_instance_only_if_told(lab: Lab) -> None:
    subnet = lab.cloud.account.private_subnets[0]
    machine = (await _instances(lab, subnet, 1))[0]
    staying, going = [await _interface(lab, subnet) for _ in range(2)]
    attachments = {}
    for index, eni in enumerate((staying, going), start=1):
        answer = await lab.query(
            "ec2",
            "AttachNetworkInterface",
            NetworkInterfaceId=eni,
            InstanceId=machine,
            DeviceIndex=index,
        )
        attachments[eni] = first(answer.body.decode(), "attachmentId")
    await lab.query(
        "ec2",
        "ModifyNetworkInterfaceAttribute",
        NetworkInterfaceId=going,
        Attachment_AttachmentId=attachments[going],
        Attachment_DeleteOnTermination="true",
    )
    await lab.query("ec2", "TerminateInstances", InstanceId_1=machine)
    left = (await lab.query("ec2", "DescribeNetworkInterfaces")).body.decode()
    assert staying in left
    assert going not in left
    assert machine not in left


@pytest.mark.parametrize(
    ("address", "code"),
    [
        pytest.param("10.0.48.1", "InvalidParameterValue", id="reserved"),
        pytest.param("10.0.99.9", "InvalidParameterValue", id="outside"),
        pytest.param("10.0.48.9", "InvalidIPAddress.InUse", id="taken"),
    ],
)
async def test_a_wished_address_must_be_free(lab: Lab, address: str, code: str) -> None:
    subnet = await _small_subnet(lab)
    await _interface(lab, subnet, PrivateIpAddress="10.0.48.9")
    refused = await lab.query(
        "ec2", "CreateNetworkInterface", SubnetId=subnet, PrivateIpAddress=address
    )
    assert await _error(refused) == (400, code)
    assert await _free(lab, subnet) == 10


async def _group(lab: Lab, desired: int) -> None:
    await lab.query(
        "ec2",
        "CreateLaunchTemplate",
        LaunchTemplateName="t",
        LaunchTemplateData_ImageId="ami-12345678",
        LaunchTemplateData_InstanceType="t3.medium",
        LaunchTemplateData_IamInstanceProfile_Name="ekslab-node-role",
    )
    made = await lab.query(
        "autoscaling",
        "CreateAutoScalingGroup",
        AutoScalingGroupName="g",
        MinSize=0,
        MaxSize=9,
        DesiredCapacity=desired,
        LaunchTemplate_LaunchTemplateName="t",
        VPCZoneIdentifier=",".join(lab.cloud.account.private_subnets),
    )
    assert made.status == 200, made.body


async def _group_zones(lab: Lab) -> list[str]:
    answer = await lab.query("autoscaling", "DescribeAutoScalingInstances")
    return sorted(re.findall(r"<AvailabilityZone>us-east-1(\w)<", answer.body.decode()))


async def test_a_group_stays_spread_over_its_zones(lab: Lab) -> None:
    await _group(lab, 6)
    assert await _group_zones(lab) == ["a", "a", "b", "b", "c", "c"]
    await lab.query(
        "autoscaling", "SetDesiredCapacity", AutoScalingGroupName="g", DesiredCapacity=4
    )
    assert len(set(await _group_zones(lab))) == 3
    listed = await lab.query("autoscaling", "DescribeAutoScalingInstances")
    victim = first(listed.body.decode(), "InstanceId")
    await lab.query("ec2", "TerminateInstances", InstanceId_1=victim)
    zones = await _group_zones(lab)
    assert (len(zones), len(set(zones))) == (4, 3)
    history = await lab.query("autoscaling", "DescribeScalingActivities", AutoScalingGroupName="g")
    assert history.body.decode().count("<ActivityId>") == 9
    session = await lab.cloud.instance_session(
        re.findall(r"<InstanceId>(i-\w+)<", listed.body.decode())[1]
    )
    assert session.arn.split("/")[1] == "ekslab-node-role"


async def test_an_interface_is_found_by_any_of_its_addresses(lab: Lab) -> None:
    subnet = await _small_subnet(lab)
    eni = await _interface(lab, subnet, SecondaryPrivateIpAddressCount=2)
    for address in ("10.0.48.4", "10.0.48.6"):
        found = await lab.query(
            "ec2",
            "DescribeNetworkInterfaces",
            Filter_1_Name="addresses.private-ip-address",
            Filter_1_Value_1=address,
        )
        assert first(found.body.decode(), "networkInterfaceId") == eni
