"""The objects of a request in the version a webhook asks for, and back.

Upstream: apiserver `pkg/admission/conversion.go` (VersionedAttributes). What a webhook makes of an
object is decoded as a body is: types are checked, unknown fields go, defaults are filled in.
"""

from dataclasses import dataclass

from ekslab.kube.api import errors
from ekslab.kube.api.ports import AdmissionRequest, Operation
from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import Resource
from ekslab.kube.apiserver.decoding import Decoder
from ekslab.kube.apiserver.preconditions import SERVER_FIELDS
from ekslab.kube.apiserver.registry import Registry, Served


@dataclass(frozen=True, slots=True)
class View:
    """What a webhook is shown: the objects, and which version they are in."""

    resource: Resource
    kind: tuple[str, str]
    obj: Object | None
    old: Object | None


class Views:
    """The objects of one request, in as many versions as are asked for."""

    def __init__(self, request: AdmissionRequest, registry: Registry, decoder: Decoder) -> None:
        self._request = request
        self._registry = registry
        self._decoder = decoder
        self._old: dict[Resource, Object | None] = {}

    def of(self, resource: Resource) -> View:
        """The objects as they are now."""
        request = self._request
        if resource not in self._old:
            self._old[resource] = self._converted(request.old, request.info.resource, resource)
        obj = self._converted(request.obj, request.info.resource, resource)
        old = self._old[resource]
        info = request.info
        shown = obj or old or {}
        said = str(shown.get("apiVersion") or info.api_version), str(shown.get("kind") or info.kind)
        return View(resource, said, obj, old)

    def take(self, view: View, patched: Object) -> bool:
        """Take what a webhook made of an object. False: it changed nothing.

        Raises:
            ApiError: 500, as upstream, if it is no such object any more.
        """
        obj = self._request.obj
        assert obj is not None
        if self._has_type(obj):
            made = self._checked(view, patched)
            _keep_identity(made, obj)
        else:
            made = patched
        if made == obj:
            return False
        obj.clear()
        obj.update(made)
        return True

    def _checked(self, view: View, patched: Object) -> Object:
        served = self._served(view.resource)
        try:
            made = self._decoder.checked(
                patched,
                self._request.request,
                schema=served.schema,
                kind=served.info.kind,
                api_version=served.info.api_version,
                mode="Ignore",
            )
        except errors.ApiError as error:
            raise errors.internal(error.message) from None
        served.strategy.default(made)
        converted = self._converted(made, view.resource, self._request.info.resource)
        assert converted is not None
        return converted

    def _converted(self, obj: Object | None, before: Resource, after: Resource) -> Object | None:
        if obj is None or before == after or not self._has_type(obj):
            return obj
        source, target = self._served(before), self._served(after)
        if source.convert is not None:
            obj = source.convert.to_stored(obj)
        return target.convert.to_served(obj) if target.convert is not None else obj

    def _has_type(self, obj: Object) -> bool:
        """Whether it is an object of the resource: options of CONNECT and Bindings are not."""
        if self._request.operation is Operation.CONNECT:
            return False
        return bool(self._request.info.kind == obj.get("kind", self._request.info.kind))

    def _served(self, resource: Resource) -> Served:
        served = self._registry.find(resource)
        if served is None:  # its definition went a moment ago
            raise errors.path_not_found()
        return served


def _keep_identity(made: Object, before: Object) -> None:
    """What the server gave stays as it is, whatever a webhook says."""
    meta, old = made["metadata"], before["metadata"]
    for field in (*SERVER_FIELDS, "resourceVersion", "generation", "managedFields"):
        if field in old:
            meta[field] = old[field]
        else:
            meta.pop(field, None)
