"""What a pod asks of a node, parsed once: requests, node selection, tolerations.

The scheduler, the node agent's own admission and the DaemonSet controller must agree on these, so
they share them. Rules are those of upstream's component-helpers (`resource/helpers.go`,
`scheduling/corev1/nodeaffinity`, `scheduling/corev1/helpers.go`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ekslab.kube.api.quantity import milli, value

Spec = Mapping[str, Any]
Amounts = dict[str, int]
"""Resource name -> amount: `cpu` in thousandths of a core, everything else in whole units."""

# Upstream scheduler/util/pod_resources.go: what a container without requests counts as in scores.
SCORE_FLOOR: Final[Mapping[str, int]] = {"cpu": 100, "memory": 200 * 1024 * 1024}
_NOTHING: Final[Mapping[str, int]] = {}
_POD_LEVEL: Final = ("cpu", "memory")


def amounts(quantities: Mapping[str, Any]) -> Amounts:
    """Integers of a resource list: `{"cpu": "1", "memory": "1Ki"}` -> `{cpu: 1000, memory: 1024}`.

    Raises:
        ValueError: a quantity cannot be read.
    """
    return {
        name: milli(str(text)) if name == "cpu" else value(str(text))
        for name, text in quantities.items()
    }


def pod_requests(spec: Spec, floor: Mapping[str, int] = _NOTHING) -> Amounts:
    """What a pod needs at the most at any time of its life.

    Sum of containers and sidecars, or the largest step of the init sequence if that is more; plus
    overhead; pod-level `resources` win over the sum. `floor` gives amounts for containers that
    request none of a resource (`SCORE_FLOOR` when scoring).

    >>> pod_requests({"containers": [{"name": "a"}]}, SCORE_FLOOR)["cpu"]
    100
    """
    total: Amounts = {}
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("containers") or ():
        _add(total, _container_requests(container, floor))
    for container in spec.get("initContainers") or ():
        own = _container_requests(container, floor)
        if container.get("restartPolicy") == "Always":
            _add(total, own)
            _add(sidecars, own)
            own = sidecars
        else:
            _add(own, sidecars)
        _raise_to(peak, own)
    _raise_to(total, peak)
    pod_level = (spec.get("resources") or {}).get("requests")
    if pod_level:
        total.update(
            (name, amount)
            for name, amount in amounts(pod_level).items()
            if name in _POD_LEVEL or name.startswith("hugepages-")
        )
    if spec.get("overhead"):
        _add(total, amounts(spec["overhead"]))
    return total


def _container_requests(container: Spec, floor: Mapping[str, int]) -> Amounts:
    requests = (container.get("resources") or {}).get("requests")
    own = amounts(requests) if requests else {}
    for name, amount in floor.items():
        own.setdefault(name, amount)
    return own


def _add(total: Amounts, more: Mapping[str, int]) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def _raise_to(total: Amounts, least: Mapping[str, int]) -> None:
    for name, amount in least.items():
        if amount > total.get(name, 0):
            total[name] = amount


@dataclass(frozen=True, slots=True)
class Requirement:
    """`key operator values` of a node selector term."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def admits(self, actual: str | None) -> bool:
        """Whether a label of this value (None: absent) satisfies the requirement."""
        match self.operator:
            case "In":
                return actual is not None and actual in self.values
            case "NotIn":
                return actual is None or actual not in self.values
            case "Exists":
                return actual is not None
            case "DoesNotExist":
                return actual is None
            case "Gt" | "Lt":
                return self._compares(actual)
        return False

    def _compares(self, actual: str | None) -> bool:
        try:
            left, right = int(actual or ""), int(self.values[0])
        except (ValueError, IndexError):
            return False
        return left > right if self.operator == "Gt" else left < right


@dataclass(frozen=True, slots=True)
class NodeTerm:
    """One term: all its requirements hold. A term without any matches no node."""

    labels: tuple[Requirement, ...]
    fields: tuple[Requirement, ...]

    def matches(self, labels: Mapping[str, str], name: str) -> bool:
        """Whether a node with these labels and this name satisfies the term."""
        if not self.labels and not self.fields:
            return False
        return all(need.admits(labels.get(need.key)) for need in self.labels) and all(
            need.key == "metadata.name" and need.admits(name) for need in self.fields
        )


@dataclass(frozen=True, slots=True)
class NodeSelection:
    """`spec.nodeSelector` and required node affinity; `terms` is None when there is none."""

    selector: tuple[tuple[str, str], ...] = ()
    terms: tuple[NodeTerm, ...] | None = None

    @property
    def is_trivial(self) -> bool:
        """Whether every node matches."""
        return not self.selector and self.terms is None

    def matches(self, labels: Mapping[str, str], name: str) -> bool:
        """Whether a node with these labels and this name may take the pod."""
        if any(labels.get(key) != wanted for key, wanted in self.selector):
            return False
        return self.terms is None or any(term.matches(labels, name) for term in self.terms)


def node_selection(spec: Spec) -> NodeSelection:
    """The node selection of a pod spec."""
    selector = tuple(sorted((spec.get("nodeSelector") or {}).items()))
    required = _node_affinity(spec).get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return NodeSelection(selector)
    return NodeSelection(selector, tuple(map(node_term, required.get("nodeSelectorTerms") or ())))


def preferred_terms(spec: Spec) -> tuple[tuple[int, NodeTerm], ...]:
    """Weights and terms of preferred node affinity. Terms without requirements are left out."""
    preferred = _node_affinity(spec).get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    pairs = ((int(entry["weight"]), node_term(entry["preference"])) for entry in preferred)
    return tuple((weight, term) for weight, term in pairs if term.labels or term.fields)


def node_term(term: Spec) -> NodeTerm:
    """One `nodeSelectorTerm`."""
    return NodeTerm(
        _requirements(term.get("matchExpressions") or ()),
        _requirements(term.get("matchFields") or ()),
    )


def _node_affinity(spec: Spec) -> Spec:
    return (spec.get("affinity") or {}).get("nodeAffinity") or {}


def _requirements(expressions: Iterable[Spec]) -> tuple[Requirement, ...]:
    return tuple(
        Requirement(need["key"], need["operator"], tuple(need.get("values") or ()))
        for need in expressions
    )


@dataclass(frozen=True, slots=True)
class Taint:
    """A taint of a node. Its text is how messages show it: `{key: value}`."""

    key: str
    value: str
    effect: str

    def __str__(self) -> str:
        return f"{{{self.key}: {self.value}}}"


@dataclass(frozen=True, slots=True)
class Toleration:
    """A toleration of a pod; empty `key` and `effect` stand for any."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""

    def tolerates(self, taint: Taint) -> bool:
        """Whether the pod bears this taint."""
        if self.effect and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        return self.operator == "Exists" or (bool(self.key) and self.value == taint.value)


def taints_of(spec: Spec) -> tuple[Taint, ...]:
    """Taints of a node spec."""
    return tuple(
        Taint(taint["key"], taint.get("value") or "", taint["effect"])
        for taint in spec.get("taints") or ()
    )


def tolerations_of(spec: Spec) -> tuple[Toleration, ...]:
    """Tolerations of a pod spec."""
    return tuple(
        Toleration(
            entry.get("key") or "",
            entry.get("operator") or "Equal",
            entry.get("value") or "",
            entry.get("effect") or "",
        )
        for entry in spec.get("tolerations") or ()
    )


def untolerated(
    taints: Iterable[Taint], tolerations: Sequence[Toleration], effects: Sequence[str]
) -> Taint | None:
    """The first taint of these effects that no toleration bears, or None."""
    for taint in taints:
        if taint.effect in effects and not any(bears.tolerates(taint) for bears in tolerations):
            return taint
    return None
