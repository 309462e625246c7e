"""The Endpoints of a Service. Pure.

Rules of upstream `pkg/controller/endpoint/endpoints_controller.go` and
`pkg/api/v1/endpoints/util.go` (RepackSubsets): addresses with the same ports share a subset; at
most 1,000 addresses, marked when there would be more.
"""

from collections.abc import Sequence
from typing import Final

from ekslab.kube.api.requests import Object
from ekslab.kube.runtime.pods import PodFacts
from ekslab.kube.runtime.services import (
    hostname,
    is_headless,
    is_ipv6,
    stands_behind,
    target_port,
)

ADDRESSES_MOST: Final = 1000
OVER_CAPACITY: Final = "endpoints.kubernetes.io/over-capacity"
TRIGGER_TIME: Final = "endpoints.kubernetes.io/last-change-trigger-time"
HEADLESS: Final = "service.kubernetes.io/headless"
MANAGED_BY: Final = "endpoints.kubernetes.io/managed-by"

_Port = tuple[str, int, str, str]


def desired(service: Object, pods: Sequence[PodFacts], existing: Object | None) -> Object:
    """The Endpoints object as it should be; what others put into its metadata stays."""
    meta = service["metadata"]
    subsets = _subsets(service, pods)
    old_meta = existing["metadata"] if existing else {}
    labels = {k: v for k, v in (meta.get("labels") or {}).items() if k != HEADLESS}
    labels[MANAGED_BY] = "endpoint-controller"
    if is_headless(service):
        labels[HEADLESS] = ""
    annotations = dict(old_meta.get("annotations") or {})
    subsets, is_cut = _cut(subsets)
    if is_cut:
        annotations[OVER_CAPACITY] = "truncated"
    else:
        annotations.pop(OVER_CAPACITY, None)
    new_meta = {**old_meta, "name": meta["name"], "namespace": meta["namespace"], "labels": labels}
    if annotations:
        new_meta["annotations"] = annotations
    else:
        new_meta.pop("annotations", None)
    result: Object = {"apiVersion": "v1", "kind": "Endpoints", "metadata": new_meta}
    if subsets:
        result["subsets"] = subsets
    return result


def _subsets(service: Object, pods: Sequence[PodFacts]) -> list[Object]:
    publishes_all = bool(service["spec"].get("publishNotReadyAddresses"))
    family = (service["spec"].get("ipFamilies") or ["IPv4"])[0]
    grouped: dict[tuple[_Port, ...], tuple[list[Object], list[Object]]] = {}
    for pod in pods:
        address = next((ip for ip in pod.ips if is_ipv6(ip) == (family == "IPv6")), None)
        if address is None or not stands_behind(pod, with_terminating=publishes_all):
            continue
        ports = _ports(service, pod)
        if not ports and not (is_headless(service) and not service["spec"].get("ports")):
            continue
        ready, unready = grouped.setdefault(ports, ([], []))
        target = ready if publishes_all or pod.is_ready else unready
        target.append(_address(service, pod, address))
    return [_subset(ports, *addresses) for ports, addresses in sorted(grouped.items())]


def _ports(service: Object, pod: PodFacts) -> tuple[_Port, ...]:
    found = []
    for port in service["spec"].get("ports") or ():
        number = target_port(port, pod)
        if number is not None:
            name, app = port.get("name", ""), port.get("appProtocol", "")
            found.append((name, number, port.get("protocol", "TCP"), app))
    return tuple(sorted(found))


def _address(service: Object, pod: PodFacts, address: str) -> Object:
    entry: Object = {"ip": address}
    name = hostname(pod, service)
    if name:
        entry["hostname"] = name
    if pod.node_name:
        entry["nodeName"] = pod.node_name
    entry["targetRef"] = {
        "kind": "Pod", "name": pod.name, "namespace": pod.namespace, "uid": pod.uid,
    }  # fmt: skip
    return entry


def _subset(ports: tuple[_Port, ...], ready: Sequence[Object], unready: Sequence[Object]) -> Object:
    subset: Object = {}
    if ready:
        subset["addresses"] = _sorted(ready)
    if unready:
        subset["notReadyAddresses"] = _sorted(unready)
    entries = []
    for name, number, protocol, app in ports:
        entry: Object = {"name": name} if name else {}
        entry |= {"port": number, "protocol": protocol}
        if app:
            entry["appProtocol"] = app
        entries.append(entry)
    if entries:
        subset["ports"] = entries
    return subset


def _sorted(addresses: Sequence[Object]) -> list[Object]:
    # Upstream compares addresses as text too (LessEndpointAddress).
    return sorted(addresses, key=lambda one: (one["ip"], one["targetRef"]["uid"]))


def _cut(subsets: list[Object]) -> tuple[list[Object], bool]:
    """Keep the first 1,000 addresses, ready ones before others."""
    count = sum(
        len(one.get(kind, ())) for one in subsets for kind in ("addresses", "notReadyAddresses")
    )
    if count <= ADDRESSES_MOST:
        return subsets, False
    left = ADDRESSES_MOST
    for kind in ("addresses", "notReadyAddresses"):
        for subset in subsets:
            held = subset.get(kind)
            if held is None:
                continue
            subset[kind] = held[:left]
            left -= len(subset[kind])
            if not subset[kind]:
                del subset[kind]
    kept = [one for one in subsets if "addresses" in one or "notReadyAddresses" in one]
    return kept, True
