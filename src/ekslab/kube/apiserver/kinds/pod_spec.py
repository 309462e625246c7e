"""Validation of a pod spec, in a pod or a template: upstream's `ValidatePodSpec`."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ekslab.kube.api import names
from ekslab.kube.api.errors import Cause
from ekslab.kube.apiserver.kinds.field_errors import (
    each_invalid,
    forbidden,
    invalid,
    not_supported,
    one_of,
    required,
    too_many,
)
from ekslab.kube.apiserver.kinds.likeness import ValidBefore, likeness
from ekslab.kube.apiserver.kinds.object_meta import validate_annotations, validate_labels
from ekslab.kube.apiserver.kinds.pod_containers import validate_containers
from ekslab.kube.apiserver.kinds.pod_resources import validate_requirements
from ekslab.kube.apiserver.kinds.pod_scheduling import (
    validate_affinity,
    validate_spread,
    validate_tolerations,
)
from ekslab.kube.apiserver.kinds.pod_volumes import validate_volumes

Part = Mapping[str, Any]

RESTART_POLICIES: Final = ("Always", "OnFailure", "Never")
_DNS_POLICIES: Final = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_MOST: Final = 2**31 - 1
_NAMESERVERS_MOST: Final = 3
_SEARCHES_MOST: Final = 32
_SYSCTL_RE: Final = re.compile(
    r"[a-z0-9]([-_a-z0-9]*[a-z0-9])?([./][a-z0-9]([-_a-z0-9]*[a-z0-9])?)*"
)
_valid_before: Final = ValidBefore()  # of all clusters: they hold the same to be valid
_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
_MIRROR: Final = "kubernetes.io/config.mirror"


def validate_template(
    template: Mapping[str, Any], path: str, *, restart: Sequence[str] = ("Always",)
) -> list[Cause]:
    """A pod template of a workload; `restart` are the restart policies it may have."""
    meta, spec = template.get("metadata") or {}, template.get("spec") or {}
    causes = validate_labels(meta.get("labels"), f"{path}.metadata.labels")
    if meta.get("annotations"):
        at = f"{path}.metadata.annotations"
        causes.extend(validate_annotations(meta["annotations"], at))
        causes.extend(validate_pod_annotations(meta, spec, at))
    causes.extend(validate_pod_spec(spec, f"{path}.spec"))
    if spec.get("ephemeralContainers"):
        why = "ephemeral containers not allowed in pod template"
        causes.append(forbidden(f"{path}.spec.ephemeralContainers", why))
    policy = spec.get("restartPolicy", "")
    if policy in RESTART_POLICIES and policy not in restart:
        causes.append(not_supported(f"{path}.spec.restartPolicy", policy, restart))
    return causes


def validate_pod_annotations(
    meta: Mapping[str, Any], spec: Mapping[str, Any], path: str
) -> list[Cause]:
    """Annotations of pods that mean something to the API server."""
    annotations = meta.get("annotations")
    if not annotations:
        return []
    causes: list[Cause] = []
    if _MIRROR in annotations and not spec.get("nodeName"):
        why = "must set spec.nodeName if mirror pod annotation is set"
        causes.append(invalid(f"{path}[{_MIRROR}]", annotations[_MIRROR], why))
    cost = annotations.get(_COST)
    if cost is not None and not re.fullmatch(r"0|-?[1-9][0-9]{0,9}", cost):
        causes.append(invalid(f"{path}[{_COST}]", cost, "must be a 32bit integer"))
    return causes


def validate_pod_spec(spec: Mapping[str, Any], path: str) -> list[Cause]:
    """Everything upstream refuses in a pod spec, in upstream's order.

    It hangs on nothing but the spec, and specs repeat: one like a valid one is not looked at again.
    """
    text = likeness(spec)
    if text in _valid_before:
        return []
    causes = _problems(spec, path)
    if not causes:
        _valid_before.add(text)
    return causes


def _problems(spec: Mapping[str, Any], path: str) -> list[Cause]:
    causes: list[Cause] = []
    volumes = spec.get("volumes")
    known = validate_volumes(volumes, f"{path}.volumes", causes) if volumes else {}
    causes.extend(validate_containers(spec, known, path))
    if spec.get("hostNetwork"):
        _validate_host_network(spec, path, causes)
    restart = spec.get("restartPolicy", "")
    if restart not in RESTART_POLICIES:
        causes.extend(one_of(f"{path}.restartPolicy", restart, RESTART_POLICIES))
    dns = spec.get("dnsPolicy", "")
    if dns not in _DNS_POLICIES:
        causes.extend(one_of(f"{path}.dnsPolicy", dns, _DNS_POLICIES))
    if dns == "None" or spec.get("dnsConfig"):
        _validate_dns(spec.get("dnsConfig"), dns, f"{path}.dnsConfig", causes)
    for field, check in _PARTS:
        part = spec.get(field)
        if part:
            check(part, f"{path}.{field}", causes)
    _validate_names(spec, path, causes)
    return causes


def _validate_names(spec: Mapping[str, Any], path: str, causes: list[Cause]) -> None:
    for field, rule in (
        ("serviceAccountName", names.is_dns1123_subdomain),
        ("nodeName", names.is_dns1123_subdomain),
        ("hostname", names.is_dns1123_label),
        ("subdomain", names.is_dns1123_label),
        ("priorityClassName", names.is_dns1123_subdomain),
        ("runtimeClassName", names.is_dns1123_subdomain),
    ):
        value = spec.get(field)
        if value:
            wrong = rule(value)
            if wrong:
                causes.extend(each_invalid(f"{path}.{field}", value, wrong))
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _MOST:
        why = names.outside_range(1, _MOST)
        causes.append(invalid(f"{path}.activeDeadlineSeconds", deadline, why))
    preemption = spec.get("preemptionPolicy")
    if preemption and preemption not in {"PreemptLowerPriority", "Never"}:
        allowed = ("PreemptLowerPriority", "Never")
        causes.append(not_supported(f"{path}.preemptionPolicy", preemption, allowed))
    system = spec.get("os")
    if system is not None:
        allowed = ("linux", "windows")
        causes.extend(one_of(f"{path}.os.name", system.get("name", ""), allowed))


def _validate_host_network(spec: Mapping[str, Any], path: str, causes: list[Cause]) -> None:
    for index, container in enumerate(spec.get("containers") or ()):
        for number, port in enumerate(container.get("ports") or ()):
            host = port.get("hostPort", 0)
            if host and host != port.get("containerPort"):
                at = f"{path}.containers[{index}].ports[{number}].containerPort"
                why = "must match `hostPort` when `hostNetwork` is true"
                causes.append(invalid(at, port.get("containerPort", 0), why))


def _validate_security(security: Mapping[str, Any], path: str, causes: list[Cause]) -> None:
    for field in ("runAsUser", "runAsGroup", "fsGroup"):
        number = security.get(field)
        if number is not None and not 0 <= number <= _MOST:
            causes.append(invalid(f"{path}.{field}", number, names.outside_range(0, _MOST)))
    for index, number in enumerate(security.get("supplementalGroups") or ()):
        if not 0 <= number <= _MOST:
            at = f"{path}.supplementalGroups[{index}]"
            causes.append(invalid(at, number, names.outside_range(0, _MOST)))
    policy = security.get("fsGroupChangePolicy")
    if policy and policy not in {"Always", "OnRootMismatch"}:
        allowed = ("Always", "OnRootMismatch")
        causes.append(not_supported(f"{path}.fsGroupChangePolicy", policy, allowed))
    for index, sysctl in enumerate(security.get("sysctls") or ()):
        name, at = sysctl.get("name", ""), f"{path}.sysctls[{index}].name"
        if not name:
            causes.append(required(at))
        elif not _SYSCTL_RE.fullmatch(name):
            why = (
                "must have at most 253 characters and match regex"
                r" ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
            )
            causes.append(invalid(at, name, why))


def _validate_dns(
    config: Mapping[str, Any] | None, policy: str, path: str, causes: list[Cause]
) -> None:
    if policy == "None":
        if config is None:
            why = "must provide `dnsConfig` when `dnsPolicy` is None"
            causes.append(required(path, why))
        elif not config.get("nameservers"):
            why = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            causes.append(required(f"{path}.nameservers", why))
    if config is None:
        return
    servers = config.get("nameservers") or ()
    if len(servers) > _NAMESERVERS_MOST:
        why = f"must not have more than {_NAMESERVERS_MOST} nameservers"
        causes.append(invalid(f"{path}.nameservers", list(servers), why))
    for index, server in enumerate(servers):
        causes.extend(each_invalid(f"{path}.nameservers[{index}]", server, names.is_ip(server)))
    searches = config.get("searches") or ()
    if len(searches) > _SEARCHES_MOST:
        causes.append(too_many(f"{path}.searches", len(searches), _SEARCHES_MOST))
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            causes.append(required(f"{path}.options[{index}]", "must not be empty"))


def _validate_host_aliases(aliases: Sequence[Part], path: str, causes: list[Cause]) -> None:
    for index, alias in enumerate(aliases):
        address, at = alias.get("ip", ""), f"{path}[{index}]"
        causes.extend(each_invalid(f"{at}.ip", address, names.is_ip(address)))
        for number, host in enumerate(alias.get("hostnames") or ()):
            wrong = names.is_dns1123_subdomain(host)
            causes.extend(each_invalid(f"{at}.hostnames[{number}]", host, wrong))


def _validate_readiness_gates(gates: Sequence[Part], path: str, causes: list[Cause]) -> None:
    for index, gate in enumerate(gates):
        name = gate.get("conditionType", "")
        wrong = names.is_qualified_name(name)
        causes.extend(each_invalid(f"{path}[{index}].conditionType", name, wrong))


def _validate_scheduling_gates(gates: Sequence[Part], path: str, causes: list[Cause]) -> None:
    for index, gate in enumerate(gates):
        name = gate.get("name", "")
        causes.extend(each_invalid(f"{path}[{index}]", name, names.is_qualified_name(name)))


def _validate_pull_secrets(secrets: Sequence[Part], path: str, causes: list[Cause]) -> None:
    causes.extend(
        required(f"{path}[{index}].name")
        for index, secret in enumerate(secrets)
        if not secret.get("name")
    )


def _validate_node_selector(labels: Mapping[str, str], path: str, causes: list[Cause]) -> None:
    causes.extend(validate_labels(labels, path))


def _validate_resources(resources: Part, path: str, causes: list[Cause]) -> None:
    causes.extend(validate_requirements(resources, path))


_PARTS: Final[Sequence[tuple[str, Callable[[Any, str, list[Cause]], None]]]] = (
    ("resources", _validate_resources),
    ("nodeSelector", _validate_node_selector),
    ("securityContext", _validate_security),
    ("imagePullSecrets", _validate_pull_secrets),
    ("affinity", validate_affinity),
    ("readinessGates", _validate_readiness_gates),
    ("schedulingGates", _validate_scheduling_gates),
    ("topologySpreadConstraints", validate_spread),
    ("tolerations", validate_tolerations),
    ("hostAliases", _validate_host_aliases),
)
"""The optional parts of a pod spec that are checked by themselves, in upstream's order."""
