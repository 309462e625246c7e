"""Validation of containers: upstream's `validateContainers` and what it calls."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ekslab.kube.api import names
from ekslab.kube.api.errors import CAUSES_MOST, Cause
from ekslab.kube.apiserver.kinds.field_errors import (
    duplicate,
    each_invalid,
    forbidden,
    invalid,
    not_found,
    not_negative,
    not_supported,
    one_of,
    required,
)
from ekslab.kube.apiserver.kinds.pod_resources import validate_requirements

Container = Mapping[str, Any]

PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
PULL_POLICIES: Final = ("Always", "IfNotPresent", "Never")
_ENV_FIELDS: Final = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
    "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
_ENV_RESOURCES: Final = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu",
    "requests.ephemeral-storage", "requests.memory",
)  # fmt: skip
_ENV_SOURCES: Final = (
    "fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef",
)  # fmt: skip
_HANDLERS: Final = ("exec", "httpGet", "tcpSocket", "grpc")
_PROBE_NUMBERS: Final = (
    "initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold",
    "failureThreshold",
)  # fmt: skip
_USER_MOST: Final = 2**31 - 1
_RUNTIME_FIELDS: Final = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")


def validate_containers(
    spec: Mapping[str, Any], volumes: Mapping[str, Any], at: str
) -> list[Cause]:
    """Containers, init containers and ephemeral containers of one pod spec."""
    causes: list[Cause] = []
    containers = spec.get("containers")
    if not containers:
        causes.append(required(f"{at}.containers"))
        containers = ()
    taken: set[str] = set()
    for index, container in enumerate(containers):
        if len(causes) >= CAUSES_MOST:
            break
        path = f"{at}.containers[{index}]"
        _validate_common(container, volumes, path, causes)
        _validate_name_unique(container, taken, path, causes)
        _validate_running(container, path, causes)
    _validate_host_ports(containers, f"{at}.containers", causes)
    for index, container in enumerate(spec.get("initContainers") or ()):
        path = f"{at}.initContainers[{index}]"
        _validate_common(container, volumes, path, causes)
        _validate_name_unique(container, taken, path, causes)
        _validate_init(container, path, causes)
    for index, container in enumerate(spec.get("ephemeralContainers") or ()):
        path = f"{at}.ephemeralContainers[{index}]"
        _validate_common(container, volumes, path, causes)
        _validate_name_unique(container, taken, path, causes)
        causes.extend(
            forbidden(f"{path}.{field}", "cannot be set for an Ephemeral Container")
            for field in (*_RUNTIME_FIELDS, "ports", "resources")
            if container.get(field)
        )
    return causes


def _validate_common(
    container: Container, volumes: Mapping[str, Any], path: str, causes: list[Cause]
) -> None:
    name = container.get("name")
    if not name:
        causes.append(required(f"{path}.name"))
    else:
        wrong = names.is_dns1123_label(name)
        if wrong:
            causes.extend(each_invalid(f"{path}.name", name, wrong))
    image = container.get("image", "")
    if not image:
        causes.append(required(f"{path}.image"))
    elif image != image.strip():
        why = "must not have leading or trailing whitespace"
        causes.append(invalid(f"{path}.image", image, why))
    policy = container.get("terminationMessagePolicy", "")
    if policy not in {"File", "FallbackToLogsOnError"}:
        allowed = ("FallbackToLogsOnError", "File")
        causes.extend(one_of(f"{path}.terminationMessagePolicy", policy, allowed))
    for field, check in _PARTS:
        part = container.get(field)
        if part:
            check(part, f"{path}.{field}", causes)
    if container.get("volumeMounts"):
        _validate_mounts(container, volumes, f"{path}.volumeMounts", causes)
    if container.get("volumeDevices"):
        _validate_devices(container["volumeDevices"], volumes, f"{path}.volumeDevices", causes)
    pull = container.get("imagePullPolicy", "")
    if pull not in PULL_POLICIES:
        causes.extend(one_of(f"{path}.imagePullPolicy", pull, PULL_POLICIES))


def _validate_name_unique(
    container: Container, taken: set[str], path: str, causes: list[Cause]
) -> None:
    name = container.get("name", "")
    if name in taken:
        causes.append(duplicate(f"{path}.name", name))
    taken.add(name)


def _validate_running(container: Container, path: str, causes: list[Cause]) -> None:
    lifecycle = container.get("lifecycle")
    if lifecycle:
        for hook in ("postStart", "preStop"):
            if hook in lifecycle:
                _validate_handler(
                    lifecycle[hook], (*_HANDLERS, "sleep"), f"{path}.lifecycle.{hook}", causes
                )
    probe = container.get("livenessProbe")
    if probe is not None:
        _validate_probe(probe, f"{path}.livenessProbe", causes)
        if probe.get("successThreshold", 1) != 1:
            at = f"{path}.livenessProbe.successThreshold"
            causes.append(invalid(at, probe["successThreshold"], "must be 1"))
    probe = container.get("readinessProbe")
    if probe is not None:
        _validate_probe(probe, f"{path}.readinessProbe", causes)
        if "terminationGracePeriodSeconds" in probe:
            at = f"{path}.readinessProbe.terminationGracePeriodSeconds"
            why = "must not be set for readinessProbes"
            causes.append(invalid(at, probe["terminationGracePeriodSeconds"], why))
    probe = container.get("startupProbe")
    if probe is not None:
        _validate_probe(probe, f"{path}.startupProbe", causes)
        if probe.get("successThreshold", 1) != 1:
            at = f"{path}.startupProbe.successThreshold"
            causes.append(invalid(at, probe["successThreshold"], "must be 1"))


def _validate_init(container: Container, path: str, causes: list[Cause]) -> None:
    policy = container.get("restartPolicy", "")
    if policy == "Always":
        _validate_running(container, path, causes)
        return
    if policy and policy not in {"Never", "OnFailure"}:
        allowed = ("Always", "Never", "OnFailure")
        causes.append(not_supported(f"{path}.restartPolicy", policy, allowed))
    causes.extend(
        forbidden(
            f"{path}.{field}", "may not be set for init containers without restartPolicy=Always"
        )
        for field in _RUNTIME_FIELDS
        if field in container
    )


def _validate_ports(ports: Sequence[Container], path: str, causes: list[Cause]) -> None:
    taken: set[str] = set()
    for index, port in enumerate(ports):
        at = f"{path}[{index}]"
        name = port.get("name")
        if name:
            wrong = names.is_port_name(name)
            if wrong:
                causes.extend(each_invalid(f"{at}.name", name, wrong))
            elif name in taken:
                causes.append(duplicate(f"{at}.name", name))
            taken.add(name)
        number = port.get("containerPort", 0)
        if not number:
            causes.append(required(f"{at}.containerPort"))
        else:
            causes.extend(each_invalid(f"{at}.containerPort", number, names.is_port_number(number)))
        host = port.get("hostPort", 0)
        if host:
            causes.extend(each_invalid(f"{at}.hostPort", host, names.is_port_number(host)))
        protocol = port.get("protocol", "")
        if protocol not in PROTOCOLS:
            causes.extend(one_of(f"{at}.protocol", protocol, PROTOCOLS))


def _validate_host_ports(containers: Sequence[Container], path: str, causes: list[Cause]) -> None:
    taken: set[str] = set()
    for index, container in enumerate(containers):
        for number, port in enumerate(container.get("ports") or ()):
            if port.get("hostPort"):
                protocol, address = port.get("protocol", ""), port.get("hostIP", "")
                key = f"{protocol}/{address}/{port['hostPort']}"
                if key in taken:
                    causes.append(duplicate(f"{path}[{index}].ports[{number}].hostPort", key))
                taken.add(key)


def _validate_env(env: Sequence[Container], path: str, causes: list[Cause]) -> None:
    for index, variable in enumerate(env):
        at = f"{path}[{index}]"
        name = variable.get("name", "")
        if not name:
            causes.append(required(f"{at}.name"))
        else:
            causes.extend(each_invalid(f"{at}.name", name, names.is_environment_name(name)))
        source = variable.get("valueFrom")
        if source is not None:
            _validate_env_source(variable, source, f"{at}.valueFrom", causes)


def _validate_env_source(
    variable: Container, source: Mapping[str, Any], at: str, causes: list[Cause]
) -> None:
    given = [kind for kind in _ENV_SOURCES if kind in source]
    if "fieldRef" in source:
        validate_field_ref(source["fieldRef"], _ENV_FIELDS, f"{at}.fieldRef", causes)
    if "resourceFieldRef" in source:
        _validate_resource_ref(source["resourceFieldRef"], f"{at}.resourceFieldRef", causes)
    for kind in ("configMapKeyRef", "secretKeyRef"):
        if kind in source:
            _validate_key_ref(source[kind], f"{at}.{kind}", causes)
    if not given:
        why = (
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`,"
            " `secretKeyRef` or `fileKeyRef`"
        )
        causes.append(invalid(at, "", why))
    elif variable.get("value"):
        causes.append(invalid(at, "", "may not be specified when `value` is not empty"))
    elif len(given) > 1:
        causes.append(invalid(at, "", "may not have more than one field specified at a time"))


def validate_field_ref(
    ref: Mapping[str, Any], allowed: Sequence[str], at: str, causes: list[Cause]
) -> None:
    """A fieldRef of an environment variable or a downward API file; `allowed` names the paths."""
    if not ref.get("apiVersion"):
        causes.append(required(f"{at}.apiVersion"))
        return
    field = ref.get("fieldPath", "")
    if not field:
        causes.append(required(f"{at}.fieldPath"))
        return
    base, bracket, key = field.partition("['")
    if bracket and key.endswith("']"):
        if base not in {"metadata.annotations", "metadata.labels"}:
            why = f"error converting fieldPath: field label does not support subscript: {field}"
            causes.append(invalid(f"{at}.fieldPath", field, why))
            return
        causes.extend(each_invalid(f"{at}.fieldPath", key[:-2], names.is_qualified_name(key[:-2])))
        return
    if field in allowed:
        return
    known = {*_ENV_FIELDS, "metadata.annotations", "metadata.labels", "spec.restartPolicy"}
    if field not in known:
        why = f"error converting fieldPath: field label not supported: {field}"
        causes.append(invalid(f"{at}.fieldPath", field, why))
    else:
        causes.append(not_supported(f"{at}.fieldPath", field, sorted(allowed)))


def _validate_resource_ref(ref: Mapping[str, Any], at: str, causes: list[Cause]) -> None:
    resource = ref.get("resource", "")
    if not resource:
        causes.append(required(f"{at}.resource"))
    elif resource not in _ENV_RESOURCES and "hugepages-" not in resource:
        causes.append(not_supported(f"{at}.resource", resource, _ENV_RESOURCES))


def _validate_key_ref(ref: Mapping[str, Any], at: str, causes: list[Cause]) -> None:
    if not ref.get("name"):
        causes.append(required(f"{at}.name"))
    key = ref.get("key", "")
    if not key:
        causes.append(required(f"{at}.key"))
    else:
        causes.extend(each_invalid(f"{at}.key", key, names.is_config_key(key)))


def _validate_env_from(sources: Sequence[Container], path: str, causes: list[Cause]) -> None:
    for index, source in enumerate(sources):
        at = f"{path}[{index}]"
        prefix = source.get("prefix")
        if prefix:
            causes.extend(each_invalid(f"{at}.prefix", prefix, names.is_environment_name(prefix)))
        given = [kind for kind in ("configMapRef", "secretRef") if kind in source]
        causes.extend(
            required(f"{at}.{kind}.name") for kind in given if not source[kind].get("name")
        )
        if not given:
            why = "must specify one of: `configMapRef` or `secretRef`"
            causes.append(invalid(path, "", why))
        elif len(given) > 1:
            why = "may not have more than one field specified at a time"
            causes.append(invalid(path, "", why))


def _validate_mounts(
    container: Container, volumes: Mapping[str, Any], path: str, causes: list[Cause]
) -> None:
    taken: set[str] = set()
    for index, mount in enumerate(container["volumeMounts"]):
        name = mount.get("name", "")
        if not name:
            causes.append(required(f"{path}[{index}].name"))
        if name not in volumes:
            causes.append(not_found(f"{path}[{index}].name", name))
        target = mount.get("mountPath", "")
        if not target:
            causes.append(required(f"{path}[{index}].mountPath"))
        if target in taken:
            causes.append(invalid(f"{path}[{index}].mountPath", target, "must be unique"))
        taken.add(target)
        inner = mount.get("subPath")
        if inner:
            validate_descending_path(inner, f"{path}[{index}].subPath", causes)
        expression = mount.get("subPathExpr")
        if expression:
            at = f"{path}[{index}].subPathExpr"
            if inner:
                why = "subPathExpr and subPath are mutually exclusive"
                causes.append(invalid(at, expression, why))
            validate_descending_path(expression, at, causes)
        propagation = mount.get("mountPropagation")
        if propagation:
            _validate_propagation(container, propagation, f"{path}[{index}]", causes)


def _validate_propagation(
    container: Container, propagation: str, at: str, causes: list[Cause]
) -> None:
    allowed = ("Bidirectional", "HostToContainer", "None")
    if propagation not in allowed:
        causes.append(not_supported(f"{at}.mountPropagation", propagation, allowed))
    elif propagation == "Bidirectional":
        security = container.get("securityContext") or {}
        if not security.get("privileged"):
            why = "Bidirectional mount propagation is available only to privileged containers"
            causes.append(forbidden(f"{at}.mountPropagation", why))


def validate_descending_path(target: str, at: str, causes: list[Cause]) -> None:
    """A relative path that does not climb."""
    if target.startswith("/"):
        causes.append(invalid(at, target, "must be a relative path"))
    if ".." in target.split("/"):
        causes.append(invalid(at, target, "must not contain '..'"))


def _validate_devices(
    devices: Sequence[Container], volumes: Mapping[str, Any], path: str, causes: list[Cause]
) -> None:
    for index, device in enumerate(devices):
        at, name = f"{path}[{index}]", device.get("name", "")
        if not name:
            causes.append(required(f"{at}.name"))
        elif name not in volumes:
            causes.append(not_found(f"{at}.name", name))
        if not device.get("devicePath"):
            causes.append(required(f"{at}.devicePath"))


def _validate_probe(probe: Mapping[str, Any], path: str, causes: list[Cause]) -> None:
    _validate_handler(probe, _HANDLERS, path, causes)
    for field in _PROBE_NUMBERS:
        causes.extend(not_negative(f"{path}.{field}", probe.get(field)))
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        at = f"{path}.terminationGracePeriodSeconds"
        causes.append(invalid(at, grace, "must be greater than 0"))


def _validate_handler(
    handler: Mapping[str, Any], kinds: Sequence[str], path: str, causes: list[Cause]
) -> None:
    given = [kind for kind in kinds if kind in handler]
    if not given:
        causes.append(required(path, "must specify a handler type"))
    causes.extend(
        forbidden(f"{path}.{kind}", "may not specify more than 1 handler type")
        for kind in given[1:]
    )
    for kind in given[:1]:
        action, at = handler[kind], f"{path}.{kind}"
        if kind == "exec":
            if not action.get("command"):
                causes.append(required(f"{at}.command"))
        elif kind == "httpGet":
            _validate_http_get(action, at, causes)
        elif kind == "tcpSocket":
            validate_port_or_name(action.get("port", 0), f"{at}.port", causes)
        elif kind == "grpc":
            number = action.get("port", 0)
            causes.extend(each_invalid(f"{at}.port", number, names.is_port_number(number)))


def _validate_http_get(action: Mapping[str, Any], at: str, causes: list[Cause]) -> None:
    if not action.get("path"):
        causes.append(required(f"{at}.path"))
    validate_port_or_name(action.get("port", 0), f"{at}.port", causes)
    scheme = action.get("scheme", "")
    if scheme not in {"HTTP", "HTTPS"}:
        causes.append(not_supported(f"{at}.scheme", scheme, ("HTTP", "HTTPS")))
    for header in action.get("httpHeaders") or ():
        name = header.get("name", "")
        causes.extend(each_invalid(f"{at}.httpHeaders", name, names.is_http_header(name)))


def validate_port_or_name(port: int | str, at: str, causes: list[Cause]) -> None:
    """An int-or-string that names a port."""
    wrong = names.is_port_name(port) if isinstance(port, str) else names.is_port_number(port)
    causes.extend(each_invalid(at, port, wrong))


def _validate_security(security: Mapping[str, Any], at: str, causes: list[Cause]) -> None:
    for field in ("runAsUser", "runAsGroup"):
        number = security.get(field)
        if number is not None and not 0 <= number <= _USER_MOST:
            why = names.outside_range(0, _USER_MOST)
            causes.append(invalid(f"{at}.{field}", number, why))
    mount = security.get("procMount")
    if mount is not None and mount not in {"Default", "Unmasked"}:
        causes.append(not_supported(f"{at}.procMount", mount, ("Default", "Unmasked")))
    if security.get("allowPrivilegeEscalation") is False:
        if security.get("privileged"):
            why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            causes.append(invalid(at, dict(security), why))
        if "CAP_SYS_ADMIN" in ((security.get("capabilities") or {}).get("add") or ()):
            why = (
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add`"
                " CAP_SYS_ADMIN"
            )
            causes.append(invalid(at, dict(security), why))


def _validate_resources(resources: Mapping[str, Any], path: str, causes: list[Cause]) -> None:
    causes.extend(validate_requirements(resources, path))


_PARTS: Final[Sequence[tuple[str, Callable[[Any, str, list[Cause]], None]]]] = (
    ("ports", _validate_ports),
    ("env", _validate_env),
    ("envFrom", _validate_env_from),
    ("resources", _validate_resources),
    ("securityContext", _validate_security),
)
"""The optional parts of a container that are checked by themselves."""
