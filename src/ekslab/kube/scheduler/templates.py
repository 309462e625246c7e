"""What the scheduler reads of a pod, parsed once for all pods that are alike.

Pods of one ReplicaSet differ in name and in a volume's name; to the scheduler they are the same.
`shape_key` says which parts count, `parse` makes a `Template` of them. Field rules are those of
upstream's plugins NodeAffinity, PodTopologySpread (`common.go`) and InterPodAffinity
(`framework/types.go` newAffinityTerm).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from ekslab.kube.api.placement import (
    SCORE_FLOOR,
    Amounts,
    NodeSelection,
    NodeTerm,
    Toleration,
    node_selection,
    pod_requests,
    preferred_terms,
    tolerations_of,
)
from ekslab.kube.api.requests import Object
from ekslab.kube.runtime.selection import Matcher, matcher

HOSTNAME: Final = "kubernetes.io/hostname"
ZONE: Final = "topology.kubernetes.io/zone"
_MATCH_NAME: Final = "metadata.name"
NamespaceLabels = Callable[[str], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class PodMatcher:
    """Which pods a term speaks of. `key` identifies it: equal keys match the same pods.

    `namespaces` and `namespace_selector` are a union; None for the selector means none given.
    """

    key: bytes
    namespaces: frozenset[str]
    namespace_selector: Mapping[str, Any] | None
    selector: Mapping[str, Any] | None
    _compiled: list[Matcher] = field(default_factory=list, compare=False, hash=False)

    def matches(self, namespace: str, labels: Mapping[str, str], spaces: NamespaceLabels) -> bool:
        """Whether a pod of this namespace and labels is meant."""
        if self.selector is None or not self._covers(namespace, spaces):
            return False
        if not self._compiled:
            self._compiled.append(matcher(dict(self.selector)))
        return self._compiled[0](labels)

    def _covers(self, namespace: str, spaces: NamespaceLabels) -> bool:
        if namespace in self.namespaces:
            return True
        chosen = self.namespace_selector
        return chosen is not None and matcher(dict(chosen))(spaces(namespace))


@dataclass(frozen=True, slots=True)
class SpreadTerm:
    """One topology spread constraint. `matchers` must all match (a default one merges several)."""

    topology_key: str
    max_skew: int
    hard: bool
    matchers: tuple[PodMatcher, ...]
    matches_self: bool
    min_domains: int = 1
    honor_affinity: bool = True
    honor_taints: bool = False


@dataclass(frozen=True, slots=True)
class PodTerm:
    """One pod (anti-)affinity term. `weight` is negative for preferred anti-affinity, 0 if hard."""

    topology_key: str
    matcher: PodMatcher
    weight: int = 0


@dataclass(frozen=True, slots=True)
class PodTerms:
    """All pod affinity of a pod."""

    affinity: tuple[PodTerm, ...] = ()
    anti_affinity: tuple[PodTerm, ...] = ()
    preferred: tuple[PodTerm, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.affinity or self.anti_affinity or self.preferred)


HostPort = tuple[str, str, int]
"""Host IP (`0.0.0.0` for any), protocol, port."""


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A pod as the scheduler sees it. Identity is what counts: alike pods share one object."""

    namespace: str
    labels: Mapping[str, str]
    selection: NodeSelection
    preferred: tuple[tuple[int, NodeTerm], ...]
    tolerations: tuple[Toleration, ...]
    requests: Amounts
    scored: tuple[int, int]
    ports: tuple[HostPort, ...]
    spread: tuple[SpreadTerm, ...]
    spread_is_default: bool
    terms: PodTerms
    claims: tuple[str, ...]
    priority: int
    preempts: bool
    pinned: frozenset[str] | None


def shape_key(pod: Object) -> bytes:
    """Bytes that are equal for pods the scheduler cannot tell apart."""
    spec, metadata = pod["spec"], pod["metadata"]
    owners = [ref["uid"] for ref in metadata.get("ownerReferences") or () if ref.get("controller")]
    containers = [
        (box.get("resources"), box.get("ports"), box.get("restartPolicy"))
        for box in (*spec.get("containers", ()), *(spec.get("initContainers") or ()))
    ]
    parts = (
        metadata.get("namespace"),
        metadata.get("labels"),
        owners,
        len(spec.get("initContainers") or ()),
        containers,
        [spec.get(name) for name in _SPEC_FIELDS],
        _claims(pod),
    )
    return orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)


_SPEC_FIELDS: Final = (
    "nodeSelector",
    "affinity",
    "tolerations",
    "topologySpreadConstraints",
    "resources",
    "overhead",
    "priority",
    "preemptionPolicy",
    "hostNetwork",
)


def parse(pod: Object, *, default_selectors: Sequence[Mapping[str, Any]] = ()) -> Template:
    """Make the template of a pod.

    `default_selectors` are the selectors of the services and the owner that select the pod; the
    cluster's default spread constraints apply to what all of them match, unless the pod has its
    own (upstream `helper.DefaultSelector`).

    Raises:
        ValueError: a quantity cannot be read.
    """
    spec, metadata = pod["spec"], pod["metadata"]
    namespace, labels = metadata.get("namespace", ""), metadata.get("labels") or {}
    own = spec.get("topologySpreadConstraints") or ()
    if own:
        spread = tuple(_spread_term(entry, namespace, labels) for entry in own)
    else:
        spread = _default_spread(default_selectors, namespace)
    scored = pod_requests(spec, SCORE_FLOOR)
    selection = node_selection(spec)
    return Template(
        namespace=namespace,
        labels=labels,
        selection=selection,
        preferred=preferred_terms(spec),
        tolerations=tolerations_of(spec),
        requests=pod_requests(spec),
        scored=(scored["cpu"], scored["memory"]),
        ports=_host_ports(spec),
        spread=spread,
        spread_is_default=not own,
        terms=_pod_terms(spec, namespace, labels),
        claims=_claims(pod),
        priority=spec.get("priority") or 0,
        preempts=spec.get("preemptionPolicy") != "Never",
        pinned=_pinned(selection),
    )


def _claims(pod: Object) -> tuple[str, ...]:
    found = []
    for volume in pod["spec"].get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            found.append(volume["persistentVolumeClaim"]["claimName"])
        elif "ephemeral" in volume:
            found.append(f"{pod['metadata'].get('name', '')}-{volume['name']}")
    return tuple(found)


def _host_ports(spec: Mapping[str, Any]) -> tuple[HostPort, ...]:
    sidecars = (
        box for box in spec.get("initContainers") or () if box.get("restartPolicy") == "Always"
    )
    return tuple(
        (port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", port["hostPort"])  # noqa: S104 - the API's word for any address
        for box in (*spec.get("containers", ()), *sidecars)
        for port in box.get("ports") or ()
        if port.get("hostPort")
    )


def _pinned(selection: NodeSelection) -> frozenset[str] | None:
    """Node names the pod is confined to by `matchFields`, as every DaemonSet pod is."""
    if not selection.terms:
        return None
    names: set[str] = set()
    for term in selection.terms:
        wanted = [need for need in term.fields if need.key == _MATCH_NAME and need.operator == "In"]
        if not wanted:
            return None
        names.update(set(wanted[0].values).intersection(*(need.values for need in wanted[1:])))
    return frozenset(names)


def _matcher(
    selector: Mapping[str, Any] | None,
    namespaces: Sequence[str],
    namespace_selector: Mapping[str, Any] | None = None,
) -> PodMatcher:
    names = sorted(set(namespaces))
    key = orjson.dumps((names, namespace_selector, selector), option=orjson.OPT_SORT_KEYS)
    return PodMatcher(key, frozenset(names), namespace_selector, selector)


def _narrowed(
    selector: Mapping[str, Any] | None, labels: Mapping[str, str], entry: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """The selector with `matchLabelKeys` and `mismatchLabelKeys` filled in from the pod."""
    if selector is None:
        return None
    extra = [
        {"key": key, "operator": operator, "values": [labels[key]]}
        for keys, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn"))
        for key in entry.get(keys) or ()
        if key in labels
    ]
    had = [*(selector.get("matchExpressions") or ())]
    fresh = [need for need in extra if need not in had]
    return {**selector, "matchExpressions": had + fresh} if fresh else selector


def _spread_term(entry: Mapping[str, Any], namespace: str, labels: Mapping[str, str]) -> SpreadTerm:
    chosen = _matcher(_narrowed(entry.get("labelSelector"), labels, entry), (namespace,))
    return SpreadTerm(
        topology_key=entry["topologyKey"],
        max_skew=entry["maxSkew"],
        hard=entry.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule",
        matchers=(chosen,),
        matches_self=chosen.matches(namespace, labels, _no_labels),
        min_domains=entry.get("minDomains") or 1,
        honor_affinity=entry.get("nodeAffinityPolicy", "Honor") == "Honor",
        honor_taints=entry.get("nodeTaintsPolicy", "Ignore") == "Honor",
    )


def _default_spread(
    selectors: Sequence[Mapping[str, Any]], namespace: str
) -> tuple[SpreadTerm, ...]:
    """Upstream `podtopologyspread/plugin.go` systemDefaultConstraints."""
    if not selectors:
        return ()
    matchers = tuple(_matcher(selector, (namespace,)) for selector in selectors)
    return tuple(
        SpreadTerm(key, max_skew, hard=False, matchers=matchers, matches_self=True)
        for key, max_skew in ((HOSTNAME, 3), (ZONE, 5))
    )


def _pod_terms(spec: Mapping[str, Any], namespace: str, labels: Mapping[str, str]) -> PodTerms:
    affinity = spec.get("affinity") or {}
    attract = affinity.get("podAffinity") or {}
    repel = affinity.get("podAntiAffinity") or {}
    if not attract and not repel:
        return PodTerms()

    def term(entry: Mapping[str, Any], weight: int) -> PodTerm:
        names = entry.get("namespaces") or ()
        chosen = entry.get("namespaceSelector")
        if not names and chosen is None:
            names = (namespace,)
        selector = _narrowed(entry.get("labelSelector"), labels, entry)
        return PodTerm(entry["topologyKey"], _matcher(selector, names, chosen), weight)

    def hard(side: Mapping[str, Any]) -> tuple[PodTerm, ...]:
        entries = side.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        return tuple(term(entry, 0) for entry in entries)

    def soft(side: Mapping[str, Any], sign: int) -> tuple[PodTerm, ...]:
        entries = side.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        return tuple(term(entry["podAffinityTerm"], sign * entry["weight"]) for entry in entries)

    return PodTerms(hard(attract), hard(repel), soft(attract, 1) + soft(repel, -1))


def _no_labels(_namespace: str) -> Mapping[str, str]:
    return {}
