"""AdmissionReview: the question to a webhook, and what its answer must look like.

Upstream: apiserver `pkg/admission/plugin/webhook/request/admissionreview.go` and `errors`.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.ports import AdmissionRequest, Operation
from ekslab.kube.api.requests import Object
from ekslab.kube.apiserver.admission.webhooks.views import View
from ekslab.kube.apiserver.decoding import Decoder

_GROUP: Final = "admission.k8s.io"
_KNOWN: Final = ("v1", "v1beta1")
_KIND: Final = "AdmissionReview"
_OPTIONS: Final = {
    Operation.CREATE: "CreateOptions",
    Operation.UPDATE: "UpdateOptions",
    Operation.DELETE: "DeleteOptions",
}


class BadAnswerError(Exception):
    """An answer that is no proper AdmissionReview; the message is upstream's."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a webhook says. `patch` is a JSON patch, None for no change."""

    allowed: bool
    result: Mapping[str, Any]
    patch: Any
    warnings: Sequence[str]


def version_of(versions: Sequence[str]) -> str:
    """The first version of AdmissionReview that a webhook and we know; "" if there is none."""
    return next((each for each in versions if each in _KNOWN), "")


def request_of(request: AdmissionRequest, view: View, uid: str, decoder: Decoder) -> Object:
    """The `request` of an AdmissionReview."""
    asked, info = request.request, request.info
    made: Object = {
        "uid": uid,
        "kind": _kind(view),
        "resource": _resource(view.resource),
        "subResource": asked.subresource,
        "requestKind": {**_kind(view), "version": _version(request, view)},
        "requestResource": _resource(info.resource),
        "requestSubResource": asked.subresource,
        "name": name_of(request),
        "namespace": _namespace(request),
        "operation": request.operation.value,
        "userInfo": _user(request),
        "object": view.obj,
        "oldObject": view.old,
        "dryRun": request.dry_run,
        "options": _options(request, decoder),
    }
    api_version = info.api_version if view.resource != info.resource else view.kind[0]
    group, _, _ = api_version.rpartition("/")
    made["requestKind"]["group"] = group
    for name in ("subResource", "requestSubResource", "name", "namespace"):
        if not made[name]:
            del made[name]
    return made


def review_of(request: Object, version: str) -> bytes:
    """The body of the call."""
    review = {"kind": _KIND, "apiVersion": f"{_GROUP}/{version}", "request": request}
    return orjson.dumps(review)


def _kind(view: View) -> dict[str, str]:
    api_version, kind = view.kind
    group, _, version = api_version.rpartition("/")
    return {"group": group, "version": version, "kind": kind}


def _version(request: AdmissionRequest, view: View) -> str:
    if view.resource != request.info.resource:
        return request.info.resource.version
    return view.kind[0].rpartition("/")[2]


def _resource(resource: Any) -> dict[str, str]:
    return {
        "group": resource.group,
        "version": resource.version,
        "resource": resource.plural,
    }


def name_of(request: AdmissionRequest) -> str:
    """The name of the object, "" where it has none yet."""
    if request.request.name:
        return request.request.name
    metadata = (request.obj or {}).get("metadata") or {}
    return str(metadata.get("name") or "")


def _namespace(request: AdmissionRequest) -> str:
    """The namespace; requests for a namespace itself name that, as upstream's RequestInfo."""
    if request.info.resource.qualified == "namespaces":
        return request.request.name
    return request.request.namespace


def _user(request: AdmissionRequest) -> Object:
    user = request.request.user
    made: Object = {"username": user.name}
    if user.uid:
        made["uid"] = user.uid
    if user.groups:
        made["groups"] = list(user.groups)
    if user.extra:
        made["extra"] = {key: list(values) for key, values in user.extra.items()}
    return made


def _options(request: AdmissionRequest, decoder: Decoder) -> Object | None:
    """The options as an object of their own; a CONNECT has none beside its object."""
    kind = _OPTIONS.get(request.operation)
    if kind is None:
        return None
    made: Object = {"kind": kind, "apiVersion": "meta.k8s.io/v1"}
    query = request.request.options
    if request.operation is Operation.DELETE:
        try:
            body = decoder.delete_options(request.request)
        except ApiError:  # of one of a collection, or a way of ours to delete: it has no body
            body = {}
        names = ("gracePeriodSeconds", "preconditions", "orphanDependents", "propagationPolicy")
        made |= {name: body[name] for name in names if name in body}
        if "gracePeriodSeconds" in query:
            made["gracePeriodSeconds"] = int(query["gracePeriodSeconds"])
        if "propagationPolicy" in query:
            made["propagationPolicy"] = query["propagationPolicy"]
    if request.dry_run:
        made["dryRun"] = ["All"]
    if request.operation is not Operation.DELETE:
        made |= {name: query[name] for name in ("fieldManager", "fieldValidation") if name in query}
    return made


def verdict_of(body: bytes, *, uid: str, version: str, mutating: bool) -> Verdict:
    """What an answer says.

    Raises:
        BadAnswerError: it is no answer to the question.
    """
    try:
        review = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadAnswerError(f"couldn't get version/kind; json parse error: {error}") from None
    if not isinstance(review, dict):
        raise BadAnswerError("couldn't get version/kind; json parse error: not an object")
    response = review.get("response")
    if response is None:
        raise BadAnswerError("webhook response was absent")
    if not isinstance(response, dict):
        raise BadAnswerError("webhook response is not an object")
    if version == "v1":
        _check_v1(review, response, uid)
    patch = _patch(response, version, mutating=mutating)
    result = response.get("status")
    warnings = response.get("warnings")
    return Verdict(
        allowed=response.get("allowed") is True,
        result=result if isinstance(result, dict) else {},
        patch=patch,
        warnings=[str(each) for each in warnings] if isinstance(warnings, list) else (),
    )


def _check_v1(review: Object, response: Object, uid: str) -> None:
    said = response.get("uid") or ""
    if said != uid:
        raise BadAnswerError(f'expected response.uid="{uid}", got "{said}"')
    api_version, kind = review.get("apiVersion") or "", review.get("kind") or ""
    if (api_version, kind) != (f"{_GROUP}/v1", _KIND):
        wanted = f"{_GROUP}/v1, Kind={_KIND}"
        got = f"{api_version}, Kind={kind}"
        raise BadAnswerError(f"expected webhook response of {wanted}, got {got}")


def _patch(response: Object, version: str, *, mutating: bool) -> Any:
    text, kind = response.get("patch"), response.get("patchType")
    if version == "v1" and mutating:
        if text and kind is None:
            raise BadAnswerError("webhook returned response.patch but not response.patchType")
        if not text and kind is not None:
            raise BadAnswerError("webhook returned response.patchType but not response.patch")
    elif version == "v1":
        for name, value in (("patch", text), ("patchType", kind)):
            if value:
                raise BadAnswerError(f"validating webhook may not return response.{name}")
    if not text or not mutating:
        return None
    if kind is not None and kind != "JSONPatch":
        raise BadAnswerError(f'unsupported patch type "{kind}"')
    try:
        return orjson.loads(base64.b64decode(text, validate=True))
    except (binascii.Error, TypeError, ValueError) as error:
        raise BadAnswerError(f"response.patch cannot be decoded: {error}") from None


def refusal(name: str, result: Mapping[str, Any]) -> ApiError:
    """The answer to a request that a webhook refuses, in its words if it has any."""
    code = result.get("code")
    message, reason = result.get("message"), result.get("reason")
    denied = f'admission webhook "{name}" denied the request'
    said = message or reason
    details = result.get("details")
    return ApiError(
        code if isinstance(code, int) and 400 <= code < 600 else 400,
        str(reason or ""),
        f"{denied}: {said}" if said else f"{denied} without explanation",
        details=details if isinstance(details, dict) else None,
    )
