"""Match conditions: which requests a webhook or a policy wants to see at all.

    conditions = MatchConditions(webhook["matchConditions"])
    conditions.match(values, fails_closed=True)        whether to call it

One false condition is a no, whatever the others do; else an error is a refusal, or a no if the
failure policy is Ignore. Upstream: apiserver `pkg/admission/plugin/webhook/matchconditions`.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ekslab.kube.api import names
from ekslab.kube.api.cel.admission import (
    AdmissionEnvironment,
    ExpressionError,
    OutOfBudgetError,
    compile_expression,
    evaluate,
)
from ekslab.kube.api.cel.compiling import CONDITIONS_BUDGET, Budget, Program
from ekslab.kube.api.errors import Cause

_CONDITIONS_MOST: Final = 64


class MatchError(Exception):
    """Conditions that could not be evaluated; the message is upstream's."""


class MatchConditions:
    """The compiled conditions of one webhook or policy."""

    def __init__(
        self, conditions: Sequence[Mapping[str, Any]], *, has_params: bool = False
    ) -> None:
        environment = AdmissionEnvironment(has_params=has_params)
        self._programs: list[Program | str] = []
        for condition in conditions:
            try:
                program = compile_expression(condition.get("expression", ""), environment)
                self._programs.append(program)
            except ExpressionError as error:
                self._programs.append(f"compilation error: {error}")

    def match(self, values: Sequence[Any], *, fails_closed: bool) -> bool:
        """Whether all conditions hold for the values of a request (`admission.NAMES`).

        Raises:
            MatchError: that is not known, and the failure policy is Fail.
        """
        budget = Budget(CONDITIONS_BUDGET)
        failed: list[str] = []
        for program in self._programs:
            if isinstance(program, str):
                failed.append(program)
                continue
            try:
                if evaluate(program, values, budget) is False:
                    return False
            except ExpressionError as error:
                failed.append(str(error))
            except OutOfBudgetError as error:
                failed = [str(error)]
                break
        if not failed:
            return True
        if fails_closed:
            distinct = list(dict.fromkeys(failed))
            raise MatchError(distinct[0] if len(distinct) == 1 else f"[{', '.join(distinct)}]")
        return False


def condition_errors(
    conditions: Sequence[Mapping[str, Any]], path: str, *, has_params: bool = False
) -> list[Cause]:
    """What is wrong with match conditions as they are written: names, twins, texts."""
    causes: list[Cause] = []
    if len(conditions) > _CONDITIONS_MOST:
        message = f"Too many: {len(conditions)}: must have at most {_CONDITIONS_MOST} items"
        return [Cause(path, message, "FieldValueTooMany")]
    environment = AdmissionEnvironment(has_params=has_params)
    taken: set[str] = set()
    for index, condition in enumerate(conditions):
        at = f"{path}[{index}]"
        causes.extend(expression_errors(condition.get("expression", ""), at, environment))
        name = condition.get("name", "")
        if not name:
            causes.append(Cause(f"{at}.name", "Required value", "FieldValueRequired"))
        elif name in taken:
            text = f'Duplicate value: "{name}"'
            causes.append(Cause(f"{at}.name", text, "FieldValueDuplicate"))
        else:
            wrong = names.is_qualified_name(name)
            causes.extend(Cause(f"{at}.name", f'Invalid value: "{name}": {why}') for why in wrong)
        taken.add(name)
    return causes


def expression_errors(text: str, at: str, environment: AdmissionEnvironment) -> list[Cause]:
    """What is wrong with the `expression` of something that stands at `at` and must be a bool."""
    if not text.strip():
        return [Cause(f"{at}.expression", "Required value", "FieldValueRequired")]
    try:
        compile_expression(text, environment)
    except ExpressionError as error:
        shown = json.dumps(text, ensure_ascii=False)
        return [Cause(f"{at}.expression", f"Invalid value: {shown}: {error}")]
    return []
