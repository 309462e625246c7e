"""Plugins around classes of storage and ingress: defaults, and whether a claim may grow.

Upstream: `plugin/pkg/admission/storage/{storageclass/setdefault,persistentvolume/resize}` and
`plugin/pkg/admission/network/defaultingressclass`.
"""

from typing import Any, ClassVar, Final

from ekslab.kube.api import quantity
from ekslab.kube.api.ports import AdmissionRequest, Lister
from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.well_known import STORAGE_CLASSES
from ekslab.kube.apiserver.admission.chain import CREATE, UPDATE, Plugin, Takes, refusal

INGRESS_CLASSES: Final = Resource("networking.k8s.io", "v1", "ingressclasses")
_DEFAULT_STORAGE: Final = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_DEFAULT_INGRESS: Final = ("ingressclass.kubernetes.io/is-default-class",)
_STORAGE_ANNOTATION: Final = "volume.beta.kubernetes.io/storage-class"
_INGRESS_ANNOTATION: Final = "kubernetes.io/ingress.class"


class DefaultStorageClass(Plugin):
    """A claim that names no class gets the default one."""

    name = "DefaultStorageClass"
    takes: ClassVar[Takes] = {("persistentvolumeclaims", ""): CREATE}

    def __init__(self, lister: Lister) -> None:
        self._lister = lister

    async def admit(self, request: AdmissionRequest) -> None:
        """Write `spec.storageClassName`; an empty one is a choice, too."""
        if request.obj is None or _has_class(request.obj):
            return
        default = _default(self._lister, STORAGE_CLASSES, _DEFAULT_STORAGE)
        if default:
            request.obj["spec"]["storageClassName"] = default


class PersistentVolumeClaimResize(Plugin):
    """Only a bound claim whose class allows it may grow."""

    name = "PersistentVolumeClaimResize"
    takes: ClassVar[Takes] = {("persistentvolumeclaims", ""): UPDATE}

    def __init__(self, lister: Lister) -> None:
        self._lister = lister

    async def validate(self, request: AdmissionRequest) -> None:
        """Refuse a growth that cannot be."""
        new, old = request.obj, request.old
        if new is None or old is None or _size(new) <= _size(old):
            return
        if (old.get("status") or {}).get("phase") != "Bound":
            raise refusal(request, "Only bound persistent volume claims can be expanded")
        if not self._may_grow(new, old):
            why = (
                "only dynamically provisioned pvc can be resized and the storageclass that"
                " provisions the pvc must support resize"
            )
            raise refusal(request, why)

    def _may_grow(self, new: Object, old: Object) -> bool:
        name = _class_of(new)
        if not name or name != _class_of(old):
            return False
        item = self._lister.get(STORAGE_CLASSES, name)
        return item is not None and bool(item.object.get("allowVolumeExpansion"))


class DefaultIngressClass(Plugin):
    """An ingress that names no class gets the default one."""

    name = "DefaultIngressClass"
    takes: ClassVar[Takes] = {("ingresses.networking.k8s.io", ""): CREATE}

    def __init__(self, lister: Lister) -> None:
        self._lister = lister

    async def admit(self, request: AdmissionRequest) -> None:
        """Write `spec.ingressClassName`."""
        if request.obj is None:
            return
        spec: dict[str, Any] = request.obj.setdefault("spec", {})
        annotations = request.obj["metadata"].get("annotations") or {}
        if spec.get("ingressClassName") is not None or _INGRESS_ANNOTATION in annotations:
            return
        default = _default(self._lister, INGRESS_CLASSES, _DEFAULT_INGRESS)
        if default:
            spec["ingressClassName"] = default


def _default(lister: Lister, resource: Resource, annotations: tuple[str, ...]) -> str:
    """The newest class that is marked default, of equally old ones the first by name."""
    marked = []
    for item in lister.list(resource):
        metadata = item.object["metadata"]
        given = metadata.get("annotations") or {}
        if any(given.get(annotation) == "true" for annotation in annotations):
            marked.append((metadata.get("creationTimestamp", ""), item.name))
    if not marked:
        return ""
    newest = max(created for created, _ in marked)
    return min(name for created, name in marked if created == newest)


def _has_class(claim: Object) -> bool:
    annotations = claim["metadata"].get("annotations") or {}
    return _STORAGE_ANNOTATION in annotations or claim["spec"].get("storageClassName") is not None


def _class_of(claim: Object) -> str:
    annotations = claim["metadata"].get("annotations") or {}
    name: str = annotations.get(_STORAGE_ANNOTATION) or claim["spec"].get("storageClassName") or ""
    return name


def _size(claim: Object) -> int:
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    return quantity.value(requests.get("storage", "0"))
