"""The variables of a container: its own, those of Services, and what `valueFrom` refers to.

Upstream: `pkg/kubelet/kubelet_pods.go` (makeEnvironmentVariables), `pkg/kubelet/envvars`,
`pkg/fieldpath`, `pkg/api/v1/resource`.
"""

import base64
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ekslab.kube.api import quantity
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.ports import Client
from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.well_known import CONFIG_MAPS, SECRETS, SERVICES
from ekslab.kube.node.simulated.machine import PodRun

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_REFERENCE: Final = re.compile(r"\$(\$|\([^)]*\))")
_KEYED: Final = re.compile(r"metadata\.(labels|annotations)\['([^']*)'\]")


async def variables_of(run: PodRun, box: Object, client: Client) -> dict[str, str]:
    """All variables of a container, in the order a container runtime gives them."""
    pod = run.item.object
    namespace = pod["metadata"]["namespace"]
    services = await _services(client, namespace, linked=pod["spec"].get("enableServiceLinks"))
    found: dict[str, str] = {}
    for source in box.get("envFrom") or ():
        prefix = source.get("prefix", "")
        for resource, key in ((CONFIG_MAPS, "configMapRef"), (SECRETS, "secretRef")):
            if key in source:
                values = await texts_of(client, resource, source[key].get("name", ""), namespace)
                found |= {prefix + name: text for name, text in values.items()}
    for entry in box.get("env") or ():
        if "valueFrom" in entry:
            value = await _referred(run, box, entry["valueFrom"], client)
        else:
            value = _substituted(entry.get("value", ""), services | found)
        if value is not None:
            found[entry["name"]] = value
    first = {"PATH": PATH, "HOSTNAME": host_name(pod)}
    return first | found | {n: t for n, t in services.items() if n not in found} | {"HOME": "/root"}


def host_name(pod: Object) -> str:
    """What a pod calls itself: no longer than a label may be."""
    name = str(pod["spec"].get("hostname") or pod["metadata"]["name"])
    return name[:63].rstrip("-.")


async def texts_of(client: Client, resource: Resource, name: str, namespace: str) -> dict[str, str]:
    """The data of a ConfigMap or Secret as text; none if it is not there."""
    values = await bytes_of(client, resource, name, namespace)
    return {key: value.decode(errors="replace") for key, value in values.items()}


async def bytes_of(
    client: Client, resource: Resource, name: str, namespace: str
) -> dict[str, bytes]:
    """The data of a ConfigMap or Secret; none if it is not there."""
    try:
        obj = await client.get(resource, name, namespace)
    except ApiError:
        return {}
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    if resource == SECRETS:
        data, binary = {}, data
    found = {key: text.encode() for key, text in data.items()}
    return found | {key: base64.b64decode(text) for key, text in binary.items()}


def _substituted(text: str, known: Mapping[str, str]) -> str:
    """`$(NAME)` is the variable's value, `$$` is `$`; what is not known stays."""

    def value(match: re.Match[str]) -> str:
        inside = match[1]
        return "$" if inside == "$" else known.get(inside[1:-1], match[0])

    return _REFERENCE.sub(value, text)


async def _referred(run: PodRun, box: Object, source: Object, client: Client) -> str | None:
    pod = run.item.object
    if "fieldRef" in source:
        return field_of(run, source["fieldRef"].get("fieldPath", ""))
    if "resourceFieldRef" in source:
        return resource_of(run, box, source["resourceFieldRef"])
    for resource, key in ((CONFIG_MAPS, "configMapKeyRef"), (SECRETS, "secretKeyRef")):
        if key in source:
            wanted = source[key]
            namespace = pod["metadata"]["namespace"]
            values = await texts_of(client, resource, wanted.get("name", ""), namespace)
            return values.get(wanted.get("key", ""))
    return None


def field_of(run: PodRun, path: str) -> str:
    """A field of the pod, as the downward API gives it."""
    pod = run.item.object
    keyed = _KEYED.fullmatch(path)
    if keyed:
        return str((pod["metadata"].get(keyed[1]) or {}).get(keyed[2], ""))
    if path in {"metadata.labels", "metadata.annotations"}:
        return _as_lines(pod["metadata"].get(path.removeprefix("metadata.")) or {})
    host, address = run.machine.host.primary, address_of(run)
    live = {
        "status.hostIP": host,
        "status.hostIPs": host,
        "status.podIP": address,
        "status.podIPs": address,
        "spec.serviceAccountName": pod["spec"].get("serviceAccountName", "default"),
        "spec.nodeName": run.machine.name,
    }
    if path in live:
        return str(live[path])
    return str(pod["metadata"].get(path.removeprefix("metadata."), ""))


def address_of(run: PodRun) -> str:
    """The pod's address."""
    return run.machine.host.primary if run.plan.host_network else run.state.address


def _as_lines(values: Mapping[str, str]) -> str:
    def quoted(text: str) -> str:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'

    return "\n".join(f"{key}={quoted(text)}" for key, text in sorted(values.items()))


def resource_of(run: PodRun, box: Object, wanted: Object) -> str:
    """A request or limit of a container, in units of the divisor, rounded up."""
    pod = run.item.object
    name = wanted.get("containerName")
    if name:
        box = next((one for one in containers_of(pod) if one["name"] == name), box)
    kind, _, resource = str(wanted.get("resource", "")).partition(".")
    text = ((box.get("resources") or {}).get(kind) or {}).get(resource)
    if text is None:
        text = run.machine.spec.allocatable.get(resource, "0") if kind == "limits" else "0"
    amount = quantity.parse(str(text)).nanos
    divisor = quantity.parse(str(wanted.get("divisor") or "1")).nanos or quantity.parse("1").nanos
    return str(-(-amount // divisor))


def containers_of(pod: Object) -> list[Any]:
    """All containers of a pod."""
    spec = pod["spec"]
    kinds = ("initContainers", "containers", "ephemeralContainers")
    return [one for kind in kinds for one in spec.get(kind) or ()]


async def _services(client: Client, namespace: str, *, linked: bool | None) -> dict[str, str]:
    """The variables of Services: those of the namespace if they are linked, and the API's."""
    found: list[Object] = []
    try:
        found.append(await client.get(SERVICES, "kubernetes", "default"))
        if linked is not False:
            page = await client.list(SERVICES, namespace)
            found += [item.object for item in page.items]
    except ApiError:
        pass
    values: dict[str, str] = {}
    for service in found:
        address = service["spec"].get("clusterIP") or "None"
        ports = service["spec"].get("ports") or ()
        if address != "None" and ports:
            values |= _of_service(service["metadata"]["name"], address, ports)
    return values


def _of_service(name: str, address: str, ports: Iterable[Object]) -> dict[str, str]:
    prefix = name.upper().replace("-", "_")
    values: dict[str, str] = {f"{prefix}_SERVICE_HOST": address}
    for place, port in enumerate(ports):
        number, protocol = str(port["port"]), port.get("protocol", "TCP")
        url = f"{protocol.lower()}://{address}:{number}"
        if place == 0:
            values[f"{prefix}_SERVICE_PORT"] = number
            values[f"{prefix}_PORT"] = url
        if port.get("name"):
            called = port["name"].upper().replace("-", "_")
            values[f"{prefix}_SERVICE_PORT_{called}"] = number
        one = f"{prefix}_PORT_{number}_{protocol.upper()}"
        values |= {
            one: url,
            f"{one}_PROTO": protocol.lower(),
            f"{one}_PORT": number,
            f"{one}_ADDR": address,
        }
    return values
