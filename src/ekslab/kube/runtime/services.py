"""Which pods stand behind which Services, for the two controllers that write them down.

Upstream: `pkg/controller/util/endpoint/controller_utils.go` and
`k8s.io/endpointslice/util`.
"""

from collections.abc import Callable
from typing import Final

from ekslab.kube.api.objects import Item
from ekslab.kube.api.requests import Object
from ekslab.kube.client.informers import Key
from ekslab.kube.runtime.pods import PodFacts
from ekslab.kube.runtime.selection import map_matcher

_GATHER_PER_POD_S: Final = 0.0003
_AT_ONCE: Final = 100


class ServiceSelectors:
    """Finds the services that select a pod, without asking each of them.

    A service is filed under one pair of its selector; only services filed under one of the pod's
    own labels are looked at.
    """

    def __init__(self) -> None:
        self._filed: dict[tuple[str, str, str], dict[Key, Item]] = {}

    def changed(self, old: Item | None, new: Item | None) -> None:
        """Note a change of a service."""
        if old is not None:
            place = _place(old)
            held = self._filed.get(place) if place else None
            if held is not None and place is not None:
                held.pop(old.key, None)
                if not held:
                    del self._filed[place]
        if new is not None:
            place = _place(new)
            if place is not None:
                self._filed.setdefault(place, {})[new.key] = new

    def of(self, pod: PodFacts) -> list[Key]:
        """The services that select the pod."""
        found: list[Key] = []
        for key, value in pod.labels.items():
            services = self._filed.get((pod.namespace, key, value), {}).values()
            found.extend(
                service.key
                for service in services
                if map_matcher(service.object["spec"]["selector"])(pod.labels)
            )
        return found


def _place(service: Item) -> tuple[str, str, str] | None:
    selector = service.object["spec"].get("selector")
    if not selector:
        return None
    key, value = min(selector.items())
    return (service.namespace, key, value)


def note_pod(
    selectors: ServiceSelectors,
    old: PodFacts | None,
    new: PodFacts | None,
    add: Callable[[Key], None],
) -> None:
    """Name the services that a change of a pod concerns, if it concerns any."""
    if old is not None and new is not None:
        if _is_alike(old, new):
            return
        if old.labels != new.labels:
            for key in selectors.of(old):
                add(key)
    pod = new or old
    assert pod is not None
    if old is None and not pod.ips:
        return
    for key in selectors.of(pod):
        add(key)


def _is_alike(old: PodFacts, new: PodFacts) -> bool:
    """Whether services see no difference."""
    return (
        old.is_ready == new.is_ready
        and old.ips == new.ips
        and old.node_name == new.node_name
        and old.is_deleting == new.is_deleting
        and old.is_terminal == new.is_terminal
        and old.labels == new.labels
    )


def count_delay_s(count: int) -> float:
    """How long to gather changes of a service of `count` pods before writing them down: a look at
    one pod takes about 10 us, so that this keeps it at a few percent of a core.
    """
    return 0.0 if count <= _AT_ONCE else min(1.0, count * _GATHER_PER_POD_S)


def stands_behind(pod: PodFacts, *, with_terminating: bool) -> bool:
    """Whether a pod that is selected is an endpoint (upstream: ShouldPodBeInEndpoints)."""
    return bool(pod.ips) and not pod.is_terminal and (with_terminating or not pod.is_deleting)


def hostname(pod: PodFacts, service: Object) -> str:
    """The host name the endpoint is published under, or "" (upstream: ShouldSetHostname)."""
    if not is_headless(service):
        return ""
    spec = pod.item.object["spec"]
    is_member = spec.get("subdomain") == service["metadata"]["name"]
    found: str = spec.get("hostname", "") if is_member else ""
    return found


def target_port(service_port: Object, pod: PodFacts) -> int | None:
    """The number of a service port's target in a pod; None if the pod has no port of that name."""
    target = service_port.get("targetPort") or service_port["port"]
    if isinstance(target, int):
        return target
    protocol = service_port.get("protocol", "TCP")
    spec = pod.item.object["spec"]
    sidecars = [
        one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"
    ]
    for container in (*spec["containers"], *sidecars):
        for port in container.get("ports") or ():
            if port.get("name") == target and port.get("protocol", "TCP") == protocol:
                number: int = port["containerPort"]
                return number
    return None


def is_ipv6(address: str) -> bool:
    """Whether an address is of IPv6."""
    return ":" in address


def is_headless(service: Object) -> bool:
    """Whether the service has no virtual address."""
    return bool(service["spec"].get("clusterIP") == "None")
