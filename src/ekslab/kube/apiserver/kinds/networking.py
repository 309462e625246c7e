"""Ingresses, their classes, and network policies: upstream's `pkg/apis/networking/validation`."""

import ipaddress
from collections.abc import Mapping
from typing import Any, Final

from ekslab.kube.api import names
from ekslab.kube.api.errors import Cause
from ekslab.kube.api.requests import Object
from ekslab.kube.apiserver.kinds.field_errors import (
    each_invalid,
    forbidden,
    invalid,
    not_supported,
    required,
    unchanged,
)
from ekslab.kube.apiserver.kinds.labels import validate_label_selector
from ekslab.kube.apiserver.kinds.pod_containers import PROTOCOLS, validate_port_or_name
from ekslab.kube.apiserver.kinds.strategy import Strategy, Traits

Part = Mapping[str, Any]

_PATH_TYPES: Final = ("Exact", "ImplementationSpecific", "Prefix")
_OLD_CLASS: Final = "kubernetes.io/ingress.class"


class IngressStrategy(Strategy):
    """A way in, by host and path."""

    traits = Traits(generation=True, born={"loadBalancer": {}})

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateIngressCreate`."""
        spec = obj.get("spec") or {}
        annotations = obj["metadata"].get("annotations") or {}
        if _OLD_CLASS in annotations and spec.get("ingressClassName") is not None:
            at = f"metadata.annotations[{_OLD_CLASS}]"
            why = "can not be set when the class field is also set"
            causes.append(invalid(at, annotations[_OLD_CLASS], why))
        self.check_update(obj, obj, causes)

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateIngressSpec`."""
        del old
        spec = obj.get("spec") or {}
        rules, backend = spec.get("rules") or (), spec.get("defaultBackend")
        if not rules and backend is None:
            why = "either `defaultBackend` or `rules` must be specified"
            causes.append(invalid("spec", [], why))
        if backend is not None:
            _validate_backend(backend, "spec.defaultBackend", causes)
        for index, rule in enumerate(rules):
            _validate_ingress_rule(rule, f"spec.rules[{index}]", causes)
        for index, entry in enumerate(spec.get("tls") or ()):
            for number, host in enumerate(entry.get("hosts") or ()):
                at = f"spec.tls[{index}].hosts[{number}]"
                causes.extend(each_invalid(at, host, _host_rule(host)(host)))
        name = spec.get("ingressClassName")
        if name is not None:
            wrong = names.is_dns1123_subdomain(name)
            causes.extend(each_invalid("spec.ingressClassName", name, wrong))

    def warnings(self, obj: Object) -> list[str]:
        """The annotation that named the class before there was a field."""
        if _OLD_CLASS in (obj["metadata"].get("annotations") or {}):
            instead = "please use 'spec.ingressClassName' instead"
            return [f'annotation "{_OLD_CLASS}" is deprecated, {instead}']
        return []


def _host_rule(host: str) -> names.Rule:
    return names.is_wildcard_dns1123_subdomain if "*" in host else names.is_dns1123_subdomain


def _validate_ingress_rule(rule: Part, path: str, causes: list[Cause]) -> None:
    host = rule.get("host")
    if host:
        if not names.is_ip(host):
            why = "must be a DNS name, not an IP address"
            causes.append(invalid(f"{path}.host", host, why))
        else:
            causes.extend(each_invalid(f"{path}.host", host, _host_rule(host)(host)))
    http = rule.get("http")
    if http is None:
        return
    paths = http.get("paths") or ()
    if not paths:
        causes.append(required(f"{path}.http.paths"))
    for index, entry in enumerate(paths):
        at = f"{path}.http.paths[{index}]"
        kind, where = entry.get("pathType"), entry.get("path", "")
        if kind is None:
            causes.append(required(f"{at}.pathType", "pathType must be specified"))
        elif kind not in _PATH_TYPES:
            causes.append(not_supported(f"{at}.pathType", kind, _PATH_TYPES))
        elif kind != "ImplementationSpecific" or where:
            if not where.startswith("/"):
                causes.append(invalid(f"{at}.path", where, "must be an absolute path"))
            causes.extend(
                invalid(f"{at}.path", where, f"must not contain '{bad}'")
                for bad in ("//", "/./", "/../", "%2f", "%2F")
                if kind != "ImplementationSpecific" and bad in where
            )
        _validate_backend(entry.get("backend") or {}, f"{at}.backend", causes)


def _validate_backend(backend: Part, path: str, causes: list[Cause]) -> None:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        why = "cannot set both resource and service backends"
        causes.append(invalid(path, "", why))
        return
    if resource is not None:
        return
    if service is None:
        causes.append(required(path, "resource or service backend is required"))
        return
    at, name = f"{path}.service", service.get("name", "")
    if not name:
        causes.append(required(f"{at}.name"))
    else:
        causes.extend(each_invalid(f"{at}.name", name, names.is_dns1035_label(name)))
    port = service.get("port") or {}
    named, number = port.get("name"), port.get("number", 0)
    if named and number:
        causes.append(invalid(path, "", "cannot set both port name & port number"))
    elif named:
        causes.extend(each_invalid(f"{at}.port.name", named, names.is_port_name(named)))
    elif number:
        causes.extend(each_invalid(f"{at}.port.number", number, names.is_port_number(number)))
    else:
        causes.append(required(path, "port name or number is required"))


class IngressClassStrategy(Strategy):
    """Who serves ingresses."""

    traits = Traits(generation=True, born=None)

    def default(self, obj: Object) -> None:
        """Parameters are cluster wide unless said otherwise."""
        parameters = (obj.get("spec") or {}).get("parameters")
        if parameters:
            parameters.setdefault("scope", "Cluster")

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateIngressClass`."""
        controller = (obj.get("spec") or {}).get("controller", "")
        if not controller:
            causes.append(required("spec.controller"))
        elif "/" not in controller:
            why = 'must be a domain-prefixed path (such as "acme.io/foo")'
            causes.append(invalid("spec.controller", controller, why))

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """The controller stays."""
        new, before = (obj.get("spec") or {}), (old.get("spec") or {})
        causes.extend(unchanged("spec.controller", new.get("controller"), before.get("controller")))


class NetworkPolicyStrategy(Strategy):
    """Who may talk to whom."""

    traits = Traits(generation=True, born=None)

    def default(self, obj: Object) -> None:
        """Ports are TCP; the types follow from the rules."""
        spec = obj.setdefault("spec", {})
        for direction in ("ingress", "egress"):
            for rule in spec.get(direction) or ():
                for port in rule.get("ports") or ():
                    port.setdefault("protocol", "TCP")
        if not spec.get("policyTypes"):
            spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
        spec.setdefault("podSelector", {})

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateNetworkPolicySpec`."""
        spec = obj["spec"]
        causes.extend(validate_label_selector(spec.get("podSelector"), "spec.podSelector"))
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for index, rule in enumerate(spec.get(direction) or ()):
                at = f"spec.{direction}[{index}]"
                for number, port in enumerate(rule.get("ports") or ()):
                    _validate_policy_port(port, f"{at}.ports[{number}]", causes)
                for number, peer in enumerate(rule.get(peers) or ()):
                    _validate_peer(peer, f"{at}.{peers}[{number}]", causes)
        kinds = spec.get("policyTypes") or ()
        if len(kinds) > 2:
            why = "may not specify more than two policyTypes"
            causes.append(invalid("spec.policyTypes", list(kinds), why))
        for index, kind in enumerate(kinds):
            if kind not in {"Ingress", "Egress"}:
                allowed = ("Egress", "Ingress")
                causes.append(not_supported(f"spec.policyTypes[{index}]", kind, allowed))


def _validate_policy_port(port: Part, path: str, causes: list[Cause]) -> None:
    protocol = port.get("protocol", "TCP")
    if protocol not in PROTOCOLS:
        causes.append(not_supported(f"{path}.protocol", protocol, PROTOCOLS))
    number, end = port.get("port"), port.get("endPort")
    if number is not None:
        validate_port_or_name(number, f"{path}.port", causes)
    if end is None:
        return
    if number is None:
        causes.append(required(f"{path}.port", "must be specified if endPort is specified"))
    elif isinstance(number, str):
        why = "may not be specified when port is non-numeric"
        causes.append(invalid(f"{path}.endPort", end, why))
    elif end < number:
        why = "must be greater than or equal to `port`"
        causes.append(invalid(f"{path}.endPort", end, why))


def _validate_peer(peer: Part, path: str, causes: list[Cause]) -> None:
    for field in ("podSelector", "namespaceSelector"):
        causes.extend(validate_label_selector(peer.get(field), f"{path}.{field}"))
    block = peer.get("ipBlock")
    if not peer:
        causes.append(required(path, "must specify a peer"))
    elif block is not None and len(peer) > 1:
        causes.append(forbidden(path, "may not specify both ipBlock and another peer"))
    if block is None:
        return
    cidr = block.get("cidr", "")
    if not cidr:
        causes.append(required(f"{path}.ipBlock.cidr"))
        return
    wrong = names.is_cidr(cidr)
    causes.extend(each_invalid(f"{path}.ipBlock.cidr", cidr, wrong))
    for index, text in enumerate(block.get("except") or ()):
        at = f"{path}.ipBlock.except[{index}]"
        bad = names.is_cidr(text)
        causes.extend(each_invalid(at, text, bad))
        if not wrong and not bad and not _strictly_within(text, cidr):
            why = f"must be a strict subset of `cidr` {cidr}"
            causes.append(invalid(at, text, why))


def _strictly_within(inner: str, outer: str) -> bool:
    small = ipaddress.ip_network(inner, strict=False)
    large = ipaddress.ip_network(outer, strict=False)
    if small.version != large.version or small.prefixlen <= large.prefixlen:
        return False
    return small.network_address in large
