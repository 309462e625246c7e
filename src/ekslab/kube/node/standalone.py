"""Nodes without AWS: `ekslab nodes add 5000`, and the pytest fixture's.

They are of one size, spread over three zones in turn, and take pod addresses from a pool of the
cluster's own (`kube.net.address_pools`, given by the composition).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from ekslab.kube.api.requests import Object
from ekslab.kube.node.ports import NoAddressError
from ekslab.kube.node.simulated.registration import NodeSpec

_PROVIDER: Final = "sim:///"
ZONES: Final = ("sim-1a", "sim-1b", "sim-1c")
_CAPACITY: Final = {
    "cpu": "4",
    "memory": "16Gi",
    "pods": "110",
    "ephemeral-storage": "80Gi",
    "hugepages-1Gi": "0",
    "hugepages-2Mi": "0",
}
_RESERVED: Final = {"cpu": "3920m", "memory": "15Gi", "ephemeral-storage": "70Gi"}


class Pool(Protocol):
    """A pool of addresses with one owner each (`kube.net.address_pools.AddressPool`)."""

    def allocate(self, owner: str) -> str:
        """The owner's address; the same again if it has one. Raises when none is free."""

    def claim(self, owner: str, address: str) -> bool:
        """Note that the owner has this address already."""

    def release(self, owner: str) -> None:
        """Give the owner's address back."""


class PoolAddresses:
    """Pod addresses of one node out of a pool. `exhausted` is what the pool raises when empty."""

    def __init__(self, pool: Pool, *, exhausted: type[Exception]) -> None:
        self._pool = pool
        self._exhausted = exhausted

    async def allocate(self, namespace: str, pod: str, uid: str) -> str:  # noqa: ARG002 - the port
        """An address for a pod. See `PodAddresses`."""
        try:
            return self._pool.allocate(uid)
        except self._exhausted as error:
            raise NoAddressError(
                f'plugin type="bridge" failed (add): failed to allocate for range 0: {error}'
            ) from error

    def adopt(self, uid: str, address: str) -> None:
        """A pod has had this address since before the agent started."""
        self._pool.claim(uid, address)

    def release(self, uid: str) -> None:
        """The pod is gone."""
        self._pool.release(uid)


def node_specs(
    count: int,
    *,
    address: Callable[[str], str],
    first: int = 1,
    zones: Sequence[str] = ZONES,
    capacity: Mapping[str, str] = _CAPACITY,
    allocatable: Mapping[str, str] | None = None,
) -> list[NodeSpec]:
    """Specs of `count` nodes named `sim-00001`, ...; `address(name)` gives each its InternalIP."""
    usable = dict(capacity) | _RESERVED if allocatable is None else dict(allocatable)
    found: list[NodeSpec] = []
    for number in range(first, first + count):
        name = f"sim-{number:05}"
        zone = zones[(number - 1) % len(zones)]
        region = zone[:-1]
        found.append(
            NodeSpec(
                name=name,
                provider_id=f"{_PROVIDER}{zone}/{name}",
                labels={
                    "node.kubernetes.io/instance-type": "simulated",
                    "topology.kubernetes.io/region": region,
                    "topology.kubernetes.io/zone": zone,
                },
                capacity=capacity,
                allocatable=usable,
                addresses=(
                    {"type": "InternalIP", "address": address(name)},
                    {"type": "Hostname", "address": name},
                ),
                zone=zone,
            )
        )
    return found


def is_standalone(node: Object) -> bool:
    """Whether a Node is one of these: it has no machine that somebody else would boot."""
    provider_id: str = node["spec"].get("providerID") or ""
    return provider_id.startswith(_PROVIDER)


def spec_of(node: Object) -> NodeSpec:
    """The spec of a node that ran before, from the Node it left behind."""
    metadata, status = node["metadata"], node["status"]
    labels = metadata.get("labels") or {}
    return NodeSpec(
        name=metadata["name"],
        provider_id=node["spec"]["providerID"],
        labels=labels,
        capacity=status["capacity"],
        allocatable=status["allocatable"],
        addresses=status["addresses"],
        zone=labels.get("topology.kubernetes.io/zone", ""),
        pod_cidr=node["spec"].get("podCIDR", ""),
    )
