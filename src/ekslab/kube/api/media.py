"""The one place where a serializer is chosen by media type.

Upstream: `apiserver/pkg/endpoints/handlers/negotiation/negotiate.go`. A further serializer is one
more entry in `_SERIALIZERS`. Table, PartialObjectMetadata and the aggregated discovery documents
are transformations of an answer, asked for by parameters of the media type. Only built-in kinds
and PartialObjectMetadata can be protobuf.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
import yaml

from ekslab.kit.remembering import remembered
from ekslab.kube.api.errors import not_acceptable, unsupported_media_type
from ekslab.kube.api.protobuf import envelope
from ekslab.kube.api.requests import Object
from ekslab.kube.api.schema.checking import needed_object, parsed_pairs, unrecognized
from ekslab.kube.api.schema.walking import plain
from ekslab.kube.api.schema.yaml_text import YamlError, parse_yaml

JSON: Final = "application/json"
YAML: Final = "application/yaml"
PROTOBUF: Final = "application/vnd.kubernetes.protobuf"

_ACCEPT_BYTES_MOST: Final = 4_096
_YAML_DUMPER: Final[type] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


@dataclass(frozen=True, slots=True)
class Transform:
    """A representation other than the object itself: `as=Table;v=v1;g=meta.k8s.io`."""

    kind: str
    group: str
    version: str


TABLE: Final = Transform("Table", "meta.k8s.io", "v1")
PARTIAL: Final = Transform("PartialObjectMetadata", "meta.k8s.io", "v1")
PARTIAL_LIST: Final = Transform("PartialObjectMetadataList", "meta.k8s.io", "v1")
DISCOVERY: Final = Transform("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2")
_VERSIONS: Final[Mapping[Transform, tuple[str, ...]]] = {
    TABLE: ("v1", "v1beta1"),
    PARTIAL: ("v1", "v1beta1"),
    PARTIAL_LIST: ("v1", "v1beta1"),
    DISCOVERY: ("v2", "v2beta1"),
}
OBJECT_TRANSFORMS: Final = (TABLE, PARTIAL, PARTIAL_LIST)


@dataclass(frozen=True, slots=True)
class MediaChoice:
    """What the client gets: the serializer's media type, and the transformation, if any.

    Attributes:
        media_type: `application/json`, `application/yaml` or `application/vnd.kubernetes.protobuf`.
        transform: the representation asked for, with the version that was asked for.
        stream: `stream=watch` was asked for.
    """

    media_type: str = JSON
    transform: Transform | None = None
    stream: bool = False

    @property
    def content_type(self) -> str:
        """The Content-Type of the answer. Discovery names its parameters, tables do not."""
        chosen = self.transform
        if chosen is None or chosen.group != DISCOVERY.group:
            return self.media_type
        return f"{self.media_type};g={chosen.group};v={chosen.version};as={chosen.kind}"

    def is_table(self) -> bool:
        """Whether a Table was asked for."""
        return self.transform is not None and self.transform.kind == TABLE.kind


@dataclass(frozen=True, slots=True)
class _Clause:
    """One entry of an Accept header."""

    media_type: str
    parameters: tuple[tuple[str, str], ...]
    quality: float

    @property
    def rank(self) -> tuple[float, int]:
        """Better ones first: by quality, then by how exactly a type is named."""
        return -self.quality, self.media_type.count("*")


@remembered(512, longest=_ACCEPT_BYTES_MOST)
def negotiate(
    accept: str,
    *,
    transforms: Collection[Transform] = OBJECT_TRANSFORMS,
    protobuf: bool = False,
) -> MediaChoice:
    """Choose by an Accept header, out of what can be made here; an empty one takes anything.

    Clauses that cannot be met (an unknown `as`) are passed over if another can. `transforms` must
    be hashable (a tuple); `protobuf` says whether the object as it is can be protobuf.

    Raises:
        ApiError: 406, no clause can be met.
    """
    clauses = _clauses(accept[:_ACCEPT_BYTES_MOST]) or [_Clause("*/*", (), 1.0)]
    for clause in sorted(clauses, key=lambda clause: clause.rank):
        media_type = _matching(clause.media_type)
        if media_type is None or clause.quality == 0:
            continue
        choice = _with_parameters(media_type, dict(clause.parameters), transforms)
        if choice is not None and (media_type != PROTOBUF or _as_message(choice, plain=protobuf)):
            return choice
    raise not_acceptable(tuple(_SERIALIZERS))


def _clauses(accept: str) -> list[_Clause]:
    clauses = []
    for text in accept.split(","):
        media_type, *rest = (part.strip() for part in text.split(";"))
        if not media_type:
            continue
        pairs = (part.partition("=") for part in rest if part)
        parameters = {key.strip(): value.strip().strip('"') for key, _, value in pairs}
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 1.0
        clauses.append(_Clause(media_type.lower(), tuple(parameters.items()), quality))
    return clauses


def _matching(media_type: str) -> str | None:
    if media_type in _SERIALIZERS:
        return media_type
    return JSON if media_type in {"*/*", "application/*"} else None


def _with_parameters(
    media_type: str, parameters: dict[str, str], transforms: Collection[Transform]
) -> MediaChoice | None:
    """The choice for a clause's parameters; None if they ask for what is not made here."""
    stream = parameters.get("stream", "")
    if stream not in {"", "watch"}:
        return None
    kind = parameters.get("as", "")
    if not kind:
        return MediaChoice(media_type, stream=bool(stream))
    group, version = parameters.get("g", ""), parameters.get("v", "")
    for transform in transforms:
        named = (transform.kind, transform.group) == (kind, group)
        if named and version in _VERSIONS[transform]:
            return MediaChoice(media_type, Transform(kind, group, version), bool(stream))
    return None


def _as_message(choice: MediaChoice, *, plain: bool) -> bool:
    """Whether a choice can be protobuf; no Table can. `plain`: without a transformation it can."""
    if choice.transform is None:
        return plain
    return choice.transform.kind in {PARTIAL.kind, PARTIAL_LIST.kind}


@dataclass(frozen=True, slots=True)
class _Serializer:
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes, str], Any]


def _encode_yaml(obj: Any) -> bytes:
    """YAML as upstream writes it: keys sorted, blocks, two spaces."""
    encoded: bytes = yaml.dump(
        obj, Dumper=_YAML_DUMPER, allow_unicode=True, default_flow_style=False, encoding="utf-8"
    )
    return encoded


def _decode_json(raw: bytes, kind: str) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return parsed_pairs(raw, kind=kind)


def _decode_yaml(raw: bytes, kind: str) -> Any:
    try:
        return parse_yaml(raw)[0]
    except YamlError as error:
        raise unrecognized(kind, str(error), raw) from None


_SERIALIZERS: Final[Mapping[str, _Serializer]] = {
    JSON: _Serializer(orjson.dumps, _decode_json),
    YAML: _Serializer(_encode_yaml, _decode_yaml),
    PROTOBUF: _Serializer(envelope.encode, lambda raw, kind: envelope.decode(raw, kind=kind)),
}


def of_content_type(content_type: str) -> str:
    """The media type of a body; an absent one is JSON.

    Raises:
        ApiError: 415, there is no serializer for it.
    """
    media_type = content_type.partition(";")[0].strip().lower() or JSON
    if media_type in _SERIALIZERS:
        return media_type
    if media_type in {"application/x-yaml", "text/yaml"}:
        return YAML
    raise unsupported_media_type(tuple(_SERIALIZERS))


def encode(obj: Any, media_type: str = JSON) -> bytes:
    """An object in the media type of a `MediaChoice`."""
    return _SERIALIZERS[media_type].encode(obj)


def decode(raw: bytes, content_type: str = JSON, *, kind: str = "Object") -> Object:
    """A body as a plain object, unchecked. `kind` is what errors call it.

    Raises:
        ApiError: 400 in upstream's words, it is no object; 415.
    """
    value = _SERIALIZERS[of_content_type(content_type)].decode(raw, kind)
    if isinstance(value, dict):
        return value
    found: Object = plain(needed_object(value, raw, kind=kind))
    return found
