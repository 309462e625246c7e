"""Which nodes lack a daemon pod, which pods are too many or too old. Pure.

Rules of upstream `pkg/controller/daemon/{daemon_controller,update}.go` and
`pkg/controller/daemon/util/daemonset_util.go`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from ekslab.kube.api.placement import (
    NodeSelection,
    Taint,
    Toleration,
    node_selection,
    taints_of,
    tolerations_of,
    untolerated,
)
from ekslab.kube.api.requests import Object
from ekslab.kube.runtime.history import HASH_LABEL
from ekslab.kube.runtime.pods import PodFacts

BURST: Final = 250
GENERATION: Final = "deprecated.daemonset.template.generation"
GENERATION_LABEL: Final = "pod-template-generation"

_EVERYWHERE: Final = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_NETWORK: Final = ("node.kubernetes.io/network-unavailable", "NoSchedule")


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as a daemon set sees it."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a DaemonSet asks for, parsed once per reconcile."""

    node_name: str
    selection: NodeSelection
    tolerations: tuple[Toleration, ...]
    min_ready_s: int
    is_rolling: bool
    max_unavailable: int | str
    max_surge: int | str


@dataclass(frozen=True)
class Scene:
    """All a decision looks at: wishes, nodes, the set's pods by node, the current template."""

    wanted: Wishes
    nodes: Sequence[NodeView]
    by_node: Mapping[str, Sequence[PodFacts]]
    current_hash: str
    now_s: float

    @cached_property
    def verdicts(self) -> Sequence[tuple[NodeView, bool, bool]]:
        """Each node, whether a pod should be made there, and whether one may stay there."""
        return [(node, *should_run(self.wanted, node)) for node in self.nodes]


@dataclass(slots=True)
class Plan:
    """Pods to make (by node) and to delete; `failed` are those of them that had ended."""

    create: list[str] = field(default_factory=list)
    delete: list[PodFacts] = field(default_factory=list)
    failed: list[PodFacts] = field(default_factory=list)


def view_node(node: Object) -> NodeView:
    """Read a node."""
    meta = node["metadata"]
    return NodeView(meta["name"], meta.get("labels") or {}, taints_of(node.get("spec") or {}))


def wishes(daemon_set: Object) -> Wishes:
    """Read a DaemonSet."""
    spec = daemon_set["spec"]
    pod_spec = spec["template"]["spec"]
    strategy = spec.get("updateStrategy") or {}
    rolling = strategy.get("rollingUpdate") or {}
    return Wishes(
        node_name=pod_spec.get("nodeName", ""),
        selection=node_selection(pod_spec),
        tolerations=tolerations_of({"tolerations": tolerations(pod_spec)}),
        min_ready_s=spec.get("minReadySeconds", 0),
        is_rolling=strategy.get("type", "RollingUpdate") == "RollingUpdate",
        max_unavailable=rolling.get("maxUnavailable", 1),
        max_surge=rolling.get("maxSurge", 0),
    )


def tolerations(pod_spec: Object) -> list[Object]:
    """The template's tolerations and those every daemon pod has."""
    found = list(pod_spec.get("tolerations") or ())
    wanted = [*_EVERYWHERE, *([_NETWORK] if pod_spec.get("hostNetwork") else [])]
    for key, effect in wanted:
        entry = {"key": key, "operator": "Exists", "effect": effect}
        if entry not in found:
            found.append(entry)
    return found


def should_run(wanted: Wishes, node: NodeView) -> tuple[bool, bool]:
    """Whether a pod should be made there, and whether one that is there may stay (upstream:
    NodeShouldRunDaemonPod). A NoSchedule taint keeps new pods away, only NoExecute ends old ones.
    """
    if wanted.node_name not in {"", node.name}:
        return False, False
    if not wanted.selection.matches(node.labels, node.name):
        return False, False
    if untolerated(node.taints, wanted.tolerations, ("NoSchedule", "NoExecute")) is None:
        return True, True
    return False, untolerated(node.taints, wanted.tolerations, ("NoExecute",)) is None


def target_node(pod: PodFacts) -> str:
    """The node a daemon pod is for: the one it is bound to, or the one its affinity names."""
    if pod.node_name:
        return pod.node_name
    selection = node_selection(pod.item.object["spec"])
    for term in selection.terms or ():
        for need in term.fields:
            if need.key == "metadata.name" and len(need.values) == 1:
                return need.values[0]
    return ""


def manage(scene: Scene) -> Plan:
    """One pod on each node that should run one; none elsewhere (upstream: manage)."""
    decided = Plan()
    known = set()
    for node, runs, stays in scene.verdicts:
        known.add(node.name)
        pods = scene.by_node.get(node.name, ())
        if runs and not pods:
            decided.create.append(node.name)
        elif stays:
            _keep_one(decided, scene, pods)
        else:
            decided.delete += [pod for pod in pods if not pod.is_deleting]
    for name, pods in scene.by_node.items():
        if name not in known:
            # A pod that waits for a node that has gone will never run.
            decided.delete += [pod for pod in pods if not pod.node_name and not pod.is_deleting]
    del decided.create[BURST:]
    del decided.delete[BURST:]
    return decided


def _keep_one(decided: Plan, scene: Scene, pods: Sequence[PodFacts]) -> None:
    running: list[PodFacts] = []
    for pod in pods:
        if pod.is_deleting:
            continue
        if pod.phase == "Failed":
            decided.failed.append(pod)
            decided.delete.append(pod)
        elif pod.phase == "Succeeded":
            decided.delete.append(pod)
        else:
            running.append(pod)
    if len(running) <= 1:
        return
    running.sort(key=lambda pod: (not pod.node_name, pod.created_s, pod.name))
    if scene.wanted.max_surge not in {0, "0%"}:
        news = [pod for pod in running if not _is_old(pod, scene)]
        olds = [pod for pod in running if _is_old(pod, scene)]
        if len(news) == 1 and len(olds) == 1:
            # The old one goes when the new one is available.
            if news[0].is_available(scene.wanted.min_ready_s, scene.now_s):
                decided.delete += olds
            return
    decided.delete += running[1:]


def roll(scene: Scene) -> Plan:
    """Replace pods of older templates, `maxUnavailable` at a time (upstream: rollingUpdate)."""
    decided = Plan()
    if not any(_is_old(pod, scene) for pods in scene.by_node.values() for pod in pods):
        return decided
    desired = [node for node, runs, _ in scene.verdicts if runs]
    surge = _scaled(scene.wanted.max_surge, len(desired), round_up=True)
    most = _scaled(scene.wanted.max_unavailable, len(desired), round_up=True)
    if not surge and not most:
        most = 1
    unavailable, candidates, blocked = 0, [], []
    surging: list[str] = []
    for node in desired:
        pods = [pod for pod in scene.by_node.get(node.name, ()) if not pod.is_terminal]
        news = [pod for pod in pods if not _is_old(pod, scene)]
        olds = [pod for pod in pods if _is_old(pod, scene)]
        available = [pod for pod in pods if pod.is_available(scene.wanted.min_ready_s, scene.now_s)]
        if not any(not pod.is_deleting for pod in available):
            unavailable += 1
        if news or not olds or any(pod.is_deleting for pod in olds):
            continue
        if surge:
            surging.append(node.name)
        elif available:
            candidates += olds
        else:
            blocked += olds
    if surge:
        busy = sum(
            1
            for node in desired
            if _is_surging(scene.by_node.get(node.name, ()), scene.current_hash)
        )
        decided.create = surging[: max(0, surge - busy)]
    else:
        decided.delete = [*blocked, *candidates[: max(0, most - unavailable)]]
    return decided


def _is_old(pod: PodFacts, scene: Scene) -> bool:
    return pod.labels.get(HASH_LABEL) != scene.current_hash


def _is_surging(pods: Sequence[PodFacts], current_hash: str) -> bool:
    hashes = {pod.labels.get(HASH_LABEL) == current_hash for pod in pods if not pod.is_deleting}
    return len(hashes) == 2


def _scaled(value: int | str, total: int, *, round_up: bool) -> int:
    if isinstance(value, int):
        return value
    portion = total * int(value.removesuffix("%"))
    return -(-portion // 100) if round_up else portion // 100


def status(daemon_set: Object, scene: Scene) -> Object:
    """The status. Four of its counts are always there, zeros of the others are left out."""
    desired = current = misscheduled = ready = available = updated = 0
    for node, runs, _ in scene.verdicts:
        pods = scene.by_node.get(node.name, ())
        desired += runs
        if not pods:
            continue
        if not runs:
            misscheduled += 1
            continue
        current += 1
        oldest = min(pods, key=lambda pod: (pod.created_s, pod.name))
        ready += oldest.is_ready
        available += oldest.is_available(scene.wanted.min_ready_s, scene.now_s)
        updated += oldest.labels.get(HASH_LABEL) == scene.current_hash
    old = daemon_set.get("status") or {}
    new: Object = {
        "currentNumberScheduled": current,
        "numberMisscheduled": misscheduled,
        "desiredNumberScheduled": desired,
        "numberReady": ready,
    }
    optional = {
        "observedGeneration": daemon_set["metadata"].get("generation", 0),
        "updatedNumberScheduled": updated,
        "numberAvailable": available,
        "numberUnavailable": desired - available,
    }
    new.update((key, count) for key, count in optional.items() if count)
    for kept in ("collisionCount", "conditions"):
        if kept in old:
            new[kept] = old[kept]
    return new


def new_pod(daemon_set: Object, reference: Object, node_name: str, current_hash: str) -> Object:
    """A pod for one node (upstream: CreatePodTemplate, ReplaceDaemonSetPodNodeNameNodeAffinity).
    Parts are shared with the daemon set.
    """
    meta, template = daemon_set["metadata"], daemon_set["spec"]["template"]
    template_meta = template.get("metadata") or {}
    labels = {**(template_meta.get("labels") or {}), HASH_LABEL: current_hash}
    generation = (meta.get("annotations") or {}).get(GENERATION)
    if generation is not None:
        labels[GENERATION_LABEL] = generation
    pod_meta: Object = {
        "generateName": meta["name"] + "-",
        "namespace": meta["namespace"],
        "labels": labels,
        "ownerReferences": [reference],
    }
    for key in ("annotations", "finalizers"):
        if template_meta.get(key):
            pod_meta[key] = template_meta[key]
    spec = {
        **template["spec"],
        "affinity": _pinned(template["spec"].get("affinity") or {}, node_name),
        "tolerations": tolerations(template["spec"]),
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": pod_meta, "spec": spec}


def _pinned(affinity: Object, node_name: str) -> Object:
    """The affinity with every required term, or a new one, naming the node."""
    pin = [{"key": "metadata.name", "operator": "In", "values": [node_name]}]
    node_affinity = affinity.get("nodeAffinity") or {}
    required = node_affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    terms = required.get("nodeSelectorTerms") or [{}]
    pinned = {"nodeSelectorTerms": [{**term, "matchFields": pin} for term in terms]}
    return {
        **affinity,
        "nodeAffinity": {
            **node_affinity,
            "requiredDuringSchedulingIgnoredDuringExecution": pinned,
        },
    }
