"""Custom objects against their schema, in upstream's words."""
# ruff: noqa: E501 - a table

import json
from typing import Any

import pytest

from ekslab.kube.api.structural.values import check_value
from tests.custom.shop import WIDGETS, Object, Shop, definition, integer, obj, text, version, widget

LIMITS: dict[str, tuple[Object, Any, list[str]]] = {
    "type": (integer(), "x", ['Invalid value: "string": spec in body must be of type integer: "string"']),
    "fraction": (integer(), 1.5, ['Invalid value: "number": spec in body must be of type integer: "number"']),
    "null": (integer(), None, ['Invalid value: "null": spec in body must be of type integer: "null"']),
    "nullable": (integer(nullable=True), None, []),
    "whole number": (integer(), 2.0, []),
    "bool is no number": ({"type": "number"}, True, ['Invalid value: "boolean": spec in body must be of type number: "boolean"']),
    "maximum": (integer(maximum=10), 11, ["Invalid value: 11: spec in body should be less than or equal to 10"]),
    "exclusive": (integer(minimum=1, exclusiveMinimum=True), 1, ["Invalid value: 1: spec in body should be greater than 1"]),
    "multiple": (integer(multipleOf=5), 7, ["Invalid value: 7: spec in body should be a multiple of 5"]),
    "pattern": (text(pattern="^a+$"), "b", ["Invalid value: \"b\": spec in body should match '^a+$'"]),
    "a pattern that backtracking would try for ages": (
        text(pattern="^(a+)+$"),
        "a" * 40 + "b",
        [f"Invalid value: \"{'a' * 40}b\": spec in body should match '^(a+)+$'"],
    ),
    "pattern to the end": (text(pattern="^a$"), "a\n", ["Invalid value: \"a\\n\": spec in body should match '^a$'"]),
    "too short": (text(minLength=1), "", ['Invalid value: "": spec in body should be at least 1 chars long']),
    "too long": (text(maxLength=2), "abc", ["Too long: may not be more than 2 bytes"]),
    "enum": (text(enum=["a", "b"]), "c", ['Unsupported value: "c": supported values: "a", "b"']),
    "format": (text(format="ipv4"), "x", ['Invalid value: "x": spec in body must be of type ipv4: "x"']),
    "unknown format": (text(format="lucky"), "x", []),
    "few items": ({"type": "array", "items": text(), "minItems": 2}, ["a"], ["Invalid value: 1: spec in body should have at least 2 items"]),
    "many items": ({"type": "array", "items": text(), "maxItems": 1}, ["a", "b"], ["Too many: 2: must have at most 1 item"]),
    "few properties": ({"type": "object", "minProperties": 1}, {}, ["Invalid value: 0: spec in body should have at least 1 properties"]),
    "int or string": ({"x-kubernetes-int-or-string": True}, True, ['Invalid value: "boolean": spec in body must be of type integer,string: "boolean"']),
    "any of": ({"type": "integer", "anyOf": [{"maximum": 1}, {"minimum": 5}]}, 3, ['Invalid value: "": "spec" must validate at least one schema (anyOf)', "Invalid value: 3: spec in body should be less than or equal to 1"]),
    "one of": ({"type": "integer", "oneOf": [{"maximum": 5}, {"minimum": 1}]}, 3, ['Invalid value: "": "spec" must validate one and only one schema (oneOf). Found 2 valid alternatives']),
    "not": ({"type": "integer", "not": {"minimum": 1}}, 3, ['Invalid value: "": "spec" must not validate the schema (not)']),
}  # fmt: skip


@pytest.mark.parametrize("case", LIMITS)
def test_a_value_keeps_to_its_limits(case: str):
    wire, value, expected = LIMITS[case]
    assert [cause.message for cause in check_value(value, wire, "spec")] == expected


def test_paths_name_fields_and_elements():
    wire = obj(ports={"type": "array", "items": {**obj(port=integer()), "required": ["name"]}})
    found = check_value({"ports": [{"port": "x"}]}, wire)
    assert [(cause.field, cause.message) for cause in found] == [
        ("ports[0].name", "Required value"),
        (
            "ports[0].port",
            'Invalid value: "string": ports[0].port in body must be of type integer: "string"',
        ),
    ]


def test_what_stays_is_not_asked_again():
    """Worked example: a limit came later; only the element that is changed must keep to it."""
    item = {**obj(name=text(), size=integer(maximum=5)), "required": ["name"]}
    wire = {
        "type": "array",
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    }
    old = [{"name": "a", "size": 9}, {"name": "b", "size": 9}]
    new = [{"name": "b", "size": 8}, {"name": "a", "size": 9}]
    assert [cause.field for cause in check_value(new, wire, "spec", old)] == ["spec[0].size"]
    atomic = {"type": "array", "items": item}
    assert len(check_value(new, atomic, "spec", old)) == 2


async def test_types_are_a_matter_of_validation_not_of_decoding(shop: Shop):
    await shop.define(definition("Widget", version(spec=obj(size=integer(maximum=10)))))
    refused = await shop.refusal("create", WIDGETS, body=widget(spec={"size": "big"}))
    assert (refused.code, refused.message) == (
        422,
        (
            'Widget.shop.example.com "w" is invalid: spec.size: Invalid value: "string": spec.size in'
            ' body must be of type integer: "string"'
        ),
    )


async def test_updates_ratchet(shop: Shop):
    await shop.define(definition("Widget", version(spec=obj(a=integer(), b=integer()))))
    await shop.create(widget(spec={"a": 9, "b": 9}))
    limited = definition("Widget", version(spec=obj(a=integer(maximum=5), b=integer(maximum=5))))
    await shop.define(limited)
    await shop.settled()
    changed = await shop.patch("w", {"spec": {"b": 4}})
    assert changed["spec"] == {"a": 9, "b": 4}
    refused = await shop.refusal(
        "patch", WIDGETS, name="w", body={"spec": {"b": 8}},
        content_type="application/merge-patch+json",
    )  # fmt: skip
    assert refused.details is not None
    assert [each["field"] for each in refused.details["causes"]] == ["spec.b"]


async def test_sets_and_maps_name_nothing_twice(shop: Shop):
    tags = {"type": "array", "items": text(), "x-kubernetes-list-type": "set"}
    ports = {
        "type": "array",
        "items": {**obj(port=integer()), "required": ["port"]},
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["port"],
    }
    await shop.define(definition("Widget", version(spec=obj(tags=tags, ports=ports))))
    body = widget(spec={"tags": ["a", "a"], "ports": [{"port": 1}, {"port": 1}]})
    refused = await shop.refusal("create", WIDGETS, body=body)
    assert refused.details is not None
    assert [(each["field"], each["message"]) for each in refused.details["causes"]] == [
        ("spec.tags[1]", 'Duplicate value: "a"'),
        ("spec.ports[1]", 'Duplicate value: {"port":1}'),
    ]


async def test_objects_within_objects_say_what_they_are(shop: Shop):
    part = {
        "type": "object",
        "x-kubernetes-embedded-resource": True,
        "x-kubernetes-preserve-unknown-fields": True,
    }
    await shop.define(definition("Widget", version(spec=obj(template=part))))
    body = widget(
        spec={"template": {"metadata": {"labels": {"a": "b"}, "odd": 1}, "any": {"x": 1}}}
    )
    refused = await shop.refusal("create", WIDGETS, body=body)
    assert shop.warnings == ['unknown field "spec.template.metadata.odd"']
    assert refused.details is not None
    assert [each["field"] for each in refused.details["causes"]] == [
        "spec.template.apiVersion",
        "spec.template.kind",
    ]


async def test_numbers_that_no_64_bits_hold_become_floats_as_in_go(shop: Shop):
    await shop.define(definition("Widget", version(spec={"type": "number"})))
    body = json.dumps(widget(spec=2**70)).replace('"spec"', '"spec": 1, "spec"')
    made = await shop.ask("create", WIDGETS, body=body.encode())
    assert made.item is not None
    assert made.item.object["spec"] == float(2**70)


async def test_rules_are_checked_when_the_rest_is_right(shop: Shop):
    rule = {"rule": "self.low <= self.high", "message": "low is above high"}
    spec = {**obj(low=integer(), high=integer()), "x-kubernetes-validations": [rule]}
    await shop.define(definition("Widget", version(spec=spec)))
    await shop.create(widget(spec={"low": 1, "high": 2}))
    refused = await shop.refusal("create", WIDGETS, body=widget("x", spec={"low": 3, "high": 2}))
    assert refused.message.endswith("low is above high")
    refused = await shop.refusal("create", WIDGETS, body=widget("x", spec={"low": "a", "high": 2}))
    assert "some validation rules were not checked because the object was invalid" in (
        refused.message
    )
