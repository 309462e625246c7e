"""Objects of every built-in kind, generated from the schema, through protobuf and back."""

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ekslab.kit.rng import Rng
from ekslab.kube.api.protobuf import facts
from ekslab.kube.api.protobuf.envelope import decode, encode, supports
from ekslab.kube.api.schema import catalog
from ekslab.kube.api.schema.checking import Checker, FieldValidation
from ekslab.kube.api.schema.model import Kind, Presence, Schema

CATALOG = catalog.load()
CHECKER = Checker(CATALOG)
DEPTH_MOST = 4
TEXTS = ("", "a", "web-1", 'quoted "text"', "\u00fc\u4e16\u754c\U0001f600", "x" * 200, "\n\x00\t")
# Fields of alpha features that the newest definitions have no more: no number is known for them.
NUMBERLESS = {
    ("NodeAllocatableResourceClaimStatus", "resources"),
    ("Device", "nodeAllocatableResourceMappings"),
}
KINDS = sorted(
    {
        (f"{group}/{version}" if group else version, kind, name)
        for name, kinds in CATALOG.kinds_of.items()
        for group, version, kind in kinds[:1]
        if kind not in {"WatchEvent", "Info"}
    }
)


class Maker:
    """Makes values of a schema, as Go's JSON encoder would write them."""

    def __init__(self, seed: int) -> None:
        self.random = Rng(seed)

    def fields(self, schema: Schema, depth: int, *, filled: float) -> dict[str, Any]:
        struct = schema.name.rpartition(".")[2]
        found = {}
        for name, field in schema.fields.items():
            # Kind and version of an object stand in its envelope; inside of a list they do not.
            known = (struct, name) not in NUMBERLESS and not (
                name in {"kind", "apiVersion"} and schema.name in CATALOG.kinds_of
            )
            if known and self.random.uniform(0, 1) < filled:
                found[name] = self.value(field, depth)
        return {name: value for name, value in found.items() if value is not None}

    def value(self, schema: Schema, depth: int) -> Any:
        random, kind = self.random, schema.kind
        if kind is Kind.OBJECT:
            filled = 0.4 if depth < DEPTH_MOST else 0.0
            return self.fields(schema, depth + 1, filled=filled)
        if kind is Kind.LIST:
            return [self.element(schema, depth) for _ in range(random.integer(1, 2))]
        if kind is Kind.MAP:
            keys = {random.choice(TEXTS) for _ in range(2)}
            return {key: self.element(schema, depth) for key in keys}
        if kind is Kind.ANY:
            return self.any(schema)
        return self.scalar(schema)

    def element(self, schema: Schema, depth: int) -> Any:
        assert schema.element is not None
        value = None
        while value is None:
            value = self.value(schema.element, depth)
        return value

    def scalar(self, schema: Schema) -> Any:
        random, kind = self.random, schema.kind
        bits = 31 if schema.format == "int32" else 63
        integer = random.choice((0, 1, -1, 300, 2**bits - 1, -(2**bits), random.bits(20)))
        second = f"2026-0{random.integer(1, 9)}-28T23:59:{random.integer(0, 59):02}"
        values = {
            Kind.STRING: random.choice(TEXTS),
            Kind.INTEGER: integer,
            Kind.NUMBER: random.choice((0, 1.5, -2, 1e300)),
            Kind.BOOLEAN: random.choice((True, False)),
            Kind.INT_OR_STRING: random.choice((0, 80, -1, "", "25%", "http")),
            Kind.QUANTITY: random.choice(("0", "100m", "1", "1536Mi", "1e3", "-2Gi")),
            Kind.TIME: random.choice((f"{second}Z", "1969-12-31T23:59:59Z")),
            Kind.MICRO_TIME: f"{second}.{random.integer(0, 999_999):06}Z",
            Kind.BYTES: base64.b64encode(
                random.text("a\0z", random.integer(0, 40)).encode()
            ).decode(),
        }
        return values[kind]

    def any(self, schema: Schema) -> Any:
        inner = {"type": "string", "maxLength": 0, "enum": [1, None, "a"]}
        choices = {
            "v1.JSONSchemaPropsOrArray": (inner, [inner, {}]),
            "v1.JSONSchemaPropsOrBool": (inner, True, False),
            "v1.JSONSchemaDependencies": (inner, ["a", ""]),
        }
        several = choices.get(schema.go_type, ({"f:a": {".": {}}}, {"x": [1.5, None, True, ""]}))
        if not schema.go_type and self.random.choice((True, False)):
            return ["a", "b"]
        return self.random.choice(several)


def canonical(obj: dict[str, Any], schema: Schema, api_version: str, kind: str) -> dict[str, Any]:
    """As Go writes the object again."""
    checked = CHECKER.check(
        obj, schema, kind=kind, api_version=api_version, mode=FieldValidation.IGNORE
    )
    return {"kind": kind, "apiVersion": api_version, **checked.obj}


@pytest.mark.parametrize(("api_version", "kind", "name"), KINDS, ids=lambda text: text)
def test_an_object_comes_back_as_it_went(api_version, kind, name):
    schema = CATALOG.type(name)

    @settings(max_examples=3, deadline=None, derandomize=True, database=None)
    @given(st.integers(0, 2**32), st.sampled_from((0.2, 0.5, 1.0)))
    def comes_back(seed: int, filled: float) -> None:
        made = Maker(seed).fields(schema, 0, filled=filled)
        obj = canonical(
            {**made, "kind": kind, "apiVersion": api_version}, schema, api_version, kind
        )
        body = encode(obj)
        assert decode(body) == obj
        assert encode(decode(body)) == body

    comes_back()


@pytest.mark.parametrize("version", catalog.SUPPORTED_VERSIONS)
def test_every_resource_of_every_version_can_travel(version):
    infos = catalog.load(version).resources.values()
    missing = {
        f"{info.api_version} {kind}"
        for info in infos
        for kind in (info.kind, *(sub.kind for sub in info.subresources if not sub.group))
        if not supports(info.api_version, kind) and not kind.endswith(("ProxyOptions", "Options"))
    }
    lists = {
        f"{info.api_version} {info.list_kind}"
        for info in infos
        if "list" in info.verbs and not supports(info.api_version, info.list_kind)
    }
    assert missing | lists == set()


def test_every_field_of_every_version_has_a_number_or_is_known_to_have_none():
    messages = facts.load().messages

    def names(message: str) -> set[str]:
        found = set()
        for row in messages[message]:
            found |= names(row.code[2:]) if row.code[0] == "I" else {row.name}
        return found

    without = {
        (name.rpartition(".")[2], field)
        for name, schema in CATALOG.types.items()
        for message in ("k8s.io." + name.removeprefix("io.k8s.").replace("-", "_"),)
        if message in messages
        for field in set(schema.fields) - names(message) - {"kind", "apiVersion"}
    }
    own = {("OwnerReference", "kind"), ("ObjectReference", "kind")}
    assert without - own == NUMBERLESS


def test_what_is_written_though_empty_is_there_after_an_empty_message():
    body = encode({"kind": "Event", "apiVersion": "v1"})
    assert decode(body)["eventTime"] is None
    written = [name for name, field in CATALOG.type("io.k8s.api.core.v1.Event").fields.items()
               if field.presence is Presence.WRITTEN]  # fmt: skip
    assert set(written) <= decode(body).keys()
