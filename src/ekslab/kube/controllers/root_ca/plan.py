"""What to do for one namespace. Upstream: `pkg/controller/certificates/rootcacertpublisher`."""

from typing import Final

from ekslab.kube.api.objects import editable
from ekslab.kube.api.requests import Object

NAME: Final = "kube-root-ca.crt"
_KEY: Final = "ca.crt"
_ANNOTATION: Final = "kubernetes.io/description"
_DESCRIPTION: Final = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal"
    " endpoints such as the internal service IP or kubernetes.default.svc. No other usage is"
    " guaranteed across distributions of Kubernetes clusters."
)


def wanted(namespace: Object | None, published: Object | None, root_ca: str) -> Object | None:
    """The ConfigMap to create (nothing is published) or to update; None if nothing is to do.

    Foreign annotations and labels stay; foreign data does not.
    """
    if namespace is None or (namespace.get("status") or {}).get("phase") != "Active":
        return None
    data = {_KEY: root_ca}
    if published is None:
        metadata = {
            "name": NAME,
            "namespace": namespace["metadata"]["name"],
            "annotations": {_ANNOTATION: _DESCRIPTION},
        }
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    annotations = published["metadata"].get("annotations") or {}
    if published.get("data") == data and annotations.get(_ANNOTATION):
        return None
    updated = editable(published)
    updated["data"] = data
    updated["metadata"]["annotations"] = {**annotations, _ANNOTATION: _DESCRIPTION}
    return updated
