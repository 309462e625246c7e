"""What expressions see of a request: `object`, `request`, `namespaceObject`, `authorizer`, ...

Match conditions of webhooks see the same. Upstream: apiserver
`pkg/admission/plugin/cel/{activation,condition}.go`.
"""

from collections.abc import Sequence
from typing import Any, Final

from ekslab.kube.api.cel.admission import NAMES
from ekslab.kube.api.cel.library.authorization import Check, Question
from ekslab.kube.api.cel.types import AUTHORIZER, RESOURCE_CHECK
from ekslab.kube.api.ports import AdmissionRequest, Authorizer, Decision, Lister, Operation
from ekslab.kube.api.requests import Attributes, Object, UserInfo
from ekslab.kube.api.well_known import NAMESPACES

_OPTIONS: Final = {
    Operation.CREATE: "CreateOptions",
    Operation.UPDATE: "UpdateOptions",
    Operation.DELETE: "DeleteOptions",
}
_PARAMS: Final = NAMES.index("params")
_TEXTS: Final = ("fieldManager", "fieldValidation")
_SHOWN_METADATA: Final = (
    "name", "generateName", "namespace", "uid", "resourceVersion", "generation",
    "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "labels",
    "annotations", "finalizers",
)  # fmt: skip


class _Lookup:
    """Asks the server's authorizer for the user of one request."""

    def __init__(self, authorizer: Authorizer, user: UserInfo) -> None:
        self._authorizer = authorizer
        self._user = user

    def decide(self, question: Question) -> tuple[bool, str]:
        """Whether it is allowed, and why."""
        user = self._user
        if question.service_account is not None:
            user = _service_account(*question.service_account)
        verdict = self._authorizer.authorize(
            Attributes(
                user=user,
                verb=question.verb,
                group=question.group,
                version="*" if question.resource else "",
                resource=question.resource,
                subresource=question.subresource,
                namespace=question.namespace,
                name=question.name,
                path=question.path,
                field_selector=question.field_selector,
            )
        )
        return verdict.decision is Decision.ALLOW, verdict.reason


def _service_account(namespace: str, name: str) -> UserInfo:
    groups = (
        "system:serviceaccounts",
        f"system:serviceaccounts:{namespace}",
        "system:authenticated",
    )
    return UserInfo(f"system:serviceaccount:{namespace}:{name}", groups)


def namespace_of(request: AdmissionRequest, lister: Lister) -> Object | None:
    """The namespace a request is in; None for what has none, and for namespaces themselves."""
    name = request.request.namespace
    if not name or request.info.resource == NAMESPACES:
        return None
    item = lister.get(NAMESPACES, name)
    if item is None:
        return None
    obj = item.object
    metadata = {key: obj["metadata"][key] for key in _SHOWN_METADATA if key in obj["metadata"]}
    return {"metadata": metadata, "spec": obj.get("spec", {}), "status": obj.get("status", {})}


def values_of(
    request: AdmissionRequest, lister: Lister, authorizer: Authorizer, params: Object | None = None
) -> list[Any]:
    """The values of an evaluation, in the order of `cel.admission.NAMES`, and the check of the
    request's own resource. Objects are the request's own, not copies: expressions only read.
    """
    lookup = _Lookup(authorizer, request.request.user)
    resource = request.info.resource
    question = Question(
        group=resource.group,
        resource=resource.plural,
        subresource=request.request.subresource,
        namespace=request.request.namespace,
        name=_name(request),
    )
    return [
        request.obj,
        request.old,
        namespace_of(request, lister),
        _request(request),
        params,
        Check(AUTHORIZER.name, lookup),
        Check(RESOURCE_CHECK.name, lookup, question),
    ]


def with_params(values: Sequence[Any], params: Object | None) -> list[Any]:
    """The same values with the parameters of a binding."""
    return [*values[:_PARAMS], params, *values[_PARAMS + 1 :]]


def _name(request: AdmissionRequest) -> str:
    metadata = (request.obj or {}).get("metadata") or {}
    return request.request.name or str(metadata.get("name") or "")


def _request(request: AdmissionRequest) -> Object:
    """`AdmissionRequest` of admission.k8s.io/v1, without the objects."""
    asked, resource = request.request, request.info.resource
    kind = {"group": resource.group, "version": resource.version, "kind": request.info.kind}
    plural = {
        "group": resource.group,
        "version": resource.version,
        "resource": resource.plural,
    }
    made: Object = {
        "kind": kind,
        "resource": plural,
        "requestKind": kind,
        "requestResource": plural,
        "operation": request.operation.value,
        "userInfo": _user(asked.user),
        "dryRun": request.dry_run,
        "options": _options(request),
    }
    # As Go writes it: texts that are empty are left out.
    parts = {
        "subResource": asked.subresource,
        "requestSubResource": asked.subresource,
        "name": _name(request),
        "namespace": asked.namespace,
    }
    made.update({key: value for key, value in parts.items() if value})
    return made


def _user(user: UserInfo) -> Object:
    made: Object = {"username": user.name}
    if user.uid:
        made["uid"] = user.uid
    if user.groups:
        made["groups"] = list(user.groups)
    if user.extra:
        made["extra"] = {key: list(values) for key, values in user.extra.items()}
    return made


def _options(request: AdmissionRequest) -> Object | None:
    kind = _OPTIONS.get(request.operation)
    if kind is None:
        return None
    if request.request.verb == "patch":
        kind = "PatchOptions" if request.operation is Operation.UPDATE else kind
    made: Object = {"kind": kind, "apiVersion": "meta.k8s.io/v1"}
    given = request.request.options
    made.update({key: given[key] for key in _TEXTS if given.get(key)})
    if request.dry_run:
        made["dryRun"] = ["All"]
    return made
