"""Label selectors of objects (`spec.selector`), compiled to a predicate.

Upstream: apimachinery `meta/v1` LabelSelectorAsSelector. An absent selector matches nothing, an
empty one everything.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ekslab.kube.api.requests import Object

Matcher = Callable[[Mapping[str, str]], bool]


def matcher(selector: Object | None) -> Matcher:
    """The predicate of a LabelSelector (`matchLabels`, `matchExpressions`)."""
    if selector is None:
        return lambda _labels: False
    wanted = tuple((selector.get("matchLabels") or {}).items())
    expressions = tuple(selector.get("matchExpressions") or ())
    if not expressions:
        return lambda labels: all(labels.get(key) == value for key, value in wanted)

    def matches(labels: Mapping[str, str]) -> bool:
        return all(labels.get(key) == value for key, value in wanted) and all(
            _holds(expression, labels) for expression in expressions
        )

    return matches


def map_matcher(selector: Mapping[str, str] | None) -> Matcher:
    """The predicate of a plain map of labels, as Services have: empty or absent matches nothing."""
    wanted = tuple((selector or {}).items())
    if not wanted:
        return lambda _labels: False
    return lambda labels: all(labels.get(key) == value for key, value in wanted)


def as_query(selector: Object) -> str:
    """A LabelSelector as text (`app=web,tier in (a,b)`), as scale's `status.selector` shows it."""
    terms = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for expression in selector.get("matchExpressions") or ():
        key, values = expression["key"], ",".join(sorted(expression.get("values") or ()))
        terms.append(
            {
                "In": f"{key} in ({values})",
                "NotIn": f"{key} notin ({values})",
                "Exists": key,
                "DoesNotExist": f"!{key}",
            }[expression["operator"]]
        )
    return ",".join(terms)


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    values = expression.get("values") or ()
    match expression.get("operator"):
        case "In":
            return value is not None and value in values
        case "NotIn":
            return value is None or value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case _:
            return False
