"""What every new cluster holds before anybody asks: made at start, idempotent.

Upstream: the post-start hooks of kube-apiserver (`rbac/bootstrap-roles`, `scheduling/
bootstrap-system-priority-classes`, `priority-and-fairness-config-producer`,
`start-cluster-authentication-info-controller`, the system namespaces and the `kubernetes` service
of `pkg/controlplane`). All of it goes through the pipeline as `system:apiserver`, a member of
system:masters.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from ekslab.kube.api.objects import editable
from ekslab.kube.api.requests import ApiRequest, Object, UserInfo
from ekslab.kube.api.well_known import (
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    KUBE_SYSTEM,
    MASTERS_GROUP,
    NAMESPACES,
    PRIORITY_CLASSES,
    SERVICES,
)
from ekslab.kube.apiserver.flow_control import defaults as flow_control
from ekslab.kube.apiserver.registry import Served
from ekslab.kube.apiserver.server import ApiServer
from ekslab.kube.auth import bootstrap as rbac

LOOPBACK_USER: Final = UserInfo("system:apiserver", (MASTERS_GROUP,))
SYSTEM_NAMESPACES: Final = ("default", "kube-system", "kube-public", "kube-node-lease")
_MANAGER: Final = "kube-apiserver"
_PORT: Final = 443


@dataclass(frozen=True, slots=True, kw_only=True)
class Advertised:
    """Where clients reach the API server (port 0: not by network), and the CAs they may know."""

    address: str
    port: int
    client_ca_pem: str = ""
    requestheader_ca_pem: str = ""


async def bootstrap(server: ApiServer, advertised: Advertised) -> None:
    """Make what is missing; what is there is left, except where it must follow the address."""
    # Side by side, so that they share commits; namespaces first, as others live in them.
    await asyncio.gather(*(_ensure(server, _namespace(name)) for name in SYSTEM_NAMESPACES))
    system = (
        *rbac.objects(),
        *_priority_classes(),
        *map(editable, (*flow_control.levels(), *flow_control.schemas())),
        _authentication(advertised),
        _service(server.kubernetes_service_ip),
    )
    followed = (_endpoints(advertised), _endpoint_slice(advertised))
    await asyncio.gather(
        *(_ensure(server, obj) for obj in system), *(_follow(server, obj) for obj in followed)
    )


async def _ensure(server: ApiServer, obj: Object) -> None:
    """Create an object unless it is there."""
    if not _is_there(server, obj):
        await server.handle(_request(server, "create", obj))


async def _follow(server: ApiServer, obj: Object) -> None:
    """Create an object, or make it what it is to be."""
    verb = "update" if _is_there(server, obj) else "create"
    await server.handle(_request(server, verb, obj))


def _is_there(server: ApiServer, obj: Object) -> bool:
    resource = _served(server, obj).resource
    meta = obj["metadata"]
    return server.lister.get(resource, meta["name"], meta.get("namespace", "")) is not None


def _served(server: ApiServer, obj: Object) -> Served:
    served = server.registry.by_kind(obj["apiVersion"], obj["kind"])
    assert served is not None, obj["kind"]
    return served


def _request(server: ApiServer, verb: str, obj: Object) -> ApiRequest:
    meta = obj["metadata"]
    return ApiRequest(
        verb=verb,
        user=LOOPBACK_USER,
        resource=_served(server, obj).resource,
        namespace=meta.get("namespace", ""),
        name=meta["name"] if verb == "update" else "",
        body=obj,
        user_agent=_MANAGER,
    )


def _namespace(name: str) -> Object:
    return {"apiVersion": NAMESPACES.api_version, "kind": "Namespace", "metadata": {"name": name}}


def _priority_classes() -> Sequence[Object]:
    """The two classes of the system, with upstream's values and words."""
    texts = {
        "system-node-critical": (
            2_000_001_000,
            "Used for system critical pods that must not be moved from their current node.",
        ),
        "system-cluster-critical": (
            2_000_000_000,
            (
                "Used for system critical pods that must run in the cluster, but can be moved to"
                " another node if necessary."
            ),
        ),
    }
    return [
        {
            "apiVersion": PRIORITY_CLASSES.api_version,
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value,
            "description": text,
            "preemptionPolicy": "PreemptLowerPriority",
        }
        for name, (value, text) in texts.items()
    ]


def _authentication(advertised: Advertised) -> Object:
    """What extension API servers read to trust our callers."""
    data = {
        "client-ca-file": advertised.client_ca_pem,
        "requestheader-client-ca-file": advertised.requestheader_ca_pem,
        "requestheader-allowed-names": '["front-proxy-client"]',
        "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
        "requestheader-group-headers": '["X-Remote-Group"]',
        "requestheader-uid-headers": '["X-Remote-Uid"]',
        "requestheader-username-headers": '["X-Remote-User"]',
    }
    return {
        "apiVersion": CONFIG_MAPS.api_version,
        "kind": "ConfigMap",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": KUBE_SYSTEM},
        "data": {key: value for key, value in data.items() if value},
    }


_LABELS: Final = {"component": "apiserver", "provider": "kubernetes"}


def _service(ip: str) -> Object:
    port = {"name": "https", "protocol": "TCP", "port": 443, "targetPort": 443}
    return {
        "apiVersion": SERVICES.api_version,
        "kind": "Service",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": dict(_LABELS)},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": ip,
            "clusterIPs": [ip],
            "ports": [port],
            "sessionAffinity": "None",
        },
    }


def _addresses(advertised: Advertised) -> list[str]:
    """Endpoints may not name a loopback address: one that listens there alone has none."""
    return [] if ip_address(advertised.address).is_loopback else [advertised.address]


def _endpoints(advertised: Advertised) -> Object:
    ports = [{"name": "https", "port": advertised.port or _PORT, "protocol": "TCP"}]
    addresses = [{"ip": address} for address in _addresses(advertised)]
    labels = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    return {
        "apiVersion": ENDPOINTS.api_version,
        "kind": "Endpoints",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
        "subsets": [{"addresses": addresses, "ports": ports}] if addresses else [],
    }


def _endpoint_slice(advertised: Advertised) -> Object:
    return {
        "apiVersion": ENDPOINT_SLICES.api_version,
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": [address], "conditions": {"ready": True}}
            for address in _addresses(advertised)
        ],
        "ports": [{"name": "https", "port": advertised.port or _PORT, "protocol": "TCP"}],
    }
