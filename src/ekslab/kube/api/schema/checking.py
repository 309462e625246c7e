"""Bodies checked against the schema: types, unknown and duplicate fields, Go's round trip.

Upstream: the decoders of apimachinery `pkg/runtime/serializer/json`, and how the handlers of
`apiserver/pkg/endpoints` word their errors (`transformDecodeError` in `handlers/rest.go`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

import msgspec
import orjson

from ekslab.kube.api.errors import ApiError, bad_request
from ekslab.kube.api.requests import Object
from ekslab.kube.api.schema.catalog import Catalog
from ekslab.kube.api.schema.compiled import CompiledType, Compiler
from ekslab.kube.api.schema.levels import is_deep, may_be_deep
from ekslab.kube.api.schema.model import Schema
from ekslab.kube.api.schema.scalars import Pairs, word_of
from ekslab.kube.api.schema.syntax import TOO_DEEP, syntax_error
from ekslab.kube.api.schema.walking import DecodeError, Walk, parse_pairs
from ekslab.kube.api.schema.yaml_text import YamlError, parse_yaml

_SUMMARY_BYTES: Final = 30
_HEAD: Final = (
    'struct { APIVersion string "json:\\"apiVersion,omitempty\\"";'
    ' Kind string "json:\\"kind,omitempty\\"" }'
)
_NOTHING: Final[Mapping[str, Any]] = {}


class FieldValidation(Enum):
    """What happens to unknown and duplicate fields (query parameter `fieldValidation`)."""

    IGNORE = "Ignore"
    WARN = "Warn"
    STRICT = "Strict"


@dataclass(frozen=True, slots=True)
class Checked:
    """A checked object, private to the caller, and what to warn of."""

    obj: Object
    warnings: Sequence[str] = field(default=())


class Checker:
    """Checks objects of the built-in types of one catalog; shared by all tenants.

    Types are compiled when an object of theirs first comes by.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._compiler = _compiler_of(catalog)

    def check(
        self,
        obj: Mapping[str, Any],
        schema: Schema,
        *,
        kind: str,
        api_version: str,
        mode: FieldValidation,
        kept: Mapping[str, Any] = _NOTHING,
    ) -> Checked:
        """Check a decoded object, which stays as it is; the result shares only ANY values.

        `kept` are fields of the object that were checked before and go into the result as given.

        Raises:
            ApiError: 400 in upstream's words, for a wrong type or, with STRICT, an unknown field.
        """
        compiled = self._compiled(schema)
        rest = {key: obj[key] for key in obj if key not in kept} if kept else obj
        if compiled is not None and (fast := compiled.convert(rest)) is not None:
            if kept:
                both = {**fast, **kept}
                fast = {name: both[name] for name in schema.fields if name in both}
            return Checked(fast)
        return _walked(obj, schema, kind=kind, api_version=api_version, mode=mode)

    def decode(
        self,
        raw: bytes,
        schema: Schema,
        *,
        kind: str,
        api_version: str,
        mode: FieldValidation,
        is_foreign: bool = True,
    ) -> Checked:
        """Check a JSON text. Kind and apiVersion in it are kept as they are, not compared (`said`
        reads them first, for who wants to). A text that is not foreign, which we wrote ourselves,
        names no key twice.

        Raises:
            ApiError: 400 in upstream's words.
        """
        if may_be_deep(raw):
            _check_levels(raw, kind)
        compiled = self._compiled(schema)
        fast = None if compiled is None else compiled.decode(raw)
        careless = mode is FieldValidation.IGNORE or not is_foreign
        if fast is not None and (careless or not may_have_duplicates(raw)):
            return Checked(fast)
        if schema.reads is not None and not may_have_duplicates(raw):
            # No key comes twice, so the fast parser tells all there is to tell.
            parsed = needed_object(orjson.loads(raw), raw, kind=kind)
        else:
            parsed = parsed_pairs(raw, kind=kind)
        said_kind, said_version = _said(parsed)
        return _walked(
            parsed,
            schema,
            kind=kind,
            api_version=said_version or api_version,
            mode=mode,
            said_kind=said_kind,
        )

    def decode_yaml(
        self,
        raw: bytes,
        schema: Schema,
        *,
        kind: str,
        api_version: str,
        mode: FieldValidation,
    ) -> Checked:
        """Check a YAML text; duplicate keys are told with their lines, as upstream tells them.

        Raises:
            ApiError: 400 in upstream's words.
        """
        try:
            parsed, problems = parse_yaml(raw)
        except YamlError as error:
            raise unrecognized(kind, str(error), raw) from None
        parsed = needed_object(parsed, raw, kind=kind)
        said_kind, said_version = _said(parsed)
        return _walked(
            parsed,
            schema,
            kind=kind,
            api_version=said_version or api_version,
            mode=mode,
            said_kind=said_kind,
            problems=problems,
        )

    def _compiled(self, schema: Schema) -> CompiledType | None:
        """The compiled type of a built-in schema; None for all others."""
        known = self._catalog.types.get(schema.name)
        if known is None or known.fields is not schema.fields:
            return None
        return self._compiler.compiled(schema)


_compilers: dict[str, Compiler] = {}  # one per Kubernetes version, at most SUPPORTED_VERSIONS


def _compiler_of(catalog: Catalog) -> Compiler:
    return _compilers.setdefault(catalog.version, Compiler())


def _walked(
    obj: Any,
    schema: Schema,
    *,
    kind: str,
    api_version: str,
    mode: FieldValidation,
    said_kind: str = "",
    problems: Sequence[str] = (),
) -> Checked:
    walk = Walk(list(problems), tells_duplicates=not problems)
    try:
        if schema.reads is not None:
            checked = schema.reads(obj, walk)
        else:
            checked = walk.object(obj, schema, go_name=kind)
    except DecodeError as error:
        raise cannot_be_handled(kind, api_version, str(error), said_kind=said_kind) from None
    except RecursionError:
        raise cannot_be_handled(kind, api_version, TOO_DEEP, said_kind=said_kind) from None
    if mode is FieldValidation.STRICT and walk.problems:
        why = f"strict decoding error: {', '.join(walk.problems)}"
        raise cannot_be_handled(kind, api_version, why, said_kind=said_kind)
    warnings = tuple(walk.problems) if mode is FieldValidation.WARN else ()
    return Checked(checked, warnings)


class _Said(msgspec.Struct):
    """Kind and version in a body, without a look at the rest."""

    kind: str = ""
    apiVersion: str = ""  # noqa: N815 - the wire's name


_said_decoder: Final = msgspec.json.Decoder(_Said)


def said(raw: bytes, *, kind: str) -> tuple[str, str]:
    """`(kind, apiVersion)` that a JSON text names, "" where it does not.

    Raises:
        ApiError: 400 in upstream's words, it is no JSON or no object.
    """
    try:
        found = _said_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _said(parsed_pairs(raw, kind=kind))
    return found.kind, found.apiVersion


def cannot_be_handled(kind: str, api_version: str, why: str, *, said_kind: str = "") -> ApiError:
    """400 for a body of a known kind: `Pod in version "v1" cannot be handled as a Pod: ...`."""
    version = api_version.rpartition("/")[2]
    subject = f'{said_kind or kind} in version "{version}"'
    return bad_request(f"{subject} cannot be handled as a {kind}: {why}")


def unrecognized(kind: str, why: str, raw: bytes) -> ApiError:
    """400 for a body of which not even kind and version could be read."""
    if not why.startswith("yaml: "):  # a text that is no YAML never reaches the JSON decoder
        why = f"couldn't get version/kind; json parse error: {why}"
    return bad_request(
        f"the object provided is unrecognized (must be of type {kind}): {why} ({_summary(raw)})"
    )


def _summary(raw: bytes) -> str:
    """The beginning of a body for an error: as text if it looks like JSON, else in hex."""
    if not raw:
        return "<empty>"
    head, more = raw[:_SUMMARY_BYTES], " ..." if len(raw) > _SUMMARY_BYTES else ""
    return (head.decode("utf-8", "replace") if raw[:1] == b"{" else head.hex()) + more


def _check_levels(raw: bytes, kind: str) -> None:
    try:
        parsed = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return  # whoever reads it says so, and how
    if is_deep(parsed):
        raise unrecognized(kind, TOO_DEEP, raw)


def parsed_pairs(raw: bytes, *, kind: str) -> Any:
    """A JSON object parsed for the exact walk; null is an empty one, as in Go.

    Raises:
        ApiError: 400, it is no JSON or no object.
    """
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError:  # or only stricter than Go: the scanner knows, but is slow
        wrong = syntax_error(raw)
        if wrong is not None:
            raise unrecognized(kind, wrong, raw) from None
    try:
        parsed = parse_pairs(raw)
    except RecursionError:
        raise unrecognized(kind, TOO_DEEP, raw) from None
    return needed_object(parsed, raw, kind=kind)


def needed_object(parsed: Any, raw: bytes, *, kind: str) -> Any:
    """What was parsed from `raw`, if it is an object or null.

    Raises:
        ApiError: 400, it is neither.
    """
    if parsed is None:
        return Pairs()
    if not isinstance(parsed, Mapping | Pairs):
        raise unrecognized(
            kind, f"json: cannot unmarshal {word_of(parsed)} into Go value of type {_HEAD}", raw
        )
    return parsed


def _said(parsed: Any) -> tuple[str, str]:
    """Kind and apiVersion that a parsed body names."""
    found = dict(parsed) if isinstance(parsed, Pairs | dict) else {}
    kind, version = found.get("kind"), found.get("apiVersion")
    return kind if isinstance(kind, str) else "", version if isinstance(version, str) else ""


def may_have_duplicates(raw: bytes) -> bool:
    """False if no object of a JSON text names a key twice; True if one may.

    A parser that keeps the last of two equal keys loses two quotation marks at least, so a text
    that keeps its number of them through a round trip has none. Escaped quotation marks are the
    only other way to change it, and such texts are looked at closely.
    """
    if b"\\u0022" in raw:
        return True
    try:
        again = orjson.dumps(orjson.loads(raw))
    except orjson.JSONDecodeError:
        return True
    return again.count(b'"') != raw.count(b'"')
