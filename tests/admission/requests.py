"""Admission requests with only the interesting parts named."""

from typing import Any

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.objects import editable
from ekslab.kube.api.ports import Admission, AdmissionRequest, Operation
from ekslab.kube.api.requests import ApiRequest, Object, UserInfo
from ekslab.kube.api.resources import Resource, ResourceInfo

JANE = UserInfo("jane", ("system:authenticated",))
NODE = UserInfo("system:node:n1", ("system:nodes", "system:authenticated"))

_TYPES = {
    "certificatesigningrequests": ("certificates.k8s.io", False),
    "clusterrolebindings": ("rbac.authorization.k8s.io", False),
    "clusterroles": ("rbac.authorization.k8s.io", False),
    "csinodes": ("storage.k8s.io", False),
    "deployments": ("apps", True),
    "ingresses": ("networking.k8s.io", True),
    "leases": ("coordination.k8s.io", True),
    "localsubjectaccessreviews": ("authorization.k8s.io", True),
    "namespaces": ("", False),
    "nodes": ("", False),
    "priorityclasses": ("scheduling.k8s.io", False),
    "rolebindings": ("rbac.authorization.k8s.io", True),
    "roles": ("rbac.authorization.k8s.io", True),
}


def info(plural: str) -> ResourceInfo:
    group, namespaced = _TYPES.get(plural, ("", True))
    return ResourceInfo(
        resource=Resource(group, "v1", plural),
        kind=plural.removesuffix("s").capitalize(),
        list_kind="",
        singular="",
        namespaced=namespaced,
        verbs=(),
        type_name="",
    )


def asked(
    verb: str,
    target: str,
    obj: Object | None = None,
    *,
    old: Object | None = None,
    name: str = "",
    namespace: str = "default",
    user: UserInfo = JANE,
) -> AdmissionRequest:
    """`asked("create", "pods/status", obj)`; objects are copied, so that tables can share them."""
    plural, _, subresource = target.partition("/")
    of = info(plural)
    request = ApiRequest(
        verb=verb,
        user=user,
        resource=of.resource,
        namespace=namespace if of.namespaced else "",
        name=name or ("" if verb == "create" else _name_of(old or obj)),
        subresource=subresource,
    )
    return AdmissionRequest(
        request=request,
        info=of,
        operation=Operation[verb.upper()],
        obj=editable(obj) if obj is not None else None,
        old=old,
    )


def _name_of(obj: Object | None) -> str:
    name: str = (obj or {"metadata": {}})["metadata"].get("name", "")
    return name


async def run(plugin: Admission, request: AdmissionRequest) -> Any:
    """The object as the plugin leaves it, or its refusal as (code, message)."""
    if not plugin.handles(request.info, request.request.subresource, request.operation):
        return request.obj
    try:
        await plugin.admit(request)
        await plugin.validate(request)
    except ApiError as error:
        return error.code, error.message
    return request.obj
