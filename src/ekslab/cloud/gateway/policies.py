"""Evaluation of IAM policies: explicit deny, then allow, then implicit deny.

Language: IAM policy grammar (actions, resources, `Not` forms, conditions). Actions match without
regard to case, `*` and `?` are the only wildcards. Condition operators: String, Arn, Numeric, Date,
Bool, Null, IpAddress, with `IfExists` and the `ForAnyValue:`/`ForAllValues:` prefixes. An operator
that is not known makes its statement not apply, and a Deny with one always applies: neither widens
what is allowed.
"""

import enum
import functools
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson


class Effect(enum.Enum):
    """What a set of policies says."""

    DENY = "explicit deny"
    ALLOW = "allow"
    NONE = "implicit deny"


@dataclass(frozen=True, slots=True)
class Question:
    """May this be done?

    Attributes:
        action: such as `eks:DescribeCluster`.
        resource: the ARN; None where it cannot be told from the request. Then an Allow for any
            resource of the service counts, and a Deny only for `*`.
        context: condition keys in lower case and their values.
    """

    action: str
    resource: str | None
    context: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks a trust policy: ARNs the caller answers to, or the service it is."""

    arns: Sequence[str] = ()
    account: str = ""
    service: str = ""
    federated: str = ""


def evaluate(documents: Iterable[str | Mapping[str, Any]], question: Question) -> Effect:
    """What identity policies (JSON text or decoded) say to the question."""
    effect = Effect.NONE
    for document in documents:
        for statement in _statements(document):
            if _covers_action(statement, question.action) and _covers_resource(statement, question):
                effect = _merge(effect, statement, question)
                if effect is Effect.DENY:
                    return effect
    return effect


def evaluate_trust(document: str | Mapping[str, Any], who: Principal, question: Question) -> Effect:
    """What a role's trust policy says to somebody who wants to assume it."""
    effect = Effect.NONE
    for statement in _statements(document):
        if _covers_action(statement, question.action) and _covers_principal(statement, who):
            effect = _merge(effect, statement, question)
            if effect is Effect.DENY:
                return effect
    return effect


def matches(pattern: str, text: str) -> bool:
    """Whether `text` fits `pattern`, where `*` is any text and `?` any one character."""
    return _wildcard(pattern).fullmatch(text) is not None


@functools.lru_cache(maxsize=4096)
def _wildcard(pattern: str) -> re.Pattern[str]:
    text = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.compile(text, re.DOTALL)


def _statements(document: str | Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    decoded = _decode(document) if isinstance(document, str) else document
    found = decoded.get("Statement", ())
    return [found] if isinstance(found, Mapping) else list(found)


@functools.lru_cache(maxsize=2048)
def _decode(text: str) -> Mapping[str, Any]:
    decoded = orjson.loads(text)
    return decoded if isinstance(decoded, Mapping) else {}


def _merge(so_far: Effect, statement: Mapping[str, Any], question: Question) -> Effect:
    denies = statement.get("Effect") == "Deny"
    if not _conditions_hold(statement.get("Condition") or {}, question.context, unknown=denies):
        return so_far
    return Effect.DENY if denies else Effect.ALLOW


def _texts(value: Any) -> Sequence[str]:
    if value is None:
        return ()
    if isinstance(value, list):
        return [_text(item) for item in value]
    return (_text(value),)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _covers_action(statement: Mapping[str, Any], action: str) -> bool:
    wanted = action.lower()
    if "NotAction" in statement:
        return not any(matches(p.lower(), wanted) for p in _texts(statement["NotAction"]))
    return any(matches(p.lower(), wanted) for p in _texts(statement.get("Action")))


def _covers_resource(statement: Mapping[str, Any], question: Question) -> bool:
    denies = statement.get("Effect") == "Deny"
    if "NotResource" in statement:
        if question.resource is None:
            return not denies
        return not any(matches(p, question.resource) for p in _texts(statement["NotResource"]))
    patterns = _texts(statement.get("Resource"))
    if question.resource is None:
        return "*" in patterns if denies else bool(patterns)
    return any(matches(p, question.resource) for p in patterns)


def _covers_principal(statement: Mapping[str, Any], who: Principal) -> bool:
    given = statement.get("Principal")
    if given == "*":
        return True
    if not isinstance(given, Mapping):
        return False
    if who.service:
        return who.service in _texts(given.get("Service"))
    if who.federated:
        return who.federated in _texts(given.get("Federated"))
    named = _texts(given.get("AWS"))
    whole_account = {who.account, f"arn:aws:iam::{who.account}:root", "*"}
    return any(name in whole_account or name in who.arns for name in named)


def _conditions_hold(
    conditions: Mapping[str, Mapping[str, Any]],
    context: Mapping[str, Sequence[str]],
    *,
    unknown: bool,
) -> bool:
    for operator, keys in conditions.items():
        for key, wanted in keys.items():
            held = _condition(operator, context.get(key.lower()), _texts(wanted))
            if held is None:
                if not unknown:
                    return False
            elif not held:
                return False
    return True


def _condition(operator: str, actual: Sequence[str] | None, wanted: Sequence[str]) -> bool | None:
    """Whether one condition holds; None for an operator we do not know."""
    quantifier, _, name = operator.rpartition(":")
    if name == "Null":
        return (actual is None) == ("true" in wanted)
    optional = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    negated = "Not" in name
    test = _TESTS.get(name.replace("Not", ""))
    if test is None:
        return None
    if actual is None:
        return optional or negated or quantifier == "ForAllValues"

    def one(value: str) -> bool:
        return any(test(value, pattern) for pattern in wanted) != negated

    return all(map(one, actual)) if quantifier == "ForAllValues" else any(map(one, actual))


def _number(test: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    def compare(actual: str, wanted: str) -> bool:
        try:
            return test(float(actual), float(wanted))
        except ValueError:
            return False

    return compare


def _date(test: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    def compare(actual: str, wanted: str) -> bool:
        try:
            return test(_seconds(actual), _seconds(wanted))
        except ValueError:
            return False

    return compare


def _seconds(text: str) -> float:
    return float(text) if text.isdecimal() else datetime.fromisoformat(text).timestamp()


def _in_network(actual: str, wanted: str) -> bool:
    try:
        return ipaddress.ip_address(actual) in ipaddress.ip_network(wanted, strict=False)
    except ValueError:
        return False


def _arn_fits(actual: str, pattern: str) -> bool:
    return matches(pattern, actual)


def _same(actual: str, wanted: str) -> bool:
    return actual == wanted


def _same_ignoring_case(actual: str, wanted: str) -> bool:
    return actual.lower() == wanted.lower()


_TESTS: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": _same,
    "StringEqualsIgnoreCase": _same_ignoring_case,
    "StringLike": lambda actual, pattern: matches(pattern, actual),
    "ArnEquals": _arn_fits,
    "ArnLike": _arn_fits,
    "Bool": _same_ignoring_case,
    "IpAddress": _in_network,
    "NumericEquals": _number(lambda a, b: a == b),
    "NumericLessThan": _number(lambda a, b: a < b),
    "NumericLessThanEquals": _number(lambda a, b: a <= b),
    "NumericGreaterThan": _number(lambda a, b: a > b),
    "NumericGreaterThanEquals": _number(lambda a, b: a >= b),
    "DateEquals": _date(lambda a, b: a == b),
    "DateLessThan": _date(lambda a, b: a < b),
    "DateLessThanEquals": _date(lambda a, b: a <= b),
    "DateGreaterThan": _date(lambda a, b: a > b),
    "DateGreaterThanEquals": _date(lambda a, b: a >= b),
}
