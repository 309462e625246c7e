"""What an expression may name: variables with their types, functions, and where values stand.

An environment is made once per place that takes expressions (the rules of a schema, admission) and
shared by all of its expressions. Upstream: apiserver `pkg/cel/environment/base.go`, which also says
which libraries Kubernetes turns on; ours are those of 1.34 and later.
"""

from collections.abc import Mapping
from functools import cache

from ekslab.kube.api.cel.functions import Overload, by_name
from ekslab.kube.api.cel.types import Shape, Type


@cache
def functions() -> Mapping[str, list[Overload]]:
    """All functions, by name. Loaded when the first expression is compiled."""
    from ekslab.kube.api.cel.library import (
        authorization,
        formats,
        lists,
        network,
        patterns,
        quantities,
        semver,
        sets,
        standard,
        strings,
        urls,
    )

    return by_name(
        standard.OVERLOADS,
        strings.OVERLOADS,
        lists.OVERLOADS,
        sets.OVERLOADS,
        patterns.OVERLOADS,
        urls.OVERLOADS,
        quantities.OVERLOADS,
        network.OVERLOADS,
        semver.OVERLOADS,
        formats.OVERLOADS,
        authorization.OVERLOADS,
    )


class Environment:
    """The variables of some expressions.

    Attributes:
        variables: their types, by name.
        slots: where each stands in the values an evaluation is given, from 0.
        root: the shape behind the first variable, for estimates of cost; None if there is none.
    """

    def __init__(self, variables: Mapping[str, Type], *, root: Shape | None = None) -> None:
        self.variables = dict(variables)
        self.slots = {name: slot for slot, name in enumerate(variables)}
        self.root = root

    def function(self, name: str) -> list[Overload]:
        """The overloads of a function; none if there is no such function."""
        return functions().get(name, [])
