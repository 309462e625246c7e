"""NamespaceLifecycle: nothing is made in a namespace that is not there or is going away.

Upstream: apiserver `pkg/admission/plugin/namespace/lifecycle`. Upstream waits 50 ms for its cache;
our lister holds what the store has published, so it is never behind the writer's own writes.
"""

from typing import Final

from ekslab.kube.api import errors
from ekslab.kube.api.ports import AdmissionRequest, Lister, Operation
from ekslab.kube.api.resources import ResourceInfo
from ekslab.kube.api.well_known import NAMESPACES
from ekslab.kube.apiserver.admission.chain import ANY_WRITE, Plugin, refusal

IMMORTAL: Final = frozenset({"default", "kube-system", "kube-public"})
_NAMESPACES: Final = NAMESPACES.qualified
_ACCESS_REVIEW: Final = "localsubjectaccessreviews.authorization.k8s.io"


class NamespaceLifecycle(Plugin):
    """404 without the namespace, 403 into a terminating one, 403 for deleting an immortal one."""

    name = "NamespaceLifecycle"

    def __init__(self, lister: Lister) -> None:
        self._lister = lister

    def handles(self, info: ResourceInfo, subresource: str, operation: Operation) -> bool:
        """Writes of everything namespaced, but deletions only of namespaces themselves."""
        del subresource
        if info.resource.qualified == _NAMESPACES:
            return operation is Operation.DELETE
        # A review must not tell whether the namespace exists.
        if not info.namespaced or info.resource.qualified == _ACCESS_REVIEW:
            return False
        return operation in ANY_WRITE and operation is not Operation.DELETE

    async def admit(self, request: AdmissionRequest) -> None:
        """Refuse, or do nothing."""
        if request.operation is Operation.DELETE:
            if request.request.name in IMMORTAL:
                raise refusal(request, "this namespace may not be deleted")
            return
        name = request.request.namespace
        namespace = self._lister.get(NAMESPACES, name)
        if namespace is None:
            raise errors.not_found("", "namespaces", name)
        if request.operation is not Operation.CREATE:
            return
        phase = (namespace.object.get("status") or {}).get("phase")
        if phase == "Terminating":
            why = f"unable to create new content in namespace {name} because it is being terminated"
            error = refusal(request, why)
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {name} is being terminated",
                "field": "metadata.namespace",
            }
            error.details = {**(error.details or {}), "causes": [cause]}
            raise error
