"""Services: upstream's `ValidateService` and the field upkeep of `registry/core/service`.

Addresses and node ports are allocated by the API server; here is what needs no memory: defaults,
fields that hang on the type, values a client may leave out of an update, and validation.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ekslab.kube.api import names
from ekslab.kube.api.errors import Cause
from ekslab.kube.api.requests import Object
from ekslab.kube.apiserver.kinds.addresses import validate_not_special
from ekslab.kube.apiserver.kinds.field_errors import (
    duplicate,
    each_invalid,
    forbidden,
    invalid,
    not_supported,
    one_of,
    required,
)
from ekslab.kube.apiserver.kinds.object_meta import validate_core_finalizers, validate_labels
from ekslab.kube.apiserver.kinds.pod_containers import PROTOCOLS, validate_port_or_name
from ekslab.kube.apiserver.kinds.strategy import Strategy, Traits

Spec = Mapping[str, Any]

_TYPES: Final = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_WITH_NODE_PORTS: Final = frozenset({"NodePort", "LoadBalancer"})
_WITH_ADDRESS: Final = frozenset({"ClusterIP", "NodePort", "LoadBalancer"})
_POLICIES: Final = ("Cluster", "Local")
_AFFINITY_S: Final = 10_800
_DAY_S: Final = 86_400
_NOT_EXTERNAL: Final = "may not be set for ExternalName services"
_ONCE: Final = "may not change once set"


class ServiceStrategy(Strategy):
    """A name and an address for pods."""

    traits = Traits(
        name_rule=names.is_dns1035_label,
        born={"loadBalancer": {}},
        create_on_update=True,
        selectable=frozenset({"spec.clusterIP", "spec.type"}),
    )

    def default(self, obj: Object) -> None:
        """ClusterIP, TCP, target port as port."""
        spec = obj.setdefault("spec", {})
        affinity = spec.setdefault("sessionAffinity", "None")
        if affinity == "None":
            spec.pop("sessionAffinityConfig", None)
        elif affinity == "ClientIP":
            config = spec.setdefault("sessionAffinityConfig", {})
            config.setdefault("clientIP", {}).setdefault("timeoutSeconds", _AFFINITY_S)
        kind = spec.setdefault("type", "ClusterIP")
        for port in spec.get("ports") or ():
            port.setdefault("protocol", "TCP")
            if port.get("targetPort") in (None, 0, ""):
                port["targetPort"] = port.get("port", 0)
        if _externally_accessible(spec):
            spec.setdefault("externalTrafficPolicy", "Cluster")
        if kind in _WITH_ADDRESS:
            spec.setdefault("internalTrafficPolicy", "Cluster")
        if kind == "LoadBalancer":
            spec.setdefault("allocateLoadBalancerNodePorts", True)

    def prepare_create(self, obj: Object) -> None:
        """Bring the fields about addresses into the form upstream stores."""
        super().prepare_create(obj)
        _settle(obj["spec"])

    def prepare_update(self, obj: Object, old: Object) -> None:
        """Keep what was allocated and the client left out; drop what the type has no use for."""
        super().prepare_update(obj, old)
        spec, before = obj["spec"], old["spec"]
        _drop_for_type(spec, before)
        if spec.get("type") in _WITH_ADDRESS and before.get("type") in _WITH_ADDRESS:
            if not spec.get("clusterIP") and before.get("clusterIP"):
                spec["clusterIP"] = before["clusterIP"]
                spec["clusterIPs"] = list(before.get("clusterIPs") or [before["clusterIP"]])
            for field in ("ipFamilies", "ipFamilyPolicy"):
                if field not in spec and field in before:
                    spec[field] = before[field]
            if spec.get("clusterIP") != before.get("clusterIP") and (
                spec.get("clusterIPs") == before.get("clusterIPs")
            ):
                # The client changed the single field only: the list follows.
                spec["clusterIPs"] = [spec["clusterIP"]]
        if spec.get("type") in _WITH_NODE_PORTS and before.get("type") in _WITH_NODE_PORTS:
            _keep_node_ports(spec.get("ports") or (), before.get("ports") or ())
            if not spec.get("healthCheckNodePort") and _needs_health_port(spec):
                port = before.get("healthCheckNodePort")
                if port:
                    spec["healthCheckNodePort"] = port
        _settle(spec)

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateService`."""
        causes.extend(validate_core_finalizers(obj["metadata"]))
        spec = obj["spec"]
        kind, headless = spec.get("type", ""), _is_headless(spec)
        ports = spec.get("ports") or ()
        if not ports and not headless and kind != "ExternalName":
            causes.append(required("spec.ports"))
        if kind in _WITH_NODE_PORTS and headless:
            why = f"may not be set to 'None' for {kind} services"
            causes.append(invalid("spec.clusterIPs[0]", "None", why))
        if kind == "ExternalName":
            _validate_external_name(spec, causes)
        _validate_ports(spec, ports, causes)
        causes.extend(validate_labels(spec.get("selector"), "spec.selector"))
        _validate_affinity(spec, causes)
        for index, address in enumerate(spec.get("externalIPs") or ()):
            causes.extend(validate_not_special(address, f"spec.externalIPs[{index}]"))
        causes.extend(one_of("spec.type", kind, _TYPES))
        _validate_traffic(spec, causes)
        _validate_ranges(spec, causes)
        for index, address in enumerate(spec.get("clusterIPs") or ()):
            if address != "None":
                wrong = names.is_ip(address)
                causes.extend(each_invalid(f"spec.clusterIPs[{index}]", address, wrong))

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """The address stays while the type needs one."""
        spec, before = obj["spec"], old["spec"]
        both = {spec.get("type"), before.get("type")}
        if both <= _WITH_ADDRESS and "ExternalName" not in both:
            new, was = spec.get("clusterIPs") or [], before.get("clusterIPs") or []
            for index, address in enumerate(was[: len(new)]):
                if address and address != new[index]:
                    causes.append(invalid(f"spec.clusterIPs[{index}]", new, _ONCE))
        if (
            spec.get("type") == before.get("type") == "LoadBalancer"
            and before.get("loadBalancerClass") is not None
            and spec.get("loadBalancerClass") != before["loadBalancerClass"]
        ):
            causes.append(invalid("spec.loadBalancerClass", spec.get("loadBalancerClass"), _ONCE))
        self.check(obj, causes)

    def fields(self, obj: Object) -> dict[str, str]:
        """Address and type."""
        spec = obj["spec"]
        return {
            **super().fields(obj),
            "spec.clusterIP": spec.get("clusterIP", ""),
            "spec.type": spec.get("type", ""),
        }


def _externally_accessible(spec: Spec) -> bool:
    if spec.get("type") in _WITH_NODE_PORTS:
        return True
    return spec.get("type") == "ClusterIP" and bool(spec.get("externalIPs"))


def _is_headless(spec: Spec) -> bool:
    return spec.get("clusterIP") == "None" or (spec.get("clusterIPs") or [""])[0] == "None"


def _needs_health_port(spec: Spec) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _settle(spec: Object) -> None:
    """`clusterIP` and `clusterIPs` say the same; families are named."""
    if spec.get("type") == "ExternalName":
        return
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    elif spec.get("clusterIPs") and not spec.get("clusterIP"):
        spec["clusterIP"] = spec["clusterIPs"][0]
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    if not spec.get("ipFamilies"):
        spec["ipFamilies"] = ["IPv4"]


def _drop_for_type(spec: Object, old: Spec) -> None:
    """Fields the new type has no use for go, if the client did not touch them."""
    kind = spec.get("type")
    if kind == old.get("type"):
        return
    if kind not in _WITH_ADDRESS:
        for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if spec.get(field) == old.get(field):
                spec.pop(field, None)
    if kind not in _WITH_NODE_PORTS and old.get("type") in _WITH_NODE_PORTS:
        before = {port.get("nodePort") for port in old.get("ports") or ()}
        for port in spec.get("ports") or ():
            if port.get("nodePort") in before:
                port.pop("nodePort", None)
    for field, wanted in (
        ("healthCheckNodePort", _needs_health_port(spec)),
        ("allocateLoadBalancerNodePorts", kind == "LoadBalancer"),
        ("loadBalancerClass", kind == "LoadBalancer"),
        ("externalTrafficPolicy", _externally_accessible(spec)),
        ("internalTrafficPolicy", kind in _WITH_ADDRESS),
    ):
        if not wanted and spec.get(field) == old.get(field):
            spec.pop(field, None)


def _keep_node_ports(ports: Sequence[Object], old: Sequence[Spec]) -> None:
    by_name = {port.get("name", ""): port.get("nodePort", 0) for port in old}
    by_number = {(port.get("port"), port.get("protocol")): port.get("nodePort", 0) for port in old}
    taken = {port["nodePort"] for port in ports if port.get("nodePort")}
    for port in ports:
        if port.get("nodePort"):
            continue
        before = by_name.get(port.get("name", ""), 0)
        before = before or by_number.get((port.get("port"), port.get("protocol")), 0)
        if before and before not in taken:
            port["nodePort"] = before
            taken.add(before)


def _validate_external_name(spec: Spec, causes: list[Cause]) -> None:
    causes.extend(
        forbidden(f"spec.{field}", _NOT_EXTERNAL)
        for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy")
        if spec.get(field)
    )
    name = spec.get("externalName", "").removesuffix(".")
    if not name:
        causes.append(required("spec.externalName"))
    else:
        causes.extend(each_invalid("spec.externalName", name, names.is_dns1123_subdomain(name)))


def _validate_ports(spec: Spec, ports: Sequence[Spec], causes: list[Cause]) -> None:
    taken: set[str] = set()
    numbers: set[tuple[Any, Any]] = set()
    node_ports: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        at, name = f"spec.ports[{index}]", port.get("name", "")
        if not name and len(ports) > 1:
            causes.append(required(f"{at}.name"))
        elif name:
            causes.extend(each_invalid(f"{at}.name", name, names.is_dns1123_label(name)))
            if name in taken:
                causes.append(duplicate(f"{at}.name", name))
            taken.add(name)
        number, protocol = port.get("port", 0), port.get("protocol", "")
        causes.extend(each_invalid(f"{at}.port", number, names.is_port_number(number)))
        causes.extend(one_of(f"{at}.protocol", protocol, PROTOCOLS))
        validate_port_or_name(port.get("targetPort", 0), f"{at}.targetPort", causes)
        if port.get("appProtocol"):
            wrong = names.is_qualified_name(port["appProtocol"])
            causes.extend(each_invalid(f"{at}.appProtocol", port["appProtocol"], wrong))
        node_port = port.get("nodePort", 0)
        if node_port and spec.get("type") == "ClusterIP":
            why = "may not be used when `type` is 'ClusterIP'"
            causes.append(forbidden(f"{at}.nodePort", why))
        if node_port and (protocol, node_port) in node_ports:
            causes.append(duplicate(f"{at}.nodePort", node_port))
        node_ports.add((protocol, node_port))
        if (protocol, number) in numbers:
            causes.append(duplicate(at, _as_internal_port(protocol, number)))
        numbers.add((protocol, number))


def _as_internal_port(protocol: str, number: int) -> Object:
    """Upstream shows its internal type, whose fields have Go's names."""
    return {
        "Name": "",
        "Protocol": protocol,
        "AppProtocol": None,
        "Port": number,
        "TargetPort": 0,
        "NodePort": 0,
    }


def _validate_affinity(spec: Spec, causes: list[Cause]) -> None:
    affinity = spec.get("sessionAffinity", "")
    causes.extend(one_of("spec.sessionAffinity", affinity, ("ClientIP", "None")))
    if affinity == "ClientIP":
        client = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        seconds = client.get("timeoutSeconds", 0)
        if not 0 < seconds <= _DAY_S:
            at = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
            causes.append(invalid(at, seconds, f"must be greater than 0 and less than {_DAY_S}"))


def _validate_traffic(spec: Spec, causes: list[Cause]) -> None:
    external = spec.get("externalTrafficPolicy")
    if external and not _externally_accessible(spec):
        why = "may only be set for externally-accessible services"
        causes.append(invalid("spec.externalTrafficPolicy", external, why))
    elif external and external not in _POLICIES:
        causes.append(not_supported("spec.externalTrafficPolicy", external, _POLICIES))
    internal = spec.get("internalTrafficPolicy")
    if internal and internal not in _POLICIES:
        causes.append(not_supported("spec.internalTrafficPolicy", internal, _POLICIES))
    policy = spec.get("ipFamilyPolicy")
    allowed = ("SingleStack", "PreferDualStack", "RequireDualStack")
    if policy and policy not in allowed:
        causes.append(not_supported("spec.ipFamilyPolicy", policy, allowed))
    for index, family in enumerate(spec.get("ipFamilies") or ()):
        if family not in {"IPv4", "IPv6"}:
            causes.append(not_supported(f"spec.ipFamilies[{index}]", family, ("IPv4", "IPv6")))
    if "allocateLoadBalancerNodePorts" in spec and spec.get("type") != "LoadBalancer":
        why = "may only be used when `type` is 'LoadBalancer'"
        causes.append(forbidden("spec.allocateLoadBalancerNodePorts", why))
    if spec.get("loadBalancerClass") and spec.get("type") != "LoadBalancer":
        why = "may only be used when `type` is 'LoadBalancer'"
        causes.append(forbidden("spec.loadBalancerClass", why))


def _validate_ranges(spec: Spec, causes: list[Cause]) -> None:
    ranges = spec.get("loadBalancerSourceRanges") or ()
    if ranges and spec.get("type") != "LoadBalancer":
        why = "may only be used when `type` is 'LoadBalancer'"
        causes.append(forbidden("spec.loadBalancerSourceRanges", why))
    for index, text in enumerate(ranges):
        at = f"spec.loadBalancerSourceRanges[{index}]"
        causes.extend(each_invalid(at, text, names.is_cidr(text.strip())))
