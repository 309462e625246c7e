"""PATCH: the four media types, through one loop of read, patch, check and transact.

Upstream: `apiserver/pkg/endpoints/handlers/patch.go`. What a patch makes is decoded and checked
like a body, so a patch can do nothing that an update could not.
"""

from typing import Any, Final

import orjson

from ekslab.kit.clock import Clock, rfc3339
from ekslab.kube.api import errors
from ekslab.kube.api.errors import bad_request
from ekslab.kube.api.objects import Item
from ekslab.kube.api.ownership import managers
from ekslab.kube.api.patches import json_patch, merge_patch, strategic
from ekslab.kube.api.ports import Answer, PatchType
from ekslab.kube.api.requests import ApiRequest, Object
from ekslab.kube.api.schema.levels import is_deep, may_be_deep
from ekslab.kube.api.schema.model import Schema
from ekslab.kube.api.schema.syntax import TOO_DEEP, syntax_error
from ekslab.kube.api.schema.walking import plain
from ekslab.kube.api.schema.yaml_text import YamlError, parse_yaml
from ekslab.kube.apiserver.decoding import Decoder
from ekslab.kube.apiserver.options import WriteOptions, write_options
from ekslab.kube.apiserver.registry import Served
from ekslab.kube.apiserver.writing import Made, Rules, Writer, main_rules

_TYPES: Final = {kind.value: kind for kind in PatchType}
_ALL_TYPES: Final = tuple(_TYPES)
_NOTHING: Final[Object] = {}


def patch_type(request: ApiRequest, *, custom: bool) -> PatchType:
    """The kind of patch a request brings.

    Raises:
        ApiError: 415; strategic merge patches need Go types, which custom resources have not.
    """
    found = _TYPES.get(request.content_type.partition(";")[0].strip())
    if found is None or (custom and found is PatchType.STRATEGIC):
        accepted = [
            name for name in _ALL_TYPES if not custom or _TYPES[name] is not (PatchType.STRATEGIC)
        ]
        raise errors.unsupported_media_type(accepted)
    return found


def parse_patch(request: ApiRequest, kind: PatchType) -> Any:
    """The patch itself.

    Raises:
        ApiError: 400, if it cannot be parsed.
    """
    if request.body is None or request.body == b"":
        raise bad_request("error decoding patch: unexpected end of JSON input")
    if not isinstance(request.body, bytes):
        return request.body
    if kind is PatchType.APPLY:
        return _parsed_yaml(request.body)
    try:
        patch = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        why = syntax_error(request.body) or str(error)
        raise bad_request(f"error decoding patch: {why}") from None
    if may_be_deep(request.body) and is_deep(patch):
        raise bad_request(f"error decoding patch: {TOO_DEEP}")
    return patch


def _parsed_yaml(raw: bytes) -> Any:
    try:
        return plain(parse_yaml(raw)[0])
    except YamlError as error:
        raise bad_request(f"error decoding YAML: error converting YAML to JSON: {error}") from None


def apply_patch(kind: PatchType, obj: Object, patch: Any, schema: Schema) -> Object:
    """What a patch makes of an object; shares what it leaves alone.

    Raises:
        ApiError: 400 or 422, in upstream's words.
    """
    if kind is PatchType.JSON:
        try:
            patched = json_patch.apply(obj, patch)
        except RecursionError:
            raise bad_request(TOO_DEEP) from None
        if is_deep(patched):  # operations may nest what they add
            raise bad_request(TOO_DEEP)
        return patched
    if kind is PatchType.MERGE:
        return merge_patch.apply(obj, patch)
    return strategic.apply(obj, patch, schema)


def _kept(obj: Any, old: Object | None, rules: Rules) -> Object:
    """The parts of a patched object that are the old one's, and will be whatever is patched."""
    if old is None or not isinstance(obj, dict):
        return _NOTHING
    kept = {key: old[key] for key in rules.keeps if key in old and obj.get(key) is old[key]}
    meta: Object = old["metadata"]
    if "metadata" in obj and obj["metadata"] is meta:
        kept["metadata"] = dict(meta)
    return kept


class Patcher:
    """Answers patch."""

    def __init__(self, writer: Writer, decoder: Decoder, clock: Clock) -> None:
        self._writer = writer
        self._decoder = decoder
        self._clock = clock

    async def patch(self, served: Served, request: ApiRequest) -> Answer:
        """Patch the object itself."""
        return await self.patch_by(served, request, main_rules(served))

    async def patch_by(self, served: Served, request: ApiRequest, rules: Rules) -> Answer:
        """Patch through one door.

        Raises:
            ApiError: 415, 400 or 422 for the patch, and every refusal of a change.
        """
        options = write_options(request)
        kind = patch_type(request, custom=served.is_custom)
        patch = parse_patch(request, kind)
        if kind is PatchType.APPLY:
            return await self._apply(served, request, options, rules, patch)

        def make(old: Object | None, _item: Item | None) -> Made:
            assert old is not None  # only an apply may create
            patched = apply_patch(kind, old, patch, served.schema)
            kept = _kept(patched, old, rules)
            return Made(self._checked(served, request, options, patched, kept))

        return await self._writer.change(served, request, options=options, rules=rules, make=make)

    def _checked(
        self,
        served: Served,
        request: ApiRequest,
        options: WriteOptions,
        obj: Any,
        kept: Object = _NOTHING,
    ) -> Object:
        """A private, checked copy of what a patch made; `kept` are parts that need neither."""
        if not isinstance(obj, dict):
            raise bad_request("error decoding patch: the patched object is no object")
        self._decoder.check_kind(obj, kind=served.info.kind, api_version=served.info.api_version)
        return self._decoder.checked(
            obj,
            request,
            schema=served.schema,
            kind=served.info.kind,
            api_version=served.info.api_version,
            mode=options.field_validation,
            kept=kept,
        )

    async def _apply(
        self,
        served: Served,
        request: ApiRequest,
        options: WriteOptions,
        rules: Rules,
        config: Any,
    ) -> Answer:
        """Server-side apply: creates what is not there, on the object itself."""
        config = self._applied_config(served, request, options, config)

        def make(old: Object | None, _item: Item | None) -> Made:
            managed = old["metadata"].get("managedFields") or [] if old is not None else []
            obj, managed = managers.apply(
                served.schema,
                old,
                managed,
                config,
                manager=options.field_manager,
                force=options.force,
                api_version=served.info.api_version,
                subresource=rules.subresource,
                time=rfc3339(self._clock.now()),
            )
            kept = _kept(obj, old, rules)
            return Made(self._checked(served, request, options, obj, kept), managed)

        return await self._writer.change(
            served,
            request,
            options=options,
            rules=rules,
            make=make,
            may_create=not rules.subresource,
        )

    def _applied_config(
        self, served: Served, request: ApiRequest, options: WriteOptions, config: Any
    ) -> Object:
        if not isinstance(config, dict):
            raise bad_request("error decoding YAML: the applied configuration is no object")
        for field in ("apiVersion", "kind"):
            if not config.get(field):
                raise bad_request(f"invalid object type: /, Kind={config.get('kind', '')}")
        meta = config.get("metadata")
        if isinstance(meta, dict) and meta.get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        checked = self._checked(served, request, options, config)
        meta = checked["metadata"]
        if meta.setdefault("name", request.name) != request.name:
            message = (
                f"the name of the object ({meta['name']}) does not match the name on the URL"
                f" ({request.name})"
            )
            raise bad_request(message)
        if request.namespace:
            meta.setdefault("namespace", request.namespace)
        return checked
