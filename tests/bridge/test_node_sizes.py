"""What instance types give to pods: figures of the EKS AMI for types people use."""

import pytest

from ekslab.bridge.nodes import sizes
from ekslab.bridge.nodes.sizes import InstanceType


def size(name: str, vcpus: int, memory_mib: int, interfaces: int, addresses: int) -> InstanceType:
    return InstanceType(name, vcpus, memory_mib, interfaces, addresses, "amd64")


@pytest.mark.parametrize(
    ("kind", "max_pods", "reserved_milli"),
    [
        pytest.param(size("t3.nano", 2, 512, 2, 2), 4, 70, id="t3.nano"),
        pytest.param(size("t3.medium", 2, 4096, 3, 6), 17, 70, id="t3.medium"),
        pytest.param(size("m5.large", 2, 8192, 3, 10), 29, 70, id="m5.large"),
        pytest.param(size("m5.xlarge", 4, 16384, 4, 15), 58, 80, id="m5.xlarge"),
        pytest.param(size("m5.4xlarge", 16, 65536, 8, 30), 110, 110, id="capped at 110"),
        pytest.param(size("m5.8xlarge", 32, 131072, 8, 30), 234, 150, id="m5.8xlarge"),
        pytest.param(size("m5.24xlarge", 96, 393216, 15, 50), 250, 310, id="capped at 250"),
        pytest.param(size("p5.48xlarge", 192, 2097152, 2, 50), 100, 550, id="one card counts"),
    ],
)
def test_max_pods_and_reserved_cpu(kind: InstanceType, max_pods: int, reserved_milli: int) -> None:
    assert kind.max_pods == max_pods
    assert sizes.reserved_cpu_milli(kind.vcpus) == reserved_milli
    assert sizes.allocatable(kind)["cpu"] == f"{kind.vcpus * 1000 - reserved_milli}m"


def test_memory_is_kept_back_for_kubelet_and_eviction() -> None:
    kind = size("m5.large", 2, 8192, 3, 10)
    whole = int(sizes.capacity(kind)["memory"].removesuffix("Ki"))
    left = int(sizes.allocatable(kind)["memory"].removesuffix("Ki"))
    assert whole - left == (574 + 100) * 1024
    assert left < 7518 * 1024


def test_storage_is_that_of_an_al2023_node() -> None:
    kind = size("m5.large", 2, 8192, 3, 10)
    assert sizes.capacity(kind)["ephemeral-storage"] == "20893676Ki"
    assert sizes.allocatable(kind)["ephemeral-storage"] == "18181869946"
    bigger = sizes.capacity(kind, volume_gib=100)["ephemeral-storage"]
    assert int(bigger.removesuffix("Ki")) > 100 * 1024 * 1024 - 100_000
