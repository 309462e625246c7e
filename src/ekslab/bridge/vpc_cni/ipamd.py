"""ipamd of one node: keeps its pool filled through the EC2 API and hands out pod addresses.

Implements the port `PodAddresses` of kube's node agents.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ekslab.bridge.aws.client import AwsClient, AwsError
from ekslab.bridge.vpc_cni.pool import AssignAddresses, AttachInterface, Growth, Pool
from ekslab.kit import logs
from ekslab.kit.clock import Clock
from ekslab.kube.node.ports import NoAddressError

_SUBNET_EMPTY: Final = frozenset({"InsufficientFreeAddressesInSubnet", "InsufficientCidrBlocks"})
_BACKOFF_S: Final = 120.0
_RETRY_S: Final = 5.0
# Text of the plugin: amazon-vpc-cni-k8s cmd/routed-eni-cni-plugin/cni.go.
_NO_ADDRESS: Final = (
    'plugin type="aws-cni" name="aws-cni" failed (add):'
    " add cmd: failed to assign an IP address to container"
)


@dataclass(frozen=True, slots=True)
class Machine:
    """The instance whose addresses are managed."""

    instance_id: str
    subnet_id: str
    security_groups: tuple[str, ...]
    cluster: str


class AddressManager:
    """Pod addresses of one node, fetched from its subnet by the node's own credentials."""

    def __init__(self, machine: Machine, pool: Pool, *, ec2: AwsClient, clock: Clock) -> None:
        self._machine = machine
        self._pool = pool
        self._ec2 = ec2
        self._clock = clock
        self._wakeup = asyncio.Event()
        self._log = logs.get("vpc-cni").bind(instance=machine.instance_id)

    async def allocate(self, namespace: str, pod: str, uid: str) -> str:
        """An address for a pod.

        Raises:
            NoAddressError: the node has none at the moment; try again later.
        """
        address = self._pool.take(uid, self._clock.now())
        self._wakeup.set()
        if address is None:
            self._log.info("no address", namespace=namespace, pod=pod)
            raise NoAddressError(_NO_ADDRESS)
        return address

    def release(self, uid: str) -> None:
        """The pod is gone."""
        self._pool.release(uid, self._clock.now())

    def adopt(self, uid: str, address: str) -> None:
        """The pod has had this address since before this process."""
        self._pool.adopt(uid, address)

    async def run(self) -> None:
        """Keep the pool filled, for ever."""
        while True:
            pause_s = await self._fill()
            if pause_s:
                await self._clock.sleep(pause_s)
            self._wakeup.clear()
            await self._wakeup.wait()

    async def _fill(self) -> float:
        """Fetch until the pool is content; gives how long to wait before trying again."""
        while (growth := self._pool.growth(self._clock.now())) is not None:
            try:
                await self._grow(growth)
            except AwsError as error:
                self._log.warning("cannot get addresses", code=error.code, error=error.message)
                return _BACKOFF_S if error.code in _SUBNET_EMPTY else _RETRY_S
        return 0.0

    async def _grow(self, growth: Growth) -> None:
        if isinstance(growth, AssignAddresses):
            answer = await self._ec2.query(
                "ec2",
                "AssignPrivateIpAddresses",
                NetworkInterfaceId=growth.interface_id,
                SecondaryPrivateIpAddressCount=growth.count,
            )
            given = answer.get("assignedPrivateIpAddressesSet") or []
            addresses = [row["privateIpAddress"] for row in given]
            if not addresses:
                raise AwsError("InsufficientFreeAddressesInSubnet", 400, "no address was assigned")
            self._pool.hold(growth.interface_id, addresses)
        else:
            await self._attach(growth)

    async def _attach(self, growth: AttachInterface) -> None:
        machine = self._machine
        made = await self._ec2.query(
            "ec2",
            "CreateNetworkInterface",
            SubnetId=machine.subnet_id,
            Description=f"aws-K8S-{machine.instance_id}",
            SecurityGroupId=list(machine.security_groups),
            SecondaryPrivateIpAddressCount=growth.count,
            TagSpecification=[
                {
                    "ResourceType": "network-interface",
                    "Tag": [
                        {"Key": "node.k8s.amazonaws.com/instance_id", "Value": machine.instance_id},
                        {"Key": "cluster.k8s.amazonaws.com/name", "Value": machine.cluster},
                    ],
                }
            ],
        )
        interface = made["networkInterface"]
        attached = await self._ec2.query(
            "ec2",
            "AttachNetworkInterface",
            NetworkInterfaceId=interface["networkInterfaceId"],
            InstanceId=machine.instance_id,
            DeviceIndex=growth.device_index,
        )
        await self._ec2.query(
            "ec2",
            "ModifyNetworkInterfaceAttribute",
            NetworkInterfaceId=interface["networkInterfaceId"],
            Attachment={"AttachmentId": attached["attachmentId"], "DeleteOnTermination": True},
        )
        self._pool.hold(interface["networkInterfaceId"], secondary_addresses(interface))


def secondary_addresses(interface: Mapping[str, Any]) -> list[str]:
    """The addresses of an interface that are for pods, in the API's XML spelling."""
    rows = interface.get("privateIpAddressesSet") or []
    return [row["privateIpAddress"] for row in rows if str(row.get("primary")).lower() != "true"]
