"""Endpoints and EndpointSlices: upstream's core and discovery validation."""

import ipaddress
from collections.abc import Mapping
from typing import Any, Final

from ekslab.kube.api import names
from ekslab.kube.api.errors import Cause
from ekslab.kube.api.requests import Object
from ekslab.kube.apiserver.kinds.addresses import validate_not_special
from ekslab.kube.apiserver.kinds.field_errors import (
    duplicate,
    each_invalid,
    invalid,
    not_supported,
    one_of,
    required,
    too_many,
    unchanged,
)
from ekslab.kube.apiserver.kinds.pod_containers import PROTOCOLS
from ekslab.kube.apiserver.kinds.strategy import Strategy, Traits

_ENDPOINTS_MOST: Final = 1000
_ADDRESSES_MOST: Final = 100
_PORTS_MOST: Final = 100
_ADDRESS_TYPES: Final = ("FQDN", "IPv4", "IPv6")


class EndpointsStrategy(Strategy):
    """The elder of the EndpointSlice."""

    traits = Traits(create_on_update=True)

    def default(self, obj: Object) -> None:
        """Ports are TCP."""
        for subset in obj.get("subsets") or ():
            for port in subset.get("ports") or ():
                port.setdefault("protocol", "TCP")

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateEndpoints`."""
        for index, subset in enumerate(obj.get("subsets") or ()):
            _validate_subset(subset, f"subsets[{index}]", causes)


def _validate_subset(subset: Mapping[str, Any], path: str, causes: list[Cause]) -> None:
    if not subset.get("addresses") and not subset.get("notReadyAddresses"):
        causes.append(required(path, "must specify `addresses` or `notReadyAddresses`"))
    for kind in ("addresses", "notReadyAddresses"):
        for index, entry in enumerate(subset.get(kind) or ()):
            at = f"{path}.{kind}[{index}]"
            causes.extend(validate_not_special(entry.get("ip", ""), f"{at}.ip"))
            host = entry.get("hostname")
            if host:
                causes.extend(each_invalid(f"{at}.hostname", host, names.is_dns1123_label(host)))
            node = entry.get("nodeName")
            if node:
                wrong = names.is_dns1123_subdomain(node)
                causes.extend(each_invalid(f"{at}.nodeName", node, wrong))
    ports = subset.get("ports") or ()
    for index, port in enumerate(ports):
        at, name = f"{path}.ports[{index}]", port.get("name", "")
        if not name and len(ports) > 1:
            causes.append(required(f"{at}.name"))
        elif name:
            causes.extend(each_invalid(f"{at}.name", name, names.is_dns1123_label(name)))
        number = port.get("port", 0)
        causes.extend(each_invalid(f"{at}.port", number, names.is_port_number(number)))
        causes.extend(one_of(f"{at}.protocol", port.get("protocol", ""), PROTOCOLS))


class EndpointSliceStrategy(Strategy):
    """A part of the addresses behind a service."""

    traits = Traits(generation=True, born=None)

    def default(self, obj: Object) -> None:
        """Ports have a name, be it empty, and are TCP."""
        for port in obj.get("ports") or ():
            port.setdefault("name", "")
            port.setdefault("protocol", "TCP")

    def spec_changed(self, obj: Object, old: Object) -> bool:
        """Labels count too."""
        labels = obj["metadata"].get("labels")
        return super().spec_changed(obj, old) or labels != old["metadata"].get("labels")

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateEndpointSlice`."""
        kind = obj.get("addressType", "")
        causes.extend(one_of("addressType", kind, _ADDRESS_TYPES))
        _validate_endpoints(obj, kind, causes)
        ports = obj.get("ports") or ()
        if len(ports) > _PORTS_MOST:
            causes.append(too_many("ports", len(ports), _PORTS_MOST))
        taken: set[str] = set()
        for index, port in enumerate(ports):
            at, name = f"ports[{index}]", port.get("name", "")
            if name:
                causes.extend(each_invalid(f"{at}.name", name, names.is_dns1123_label(name)))
            if name in taken:
                causes.append(duplicate(f"{at}.name", name))
            taken.add(name)
            protocol = port.get("protocol", "")
            if protocol not in PROTOCOLS:
                causes.append(not_supported(f"{at}.protocol", protocol, PROTOCOLS))

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """The type of addresses stays."""
        self.check(obj, causes)
        causes.extend(unchanged("addressType", obj.get("addressType"), old.get("addressType")))


def _validate_endpoints(obj: Object, kind: str, causes: list[Cause]) -> None:
    endpoints = obj.get("endpoints") or ()
    if len(endpoints) > _ENDPOINTS_MOST:
        causes.append(too_many("endpoints", len(endpoints), _ENDPOINTS_MOST))
        return
    for index, endpoint in enumerate(endpoints):
        at = f"endpoints[{index}]"
        addresses = endpoint.get("addresses") or ()
        if not addresses:
            causes.append(required(f"{at}.addresses", "must contain at least 1 address"))
        elif len(addresses) > _ADDRESSES_MOST:
            causes.append(too_many(f"{at}.addresses", len(addresses), _ADDRESSES_MOST))
        for number, address in enumerate(addresses):
            causes.extend(_validate_address(address, kind, f"{at}.addresses[{number}]"))
        node = endpoint.get("nodeName")
        if node:
            wrong = names.is_dns1123_subdomain(node)
            causes.extend(each_invalid(f"{at}.nodeName", node, wrong))
        host = endpoint.get("hostname")
        if host:
            causes.extend(each_invalid(f"{at}.hostname", host, names.is_dns1123_label(host)))


def _validate_address(address: str, kind: str, path: str) -> list[Cause]:
    if kind == "FQDN":
        return each_invalid(path, address, names.is_dns1123_subdomain(address))
    wrong = names.is_ip(address)
    if wrong:
        return each_invalid(path, address, wrong)
    version = ipaddress.ip_address(address).version
    if kind in {"IPv4", "IPv6"} and kind != f"IPv{version}":
        return [invalid(path, address, f"must be an {kind} address")]
    return validate_not_special(address, path)
