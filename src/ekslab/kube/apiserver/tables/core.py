"""The cells of core kinds: nodes, services, endpoints, events, configuration, storage."""

from collections.abc import Mapping
from typing import Any, Final

from ekslab.kube.apiserver.tables import cells
from ekslab.kube.apiserver.tables.durations import age, since

Object = dict[str, Any]

_ROLE_PREFIX: Final = "node-role.kubernetes.io/"
_ROLE: Final = "kubernetes.io/role"
_DEFAULT_CLASS: Final = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)


def _status(obj: Object) -> Mapping[str, Any]:
    return obj.get("status") or {}


def node(obj: Object, now: float) -> list[Any]:
    """Status, roles, version; wide: addresses and what it runs."""
    status, spec = _status(obj), obj.get("spec") or {}
    ready = cells.condition(obj, "Ready")
    states = [("Ready" if ready.get("status") == "True" else "NotReady") if ready else "Unknown"]
    if spec.get("unschedulable"):
        states.append("SchedulingDisabled")
    labels = obj["metadata"].get("labels") or {}
    roles = {key.removeprefix(_ROLE_PREFIX) for key in labels if key.startswith(_ROLE_PREFIX)}
    roles.add(labels.get(_ROLE, ""))
    info = status.get("nodeInfo") or {}
    return [
        obj["metadata"].get("name", ""),
        ",".join(states),
        ",".join(sorted(roles - {""})) or cells.NONE,
        age(obj, now),
        info.get("kubeletVersion", ""),
        _address(status, "InternalIP"),
        _address(status, "ExternalIP"),
        info.get("osImage") or cells.UNKNOWN,
        info.get("kernelVersion") or cells.UNKNOWN,
        info.get("containerRuntimeVersion") or cells.UNKNOWN,
    ]


def _address(status: Mapping[str, Any], kind: str) -> str:
    for entry in status.get("addresses") or ():
        if entry.get("type") == kind:
            return str(entry.get("address", ""))
    return cells.NONE


def service(obj: Object, now: float) -> list[Any]:
    """Type, addresses, ports; wide: what it selects."""
    spec = obj["spec"]
    addresses = spec.get("clusterIPs") or [spec.get("clusterIP")]
    return [
        obj["metadata"].get("name", ""),
        spec.get("type", ""),
        addresses[0] or cells.NONE,
        _external_address(obj),
        ",".join(_service_port(port) for port in spec.get("ports") or ()) or cells.NONE,
        age(obj, now),
        cells.labels(spec.get("selector")),
    ]


def _service_port(port: Mapping[str, Any]) -> str:
    number, protocol = port.get("port", 0), port.get("protocol", "")
    if port.get("nodePort"):
        return f"{number}:{port['nodePort']}/{protocol}"
    return f"{number}/{protocol}"


def _external_address(obj: Object) -> str:
    spec = obj["spec"]
    given = spec.get("externalIPs") or []
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName", ""))
    if spec.get("type") == "LoadBalancer":
        balancer = cells.load_balancer(_status(obj))
        return ",".join([*([balancer] if balancer else ()), *given]) or "<pending>"
    return ",".join(given) or cells.NONE


def endpoints(obj: Object, now: float) -> list[Any]:
    """The first three addresses with their ports."""
    found: list[str] = []
    for subset in obj.get("subsets") or ():
        addresses = [entry.get("ip", "") for entry in subset.get("addresses") or ()]
        ports = subset.get("ports")
        if not ports:
            found.extend(addresses)
        for port in ports or ():
            found.extend(cells.host_port(each, port.get("port", 0)) for each in addresses)
    text = cells.shortened(found, "" if obj.get("subsets") else cells.NONE)
    return [obj["metadata"].get("name", ""), text, age(obj, now)]


def endpoint_slice(obj: Object, now: float) -> list[Any]:
    """Type of addresses, ports, addresses."""
    ports = [
        str(port["port"]) if port.get("port") is not None else port.get("name") or "*"
        for port in obj.get("ports") or ()
    ]
    addresses = [
        each for entry in obj.get("endpoints") or () for each in entry.get("addresses", ())
    ]
    return [
        obj["metadata"].get("name", ""),
        obj.get("addressType", ""),
        cells.shortened(ports, cells.UNSET),
        cells.shortened(addresses, cells.UNSET),
        age(obj, now),
    ]


def event(obj: Object, now: float) -> list[Any]:
    """When, what, about whom; for both spellings of events (core and events.k8s.io)."""
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    first = obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp") or obj.get("eventTime")
    last = obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp") or first
    count = obj.get("count") or obj.get("deprecatedCount") or 1
    series = obj.get("series")
    if series:
        last, count = series.get("lastObservedTime"), series.get("count", 0)
    kind, name = about.get("kind", "").lower(), about.get("name", "")
    component = source.get("component") or (
        obj.get("reportingComponent") or obj.get("reportingController") or ""
    )
    host = source.get("host") or obj.get("reportingInstance") or ""
    return [
        since(last, now),
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{kind}/{name}" if name else kind,
        about.get("fieldPath", ""),
        f"{component}, {host}" if host else component,
        (obj.get("message") or obj.get("note") or "").strip(),
        since(first, now),
        count,
        obj["metadata"].get("name", ""),
    ]


def namespace(obj: Object, now: float) -> list[Any]:
    """Its phase."""
    return [obj["metadata"].get("name", ""), _status(obj).get("phase", ""), age(obj, now)]


def secret(obj: Object, now: float) -> list[Any]:
    """Its type and how many keys it has."""
    size = len(obj.get("data") or ())
    return [obj["metadata"].get("name", ""), obj.get("type", ""), size, age(obj, now)]


def config_map(obj: Object, now: float) -> list[Any]:
    """How many keys it has."""
    size = len(obj.get("data") or ()) + len(obj.get("binaryData") or ())
    return [obj["metadata"].get("name", ""), size, age(obj, now)]


def service_account(obj: Object, now: float) -> list[Any]:
    """How many secrets it lists."""
    return [obj["metadata"].get("name", ""), len(obj.get("secrets") or ()), age(obj, now)]


def component_status(obj: Object, now: float) -> list[Any]:
    """Whether it is healthy."""
    del now
    found = [each for each in obj.get("conditions") or () if each.get("type") == "Healthy"]
    healthy = found[0] if found else {}
    good = "Healthy" if healthy.get("status") == "True" else "Unhealthy"
    message, error = healthy.get("message", ""), healthy.get("error", "")
    return [obj["metadata"].get("name", ""), good, message, error]


def resource_quota(obj: Object, now: float) -> list[Any]:
    """Used of hard, requests and limits apart."""
    status = _status(obj)
    hard, used = status.get("hard") or {}, status.get("used") or {}
    requests: list[str] = []
    limits: list[str] = []
    for name in sorted(hard):
        column = limits if name.startswith("limits") else requests
        column.append(f"{name}: {used.get(name, '0')}/{hard[name]}")
    name = obj["metadata"].get("name", "")
    return [name, ", ".join(requests), ", ".join(limits), age(obj, now)]


def volume(obj: Object, now: float) -> list[Any]:
    """A PersistentVolume."""
    spec, status = obj["spec"], _status(obj)
    claim = spec.get("claimRef")
    return [
        obj["metadata"].get("name", ""),
        (spec.get("capacity") or {}).get("storage", "0"),
        cells.access_modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        "Terminating" if "deletionTimestamp" in obj["metadata"] else status.get("phase", ""),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        _class_of(obj),
        spec.get("volumeAttributesClassName") or cells.UNSET,
        status.get("reason", ""),
        age(obj, now),
        spec.get("volumeMode") or cells.UNSET,
    ]


def claim(obj: Object, now: float) -> list[Any]:
    """A PersistentVolumeClaim; size and modes are those of the volume, once it is bound."""
    spec, status = obj["spec"], _status(obj)
    bound = bool(spec.get("volumeName"))
    return [
        obj["metadata"].get("name", ""),
        "Terminating" if "deletionTimestamp" in obj["metadata"] else status.get("phase", ""),
        spec.get("volumeName", ""),
        (status.get("capacity") or {}).get("storage", "0") if bound else "",
        cells.access_modes(status.get("accessModes")) if bound else "",
        _class_of(obj),
        spec.get("volumeAttributesClassName") or cells.UNSET,
        age(obj, now),
        spec.get("volumeMode") or cells.UNSET,
    ]


def _class_of(obj: Object) -> str:
    annotations = obj["metadata"].get("annotations") or {}
    old = annotations.get("volume.beta.kubernetes.io/storage-class")
    return str(old or obj["spec"].get("storageClassName") or "")


def storage_class(obj: Object, now: float) -> list[Any]:
    """Provisioner and policies; the default class says so."""
    annotations = obj["metadata"].get("annotations") or {}
    default = any(annotations.get(key) == "true" for key in _DEFAULT_CLASS)
    name = obj["metadata"].get("name", "")
    return [
        f"{name} (default)" if default else name,
        obj.get("provisioner", ""),
        obj.get("reclaimPolicy") or "Delete",
        obj.get("volumeBindingMode") or "Immediate",
        bool(obj.get("allowVolumeExpansion")),
        age(obj, now),
    ]


def volume_attachment(obj: Object, now: float) -> list[Any]:
    """Which volume is attached where."""
    spec = obj["spec"]
    return [
        obj["metadata"].get("name", ""),
        spec.get("attacher", ""),
        (spec.get("source") or {}).get("persistentVolumeName", ""),
        spec.get("nodeName", ""),
        bool(_status(obj).get("attached")),
        age(obj, now),
    ]


def csi_node(obj: Object, now: float) -> list[Any]:
    """How many drivers are registered."""
    drivers = (obj.get("spec") or {}).get("drivers") or ()
    return [obj["metadata"].get("name", ""), len(drivers), age(obj, now)]


def csi_driver(obj: Object, now: float) -> list[Any]:
    """What the driver wants."""
    spec = obj.get("spec") or {}
    requests = [each.get("audience", "") for each in spec.get("tokenRequests") or ()]
    return [
        obj["metadata"].get("name", ""),
        spec.get("attachRequired", True),
        bool(spec.get("podInfoOnMount")),
        bool(spec.get("storageCapacity")),
        ",".join(requests) or cells.UNSET,
        bool(spec.get("requiresRepublish")),
        ",".join(spec.get("volumeLifecycleModes") or ()) or cells.NONE,
        age(obj, now),
    ]


def csi_storage_capacity(obj: Object, now: float) -> list[Any]:
    """Capacity of a class."""
    del now
    name = obj["metadata"].get("name", "")
    return [name, obj.get("storageClassName", ""), obj.get("capacity") or cells.UNSET]


def volume_attributes_class(obj: Object, now: float) -> list[Any]:
    """Its driver."""
    return [obj["metadata"].get("name", ""), obj.get("driverName", ""), age(obj, now)]
