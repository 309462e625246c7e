"""A ValidatingAdmissionPolicy, compiled, and what it says of a request.

Upstream: apiserver `pkg/admission/plugin/policy/validating/{plugin,validator,dispatcher}.go`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ekslab.kube.api.cel.admission import (
    AdmissionEnvironment,
    ExpressionError,
    OutOfBudgetError,
    compile_expression,
    evaluate,
)
from ekslab.kube.api.cel.compiling import BUDGET, Budget, Program
from ekslab.kube.api.cel.conditions import MatchConditions, MatchError
from ekslab.kube.api.cel.failures import CelError, CostExceededError
from ekslab.kube.api.cel.types import BOOL, DYN, NULL, STRING, Type

_MESSAGE_BYTES_MOST: Final = 5 * 1024
Part = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A no: its words and its reason (`Invalid`, `Forbidden`, ...)."""

    message: str
    reason: str = "Invalid"


@dataclass(frozen=True, slots=True)
class _Expression:
    """A program, or why there is none."""

    program: Program | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class _Validation:
    source: Part
    expression: _Expression
    message: _Expression | None


class Variables(Mapping[str, Any]):
    """`variables`: each is computed when it is asked for first, and then kept."""

    def __init__(self, programs: Mapping[str, _Expression], budget: Budget) -> None:
        self._programs = programs
        self._budget = budget
        self._known: dict[str, Any] = {}
        self.values_of_request: Sequence[Any] = ()

    def __getitem__(self, name: str) -> Any:
        if name not in self._known:
            self._known[name] = self._compute(name)
        value = self._known[name]
        if isinstance(value, CelError):
            raise value
        return value

    def _compute(self, name: str) -> Any:
        expression = self._programs[name]
        if expression.program is None:
            return CelError(f'composited variable "{name}" fails to compile: {expression.error}')
        try:
            return expression.program.evaluate(self.values_of_request, self._budget)
        except (CelError, CostExceededError) as error:
            return CelError(f'composited variable "{name}" fails to evaluate: {error}')

    def __iter__(self) -> Iterator[str]:
        return iter(self._programs)

    def __len__(self) -> int:
        return len(self._programs)


class Policy:
    """One policy. Made once per revision of the object."""

    def __init__(self, obj: Part) -> None:
        spec = obj.get("spec") or {}
        self.name: str = obj["metadata"]["name"]
        self.constraints: Part = spec.get("matchConstraints") or {}
        self.param_kind: Part | None = spec.get("paramKind")
        self.fails_closed = spec.get("failurePolicy", "Fail") != "Ignore"
        has_params = self.param_kind is not None
        self._conditions: MatchConditions | None = None
        if spec.get("matchConditions"):
            self._conditions = MatchConditions(spec["matchConditions"], has_params=has_params)
        self._variables: dict[str, _Expression] = {}
        types: dict[str, Type] = {}
        for variable in spec.get("variables") or ():
            environment = AdmissionEnvironment(has_params=has_params, types=types)
            compiled = _compiled(variable.get("expression", ""), environment, ())
            self._variables[variable["name"]] = compiled
            types[variable["name"]] = compiled.program.type if compiled.program else DYN
        environment = AdmissionEnvironment(has_params=has_params, types=types)
        told = AdmissionEnvironment(has_params=has_params, has_authorizer=False, types=types)
        self._validations = [
            _Validation(
                each,
                _compiled(each.get("expression", ""), environment, (BOOL,)),
                _compiled(each["messageExpression"], told, (STRING,))
                if each.get("messageExpression")
                else None,
            )
            for each in spec.get("validations") or ()
        ]
        self._annotations = [
            _compiled(each.get("valueExpression", ""), environment, (STRING, NULL))
            for each in spec.get("auditAnnotations") or ()
        ]

    def refusals(self, values: Sequence[Any]) -> list[Refusal]:
        """What the policy has against a request with these values (`inputs.values_of`)."""
        if self._conditions is not None:
            try:
                if not self._conditions.match(values, fails_closed=self.fails_closed):
                    return []
            except MatchError as error:
                return [Refusal(str(error), "")]
        budget = Budget(BUDGET)
        variables = Variables(self._variables, budget)
        given = [*values, variables]
        variables.values_of_request = given
        try:
            return self._validated(given, budget) + self._annotated(given)
        except OutOfBudgetError as error:
            return self._failed(str(error))

    def _validated(self, values: Sequence[Any], budget: Budget) -> list[Refusal]:
        refusals: list[Refusal] = []
        broken: list[_Validation] = []
        for validation in self._validations:
            expression = validation.expression
            try:
                if expression.program is None:
                    raise ExpressionError(f"compilation error: {expression.error}")
                if evaluate(expression.program, values, budget) is not True:
                    broken.append(validation)
            except ExpressionError as error:
                refusals.extend(self._failed(str(error)))
        return refusals + [self._refusal(each, values, budget) for each in broken]

    def _failed(self, message: str) -> list[Refusal]:
        """An evaluation that failed refuses the request, unless the policy ignores failures."""
        return [Refusal(message, "")] if self.fails_closed else []

    @staticmethod
    def _refusal(validation: _Validation, values: Sequence[Any], budget: Budget) -> Refusal:
        source, text = validation.source, ""
        if validation.message is not None and validation.message.program is not None:
            try:
                value = evaluate(validation.message.program, values, budget)
                text = value.strip() if isinstance(value, str) else ""
            except (ExpressionError, OutOfBudgetError):
                text = ""
        if "\n" in text or len(text.encode()) > _MESSAGE_BYTES_MOST:
            text = ""
        text = text or str(source.get("message") or "").strip()
        text = text or f"failed expression: {source.get('expression', '').strip()}"
        return Refusal(text, source.get("reason") or "Invalid")

    def _annotated(self, values: Sequence[Any]) -> list[Refusal]:
        """Audit annotations that fail refuse the request, too. Nothing keeps the others yet."""
        refusals: list[Refusal] = []
        budget = Budget(BUDGET)
        for expression in self._annotations:
            try:
                if expression.program is None:
                    raise ExpressionError(f"compilation error: {expression.error}")
                evaluate(expression.program, values, budget)
            except ExpressionError as error:
                refusals.extend(self._failed(str(error)))
        return refusals


def _compiled(text: str, environment: AdmissionEnvironment, returns: Sequence[Type]) -> _Expression:
    try:
        return _Expression(compile_expression(text, environment, returns))
    except ExpressionError as error:
        return _Expression(None, str(error))
