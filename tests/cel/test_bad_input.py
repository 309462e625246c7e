"""Whatever the text, there is an answer: a program or a CompileError, a value or a CelError."""

import json
from pathlib import Path

import pytest

from ekslab.kit.rng import Rng
from ekslab.kube.api.cel.compiling import InstantiationError, compile_text
from ekslab.kube.api.cel.environments import Environment
from ekslab.kube.api.cel.failures import CelError, CompileError, CostExceededError
from ekslab.kube.api.cel.types import DYN

RECORDED = json.loads(Path(__file__).with_name("recorded.json").read_text())
EXPRESSIONS = [each["expression"] for each in RECORDED["answers"]]
VARIABLES = RECORDED["variables"]
ENVIRONMENT = Environment(dict.fromkeys(VARIABLES, DYN))
# What a machine would take long for is not what these tests are about.
PATTERNS = ("matches", "find")


def answered(text):
    try:
        compile_text(text, ENVIRONMENT).evaluate(list(VARIABLES.values()))
    except (CompileError, InstantiationError, CelError, CostExceededError):
        return


def spliced(rng):
    one, two = rng.choice(EXPRESSIONS), rng.choice(EXPRESSIONS)
    cut, start = rng.integer(0, len(one)), rng.integer(0, len(two))
    return one[:cut] + two[start : start + rng.integer(1, 12)] + one[cut + rng.integer(0, 3) :]


@pytest.mark.parametrize("seed", range(5))
def test_expressions_that_were_cut_and_pasted_are_answered(seed):
    rng = Rng(seed)
    for _ in range(600):
        text = spliced(rng)
        if not any(word in text for word in PATTERNS):
            answered(text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000 + "1" + ")" * 5000,
        "-" * 9999 + "1",
        "!" * 9999 + "true",
        " + ".join(["1"] * 5000),
        " || ".join(["self.t"] * 5000),
        "self" + ".a" * 5000,
        "[" * 3000 + "]" * 3000,
        "9" * 5000,
        "int('" + "9" * 5000 + "')",
        "uint('" + "9" * 5000 + "')",
        "double('" + "9" * 5000 + "')",
        "duration('" + "9" * 5000 + "h')",
        "semver('" + "9" * 5000 + ".0.0')",
        "quantity('" + "9" * 5000 + "')",
        "'%." + "9" * 5000 + "f'.format([1.0])",
        "lists.range(9223372036854775807)",
        "'\\ud800'",
        "b'\\xff' == '\\u00ff'",
        "\x00",
        "'" + "x" * 200_000 + "'",
        "timestamp(9223372036854775807)",
        "timestamp('9999-12-31T23:59:59Z') + duration('1h')",
    ],
    ids=lambda text: text[:24],
)
def test_extreme_texts_are_answered(text):
    answered(text)
