"""Types compiled for msgspec: one call checks a body and makes Go's round trip with it.

A compiled type accepts exactly the bodies that need no words: no unknown field, no null where a
value is expected, every number in range. Anything else it refuses, and the exact walk
(`walking.py`) says why or lets it pass. How Go's encoder is imitated:

    pointer          T | None = None          null and absent are left out, zero is kept
    value,omitempty  str = ""                 msgspec leaves out what is the default
    value            default_factory=str      always written: a factory's value is no default
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import msgspec

from ekslab.kube.api.schema.model import Kind, Presence, Schema
from ekslab.kube.api.schema.scalars import SCALARS, ZEROS, ParseError, WrongValueError


class _AnyText(type):
    """Lets a hook give a plain string where a marker type was asked for."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, str)


class _Quantity(metaclass=_AnyText):
    """A quantity."""


class _Time(metaclass=_AnyText):
    """An instant in whole seconds."""


class _MicroTime(metaclass=_AnyText):
    """An instant in microseconds."""


class _Bytes(metaclass=_AnyText):
    """Base64."""


_HOOKED: Final[Mapping[Any, Callable[[Any, str], Any]]] = {
    _Quantity: SCALARS[Kind.QUANTITY],
    _Time: SCALARS[Kind.TIME],
    _MicroTime: SCALARS[Kind.MICRO_TIME],
    _Bytes: SCALARS[Kind.BYTES],
}
_INT32: Final = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
_INT64: Final = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_TYPES: Final[Mapping[Kind, Any]] = {
    Kind.STRING: str,
    Kind.NUMBER: float,
    Kind.BOOLEAN: bool,
    Kind.INT_OR_STRING: _INT32 | str,
    Kind.QUANTITY: _Quantity,
    Kind.TIME: _Time,
    Kind.MICRO_TIME: _MicroTime,
    Kind.DURATION: str,
    Kind.BYTES: _Bytes,
    Kind.ANY: Any,
}
_NEVER_WRITTEN: Final = frozenset({Kind.LIST, Kind.MAP, Kind.ANY, Kind.BYTES})


class RecursiveTypeError(Exception):
    """A type that holds itself (JSONSchemaProps): only the exact walk can follow it."""


_KNOWN_MOST: Final = 16_384
# Canonical texts of what was met: a Pod has many quantities and times, and they repeat.
_known: Final[Mapping[type, dict[str, str]]] = {_Quantity: {}, _Time: {}}


def _hook(kind: type, value: Any) -> Any:
    known = _known.get(kind) if value.__class__ is str else None
    if known is not None and (canonical := known.get(value)) is not None:
        return canonical
    try:
        checked = _HOOKED[kind](value, "")
    except (ParseError, WrongValueError) as error:
        raise ValueError(str(error)) from None
    if known is not None:
        if len(known) >= _KNOWN_MOST:
            known.clear()  # times go on: what is met now is not what was met then
        known[value] = checked
    return checked


class CompiledType:
    """One compiled type of objects."""

    __slots__ = ("_decode", "_type")

    def __init__(self, struct: type[msgspec.Struct]) -> None:
        self._type = struct
        self._decode = msgspec.json.Decoder(struct, dec_hook=_hook).decode

    def decode(self, raw: bytes) -> dict[str, Any] | None:
        """The object in a JSON text after Go's round trip; None if the exact walk must look."""
        try:
            return self._plain(self._decode(raw))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def convert(self, obj: Mapping[str, Any]) -> dict[str, Any] | None:
        """The same for a decoded object, which stays as it is."""
        try:
            return self._plain(msgspec.convert(obj, self._type, dec_hook=_hook))
        except (msgspec.ValidationError, RecursionError):
            return None

    @staticmethod
    def _plain(struct: Any) -> dict[str, Any]:
        result: dict[str, Any] = msgspec.to_builtins(struct)
        return result


class Compiler:
    """Compiles types when they are first asked for; one per catalog."""

    def __init__(self) -> None:
        self._structs: dict[str, type[msgspec.Struct] | None] = {}
        self._types: dict[str, CompiledType | None] = {}

    def compiled(self, schema: Schema) -> CompiledType | None:
        """The compiled type of a named schema; None if it refers to itself."""
        name = schema.name
        if name not in self._types:
            try:
                self._types[name] = CompiledType(self._struct(schema))
            except RecursiveTypeError:
                self._types[name] = None
        return self._types[name]

    def _struct(self, schema: Schema) -> type[msgspec.Struct]:
        if schema.name in self._structs:
            struct = self._structs[schema.name]
            if struct is None:
                raise RecursiveTypeError(schema.name)
            return struct
        self._structs[schema.name] = None
        fields = [
            (f"f{index}", *self._field(name, field))
            for index, (name, field) in enumerate(schema.fields.items())
        ]
        struct = msgspec.defstruct(
            schema.name.rsplit(".", 1)[-1],
            fields,
            kw_only=True,
            omit_defaults=True,
            forbid_unknown_fields=True,
            gc=False,
        )
        self._structs[schema.name] = struct
        return struct

    def _field(self, name: str, schema: Schema) -> tuple[Any, Any]:
        wanted = self._annotation(schema)
        kind, presence = schema.kind, schema.presence
        if presence is Presence.WRITTEN and kind not in _NEVER_WRITTEN:
            if kind is Kind.OBJECT:
                return wanted, msgspec.field(name=name, default_factory=wanted)
            if kind in {Kind.TIME, Kind.MICRO_TIME}:
                return wanted | None, msgspec.field(name=name, default_factory=_nothing)
            return wanted, msgspec.field(name=name, default_factory=_FACTORIES[kind])
        if presence is Presence.VALUE and kind is Kind.LIST:
            return wanted, msgspec.field(name=name, default_factory=list)
        if presence is Presence.VALUE and kind is Kind.MAP:
            return wanted, msgspec.field(name=name, default_factory=dict)
        if presence is Presence.VALUE and kind not in {Kind.OBJECT, Kind.ANY, Kind.TIME}:
            return wanted, msgspec.field(name=name, default=ZEROS[kind])
        if presence is Presence.WRITTEN and kind is not Kind.ANY:
            return wanted | msgspec.UnsetType, msgspec.field(name=name, default=msgspec.UNSET)
        return (wanted if kind is Kind.ANY else wanted | None), msgspec.field(
            name=name, default=None
        )

    def _annotation(self, schema: Schema) -> Any:
        kind = schema.kind
        if kind is Kind.OBJECT:
            return self._struct(schema)
        if kind is Kind.LIST:
            assert schema.element is not None
            return list[self._annotation(schema.element)]  # type: ignore[misc]
        if kind is Kind.MAP:
            assert schema.element is not None
            return dict[str, self._annotation(schema.element)]  # type: ignore[misc]
        if kind is Kind.INTEGER:
            return _INT32 if schema.format == "int32" else _INT64
        return _TYPES[kind]


def _nothing() -> None:
    """The zero instant, which upstream writes as null."""


def _zero_quantity() -> str:
    return "0"


_FACTORIES: Final[Mapping[Kind, Callable[[], Any]]] = {
    Kind.STRING: str,
    Kind.DURATION: str,
    Kind.INTEGER: int,
    Kind.NUMBER: int,
    Kind.BOOLEAN: bool,
    Kind.INT_OR_STRING: int,
    Kind.QUANTITY: _zero_quantity,
}
