"""One step of a rollout: which replica sets to make, change, resize and delete. Pure.

Rules of upstream `pkg/controller/deployment/{sync,rolling,recreate}.go`. A step sees the sets as
they are, changes its view of them as it goes, and in the end lists the writes and events.

Worked example, 6 replicas, maxSurge 2, maxUnavailable 1, a new template: at most 8 pods, at least
5 available. The new set starts with 8 - 6 = 2; the old one may lose 6 - 5 = 1 at once; each new pod
that becomes available lets an old one go and another new one come.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from ekslab.kube.api.requests import Object
from ekslab.kube.controllers.deployment import view
from ekslab.kube.controllers.deployment.view import DeploymentView, SetView

_NOT_COPIED: Final = frozenset({
    "kubectl.kubernetes.io/last-applied-configuration",
    "deprecated.deployment.rollback.to",
    view.REVISION,
    view.REVISION_HISTORY,
    view.DESIRED_REPLICAS,
    view.MAX_REPLICAS,
})  # fmt: skip
_HISTORY_CHARS_MOST: Final = 2000


@dataclass(frozen=True, slots=True)
class CreateSet:
    """Make a replica set."""

    obj: Object
    replicas: int


@dataclass(frozen=True, slots=True)
class UpdateSet:
    """Change a replica set; `event` is the message of ScalingReplicaSet, if it is resized."""

    obj: Object
    event: str


@dataclass(frozen=True, slots=True)
class DeleteSet:
    """Delete a replica set that history no longer needs."""

    name: str
    uid: str


@dataclass(slots=True)
class Step:
    """The outcome of one step, and the views it leaves.

    Attributes:
        is_rollout: whether this step belongs to a rollout (its progress is watched), not to
            pausing or scaling.
        found: the new set was there already.
    """

    deployment: DeploymentView
    new: SetView | None
    old: list[SetView]
    is_rollout: bool = True
    found: bool = False
    create: CreateSet | None = None
    deletes: list[DeleteSet] = field(default_factory=list)
    edits: dict[str, Object] = field(default_factory=dict)
    events: dict[str, str] = field(default_factory=dict)

    @property
    def sets(self) -> list[SetView]:
        """All sets."""
        return [*self.old, *([self.new] if self.new else [])]

    @property
    def updates(self) -> list[UpdateSet]:
        """Changes of sets that exist."""
        return [UpdateSet(obj, self.events.get(name, "")) for name, obj in self.edits.items()]

    @property
    def revision(self) -> str:
        """The revision the deployment is at: that of its new set."""
        if self.create is not None:
            return str(self.create.obj["metadata"]["annotations"][view.REVISION])
        if self.new is None:
            return self.deployment.revision
        edited = self.edits.get(self.new.name, self.new.obj)
        return str((edited["metadata"].get("annotations") or {}).get(view.REVISION, ""))

    def resize(self, one: SetView, replicas: int) -> bool:
        """Ask for another number of pods in a set (upstream: scaleReplicaSet)."""
        deployment = self.deployment
        wanted = {
            view.DESIRED_REPLICAS: str(deployment.replicas),
            view.MAX_REPLICAS: str(deployment.replicas + deployment.max_surge),
        }
        if one.replicas == replicas and wanted.items() <= one.annotations.items():
            return False
        obj = self._editing(one)
        obj["metadata"]["annotations"].update(wanted)
        obj["spec"]["replicas"] = replicas
        if one.replicas != replicas:
            direction = "up" if replicas > one.replicas else "down"
            self.events[one.name] = (
                f"Scaled {direction} replica set {one.name} from {one.replicas} to {replicas}"
            )
        self._replace(one, one.resized(replicas))
        return one.replicas != replicas

    def edit(self, one: SetView, annotations: Object, min_ready_s: int) -> None:
        """Give a set these annotations and `minReadySeconds`."""
        obj = self._editing(one)
        obj["metadata"]["annotations"] = dict(annotations)
        if min_ready_s or "minReadySeconds" in obj["spec"]:
            obj["spec"]["minReadySeconds"] = min_ready_s

    def _editing(self, one: SetView) -> Object:
        if one.name not in self.edits:
            meta = one.obj["metadata"]
            self.edits[one.name] = {
                **one.obj,
                "metadata": {**meta, "annotations": {**one.annotations}},
                "spec": {**one.obj["spec"]},
            }
        return self.edits[one.name]

    def _replace(self, before: SetView, after: SetView) -> None:
        if self.new is not None and self.new.name == before.name:
            self.new = after
        self.old = [after if one.name == before.name else one for one in self.old]


def plan(
    deployment: DeploymentView,
    sets: Sequence[SetView],
    *,
    owner_reference: Object,
    old_pods_run: bool,
) -> Step:
    """The next step of a deployment.

    `old_pods_run` says whether pods of other sets than the new one have not ended (Recreate waits
    for that).
    """
    new = find_new(deployment, sets)
    step = Step(deployment, new, view.by_age([one for one in sets if one is not new]))
    step.found = new is not None
    _number_new_set(step)
    if deployment.is_paused or _is_scaling(deployment, sets):
        step.is_rollout = False
        _scale(step)
        if deployment.is_paused:
            _forget_history(step)
    elif deployment.is_rolling:
        _roll(step, owner_reference)
    else:
        _recreate(step, owner_reference, old_pods_run=old_pods_run)
    return step


def find_new(deployment: DeploymentView, sets: Sequence[SetView]) -> SetView | None:
    """The oldest set of the deployment's own template."""
    for one in view.by_age(sets):
        if view.same_template(one.obj["spec"]["template"], deployment.template):
            return one
    return None


def _is_scaling(deployment: DeploymentView, sets: Sequence[SetView]) -> bool:
    return any(
        view.DESIRED_REPLICAS in one.annotations
        and view.integer(one.annotations[view.DESIRED_REPLICAS]) != deployment.replicas
        for one in view.active(sets)
    )


def _number_new_set(step: Step) -> None:
    """Give the new set that is there the deployment's annotations and the highest revision."""
    new, deployment = step.new, step.deployment
    if new is None:
        return
    annotations = _annotations(step, new.annotations)
    spec_min_ready = new.obj["spec"].get("minReadySeconds", 0)
    if annotations != new.annotations or spec_min_ready != deployment.min_ready_s:
        step.edit(new, annotations, deployment.min_ready_s)


def _annotations(step: Step, current: Object) -> Object:
    own = step.deployment.obj["metadata"].get("annotations") or {}
    annotations = {**current, **{k: v for k, v in own.items() if k not in _NOT_COPIED}}
    revision = max((one.revision for one in step.old), default=0) + 1
    before = current.get(view.REVISION)
    if view.integer(before) < revision:
        annotations[view.REVISION] = str(revision)
        if before is not None:
            history = [*filter(None, current.get(view.REVISION_HISTORY, "").split(",")), before]
            while len(",".join(history)) > _HISTORY_CHARS_MOST:
                history.pop(0)
            annotations[view.REVISION_HISTORY] = ",".join(history)
    return annotations


def _make_new_set(step: Step, owner_reference: Object) -> None:
    """Make the set of a template that has none yet."""
    deployment = step.deployment
    suffix = view.template_hash(deployment.template, deployment.status.get("collisionCount", 0))
    template = deployment.template
    meta = template.get("metadata") or {}
    labels = {**(meta.get("labels") or {}), view.HASH_LABEL: suffix}
    selector = deployment.obj["spec"]["selector"]
    matching = {**(selector.get("matchLabels") or {}), view.HASH_LABEL: suffix}
    spec: Object = {
        "replicas": 0,
        "selector": {**selector, "matchLabels": matching},
        "template": {**template, "metadata": {**meta, "labels": labels}},
    }
    if deployment.min_ready_s:
        spec["minReadySeconds"] = deployment.min_ready_s
    annotations = _annotations(step, {})
    annotations[view.DESIRED_REPLICAS] = str(deployment.replicas)
    annotations[view.MAX_REPLICAS] = str(deployment.replicas + deployment.max_surge)
    obj: Object = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": view.set_name(deployment.name, suffix),
            "namespace": deployment.obj["metadata"]["namespace"],
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owner_reference],
        },
        "spec": spec,
    }
    empty = view.view_set(obj)
    spec["replicas"] = _size_of_new(step, empty)
    step.create = CreateSet(obj, spec["replicas"])
    step.new = view.view_set(obj)


def _size_of_new(step: Step, new: SetView) -> int:
    deployment = step.deployment
    if not deployment.is_rolling:
        return deployment.replicas
    room = deployment.replicas + deployment.max_surge - view.total(step.old) - new.replicas
    if room <= 0:
        return new.replicas
    return new.replicas + min(room, deployment.replicas - new.replicas)


def _roll(step: Step, owner_reference: Object) -> None:
    if step.new is None:
        _make_new_set(step, owner_reference)
        _shrink_old(step)
        return
    if _grow_new(step) or _shrink_old(step):
        return
    if is_complete(step.deployment, step):
        _forget_history(step)


def _grow_new(step: Step) -> bool:
    new, deployment = step.new, step.deployment
    assert new is not None
    if new.replicas == deployment.replicas:
        return False
    if new.replicas > deployment.replicas:
        return step.resize(new, deployment.replicas)
    return step.resize(new, _size_of_new(step, new))


def _shrink_old(step: Step) -> bool:
    new, deployment = step.new, step.deployment
    assert new is not None
    if view.total(step.old) == 0:
        return False
    least = deployment.replicas - deployment.max_unavailable
    spare = view.total(step.sets) - least - (new.replicas - new.available)
    if spare <= 0:
        return False
    return _drop_unhealthy(step, spare) + _drop_spare(step, least) > 0


def _drop_unhealthy(step: Step, most: int) -> int:
    """Pods that are not available anyway go first; they do not make it worse."""
    dropped = 0
    for one in view.active(step.old):
        if dropped >= most:
            break
        count = min(most - dropped, one.replicas - one.available)
        if count > 0:
            step.resize(one, one.replicas - count)
            dropped += count
    return dropped


def _drop_spare(step: Step, least: int) -> int:
    spare = sum(one.available for one in step.sets) - least
    dropped = 0
    for one in view.active(step.old):
        if dropped >= spare:
            break
        count = min(one.replicas, spare - dropped)
        step.resize(one, one.replicas - count)
        dropped += count
    return dropped


def _recreate(step: Step, owner_reference: Object, *, old_pods_run: bool) -> None:
    running = view.active(step.old)
    for one in running:
        step.resize(one, 0)
    if running or old_pods_run or any(one.actual for one in step.old):
        return
    if step.new is None:
        _make_new_set(step, owner_reference)
        return
    step.resize(step.new, step.deployment.replicas)
    if is_complete(step.deployment, step):
        _forget_history(step)


def _scale(step: Step) -> None:
    """Resize without rolling: the one active set, or all of them in proportion."""
    deployment = step.deployment
    running = view.active(step.sets)
    if len(running) <= 1:
        latest = running[0] if running else step.new or (step.old[-1] if step.old else None)
        if latest is not None and latest.replicas != deployment.replicas:
            step.resize(latest, deployment.replicas)
        return
    if _is_saturated(deployment, step.new):
        for one in view.active(step.old):
            step.resize(one, 0)
        return
    if deployment.is_rolling:
        _scale_in_proportion(step, running)


def _is_saturated(deployment: DeploymentView, new: SetView | None) -> bool:
    return (
        new is not None
        and new.replicas == deployment.replicas
        and view.integer(new.annotations.get(view.DESIRED_REPLICAS)) == deployment.replicas
        and new.available == deployment.replicas
    )


def _scale_in_proportion(step: Step, running: Sequence[SetView]) -> None:
    deployment = step.deployment
    allowed = deployment.replicas + deployment.max_surge if deployment.replicas > 0 else 0
    to_add = allowed - view.total(running)
    if to_add == 0:
        ordered = list(running)
    elif to_add > 0:
        ordered = view.larger_then_newer(running)
    else:
        ordered = view.larger_then_older(running)
    added, sizes = 0, []
    for one in ordered:
        share = _share(deployment, one, to_add - added) if to_add else 0
        added += share
        sizes.append(one.replicas + share)
    if to_add:
        sizes[0] = max(0, sizes[0] + to_add - added)
    for one, size in zip(ordered, sizes, strict=True):
        step.resize(one, size)


def _share(deployment: DeploymentView, one: SetView, left: int) -> int:
    """What of a change of size falls to a set: its part of the deployment before the change."""
    if left == 0:
        return 0
    if deployment.replicas == 0:
        fraction = -one.replicas
    else:
        now = deployment.replicas + deployment.max_surge
        before = view.integer(one.annotations.get(view.MAX_REPLICAS))
        before = before or deployment.status.get("replicas", 0) or now
        fraction = int(one.replicas * now / before + 0.5) - one.replicas
    return min(fraction, left) if left > 0 else max(fraction, left)


def _forget_history(step: Step) -> None:
    """Delete the oldest sets beyond `revisionHistoryLimit`, if they are empty and settled."""
    limit = step.deployment.history_limit
    if limit is None:
        return
    there = [one for one in step.old if "deletionTimestamp" not in one.obj["metadata"]]
    surplus = len(there) - limit
    for one in sorted(there, key=lambda each: each.revision)[: max(0, surplus)]:
        meta, status = one.obj["metadata"], one.obj.get("status") or {}
        is_settled = meta.get("generation", 0) <= status.get("observedGeneration", 0)
        if one.actual == 0 and one.replicas == 0 and is_settled:
            step.deletes.append(DeleteSet(one.name, meta["uid"]))


def is_complete(deployment: DeploymentView, step: Step) -> bool:
    """Whether, by the status it has, every pod is new and available, and no other is left."""
    status, generation = deployment.status, deployment.obj["metadata"].get("generation", 0)
    counts = {status.get(key, 0) for key in ("updatedReplicas", "replicas", "availableReplicas")}
    return (
        step.new is not None
        and counts == {deployment.replicas}
        and status.get("observedGeneration", 0) >= generation
    )
