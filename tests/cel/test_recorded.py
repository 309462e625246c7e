"""Every recorded expression gives what it gives in Go: value or error, type, cost, estimate.

The answers of `recorded.json` come from `k8s.io/apiserver` itself.
"""

import json
from pathlib import Path

import pytest

from ekslab.kube.api.cel.compiling import BUDGET, Budget, InstantiationError, compile_text
from ekslab.kube.api.cel.environments import Environment
from ekslab.kube.api.cel.failures import CelError, CompileError
from ekslab.kube.api.cel.types import DYN
from tests.cel.showing import show

RECORDED = json.loads(Path(__file__).with_name("recorded.json").read_text())
VARIABLES = RECORDED["variables"]
ENVIRONMENT = Environment(dict.fromkeys(VARIABLES, DYN))
# What differs on purpose, or is not worth its code: how ANTLR recovers from a lone operator, the
# words for a label key that changed in 1.36, the cost of reading from a map of constants.
KNOWN_DIFFERENT = {
    "!": {"compile"},
    "-": {"compile"},
    "format.qualifiedName().validate('a/b/c')": {"value"},
    "{true: 1}[true]": {"cost"},
    "[3,1,2].sortBy(x, -x)": {"est"},
}


def answer(expression):
    try:
        program = compile_text(expression, ENVIRONMENT)
    except CompileError as error:
        return {"compile": str(error)}
    except InstantiationError as error:
        return {"program": str(error)}
    budget = Budget()
    told = {"type": str(program.type), "est": list(program.cost)}
    try:
        told["value"] = show(program.evaluate(list(VARIABLES.values()), budget))
        told["cost"] = BUDGET - budget.left
    except CelError as error:
        told["error"] = str(error)
    return told


@pytest.mark.parametrize("recorded", RECORDED["answers"], ids=lambda each: each["expression"])
def test_an_expression_gives_what_it_gives_in_go(recorded):
    recorded = dict(recorded)
    expression = recorded.pop("expression")
    ours = answer(expression)
    compared = set(recorded) - KNOWN_DIFFERENT.get(expression, set())
    if "error" in recorded:
        compared.discard("cost")  # what runs together is charged before its middle fails
    if "program" in recorded:
        compared -= {"type", "est"}
    assert {key: ours.get(key) for key in compared} == {key: recorded[key] for key in compared}
