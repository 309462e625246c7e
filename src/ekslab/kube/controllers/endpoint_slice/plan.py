"""Which EndpointSlices a Service should have, and the fewest writes to get there. Pure.

Rules of upstream `k8s.io/endpointslice/reconciler.go`: at most 100 endpoints a slice; slices are
per address family and per set of ports; endpoints stay in the slice they are in; what is new fills
slices that have to be written anyway, then the fullest one with room, then new ones. A service
without any endpoint keeps one empty slice per family.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ekslab.kube.api.requests import Object
from ekslab.kube.runtime.pods import PodFacts
from ekslab.kube.runtime.services import (
    hostname,
    is_headless,
    is_ipv6,
    stands_behind,
    target_port,
)

ENDPOINTS_MOST: Final = 100
SERVICE_NAME: Final = "kubernetes.io/service-name"
MANAGED_BY: Final = "endpointslice.kubernetes.io/managed-by"
MANAGER: Final = "endpointslice-controller.k8s.io"
HEADLESS: Final = "service.kubernetes.io/headless"
_ZONE: Final = "topology.kubernetes.io/zone"

PortSet = tuple[tuple[str, int, str, str], ...]
"""`(name, port, protocol, appProtocol)` of each port, sorted."""


@dataclass(slots=True)
class Plan:
    """Slices to make, to write, to delete (by name)."""

    create: list[Object] = field(default_factory=list)
    update: list[Object] = field(default_factory=list)
    delete: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Draft:
    """A slice while it is decided on."""

    slice: Object | None
    endpoints: list[Object]
    is_changed: bool = False


def plan(
    service: Object,
    pods: Sequence[PodFacts],
    zones: Mapping[str, str],
    existing: Sequence[Object],
    reference: Object,
) -> Plan:
    """Compare. `zones` gives the zone of each node, `existing` are the service's slices, those of
    other managers left out; `reference` is the owner reference to the service.
    """
    result = Plan()
    families = service["spec"].get("ipFamilies") or ["IPv4"]
    labels = _labels(service)
    for family in families:
        mine = [one for one in existing if one["addressType"] == family]
        wanted = _desired(service, pods, zones, family)
        by_ports: dict[PortSet, list[Object]] = {}
        for one in mine:
            by_ports.setdefault(_port_set(one.get("ports") or ()), []).append(one)
        if not wanted:
            wanted = {(): {}}
        for ports, endpoints in wanted.items():
            drafts = _place(by_ports.pop(ports, []), endpoints)
            _write(result, drafts, labels, _frame(service, family, ports, labels, reference))
        result.delete += [one["metadata"]["name"] for left in by_ports.values() for one in left]
    result.delete += [
        one["metadata"]["name"] for one in existing if one["addressType"] not in families
    ]
    return result


def _desired(
    service: Object, pods: Sequence[PodFacts], zones: Mapping[str, str], family: str
) -> dict[PortSet, dict[str, Object]]:
    found: dict[PortSet, dict[str, Object]] = {}
    service_ports = service["spec"].get("ports") or ()
    is_named = any(isinstance(port.get("targetPort"), str) for port in service_ports)
    shared: PortSet | None = None
    for pod in pods:
        if not stands_behind(pod, with_terminating=True):
            continue
        address = next((ip for ip in pod.ips if is_ipv6(ip) == (family == "IPv6")), None)
        if address is None:
            continue
        if shared is None or is_named:
            shared = _ports_of(service_ports, pod)
        found.setdefault(shared, {})[pod.uid] = _endpoint(service, pod, zones, address)
    return found


def _ports_of(service_ports: Sequence[Object], pod: PodFacts) -> PortSet:
    ports = []
    for port in service_ports:
        number = target_port(port, pod)
        if number is not None:
            protocol, app = port.get("protocol", "TCP"), port.get("appProtocol", "")
            ports.append((port.get("name", ""), number, protocol, app))
    return tuple(sorted(ports))


def _port_set(ports: Sequence[Object]) -> PortSet:
    return tuple(
        sorted(
            (
                port.get("name", ""),
                port.get("port", 0),
                port.get("protocol", "TCP"),
                port.get("appProtocol", ""),
            )
            for port in ports
        )
    )


def _endpoint(service: Object, pod: PodFacts, zones: Mapping[str, str], address: str) -> Object:
    publishes_all = bool(service["spec"].get("publishNotReadyAddresses"))
    endpoint: Object = {
        "addresses": [address],
        "conditions": {
            "ready": publishes_all or (pod.is_ready and not pod.is_deleting),
            "serving": pod.is_ready,
            "terminating": pod.is_deleting,
        },
        "targetRef": {
            "kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid,
        },
    }  # fmt: skip
    if pod.node_name:
        endpoint["nodeName"] = pod.node_name
        if zones.get(pod.node_name):
            endpoint["zone"] = zones[pod.node_name]
    name = hostname(pod, service)
    if name:
        endpoint["hostname"] = name
    return endpoint


def _place(slices: Sequence[Object], wanted: Mapping[str, Object]) -> list[_Draft]:
    """Put the wanted endpoints into slices, moving none that is placed already."""
    left = dict(wanted)
    drafts: list[_Draft] = []
    for one in slices:
        old = one.get("endpoints") or []
        kept: list[Object] = []
        for endpoint in old:
            new = left.pop((endpoint.get("targetRef") or {}).get("uid", ""), None)
            if new is not None:
                kept.append(new)
        drafts.append(_Draft(one, kept, is_changed=kept != old))
    rest = list(left.values())
    for draft in drafts:
        if draft.is_changed:
            _fill(draft, rest)
    while rest:
        best = _best_fit(drafts, len(rest))
        if best is None:
            best = _Draft(None, [])
            drafts.append(best)
        _fill(best, rest)
    # Where nothing stands behind a service, one empty slice stays, or is made.
    return drafts or [_Draft(None, [])]


def _best_fit(drafts: Sequence[_Draft], count: int) -> _Draft | None:
    """The fullest slice that can take all the rest, so that one write does."""
    fitting = [
        draft for draft in drafts
        if not draft.is_changed and len(draft.endpoints) + min(count, ENDPOINTS_MOST)
        <= ENDPOINTS_MOST
    ]  # fmt: skip
    return max(fitting, key=lambda draft: len(draft.endpoints), default=None)


def _fill(draft: _Draft, rest: list[Object]) -> None:
    room = ENDPOINTS_MOST - len(draft.endpoints)
    if room > 0 and rest:
        draft.endpoints += rest[:room]
        del rest[:room]
        draft.is_changed = True


def _write(
    result: Plan, drafts: Sequence[_Draft], labels: Mapping[str, str], frame: Object
) -> None:
    """Turn drafts into writes; a slice that became empty goes, unless it is the only one."""
    is_empty = not any(draft.endpoints for draft in drafts)
    for number, draft in enumerate(drafts):
        if draft.slice is None:
            result.create.append({**frame, "endpoints": draft.endpoints})
        elif not draft.endpoints and (not is_empty or number > 0):
            result.delete.append(draft.slice["metadata"]["name"])
        elif draft.is_changed or draft.slice["metadata"].get("labels") != labels:
            meta = {**draft.slice["metadata"], "labels": dict(labels)}
            result.update.append({**draft.slice, "metadata": meta, "endpoints": draft.endpoints})


def _labels(service: Object) -> dict[str, str]:
    own = service["metadata"].get("labels") or {}
    labels = {key: value for key, value in own.items() if key not in {SERVICE_NAME, MANAGED_BY}}
    labels.pop(HEADLESS, None)
    labels[SERVICE_NAME] = service["metadata"]["name"]
    labels[MANAGED_BY] = MANAGER
    if is_headless(service):
        labels[HEADLESS] = ""
    return labels


def _frame(
    service: Object, family: str, ports: PortSet, labels: Mapping[str, str], reference: Object
) -> Object:
    """A slice without its endpoints."""
    frame: Object = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": service["metadata"]["name"] + "-",
            "namespace": service["metadata"]["namespace"],
            "labels": dict(labels),
            "ownerReferences": [dict(reference)],
        },
        "addressType": family,
        "ports": [_port(port) for port in ports],
    }
    return frame


def _port(port: tuple[str, int, str, str]) -> dict[str, Any]:
    name, number, protocol, app = port
    entry: dict[str, Any] = {"name": name, "port": number, "protocol": protocol}
    if app:
        entry["appProtocol"] = app
    return entry


def zone_of(node: Object) -> str:
    """The zone a node stands in, or ""."""
    zone: str = (node["metadata"].get("labels") or {}).get(_ZONE, "")
    return zone
