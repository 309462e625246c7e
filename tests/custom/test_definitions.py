"""What a definition may say, and how it is told otherwise."""
# ruff: noqa: ISC004 - tables of long texts

import pytest

from tests.custom.shop import (
    DEFINITIONS,
    GROUP,
    Object,
    Shop,
    definition,
    integer,
    obj,
    text,
    version,
)

HERE = "spec.validation.openAPIV3Schema"


async def causes(shop: Shop, made: Object) -> dict[str, str]:
    refused = await shop.refusal("create", DEFINITIONS, namespace="", body=made)
    assert refused.code == 422
    assert refused.details is not None
    return {each["field"]: each["message"] for each in refused.details["causes"]}


async def test_a_definition_says_how_its_objects_are_called(shop: Shop):
    made = definition("Widget", version())
    made["metadata"]["name"] = "others.example.com"
    made["spec"]["names"]["shortNames"] = ["UPPER"]
    told = await causes(shop, made)
    assert told["metadata.name"] == (
        'Invalid value: "others.example.com": must be spec.names.plural+"."+spec.group'
    )
    assert told["spec.names.shortNames[0]"].startswith('Invalid value: "UPPER": a DNS-1035 label')


STRUCTURAL = {
    "no type": ({"spec": {}}, ".properties[spec].type",
                "Required value: must not be empty for specified object fields"),
    "unknown type": ({"spec": {"type": "text"}}, ".properties[spec].type",
                     'Unsupported value: "text": supported values: "array", "boolean", "integer",'
                     ' "number", "object", "string"'),
    "array of what": ({"spec": {"type": "array"}}, ".properties[spec].items",
                      "Required value: must be specified"),
    "items without type": ({"spec": {"type": "array", "items": {}}},
                           ".properties[spec].items.type",
                           "Required value: must not be empty for specified array items"),
    "unique items": ({"spec": {"type": "array", "items": text(), "uniqueItems": True}},
                     ".properties[spec].uniqueItems",
                     "Forbidden: uniqueItems cannot be set to true since the runtime complexity"
                     " becomes quadratic"),
    "both kinds of fields": ({"spec": {**obj(a=text()), "additionalProperties": text()}},
                             ".properties[spec].additionalProperties",
                             "Forbidden: additionalProperties and properties are mutual exclusive"),
    "reference": ({"spec": {"type": "object", "$ref": "#"}}, ".properties[spec].$ref",
                  "Forbidden: $ref is not supported"),
    "type in a union": ({"spec": {"type": "object", "anyOf": [{"type": "object"}]}},
                        ".properties[spec].anyOf[0].type",
                        "Forbidden: must be empty to be structural"),
    "map without keys": ({"spec": {"type": "array", "items": obj(a=text()),
                                   "x-kubernetes-list-type": "map"}},
                         ".properties[spec].x-kubernetes-list-map-keys",
                         "Required value: must not be empty if x-kubernetes-list-type is map"),
    "optional map key": ({"spec": {"type": "array", "items": obj(a=text()),
                                   "x-kubernetes-list-type": "map",
                                   "x-kubernetes-list-map-keys": ["a"]}},
                         ".properties[spec].items.properties[a].default",
                         "Required value: this property is in x-kubernetes-list-map-keys, so it"
                         " must have a default or be a required property"),
    "wrong default": ({"spec": integer(default="many")}, ".properties[spec].default",
                      f'Invalid value: "string": {HERE}.properties[spec].default in body must be'
                      ' of type integer: "string"'),
    "metadata": ({"metadata": obj(labels={"type": "object"})}, ".properties[metadata]",
                 "Forbidden: must not specify anything other than name and generateName, but"
                 " metadata is implicitly specified"),
}  # fmt: skip


@pytest.mark.parametrize("case", STRUCTURAL)
async def test_a_schema_is_structural(shop: Shop, case: str):
    properties, field, message = STRUCTURAL[case]
    made = definition("Widget", version(schema={"properties": properties}))
    told = await causes(shop, made)
    assert told[HERE + field] == message


async def test_parts_that_versions_do_not_share_are_told_by_version(shop: Shop):
    made = definition(
        "Widget",
        version("v1", spec={"type": "text"}),
        version("v2", spec=text(), storage=False),
    )
    told = await causes(shop, made)
    at = "spec.versions[0].schema.openAPIV3Schema.properties[spec].type"
    assert at in told


@pytest.mark.parametrize(
    ("part", "field", "message"),
    [
        (
            {"subresources": {"scale": {"specReplicasPath": ".status.n",
                                        "statusReplicasPath": ".status.n"}}},
            "spec.subresources.scale.specReplicasPath",
            'Invalid value: ".status.n": should be a json path under .spec',
        ),
        (
            {"additionalPrinterColumns": [{"name": "A", "type": "text", "jsonPath": ".spec"}]},
            "spec.additionalPrinterColumns[0].type",
            'Invalid value: "text": must be one of boolean,date,integer,number,string',
        ),
        (
            {"selectableFields": [{"jsonPath": ".spec.missing"}]},
            "spec.selectableFields[0].jsonPath",
            'Invalid value: ".spec.missing": must point to a field of type string, boolean or'
            " integer. Enum string fields and strings with formats are allowed",
        ),
    ],
)  # fmt: skip
async def test_parts_of_a_version_are_checked(shop: Shop, part: Object, field: str, message: str):
    told = await causes(shop, definition("Widget", version(**part)))
    assert told[field] == message


@pytest.mark.parametrize(
    "wire",
    [
        {"type": "object", "properties": {"a": {"type": "array", "items": {"type": 5}}}},
        {"type": "object", "additionalProperties": 5},
        {"type": "object", "properties": {"a": {"type": "array", "items": "x"}}},
    ],
)
async def test_a_schema_within_a_schema_has_the_types_of_one(shop: Shop, wire: Object):
    made = definition("Widget", {**version(), "schema": {"openAPIV3Schema": wire}})
    refused = await shop.refusal("create", DEFINITIONS, namespace="", body=made)
    assert refused.code == 400


async def test_exactly_one_version_is_stored(shop: Shop):
    made = definition("Widget", version("v1"), version("v2"))
    told = await causes(shop, made)
    assert told["spec.versions"].endswith("must have exactly one version marked as storage version")


async def test_groups_of_kubernetes_are_protected(shop: Shop):
    made = definition("Widget", version())
    made["spec"]["group"] = "toys.k8s.io"
    made["metadata"]["name"] = "widgets.toys.k8s.io"
    told = await causes(shop, made)
    assert "metadata.annotations[api-approved.kubernetes.io]" in told
    made["metadata"]["annotations"] = {"api-approved.kubernetes.io": "unapproved, a test"}
    await shop.define(made)


async def test_names_that_are_in_use_wait_until_they_are_free(shop: Shop):
    first = definition("Widget", version())
    first["spec"]["names"]["shortNames"] = ["wd"]
    await shop.define(first)
    second = definition("Wader", version())
    second["spec"]["names"]["shortNames"] = ["wd"]
    await shop.ask("create", DEFINITIONS, namespace="", body=second)
    waiting = await shop.until(f"waders.{GROUP}", "NamesAccepted", "False")
    accepted, established = waiting["status"]["conditions"]
    assert accepted["reason"] == "ShortNamesConflict"
    assert accepted["message"] == '"wd" is already in use'
    assert (established["status"], established["reason"]) == ("False", "NotAccepted")
    await shop.ask("delete", DEFINITIONS, namespace="", name=f"widgets.{GROUP}")
    await shop.until(f"waders.{GROUP}", "Established")


async def test_what_is_established_keeps_its_scope_and_kind(shop: Shop):
    await shop.define(definition("Widget", version()))
    changed = definition("Widget", version(), scope="Cluster")
    changed["spec"]["names"]["kind"] = "Gadget"
    live = await shop.client().get(DEFINITIONS, f"widgets.{GROUP}")
    changed["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
    refused = await shop.refusal(
        "update", DEFINITIONS, namespace="", name=f"widgets.{GROUP}", body=changed
    )
    assert 'spec.scope: Invalid value: "Cluster": field is immutable' in refused.message
    assert 'spec.names.kind: Invalid value: "Gadget": field is immutable' in refused.message
