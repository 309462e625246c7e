"""Rules of custom resources: what they refuse, in which words, and what definitions may say.

`recorded_rules.json` holds what apiextensions-apiserver itself says.
"""

import json
import re
from pathlib import Path

import pytest

from ekslab.kube.api.cel.compiling import BUDGET, Budget
from ekslab.kube.api.cel.definitions import definition_errors
from ekslab.kube.api.cel.rules import compile_rules

RECORDED = json.loads(Path(__file__).with_name("recorded_rules.json").read_text())["cases"]
INTEGER = {"type": "integer"}
TEXT = {"type": "string"}


def rule(text, **more):
    return {"rule": text, **more}


def thing(*rules, **fields):
    return {"type": "object", "properties": fields, "x-kubernetes-validations": list(rules)}


def plain(text):
    """Without the number of a type's name, which is another one each time."""
    return re.sub(r"selfType\d+", "selfType", text)


def texts(causes):
    return [f"{cause.field}: {cause.message}" for cause in causes]


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: json.dumps(case["schema"])[-60:])
def test_a_rule_says_what_it_says_upstream(case):
    validator = compile_rules(case["schema"], is_root=case["root"])
    budget = Budget(case.get("budget", BUDGET))
    causes = validator.check_within(budget, case["new"], case.get("old"), "root")
    wanted = [plain(error["error"]) for error in case["answer"]["errors"]]
    assert sorted(map(plain, texts(causes))) == sorted(wanted)


def all_rules(validator):
    below = [validator.element, validator.values, *validator.fields.values()]
    parts = [all_rules(part) for part in below if part is not None]
    return [(r.source["rule"], r) for r in validator.rules] + [x for part in parts for x in part]


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: json.dumps(case["schema"])[-60:])
def test_a_rule_is_estimated_to_cost_what_it_costs_upstream(case):
    ours = dict(all_rules(compile_rules(case["schema"], is_root=case["root"])))
    for compiled in case["answer"]["compiled"]:
        rule = ours[compiled["rule"]]
        assert (rule.program.cost.most if rule.program else 0) == compiled["max"]
        assert rule.uses_old == compiled["trans"]


def test_a_definition_with_a_wrong_field_name_is_refused():
    schema = thing(rule("self.b > 1"), a=INTEGER)
    (cause,) = definition_errors(schema, "spec.schema")
    assert cause.field == "spec.schema.x-kubernetes-validations[0].rule"
    assert "compilation failed: ERROR: <input>:1:5: undefined field 'b'" in cause.message


def test_a_rule_that_may_cost_too_much_is_refused_with_advice():
    items = {"type": "array", "items": TEXT}
    schema = thing(rule("self.l.all(x, self.l.all(y, x != y))"), l=items)
    causes = definition_errors(schema, "s")
    assert causes[0].message.startswith(
        "Forbidden: estimated rule cost exceeds budget by factor of more than 100x (try"
    )
    assert texts(causes)[-1].startswith(
        "s: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3"
    )


def test_a_transition_rule_cannot_stand_where_old_values_are_not_found():
    inner = {"type": "integer", "x-kubernetes-validations": [rule("self > oldSelf")]}
    schema = {
        "type": "object",
        "properties": {"l": {"type": "array", "maxItems": 3, "items": inner}},
    }
    (text,) = texts(definition_errors(schema, "s"))
    assert text.endswith(
        "oldSelf cannot be used on the uncorrelatable portion of the schema within s.properties[l]"
    )


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({"message": " "}, 'message: Invalid value: " ": must be non-empty if specified'),
        ({"message": "a\nb"}, 'message: Invalid value: "a\\nb": must not contain line breaks'),
        ({"fieldPath": ".zz"}, 'fieldPath: Invalid value: ".zz": must be a valid path'),
        ({"reason": "No"}, 'reason: Unsupported value: "No": supported values: '),
        ({"optionalOldSelf": True}, "may not be set if oldSelf is not used in rule"),
    ],
    ids=["blank message", "two lines", "no such path", "unknown reason", "old self unused"],
)
def test_the_parts_of_a_rule_are_checked(more, wanted):
    (text,) = texts(definition_errors(thing(rule("self.a > 1", **more), a=INTEGER), "s"))
    assert wanted in text


def test_good_rules_have_no_errors_and_a_schema_without_rules_no_validator():
    assert definition_errors(thing(rule("self.a > 1"), a=INTEGER), "s") == []
    assert compile_rules({"type": "object", "properties": {"a": INTEGER}}) is None
