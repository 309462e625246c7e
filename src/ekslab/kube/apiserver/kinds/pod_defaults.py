"""Defaults of pods and pod templates: upstream's `pkg/apis/core/v1/defaults.go`.

Two sets, as upstream: what every pod spec gets (templates too), and what only a real pod gets
(requests from limits, host ports of the host's network, service links).
"""

from typing import Any, Final

from ekslab.kube.api.requests import Object

_FILE_MODE: Final = 0o644
_TOKEN_EXPIRATION_S: Final = 3600


def default_pod(obj: Object) -> None:
    """Defaults of a pod itself, in place."""
    spec = obj.setdefault("spec", {})
    default_pod_spec(spec)
    for kind in ("containers", "initContainers"):
        for container in spec.get(kind) or ():
            limits = container["resources"].get("limits")
            if limits:
                requests = container["resources"].setdefault("requests", {})
                for name, quantity in limits.items():
                    requests.setdefault(name, quantity)
            if spec.get("hostNetwork"):
                for port in container.get("ports") or ():
                    if not port.get("hostPort"):
                        port["hostPort"] = port.get("containerPort", 0)
    resources = spec.get("resources")
    if resources and resources.get("limits"):
        requests = resources.setdefault("requests", {})
        for name, quantity in resources["limits"].items():
            requests.setdefault(name, quantity)
    spec.setdefault("enableServiceLinks", True)


def default_template(template: Object) -> None:
    """Defaults of a pod template, in place."""
    template.setdefault("metadata", {})
    default_pod_spec(template.setdefault("spec", {}))


def default_pod_spec(spec: Object) -> None:
    """Defaults of any pod spec, in place."""
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        # Upstream's conversion writes the deprecated name of the field beside the new one.
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            _default_container(container)
    for volume in spec.get("volumes") or ():
        _default_volume(volume)


def pull_policy(image: str) -> str:
    """`Always` for the tag latest, said or meant; `IfNotPresent` for any other tag or a digest.

    >>> pull_policy("registry:5000/nginx"), pull_policy("nginx:1.27")
    ('Always', 'IfNotPresent')
    """
    if "@" in image:
        return "IfNotPresent"
    tag = image.rpartition("/")[2].partition(":")[2]
    return "IfNotPresent" if tag and tag != "latest" else "Always"


def _default_container(container: Object) -> None:
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = pull_policy(container.get("image", ""))
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    container.setdefault("resources", {})
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for variable in container.get("env") or ():
        source = variable.get("valueFrom")
        if source and "fieldRef" in source:
            source["fieldRef"].setdefault("apiVersion", "v1")
        elif source and "resourceFieldRef" in source:
            source["resourceFieldRef"].setdefault("divisor", "0")
        elif source and "fileKeyRef" in source:
            source["fileKeyRef"].setdefault("optional", False)
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(kind)
        if probe is not None:
            _default_probe(probe)
    lifecycle = container.get("lifecycle")
    if lifecycle:
        for hook in ("postStart", "preStop"):
            _default_http_get(lifecycle.get(hook) or {})


def _default_probe(probe: Object) -> None:
    for name, number in (
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ):
        if not probe.get(name):
            probe[name] = number
    _default_http_get(probe)
    if "grpc" in probe:
        probe["grpc"].setdefault("service", "")


def _default_http_get(handler: Object) -> None:
    http = handler.get("httpGet")
    if http is not None:
        http.setdefault("path", "/")
        http.setdefault("scheme", "HTTP")


def _default_volume(volume: Object) -> None:
    if len(volume) == 1 and "name" in volume:
        volume["emptyDir"] = {}
        return
    for kind, source in volume.items():
        default = _VOLUME_DEFAULTS.get(kind)
        if default is not None:
            default(source)


def _default_mode(source: Object) -> None:
    source.setdefault("defaultMode", _FILE_MODE)


def _default_downward(source: Object) -> None:
    for item in source.get("items") or ():
        if "fieldRef" in item:
            item["fieldRef"].setdefault("apiVersion", "v1")
        if "resourceFieldRef" in item:
            item["resourceFieldRef"].setdefault("divisor", "0")


def _default_downward_volume(source: Object) -> None:
    _default_mode(source)
    _default_downward(source)


def _default_projected(source: Object) -> None:
    _default_mode(source)
    for part in source.get("sources") or ():
        if "serviceAccountToken" in part:
            part["serviceAccountToken"].setdefault("expirationSeconds", _TOKEN_EXPIRATION_S)
        elif "downwardAPI" in part:
            _default_downward(part["downwardAPI"])


def _default_ephemeral(source: Object) -> None:
    template = source.get("volumeClaimTemplate")
    if template is not None:
        template.setdefault("metadata", {})
        default_claim_spec(template.setdefault("spec", {}))


def _default_image(source: Object) -> None:
    if not source.get("pullPolicy"):
        source["pullPolicy"] = pull_policy(source.get("reference", ""))


def _filler(**defaults: Any) -> Any:
    def fill(source: Object) -> None:
        for name, value in defaults.items():
            source.setdefault(name, value)

    return fill


def default_claim_spec(spec: Object) -> None:
    """Defaults of a PersistentVolumeClaim's spec, wherever it stands."""
    spec.setdefault("volumeMode", "Filesystem")
    spec.setdefault("resources", {})


_VOLUME_DEFAULTS: Final = {
    "configMap": _default_mode,
    "secret": _default_mode,
    "downwardAPI": _default_downward_volume,
    "projected": _default_projected,
    "ephemeral": _default_ephemeral,
    "image": _default_image,
    "hostPath": _filler(type=""),
    "iscsi": _filler(iscsiInterface="default"),
    "rbd": _filler(pool="rbd", user="admin", keyring="/etc/ceph/keyring"),
    "azureDisk": _filler(cachingMode="ReadWrite", kind="Shared", fsType="ext4", readOnly=False),
    "scaleIO": _filler(storageMode="ThinProvisioned", fsType="xfs"),
}
