"""What expressions of admission may name: match conditions of webhooks, and policies.

    object, oldObject     the object as it would be kept, and as it was; dyn
    request               kubernetes.AdmissionRequest
    namespaceObject       the namespace of the object, or null
    params                the parameters of a binding; dyn
    authorizer            asks what the user may do
    variables             what a policy computed before

Upstream: apiserver `pkg/admission/plugin/cel/{compile,activation}.go`.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from ekslab.kube.api.cel.compiling import (
    Budget,
    InstantiationError,
    Program,
    compile_text,
)
from ekslab.kube.api.cel.environments import Environment
from ekslab.kube.api.cel.failures import CelError, CompileError, CostExceededError
from ekslab.kube.api.cel.numbers import parse_timestamp
from ekslab.kube.api.cel.types import (
    AUTHORIZER,
    BOOL,
    DYN,
    INT,
    RESOURCE_CHECK,
    STRING,
    TIMESTAMP,
    Shape,
    Type,
    list_of,
    map_of,
)  # fmt: skip
from ekslab.kube.api.cel.values import timestamp

NAMES: Final = ("object", "oldObject", "namespaceObject", "request", "params", "authorizer")
REQUEST_RESOURCE: Final = "authorizer.requestResource"
VARIABLES: Final = "variables"


class ExpressionError(ValueError):
    """An expression that cannot be used; the message is upstream's."""


class OutOfBudgetError(Exception):
    """The expressions of one object cost too much together."""

    def __init__(self) -> None:
        super().__init__(
            "validation failed due to running out of cost budget, no further validation rules"
            " will be run"
        )


def _object(name: str, fields: Mapping[str, Shape]) -> Shape:
    made = Shape(type=DYN, fields=dict(fields))
    made.type = Type(name, shape=made)
    return made


def _time() -> Shape:
    return Shape(type=TIMESTAMP, read=lambda text: timestamp(parse_timestamp(text) or 0))


@cache
def _request_type() -> Type:
    text = Shape(type=STRING)
    texts = Shape(type=list_of(STRING), element=text)
    version = {"group": text, "version": text}
    kind = _object("kubernetes.GroupVersionKind", {**version, "kind": text})
    resource = _object("kubernetes.GroupVersionResource", {**version, "resource": text})
    extra = Shape(type=map_of(STRING, texts.type), element=texts, key=text)
    user = {"username": text, "uid": text, "groups": texts, "extra": extra}
    return _object(
        "kubernetes.AdmissionRequest",
        {
            "kind": kind,
            "resource": resource,
            "subResource": text,
            "requestKind": kind,
            "requestResource": resource,
            "requestSubResource": text,
            "name": text,
            "namespace": text,
            "operation": text,
            "userInfo": _object("kubernetes.UserInfo", user),
            "dryRun": Shape(type=BOOL),
            "options": Shape(type=DYN),
        },
    ).type


@cache
def _namespace_type() -> Type:
    text, number = Shape(type=STRING), Shape(type=INT)
    texts = Shape(type=list_of(STRING), element=text)
    pairs = Shape(type=map_of(STRING, STRING), element=text, key=text)
    condition = _object(
        "kubernetes.NamespaceCondition",
        {
            **dict.fromkeys(("status", "type", "message", "reason"), text),
            "lastTransitionTime": _time(),
        },
    )
    conditions = Shape(type=list_of(condition.type), element=condition)
    names = ("name", "generateName", "namespace", "UID", "resourceVersion")
    metadata = {
        **dict.fromkeys(names, text),
        **dict.fromkeys(("labels", "annotations"), pairs),
        **dict.fromkeys(("creationTimestamp", "deletionTimestamp"), _time()),
        **dict.fromkeys(("deletionGracePeriodSeconds", "generation"), number),
        "finalizers": texts,
    }
    status = {"conditions": conditions, "phase": text}
    return _object(
        "kubernetes.Namespace",
        {
            "metadata": _object("kubernetes.NamespaceMetadata", metadata),
            "spec": _object("kubernetes.NamespaceSpec", {"finalizers": texts}),
            "status": _object("kubernetes.NamespaceStatus", status),
        },
    ).type


class AdmissionEnvironment(Environment):
    """The variables of admission; values are given in the order of `NAMES`, then the check of the
    resource of the request, then `variables`.

    `types` gives the variables of a policy, computed so far; None where there can be none.
    `kinds` are types for object, oldObject and params, where a type check knows them.
    """

    def __init__(
        self,
        *,
        has_params: bool,
        has_authorizer: bool = True,
        types: Mapping[str, Type] | None = None,
        kinds: Mapping[str, Type] | None = None,
    ) -> None:
        kinds = kinds or {}
        given: dict[str, Type] = {
            "object": kinds.get("object", DYN),
            "oldObject": kinds.get("oldObject", DYN),
            "namespaceObject": _namespace_type(),
            "request": _request_type(),
            "params": kinds.get("params", DYN),
            "authorizer": AUTHORIZER,
            REQUEST_RESOURCE: RESOURCE_CHECK,
        }
        if types is not None:
            shape = _object("kubernetes.variables", {})
            shape.fields = {name: Shape(type=kind) for name, kind in types.items()}
            given[VARIABLES] = shape.type
        super().__init__(given)
        hidden = [] if has_params else ["params"]
        if not has_authorizer:
            hidden += ["authorizer", REQUEST_RESOURCE]
        for name in hidden:
            del self.variables[name]


def compile_expression(
    text: str, environment: Environment, returns: Sequence[Type] = (BOOL,)
) -> Program:
    """Compile an expression that must have one of these types.

    Raises:
        ExpressionError: it cannot be compiled, or has another type.
    """
    try:
        program = compile_text(text, environment)
    except CompileError as error:
        raise ExpressionError(f"compilation failed: {error}") from None
    except InstantiationError as error:
        raise ExpressionError(f"program instantiation failed: {error}") from None
    if returns and program.type not in returns:
        if len(returns) == 1:
            wanted = f"{returns[0]} but got {program.type}"
            raise ExpressionError(f"must evaluate to {wanted}")
        shown = " ".join(map(str, returns))
        raise ExpressionError(f"must evaluate to one of [{shown}] but got {program.type}")
    return program


def evaluate(program: Program, values: Sequence[Any], budget: Budget) -> Any:
    """The value of an expression of admission, within what is left of a budget.

    Raises:
        ExpressionError: it has none; the message names the expression, as upstream.
        OutOfBudgetError: the budget is used up, and nothing more can be evaluated.
    """
    failed: Exception | None = None
    value = None
    try:
        value = program.evaluate(values, budget)
    except (CelError, CostExceededError) as error:
        failed = error
    if budget.left < 0:
        raise OutOfBudgetError
    if failed is not None:
        raise ExpressionError(f"expression '{program.text}' resulted in error: {failed}")
    return value
