"""Addresses and ports of Services.

Upstream: `pkg/registry/core/service/{ipallocator,portallocator,storage}`. What is taken is read
from the published Services, so nothing can leak; what writes of this moment have chosen is held in
reservations until they are done.
"""

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network, ip_network
from typing import Any, Final

from ekslab.kit.ids import Ids
from ekslab.kube.api.errors import ApiError, Cause, internal, invalid
from ekslab.kube.api.ports import Lister
from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import SERVICES

NODE_PORTS: Final = range(30_000, 32_768)
_NODE_PORT_TYPES: Final = frozenset({"NodePort", "LoadBalancer"})
_STATIC_BAND_LEAST: Final = 16
_STATIC_BAND_MOST: Final = 256
_DNS_INDEX: Final = 10


class ServiceAllocator:
    """Gives Services cluster IPs and node ports. An `Allocator` of the write pipeline."""

    def __init__(self, lister: Lister, ids: Ids, *, cidr: str) -> None:
        network = ip_network(cidr)
        assert isinstance(network, IPv4Network), cidr
        self._network = network
        self._lister = lister
        self._ids = ids
        self._reserved_ips: set[str] = set()
        self._reserved_ports: set[int] = set()
        self._seen_revision = -1
        self._ips: set[str] = set()
        self._ports: set[int] = set()

    @property
    def kubernetes_ip(self) -> str:
        """The address of `default/kubernetes`: the first of the range."""
        return str(self._network.network_address + 1)

    @property
    def dns_ip(self) -> str:
        """The address EKS gives `kube-system/kube-dns`: the tenth of the range."""
        return str(self._network.network_address + _DNS_INDEX)

    def allocate(self, obj: Object, old: Object | None) -> Callable[[], None]:
        """Fill in `clusterIP(s)` and node ports and reserve them until the write is done.

        Raises:
            ApiError: 422 for an address or port that is taken or out of range, 500 for a full
                range.
        """
        self._read_taken()
        ips: set[str] = set()
        ports: set[int] = set()

        def release() -> None:
            self._reserved_ips -= ips
            self._reserved_ports -= ports

        try:
            self._allocate_ip(obj, old, ips)
            self._allocate_ports(obj, old, ports)
        except ApiError:
            release()
            raise
        return release

    def _read_taken(self) -> None:
        revision = self._lister.revision(SERVICES)
        if revision == self._seen_revision:
            return
        self._seen_revision = revision
        self._ips = set()
        self._ports = set()
        for item in self._lister.list(SERVICES):
            spec = item.object.get("spec") or {}
            self._ips.update(spec.get("clusterIPs") or ())
            self._ports.update(_node_ports(spec))

    def _allocate_ip(self, obj: Object, old: Object | None, ips: set[str]) -> None:
        spec = obj["spec"]
        if spec.get("type") == "ExternalName":
            return
        asked = spec.get("clusterIP", "")
        before = (old or {}).get("spec", {}).get("clusterIP", "")
        if asked == "None" or (asked and asked == before):
            spec.setdefault("clusterIPs", [asked])
            return
        if asked:
            self._claim(obj, asked)
        else:
            asked = self._free_ip(obj)
        ips.add(asked)
        self._reserved_ips.add(asked)
        spec["clusterIP"] = asked
        spec["clusterIPs"] = [asked]
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")

    def _claim(self, obj: Object, ip: str) -> None:
        """Check an address a client asks for."""
        try:
            inside = IPv4Address(ip) in self._network
        except ValueError:
            inside = False
        if not inside:
            why = (
                f"the provided IP ({ip}) is not in the valid range."
                f" The range of valid IPs is {self._network}"
            )
        elif ip in self._ips or ip in self._reserved_ips:
            why = "provided IP is already allocated"
        else:
            return
        text = f'Invalid value: ["{ip}"]: failed to allocate IP {ip}: {why}'
        raise _refused(obj, "spec.clusterIPs", text)

    def _free_ip(self, obj: Object) -> str:
        for ip in self._candidates():
            if ip not in self._ips and ip not in self._reserved_ips:
                return ip
        name = obj["metadata"].get("name", "")
        raise internal(f"failed to allocate a serviceIP for {name}: range is full")

    def _candidates(self) -> Iterator[str]:
        """Free choices first from the upper band, in an order of chance, then from the lower.

        Upstream keeps the lower band for addresses people choose (KEP-3070).
        """
        size = self._network.num_addresses
        band = min(max(size // 16, _STATIC_BAND_LEAST), _STATIC_BAND_MOST, size - 2)
        first = self._network.network_address
        start = int(self._ids.hex(8), 16)
        upper = max(0, size - 1 - band)
        for index in range(upper):
            yield str(first + band + (start + index) % upper)
        for index in range(1, band):
            if index != _DNS_INDEX:  # kept for the cluster DNS
                yield str(first + index)

    def _allocate_ports(self, obj: Object, old: Object | None, ports: set[int]) -> None:
        spec = obj["spec"]
        if spec.get("type") not in _NODE_PORT_TYPES:
            return
        if spec["type"] == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is False:
            return
        mine = set(_node_ports((old or {}).get("spec") or {}))
        for index, port in enumerate(spec.get("ports") or ()):
            asked = port.get("nodePort")
            if asked:
                if asked not in mine and asked not in ports:
                    self._claim_port(obj, index, asked)
            else:
                asked = port["nodePort"] = self._free_port(obj)
            ports.add(asked)
            self._reserved_ports.add(asked)
        check = spec.get("externalTrafficPolicy") == "Local" and spec["type"] == "LoadBalancer"
        if check and not spec.get("healthCheckNodePort"):
            spec["healthCheckNodePort"] = self._free_port(obj)
            ports.add(spec["healthCheckNodePort"])
            self._reserved_ports.add(spec["healthCheckNodePort"])

    def _claim_port(self, obj: Object, index: int, port: int) -> None:
        field = f"spec.ports[{index}].nodePort"
        if port not in NODE_PORTS:
            text = (
                f"Invalid value: {port}: provided port is not in the valid range. The range of"
                f" valid ports is {NODE_PORTS.start}-{NODE_PORTS.stop - 1}"
            )
            raise _refused(obj, field, text)
        if port in self._ports or port in self._reserved_ports:
            text = f"Invalid value: {port}: provided port is already allocated"
            raise _refused(obj, field, text)

    def _free_port(self, obj: Object) -> int:
        start = int(self._ids.hex(8), 16)
        for index in range(len(NODE_PORTS)):
            port = NODE_PORTS[(start + index) % len(NODE_PORTS)]
            if port not in self._ports and port not in self._reserved_ports:
                return port
        name = obj["metadata"].get("name", "")
        raise internal(f"failed to allocate a nodePort for {name}: range is full")


def _node_ports(spec: dict[str, Any]) -> Iterator[int]:
    for port in spec.get("ports") or ():
        if port.get("nodePort"):
            yield port["nodePort"]
    if spec.get("healthCheckNodePort"):
        yield spec["healthCheckNodePort"]


def _refused(obj: Object, field: str, text: str) -> ApiError:
    return invalid("", "Service", obj["metadata"].get("name", ""), [Cause(field, text)])
