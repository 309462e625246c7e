"""`status` of a pod as kubelet writes it, from the state of its life.

Upstream: kubelet `kubelet_pods.go` (convertToAPIContainerStatuses, getPhase) and
`status/generate.go` (conditions and their messages).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ekslab.kit.clock import parse_rfc3339, rfc3339
from ekslab.kube.api.requests import Object
from ekslab.kube.node.images import full_image, image_id
from ekslab.kube.node.lifecycle import (
    ContainerState,
    Ended,
    PodState,
    Stage,
    Step,
    containers_ready,
    is_initialized,
    resume,
)
from ekslab.kube.node.plan import ContainerPlan, PodPlan, Role

_RUNTIME: Final = "containerd://"
_NO_WORDS: Final = ("", "")
_NOTHING: Final[Object] = {}


@dataclass(frozen=True, slots=True)
class HostAddresses:
    """Addresses of the node: `primary` and all of them."""

    primary: str
    every: tuple[str, ...]


def phase(plan: PodPlan, state: PodState) -> str:
    """`status.phase`."""
    pairs = list(zip(plan.containers, state.containers, strict=True))
    mains = [is_now for container, is_now in pairs if container.role is Role.MAIN]
    over = [is_now.ended for is_now in mains if is_now.step is Step.DONE and is_now.ended]
    if state.stage is Stage.ENDED:
        succeeded = len(over) == len(mains) and all(run.exit_code == 0 for run in over)
        return "Succeeded" if succeeded else "Failed"
    begun = (Step.RUNNING, Step.CRASH_BACKOFF, Step.DONE)
    waits = any(is_now.step not in begun and is_now.ended is None for is_now in mains)
    return "Pending" if waits or not is_initialized(plan, state) else "Running"


def render(
    plan: PodPlan, state: PodState, pod: Object, host: HostAddresses, now_s: float
) -> Object:
    """The status to write, without fields kubelet does not own (`qosClass`).

    `pod` is the newest object known: readiness gates and conditions of others are read from it.
    """
    phase_now = phase(plan, state)
    status: Object = {
        "phase": phase_now,
        "conditions": _conditions(plan, state, pod, now_s, over=phase_now == "Succeeded"),
        "hostIP": host.primary,
        "hostIPs": [{"ip": address} for address in host.every],
        "startTime": rfc3339(state.begun_s),
        "observedGeneration": pod["metadata"].get("generation", 1),
    }
    address = host.primary if plan.host_network else state.address
    if address and state.stage is not Stage.ADDRESS:
        status["podIP"] = address
        status["podIPs"] = [{"ip": address}]
    has_init = any(container.role is not Role.MAIN for container in plan.containers)
    blocked = has_init and not is_initialized(plan, state)
    init: list[Object] = []
    main: list[Object] = []
    for container, is_now in zip(plan.containers, state.containers, strict=True):
        waits = "PodInitializing" if blocked or has_init else "ContainerCreating"
        entry = _container_status(plan, container, is_now, waits, now_s)
        (main if container.role is Role.MAIN else init).append(entry)
    if init:
        status["initContainerStatuses"] = init
    status["containerStatuses"] = main
    return status


def rejected(pod: Object, reason: str, message: str, now_s: float) -> Object:
    """The status of a pod the node refused to run."""
    return {
        "phase": "Failed",
        "reason": reason,
        "message": f"Pod was rejected: {message}",
        "startTime": rfc3339(now_s),
        "observedGeneration": pod["metadata"].get("generation", 1),
    }


def changes(status: Object, known: Mapping[str, Any]) -> Object:
    """What to say of a status, where the server has `known`: the fields and conditions that differ.

    A reason or message that is there no more is a null. Empty if all is said (upstream:
    `util/pod` PatchPodStatus, a two-way merge).

    >>> new = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    >>> before = {"type": "Ready", "status": "False", "reason": "ContainersNotReady"}
    >>> changes(new, {"phase": "Running", "conditions": [before]})
    {'conditions': [{'type': 'Ready', 'status': 'True', 'reason': None}]}
    """
    theirs = {row["type"]: row for row in known.get("conditions") or ()}
    rows: list[Object] = []
    for row in status["conditions"]:
        before = theirs.get(row["type"], _NOTHING)
        if gone := [name for name in ("reason", "message") if name in before and name not in row]:
            rows.append(row | dict.fromkeys(gone))
        elif not row.items() <= before.items():
            rows.append(row)
    differing = {key: value for key, value in status.items() if known.get(key) != value}
    if rows:
        differing["conditions"] = rows
    else:
        differing.pop("conditions", None)
    return differing


def _conditions(
    plan: PodPlan, state: PodState, pod: Object, now_s: float, *, over: bool
) -> list[Object]:
    generation = pod["metadata"].get("generation", 1)
    theirs = {entry["type"]: entry for entry in (pod.get("status") or {}).get("conditions") or ()}
    serve = containers_ready(plan, state)
    unready = _NO_WORDS if serve else _not_ready(plan, state)
    closed = _closed_gates(plan, theirs) if serve else unready
    initialized = state.since["Initialized"][0]
    rows: list[tuple[str, bool, tuple[str, str]]] = [
        ("PodReadyToStartContainers", state.since["PodReadyToStartContainers"][0], _NO_WORDS),
        ("Initialized", initialized, _NO_WORDS if initialized else _not_initialized(plan, state)),
        ("Ready", serve and closed is _NO_WORDS, closed),
        ("ContainersReady", serve, unready),
        ("PodScheduled", True, _NO_WORDS),
    ]
    found: list[Object] = []
    for kind, value, (reason, message) in rows:
        word = "True" if value else "False"
        before = theirs.get(kind, _NOTHING)
        since = before.get("lastTransitionTime") if before.get("status") == word else None
        if since is None:
            is_gated = kind == "Ready" and plan.readiness_gates
            known = None if is_gated else state.since.get(kind)
            since = rfc3339(now_s if known is None else known[1])
        entry: Object = {
            "type": kind,
            "observedGeneration": generation,
            "status": word,
            "lastTransitionTime": since,
        }
        if over and kind in ("Initialized", "Ready", "ContainersReady"):
            entry["reason"] = "PodCompleted"
        elif not value:
            entry |= {
                name: text for name, text in (("reason", reason), ("message", message)) if text
            }
        found.append(entry)
    return found


def _closed_gates(plan: PodPlan, theirs: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    """Why readiness gates keep the pod from being Ready, if any does."""
    closed = [gate for gate in plan.readiness_gates if theirs.get(gate, {}).get("status") != "True"]
    if not closed:
        return _NO_WORDS
    texts = [
        f'corresponding condition of pod readiness gate "{gate}" does not exist.'
        if gate not in theirs
        else f'the status of pod readiness gate "{gate}" is not "True", but'
        f" {theirs[gate].get('status')}"
        for gate in closed
    ]
    return "ReadinessGatesNotReady", ", ".join(texts)


def _names(names: Iterable[str]) -> str:
    return "[" + " ".join(names) + "]"


def _not_initialized(plan: PodPlan, state: PodState) -> tuple[str, str]:
    names = [
        container.name
        for container, is_now in zip(plan.containers, state.containers, strict=True)
        if (container.role is Role.INIT and not (is_now.ended and is_now.ended.exit_code == 0))
        or (container.role is Role.SIDECAR and not is_now.started)
    ]
    return "ContainersNotInitialized", f"containers with incomplete status: {_names(names)}"


def _not_ready(plan: PodPlan, state: PodState) -> tuple[str, str]:
    names = [
        container.name
        for container, is_now in zip(plan.containers, state.containers, strict=True)
        if container.role is not Role.INIT and not is_now.ready
    ]
    if state.stage is Stage.ENDED and phase(plan, state) == "Failed":
        return "PodFailed", ""
    return "ContainersNotReady", f"containers with unready status: {_names(names)}"


def _container_status(
    plan: PodPlan, container: ContainerPlan, is_now: ContainerState, waits: str, now_s: float
) -> Object:
    begun = bool(is_now.container_id) and is_now.step is not Step.STARTING
    status: Object = {
        "name": container.name,
        "state": _state(plan, container, is_now, waits, now_s),
        "lastState": {},
        "ready": is_now.ready
        or (
            container.role is Role.INIT and is_now.ended is not None and not is_now.ended.exit_code
        ),
        "restartCount": is_now.restarts,
        "image": full_image(container.image) if begun else container.image,
        "imageID": image_id(container.image) if begun else "",
        "started": is_now.started,
    }
    if begun:
        status["containerID"] = _RUNTIME + is_now.container_id
        if container.resources:
            status["resources"] = container.resources
            if "requests" in container.resources:
                status["allocatedResources"] = container.resources["requests"]
    if is_now.ended is not None and "terminated" not in status["state"]:
        status["lastState"] = {"terminated": _terminated(is_now.ended)}
    if container.mounts:
        status["volumeMounts"] = [_mount(mount) for mount in container.mounts]
    return status


def _mount(mount: Mapping[str, Any]) -> Object:
    shown: Object = {"name": mount["name"], "mountPath": mount["mountPath"]}
    if mount.get("readOnly"):
        shown |= {"readOnly": True, "recursiveReadOnly": "Disabled"}
    return shown


def _state(
    plan: PodPlan, container: ContainerPlan, is_now: ContainerState, waits: str, now_s: float
) -> Object:
    match is_now.step:
        case Step.RUNNING:
            return {"running": {"startedAt": rfc3339(is_now.started_s)}}
        case Step.DONE if is_now.ended is not None:
            return {"terminated": _terminated(is_now.ended)}
        case Step.CRASH_BACKOFF if is_now.ended is not None and not is_now.in_backoff:
            return {"terminated": _terminated(is_now.ended)}
        case Step.CRASH_BACKOFF:
            pause_s = round((is_now.due_s or now_s) - (is_now.ended or _NEVER).finished_s)
            text = (
                f"back-off {_minutes(pause_s)} restarting failed container={container.name}"
                f" pod={plan.full_name}"
            )
            return {"waiting": {"reason": "CrashLoopBackOff", "message": text}}
        case Step.PULL_BACKOFF if is_now.pull_error == "ErrImageNeverPull":
            text = f'Container image "{container.image}" is not present with pull policy of Never'
            return {"waiting": {"reason": "ErrImageNeverPull", "message": text}}
        case Step.PULL_BACKOFF:
            text = f'Back-off pulling image "{container.image}": ErrImagePull: {is_now.pull_error}'
            return {"waiting": {"reason": "ImagePullBackOff", "message": text}}
        case _:
            return {"waiting": {"reason": waits}}


_NEVER: Final = Ended(0, "", 0.0, 0.0, "")


def _minutes(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _terminated(run: Ended) -> Object:
    return {
        "exitCode": run.exit_code,
        "reason": run.reason,
        "startedAt": rfc3339(run.started_s),
        "finishedAt": rfc3339(run.finished_s),
        "containerID": _RUNTIME + run.container_id,
    }


def restore(plan: PodPlan, state: PodState, status: Mapping[str, Any], now_s: float) -> bool:
    """Take up a pod that ran before the agent started; False if it has to begin anew."""
    if status.get("phase") != "Running" or not (status.get("podIP") or plan.host_network):
        return False
    known = {
        entry["name"]: entry
        for part in ("initContainerStatuses", "containerStatuses")
        for entry in status.get(part) or ()
    }
    if any(container.name not in known for container in plan.containers):
        return False
    state.begun_s = _time(status.get("startTime"), now_s)
    state.address = status.get("podIP") or ""
    state.stage = Stage.ACTIVE
    for container, is_now in zip(plan.containers, state.containers, strict=True):
        _restore_container(is_now, known[container.name], now_s)
        if is_now.step is Step.DONE and is_now.ended is not None:
            resume(plan, container, is_now, now_s)
    for entry in status.get("conditions") or ():
        since_s = _time(entry.get("lastTransitionTime"), now_s)
        state.since[entry["type"]] = (entry["status"] == "True", since_s)
    return True


def _restore_container(is_now: ContainerState, entry: Mapping[str, Any], now_s: float) -> None:
    is_now.restarts = entry.get("restartCount", 0)
    is_now.crashes = is_now.restarts
    is_now.container_id = (entry.get("containerID") or "").removeprefix(_RUNTIME)
    if last := (entry.get("lastState") or {}).get("terminated"):
        is_now.ended = _ended(last, now_s)
    what = entry.get("state") or {}
    if running := what.get("running"):
        is_now.step = Step.RUNNING
        is_now.started_s = _time(running.get("startedAt"), now_s)
        is_now.started, is_now.ready = bool(entry.get("started")), bool(entry.get("ready"))
        is_now.due_s = now_s
    elif run := what.get("terminated"):
        is_now.ended = _ended(run, now_s)
        is_now.step = Step.DONE


def _ended(run: Mapping[str, Any], now_s: float) -> Ended:
    return Ended(
        run.get("exitCode", 0),
        run.get("reason", ""),
        _time(run.get("startedAt"), now_s),
        _time(run.get("finishedAt"), now_s),
        (run.get("containerID") or "").removeprefix(_RUNTIME),
    )


def _time(text: str | None, default_s: float) -> float:
    return parse_rfc3339(text) if text else default_s


def addresses(rows: Sequence[Mapping[str, str]]) -> HostAddresses:
    """Host addresses out of a node's `status.addresses`."""
    internal = tuple(row["address"] for row in rows if row["type"] == "InternalIP")
    return HostAddresses(internal[0] if internal else "", internal)
