"""Bodies of requests: from bytes to a checked object of the right kind.

Upstream: the decoder of `apiserver/pkg/endpoints/handlers/{create,rest}.go`. An object handed over
in process takes the same way as bytes, so that its sender may share subtrees and every rule holds
for it as well.
"""

from typing import Any, Final

import orjson

from ekslab.kube.api import media
from ekslab.kube.api.errors import ApiError, bad_request
from ekslab.kube.api.requests import ApiRequest, Object
from ekslab.kube.api.schema.catalog import Catalog
from ekslab.kube.api.schema.checking import Checked, Checker, FieldValidation
from ekslab.kube.api.schema.model import Schema
from ekslab.kube.apiserver.registry import Registry, Served

_JSON: Final = "application/json"
_DELETE_OPTIONS: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
_NOTHING: Final[Object] = {}


class Decoder:
    """Decodes and checks bodies by the schema of a cluster's version."""

    def __init__(self, catalog: Catalog, registry: Registry) -> None:
        self._catalog = catalog
        self._registry = registry
        self._checker = Checker(catalog)

    def body(self, served: Served, request: ApiRequest, mode: str) -> Object:
        """The object of a create or update.

        Raises:
            ApiError: 400 for what cannot be understood or has the wrong type, 415.
        """
        return self.typed(
            request,
            schema=served.schema,
            kind=served.info.kind,
            api_version=served.info.api_version,
            mode=mode,
        )

    def typed(
        self, request: ApiRequest, *, schema: Schema, kind: str, api_version: str, mode: str
    ) -> Object:
        """A body that is to be of this kind; absent kind and apiVersion are filled in."""
        raw, content_type = _raw(request)
        if content_type == media.PROTOBUF:  # a message has no unknown fields to be told of
            mode = FieldValidation.IGNORE.value
        if content_type != _JSON:
            parsed = media.decode(raw, content_type, kind=kind)
            self.check_kind(parsed, kind=kind, api_version=api_version)
            return self.checked(
                parsed, request, schema=schema, kind=kind, api_version=api_version, mode=mode
            )
        try:
            checked = self._checker.decode(
                raw,
                schema,
                kind=kind,
                api_version=api_version,
                mode=FieldValidation(mode),
                is_foreign=raw is request.body and not request.is_encoded_here,
            )
        except ApiError:
            # A body of another kind breaks this kind's types, too: that is the better answer.
            self._check_kind_of_raw(raw, kind=kind, api_version=api_version)
            raise
        self.check_kind(checked.obj, kind=kind, api_version=api_version)
        return _accepted(checked, request, kind=kind, api_version=api_version)

    def checked(
        self,
        parsed: Object,
        request: ApiRequest,
        *,
        schema: Schema,
        kind: str,
        api_version: str,
        mode: str,
        kept: Object = _NOTHING,
    ) -> Object:
        """A private, checked copy of a parsed object; warnings go to the request.

        `kept` are parts of it, by name, that have been checked before: they go into the result as
        they are.

        Raises:
            ApiError: 400, for a wrong type or, with Strict, an unknown field.
        """
        checked = self._checker.check(
            parsed, schema, kind=kind, api_version=api_version, mode=FieldValidation(mode),
            kept=kept,
        )  # fmt: skip
        return _accepted(checked, request, kind=kind, api_version=api_version)

    def _check_kind_of_raw(self, raw: bytes, *, kind: str, api_version: str) -> None:
        try:
            parsed = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return
        if isinstance(parsed, dict):
            self.check_kind(parsed, kind=kind, api_version=api_version)

    def delete_options(self, request: ApiRequest) -> dict[str, Any]:
        """The body of a delete; empty if there is none."""
        raw, content_type = _raw(request)
        if not raw:
            return {}
        parsed = media.decode(raw, content_type, kind="DeleteOptions")
        schema = self._catalog.type(_DELETE_OPTIONS)
        checked = self._checker.check(
            parsed,
            schema,
            kind="DeleteOptions",
            api_version=parsed.get("apiVersion") or "v1",
            mode=FieldValidation.IGNORE,
        )
        return checked.obj

    def check_kind(self, parsed: Object, *, kind: str, api_version: str) -> None:
        """Refuse another kind or version than the path is of.

        Raises:
            ApiError: 400, in upstream's words.
        """
        said_version = parsed.get("apiVersion") or api_version
        said_kind = parsed.get("kind") or kind
        if said_version == api_version and said_kind == kind:
            return
        version = str(said_version).rpartition("/")[2]
        prefix = f'{said_kind} in version "{version}" cannot be handled as a {kind}'
        if said_kind == kind and self._registry.by_kind(said_version, said_kind) is not None:
            message = (
                f"the API version in the data ({said_version}) does not match the expected API"
                f" version ({api_version})"
            )
            raise bad_request(message)
        if self._registry.by_kind(said_version, said_kind) is None:
            message = (
                f'{prefix}: no kind "{said_kind}" is registered for version "{said_version}" in'
                ' scheme "pkg/api/legacyscheme/scheme.go:30"'
            )
            raise bad_request(message)
        message = f"{prefix}: converting ({said_kind}) to ({kind}): unknown conversion"
        raise bad_request(message)


def _accepted(checked: Checked, request: ApiRequest, *, kind: str, api_version: str) -> Object:
    request.warnings.extend(checked.warnings)
    obj = checked.obj
    obj.setdefault("metadata", {})
    obj["kind"] = kind
    obj["apiVersion"] = api_version
    return obj


def raw_body(request: ApiRequest) -> bytes:
    """A JSON body as bytes, and from then on the request's; b"" for one of another media type."""
    raw, content_type = _raw(request)
    if content_type != _JSON:
        return b""
    if raw is not request.body:
        request.body, request.is_encoded_here = raw, True
    return raw


def _raw(request: ApiRequest) -> tuple[bytes, str]:
    """The body as bytes and what they are of."""
    body = request.body
    if body is None:
        return b"", _JSON
    if isinstance(body, bytes):
        return body, request.content_type.partition(";")[0].strip() or _JSON
    return orjson.dumps(body), _JSON
