"""Where a Service can be reached on this machine.

Upstream: kube-aggregator and apiserver `pkg/util/proxy/proxy.go` (ResolveEndpoint). An endpoint is
called if it is an address of this machine, or if somebody wrote its EndpointSlice by hand; the
address of a simulated pod leads nowhere, and that is said at once instead of after a timeout.
"""

import socket
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from ekslab.kube.api.ports import Lister
from ekslab.kube.api.well_known import ENDPOINT_SLICES, SERVICES

_OF_SERVICE: Final = "kubernetes.io/service-name"
_MADE_BY: Final = "endpointslice.kubernetes.io/managed-by"
_CONTROLLER: Final = "endpointslice-controller.k8s.io"


class Address(NamedTuple):
    """Where to connect to."""

    host: str
    port: int


class UnreachableError(Exception):
    """A Service that nobody answers for; the message is upstream's."""


def resolve(lister: Lister, namespace: str, name: str, port: int) -> Address:
    """An endpoint of a Service's port.

    Raises:
        UnreachableError: there is no such Service, port or ready endpoint, or none on this machine.
    """
    item = lister.get(SERVICES, name, namespace)
    if item is None:
        raise UnreachableError(f'service "{name}" not found')
    spec = item.object["spec"]
    if spec.get("type") == "ExternalName":
        return Address(spec["externalName"], port)
    found = next((each for each in spec.get("ports") or () if each.get("port") == port), None)
    if found is None:
        raise UnreachableError(f'no service port {port} found for service "{name}"')
    last: Address | None = None
    for address, is_manual in _endpoints(lister, namespace, name, found.get("name") or ""):
        if is_manual or _is_here(address.host):
            return address
        last = address
    if last is None:
        raise UnreachableError(f'no endpoints available for service "{name}"')
    raise UnreachableError(f"dial tcp {last.host}:{last.port}: connect: no route to host")


def _endpoints(
    lister: Lister, namespace: str, service: str, port_name: str
) -> Iterator[tuple[Address, bool]]:
    """Ready endpoints, and whether their slice was written by hand."""
    for item in lister.list(ENDPOINT_SLICES, namespace):
        if item.labels.get(_OF_SERVICE) != service:
            continue
        is_manual = item.labels.get(_MADE_BY) != _CONTROLLER
        port = _port(item.object, port_name)
        for endpoint in item.object.get("endpoints") or () if port else ():
            if (endpoint.get("conditions") or {}).get("ready") is not False:
                yield Address(endpoint["addresses"][0], port), is_manual


def _port(slice_: Mapping[str, Any], name: str) -> int:
    for port in slice_.get("ports") or ():
        if (port.get("name") or "") == name:
            return port.get("port") or 0
    return 0


def _is_here(host: str) -> bool:
    """Whether an address is one of this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True
