"""A policy's status warns of fields that the types it names do not have."""

from ekslab.kube.api.cel.typechecking import type_warnings
from ekslab.kube.api.schema import catalog


def warnings(*expressions, resources=("deployments",), groups=("apps",), variables=()):
    rule = {"apiGroups": list(groups), "apiVersions": ["v1"], "resources": list(resources)}
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": each} for each in expressions],
        "variables": list(variables),
    }
    return type_warnings(spec, catalog.load())


def test_a_wrong_field_is_named_with_the_type_that_lacks_it():
    (warning,) = warnings("object.spec.replicas > 1", "object.spec.nope > 1")
    assert warning == {
        "fieldRef": "spec.validations[1].expression",
        "warning": (
            "apps/v1, Kind=Deployment: ERROR: <input>:1:12: undefined field 'nope'\n"
            " | object.spec.nope > 1\n"
            " | ...........^\n"
        ),
    }


def test_variables_have_the_types_of_what_they_are_made_of():
    variables = [{"name": "n", "expression": "object.spec.replicas"}]
    (warning,) = warnings("variables.n == 'x'", variables=variables)
    assert "found no matching overload for '_==_' applied to '(int, string)'" in warning["warning"]


def test_wildcards_are_not_checked():
    assert warnings("object.nope", resources=["*"]) == []
    assert warnings("object.nope", groups=["*"]) == []
