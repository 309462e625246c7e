"""Small objects to send: what a test varies is an argument, the rest is as little as is valid."""

from typing import Any

from tests.conformance.api import Object

UNREADY = {"simulated.ekslab.dev/failure": "unready"}  # an annotation of pods that stay unready


def config_map(name: str, labels: dict[str, str] | None = None, **data: str) -> Object:
    """A ConfigMap."""
    return {"metadata": {"name": name, "labels": labels or {}}, "data": data}


def pod(name: str, *, labels: dict[str, str] | None = None, **spec: Any) -> Object:
    """A Pod of one container."""
    containers = [{"name": "main", "image": "nginx:1"}]
    meta = {"name": name, "labels": labels or {}}
    return {"metadata": meta, "spec": {"containers": containers, **spec}}


def template(app: str, **spec: Any) -> Object:
    """A pod template, of pods with the label `app`."""
    containers = [{"name": "main", "image": "nginx:1"}]
    return {"metadata": {"labels": {"app": app}}, "spec": {"containers": containers, **spec}}


def workload(name: str, **spec: Any) -> Object:
    """A Deployment, ReplicaSet, DaemonSet or StatefulSet."""
    selector = {"matchLabels": {"app": name}}
    return {
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"selector": selector, "template": template(name), **spec},
    }


def controller(name: str, **spec: Any) -> Object:
    """A ReplicationController; its selector is that of its template."""
    meta = {"name": name, "labels": {"app": name}}
    return {"metadata": meta, "spec": {"template": template(name), **spec}}


def new_image(name: str, **annotations: str | None) -> Object:
    """A change of a template's image, and of its annotations."""
    spec = {"containers": [{"name": "main", "image": name}]}
    return {"spec": {"template": {"metadata": {"annotations": annotations}, "spec": spec}}}


def job(name: str, **spec: Any) -> Object:
    """A Job."""
    meta = {"name": name, "labels": {"app": name}}
    return {"metadata": meta, "spec": {"template": template(name, restartPolicy="Never"), **spec}}


def service(name: str, labels: dict[str, str] | None = None, **spec: Any) -> Object:
    """A Service of one port."""
    meta = {"name": name, "labels": labels or {}}
    return {"metadata": meta, "spec": {"ports": [{"name": "http", "port": 80}], **spec}}
