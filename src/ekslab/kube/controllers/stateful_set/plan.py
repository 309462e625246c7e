"""Which pod of a StatefulSet is made or deleted next. Pure.

Rules of upstream `pkg/controller/statefulset/stateful_set_control.go` and
`stateful_set_utils.go`. With OrderedReady one thing happens at a time, and nothing until every pod
before it is available; with Parallel only rolling updates take turns.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from ekslab.kube.api.requests import Object
from ekslab.kube.runtime.history import HASH_LABEL
from ekslab.kube.runtime.pods import PodFacts

POD_NAME: Final = "statefulset.kubernetes.io/pod-name"
POD_INDEX: Final = "apps.kubernetes.io/pod-index"


@dataclass(frozen=True, slots=True)
class Scene:
    """All a decision looks at. `current` and `update` are names of ControllerRevisions."""

    obj: Object
    pods: Sequence[PodFacts]
    current: str
    update: str
    now_s: float

    @property
    def replicas(self) -> int:
        """How many pods are wanted."""
        count: int = self.obj["spec"].get("replicas", 1)
        return count

    @property
    def start(self) -> int:
        """The first ordinal."""
        number: int = (self.obj["spec"].get("ordinals") or {}).get("start", 0)
        return number

    @property
    def is_ordered(self) -> bool:
        """Whether pods are made and deleted one after the other."""
        return bool(self.obj["spec"].get("podManagementPolicy", "OrderedReady") != "Parallel")

    @property
    def is_rolling(self) -> bool:
        """Whether pods of older templates are replaced."""
        strategy = self.obj["spec"].get("updateStrategy") or {}
        return bool(strategy.get("type", "RollingUpdate") == "RollingUpdate")

    @property
    def partition(self) -> int:
        """Pods with lower ordinals (counted from `start`) keep the current template."""
        rolling = (self.obj["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
        number: int = rolling.get("partition", 0)
        return number

    def is_available(self, pod: PodFacts) -> bool:
        """Running and Ready, for long enough."""
        min_ready_s = self.obj["spec"].get("minReadySeconds", 0)
        return pod.phase == "Running" and pod.is_available(min_ready_s, self.now_s)


@dataclass(slots=True)
class Plan:
    """What to do, in this order.

    Attributes:
        restart: pods that have ended and are deleted to be made anew.
        create: ordinals of pods to make.
        complete: pods that are Pending and may lack a volume claim.
        rename: pods whose labels no longer say who they are.
        condemn: pods to delete because nobody wants them.
        replace: pods to delete because of their old template.
    """

    restart: list[PodFacts] = field(default_factory=list)
    create: list[int] = field(default_factory=list)
    complete: list[PodFacts] = field(default_factory=list)
    rename: list[PodFacts] = field(default_factory=list)
    condemn: list[PodFacts] = field(default_factory=list)
    replace: list[PodFacts] = field(default_factory=list)


def ordinal_of(set_name: str, pod_name: str) -> int | None:
    """The ordinal in a pod's name; None if it is no name of that set's pods.

    >>> ordinal_of("web", "web-12"), ordinal_of("web", "web-x"), ordinal_of("we", "web-1")
    (12, None, None)
    """
    parent, _, number = pod_name.rpartition("-")
    return int(number) if parent == set_name and number.isdecimal() else None


def plan(scene: Scene) -> Plan:
    """Decide what comes next."""
    decided = Plan()
    living, condemned = _sort(scene)
    if "deletionTimestamp" in scene.obj["metadata"]:
        return decided
    if _fill(scene, living, decided):
        return decided
    if _shrink(scene, living, condemned, decided):
        return decided
    if scene.is_rolling:
        _roll(scene, living, decided)
    return decided


def _sort(scene: Scene) -> tuple[dict[int, PodFacts | None], list[PodFacts]]:
    """Wanted ordinals with their pods, and pods nobody wants, the highest first."""
    name = scene.obj["metadata"]["name"]
    ordinals = range(scene.start, scene.start + scene.replicas)
    living: dict[int, PodFacts | None] = dict.fromkeys(ordinals)
    condemned: list[tuple[int, PodFacts]] = []
    for pod in scene.pods:
        ordinal = ordinal_of(name, pod.name)
        if ordinal in living:
            living[ordinal] = pod
        elif ordinal is not None:
            condemned.append((ordinal, pod))
    condemned.sort(key=lambda one: -one[0])
    return living, [pod for _, pod in condemned]


def _fill(scene: Scene, living: dict[int, PodFacts | None], decided: Plan) -> bool:
    """Make what is missing. True if nothing else may happen now."""
    for ordinal, pod in living.items():
        if pod is None:
            decided.create.append(ordinal)
            if scene.is_ordered:
                return True
            continue
        if pod.is_terminal:
            if not pod.is_deleting:
                decided.restart.append(pod)
            if scene.is_ordered:
                return True
            continue
        if pod.phase == "Pending" and not pod.is_deleting:
            decided.complete.append(pod)
        if scene.is_ordered and (pod.is_deleting or not scene.is_available(pod)):
            return True
        if pod.labels.get(POD_NAME) != pod.name or POD_INDEX not in pod.labels:
            decided.rename.append(pod)
    return False


def _shrink(
    scene: Scene,
    living: dict[int, PodFacts | None],
    condemned: Sequence[PodFacts],
    decided: Plan,
) -> bool:
    """Delete what is too much, from the end. True if nothing else may happen now."""
    in_order = [*living.values(), *reversed(condemned)]
    unhealthy = [pod for pod in in_order if pod is not None and not _is_healthy(scene, pod)]
    first_unhealthy = unhealthy[0] if unhealthy else None
    for pod in condemned:
        if pod.is_deleting:
            if scene.is_ordered:
                return True
            continue
        if scene.is_ordered and not scene.is_available(pod) and pod is not first_unhealthy:
            return True
        decided.condemn.append(pod)
        if scene.is_ordered:
            return True
    return False


def _roll(scene: Scene, living: dict[int, PodFacts | None], decided: Plan) -> None:
    """Replace the highest pod of an older template, if all above it are well."""
    for ordinal in sorted(living, reverse=True):
        if ordinal < scene.start + scene.partition:
            return
        pod = living[ordinal]
        if pod is None:
            return
        if pod.labels.get(HASH_LABEL) != scene.update and not pod.is_deleting:
            decided.replace.append(pod)
            return
        if not _is_healthy(scene, pod):
            return


def _is_healthy(scene: Scene, pod: PodFacts) -> bool:
    return scene.is_available(pod) and not pod.is_deleting


def revision_for(scene: Scene, ordinal: int) -> str:
    """The revision a new pod is made of: below the partition the current one."""
    if scene.is_rolling and ordinal < scene.start + scene.partition:
        return scene.current
    return scene.update


def status(scene: Scene, collision_count: int) -> Object:
    """The status; zeros are left out where upstream leaves them out."""
    replicas = ready = available = current = updated = 0
    for pod in scene.pods:
        replicas += 1
        if pod.phase == "Running" and pod.is_ready:
            ready += 1
            available += scene.is_available(pod)
        if not pod.is_deleting:
            revision = pod.labels.get(HASH_LABEL)
            current += revision == scene.current
            updated += revision == scene.update
    name = scene.current
    is_through = updated == replicas == ready == scene.replicas
    if scene.is_rolling and is_through:
        current, name = updated, scene.update
    new: Object = {
        "observedGeneration": scene.obj["metadata"].get("generation", 0),
        "replicas": replicas,
        "readyReplicas": ready,
        "currentReplicas": current,
        "updatedReplicas": updated,
        "currentRevision": name,
        "updateRevision": scene.update,
    }
    new = {key: value for key, value in new.items() if value or key == "replicas"}
    new |= {"collisionCount": collision_count, "availableReplicas": available}
    conditions = (scene.obj.get("status") or {}).get("conditions")
    return new | ({"conditions": conditions} if conditions else {})
