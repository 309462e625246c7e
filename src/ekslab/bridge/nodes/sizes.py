"""How big a node is: what an EC2 instance type gives to pods.

Formulas of the EKS AMI (awslabs/amazon-eks-ami `nodeadm`: `eni_max_pods.go`, `config.go`) and of
managed node groups (EKS user guide, cni-increase-ip-addresses). Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_EVICTION_MIB: Final = 100
# nodefs.available<10%: kubelet keeps the share as a float32, and the bytes show it.
_EVICTION_STORAGE: Final = 0.10000000149011612
VOLUME_GIB: Final = 20
_STORAGE_RESERVED_BYTES: Final = 1024**3
# What of the root volume is XFS's data: without the EFI and BIOS partitions and XFS's own log.
# Measured on AL2023 nodes of EKS: 20 GiB show as 20893676Ki.
_PARTITIONS_KIB: Final = 77_844
# A machine shows less memory than its type promises: firmware and kernel take their part. Karpenter
# reckons with 7.5 % where it does not know better (its VM_MEMORY_OVERHEAD_PERCENT).
_MEMORY_OVERHEAD_PERCENT: Final = 7.5
_CPU_RESERVED_PER_MILLE: Final = ((1, 60), (1, 10), (2, 5))
_CPU_RESERVED_REST_PER_MILLE: Final = 2.5


@dataclass(frozen=True, slots=True)
class InstanceType:
    """What matters of an instance type. `interfaces` are those of its default network card."""

    name: str
    vcpus: int
    memory_mib: int
    interfaces: int
    addresses_per_interface: int
    architecture: str

    @property
    def max_pods(self) -> int:
        """Pods a managed node takes: addresses of its interfaces, capped at 110 (250 from 30
        vCPUs on).
        """
        return min(self.addressable_pods, 110 if self.vcpus < 30 else 250)

    @property
    def addressable_pods(self) -> int:
        """ENIs x (addresses - 1) + 2: the two are aws-node and kube-proxy on the host network."""
        return self.interfaces * (self.addresses_per_interface - 1) + 2


def read(described: Mapping[str, Any]) -> InstanceType:
    """From an element of `DescribeInstanceTypes`, in the API's XML spelling."""
    network = described["networkInfo"]
    cards = network.get("networkCards") or []
    default_card = int(network.get("defaultNetworkCardIndex") or 0)
    interfaces = int(network["maximumNetworkInterfaces"])
    for card in cards:
        if int(card.get("networkCardIndex") or 0) == default_card:
            interfaces = int(card["maximumNetworkInterfaces"])
    architectures = described["processorInfo"]["supportedArchitectures"]
    return InstanceType(
        name=str(described["instanceType"]),
        vcpus=int(described["vCpuInfo"]["defaultVCpus"]),
        memory_mib=int(described["memoryInfo"]["sizeInMiB"]),
        interfaces=interfaces,
        addresses_per_interface=int(network["ipv4AddressesPerInterface"]),
        architecture="arm64" if "arm64" in architectures else "amd64",
    )


def reserved_cpu_milli(vcpus: int) -> int:
    """6 % of the first core, 1 % of the second, 0.5 % of the next two, 0.25 % of the rest."""
    reserved, left = 0.0, vcpus
    for cores, per_mille in _CPU_RESERVED_PER_MILLE:
        taken = min(left, cores)
        reserved += taken * per_mille
        left -= taken
    return int(reserved + left * _CPU_RESERVED_REST_PER_MILLE)


def capacity(size: InstanceType, *, volume_gib: int = VOLUME_GIB) -> dict[str, str]:
    """`status.capacity` of its node."""
    memory_kib = int(size.memory_mib * 1024 * (100 - _MEMORY_OVERHEAD_PERCENT) / 100)
    return {
        "cpu": str(size.vcpus),
        "ephemeral-storage": f"{_storage_kib(volume_gib)}Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "memory": f"{memory_kib}Ki",
        "pods": str(size.max_pods),
    }


def allocatable(size: InstanceType, *, volume_gib: int = VOLUME_GIB) -> dict[str, str]:
    """`status.allocatable`: capacity without what kubelet and system keep."""
    whole = capacity(size, volume_gib=volume_gib)
    reserved_mib = 11 * size.max_pods + 255 + _EVICTION_MIB
    memory_kib = max(0, int(whole["memory"][:-2]) - reserved_mib * 1024)
    storage_bytes = _storage_kib(volume_gib) * 1024
    evicted_bytes = int(storage_bytes * _EVICTION_STORAGE)
    return {
        **whole,
        "cpu": f"{size.vcpus * 1000 - reserved_cpu_milli(size.vcpus)}m",
        "ephemeral-storage": str(storage_bytes - evicted_bytes - _STORAGE_RESERVED_BYTES),
        "memory": f"{memory_kib}Ki",
    }


def _storage_kib(volume_gib: int) -> int:
    return volume_gib * 1024 * 1024 - _PARTITIONS_KIB
