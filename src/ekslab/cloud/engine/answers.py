"""Answers of the query services, written straight to XML by writers made once per operation.

moto turns a result into nested dicts, looking up the model's shapes and every name under which an
attribute may be found for each value anew, and then the dicts into SAX events: 60 % of the CPU of a
`DescribeVpcs`. Here an operation's output shape becomes a tree of writers on its first answer. What
is found where, and how it looks, stays moto's decision: names come from its alias providers, values
pass its transformers, times its formats.

What these writers do not know (attributes and namespaces of XML, flattened maps) is left to moto.
"""

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ekslab.cloud.gateway.faults import escape

Write = Callable[[Any], str]
_WriteBody = Callable[[Any, str], str]
_Pick = Callable[[Any], Any]
_MISSING = object()
_EC2_PROLOGUE = '<?xml version="1.0" encoding="utf-8"?>\n'


class _NotOurs(Exception):  # noqa: N818 - no error: moto writes this one
    """The answer has something that these writers do not know."""


def install() -> None:
    """Let results of EC2 and the query services be written here. Idempotent."""
    from moto.core import serialize

    query: Any = serialize.QuerySerializer
    if getattr(query, "_ekslab_writes", False):
        return
    original: Any = serialize.ResponseSerializer._serialize_result  # noqa: SLF001 - moto's own hook
    operations = _Operations()

    def serialize_result(serializer: Any, answer: dict[str, Any], result: Any) -> Any:
        try:
            body = operations.write(serializer, result)
        except _NotOurs:
            return original(serializer, answer, result)
        answer["body"] = body
        answer["headers"]["Content-Type"] = serializer.CONTENT_TYPE
        return answer

    query._serialize_result = serialize_result  # noqa: SLF001 - moto's own hook
    query._ekslab_writes = True  # noqa: SLF001 - our own mark
    for special in (serialize.SqsQuerySerializer, serialize.QueryJSONSerializer):
        vars_of: Any = special
        vars_of._serialize_result = original  # noqa: SLF001 - moto's own hook


class _Operations:
    """The writers of the operations that have been answered so far: as many as the models have."""

    def __init__(self) -> None:
        self._writers: dict[tuple[str, str], _WriteBody | None] = {}

    def write(self, serializer: Any, result: Any) -> str:
        """The whole body.

        Raises:
            _NotOurs: moto has to write it.
        """
        operation = serializer.operation_model
        key = (str(operation.service_model.service_name), str(operation.name))
        if key not in self._writers:
            self._writers[key] = _envelope(serializer)
        writer = self._writers[key]
        if writer is None:
            raise _NotOurs
        try:
            return writer(result, str(serializer.context.request_id))
        except _NotOurs:
            self._writers[key] = None
            raise


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in an answer a writer stands: `path` as moto's transformers name it."""

    serializer: Any
    path: str

    def under(self, name: str) -> "_Place":
        return _Place(self.serializer, f"{self.path}.{name}")


def _envelope(serializer: Any) -> _WriteBody:
    """The writer of a whole body from result and request id: what the protocol puts around."""
    from moto.core.serialize import EC2Serializer

    operation = serializer.operation_model
    shape = operation.output_shape
    name = operation.name
    namespace = operation.metadata.get("xmlNamespace", "")
    xmlns = f' xmlns="{namespace}"' if namespace else ""
    inner: Write = _nothing
    if shape is not None:
        inner = _Structure(shape, _Place(serializer, name).under(shape.name))
    if isinstance(serializer, EC2Serializer):
        start, end = f"{_EC2_PROLOGUE}<{name}Response{xmlns}>", f"</{name}Response>"
        return lambda result, ident: f"{start}{inner(result)}<requestId>{ident}</requestId>{end}"
    if shape is not None:
        inner = _tagged(shape.serialization.get("resultWrapper", f"{shape.name}Result"), inner)
    start, after = f"<{name}Response{xmlns}>", "<ResponseMetadata><RequestId>"
    end = f"</RequestId></ResponseMetadata></{name}Response>"
    return lambda result, ident: f"{start}{inner(result)}{after}{ident}{end}"


def _nothing(_value: Any) -> str:
    return ""


def _tagged(name: str, inner: Write) -> Write:
    start, end, empty = f"<{name}>", f"</{name}>", f"<{name}/>"

    def write(value: Any) -> str:
        text = inner(value)
        return f"{start}{text}{end}" if text else empty

    return write


class _Structure:
    """Writes the members of a structure. Which attributes of a Python object may hold a member
    depends on the object's class: planned once for each.
    """

    __slots__ = ("_place", "_plans", "_shape", "_writers")

    def __init__(self, shape: Any, place: _Place) -> None:
        self._shape = shape
        self._place = place
        self._writers: dict[str, Write] = {}
        self._plans: dict[type, Sequence[tuple[_Pick, Write]]] = {}

    def __call__(self, value: Any) -> str:
        if value is None:
            return ""
        plan = self._plans.get(type(value))
        if plan is None:
            plan = self._plans[type(value)] = self._plan(value)
        parts = []
        for pick, write in plan:
            found = pick(value)
            if found is not None:
                parts.append(write(found))
        return "".join(parts)

    def _plan(self, value: Any) -> Sequence[tuple[_Pick, Write]]:
        plan = []
        for key, member in self._shape.members.items():
            member.parent = self._shape  # where moto's alias providers look
            if key not in self._writers:
                self._writers[key] = _element(member, key, self._place)
            plan.append((self._picker(key, member, value), self._writers[key]))
        return plan

    def _picker(self, key: str, member: Any, value: Any) -> _Pick:
        from moto.core.serialize import AttributePickerContext

        serializer = self._place.serializer
        context = AttributePickerContext(
            obj=value,
            key=key,
            shape=member,
            operation_model=serializer.operation_model,
            service_model=serializer.service_model,
            key_path=self._place.path,
        )
        moto_picker = serializer._value_picker  # noqa: SLF001 - moto's field
        names = tuple(dict.fromkeys(moto_picker.get_possible_keys(context)))
        if type(value) is dict:
            pick = _from_dict(names)
        elif hasattr(value, "__getitem__"):
            pick = _from_items(names)
        else:
            pick = _from_attributes(names)
        return _transformed(pick, f"{self._place.path}.{key}", moto_picker.response_transformers)


def _from_dict(names: Sequence[str]) -> _Pick:
    def pick(value: dict[str, Any]) -> Any:
        for name in names:
            if name in value:
                return value[name]
        return None

    return pick


def _from_items(names: Sequence[str]) -> _Pick:
    def pick(value: Any) -> Any:
        for name in names:
            try:
                return value[name]
            except (KeyError, IndexError, TypeError, AttributeError):
                continue
        return None

    return pick


def _from_attributes(names: Sequence[str]) -> _Pick:
    def pick(value: Any) -> Any:
        for name in names:
            found = getattr(value, name, _MISSING)
            if found is not _MISSING:
                return found
        return None

    return pick


def _transformed(pick: _Pick, path: str, transformers: Mapping[str, Callable[[Any], Any]]) -> _Pick:
    for end, transform in transformers.items():
        if path.endswith(end):
            return lambda value: transform(pick(value))
    return pick


def _element(shape: Any, key: str, place: _Place) -> Write:
    """The writer of a member, with its tags."""
    name = shape.serialization.get("name", key)
    place = place.under(key)
    if shape.type_name == "list":
        if shape.is_flattened:
            return _items(shape.member, shape.member.serialization.get("name", name), place)
        tag = shape.member.serialization.get("name", "member")
        return _tagged(name, _items(shape.member, tag, place))
    return _tagged(name, _content(shape, place))


def _items(member: Any, tag: str, place: _Place) -> Write:
    """The writer of a list's items. Structures without a member are left out, as moto does."""
    content = _content(member, place.under(member.name))
    start, end, empty = f"<{tag}>", f"</{tag}>", f"<{tag}/>"
    left_out = "" if member.type_name == "structure" else empty

    def write(values: Iterable[Any]) -> str:
        texts = [content(value) for value in values]
        return "".join([f"{start}{text}{end}" if text else left_out for text in texts])

    return write


def _content(shape: Any, place: _Place) -> Write:
    """The writer of a value, without tags."""
    if shape.serialization.get("xmlNamespace") or shape.serialization.get("xmlAttribute"):
        raise _NotOurs
    match shape.type_name:
        case "structure":
            return _Structure(shape, place)
        case "map":
            return _entries(shape, place)
        case "timestamp":
            return _times(shape, place.serializer)
        case "list" | "document":
            raise _NotOurs
        case scalar:
            return _SCALARS[scalar]


def _entries(shape: Any, place: _Place) -> Write:
    if shape.is_flattened:
        raise _NotOurs
    key, value = _element(shape.key, "key", place), _element(shape.value, "value", place)

    def write(values: Mapping[Any, Any]) -> str:
        rows = [f"<entry>{key(k)}{value(v)}</entry>" for k, v in values.items() if v is not None]
        return "".join(rows)

    return write


def _times(shape: Any, serializer: Any) -> Write:
    times = serializer._timestamp_serializer  # noqa: SLF001 - moto's field
    form = shape.serialization.get("timestampFormat", times.default_format)
    return lambda value: escape(str(times._convert_timestamp_to_str(value, form)))  # noqa: SLF001 - moto's


def _boolean(value: Any) -> str:
    return "true" if value is True or str(value).lower() == "true" else "false"


def _integer(value: Any) -> str:
    return str(int(value))


def _float(value: Any) -> str:
    return str(float(value))


def _text(value: Any) -> str:
    return escape(str(value))


def _blob(value: str | bytes) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


_SCALARS: Mapping[str, Write] = {
    "boolean": _boolean,
    "integer": _integer,
    "long": _integer,
    "float": _float,
    "double": _float,
    "string": _text,
    "character": _text,
    "blob": _blob,
}
