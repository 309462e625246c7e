"""The life of a pod on a node, as a machine: what is due at `now_s`, and what it leads to.

    ADDRESS --give_address--> SANDBOX --due--> ACTIVE --all containers through--> ENDED
       any stage --stop--> STOPPING --containers gone--> ENDED

    container:  WAITING -> PULLING -> STARTING -> RUNNING -> DONE
                           |  ^                    |  ^
                       PULL_BACKOFF            CRASH_BACKOFF

`advance` does everything that is due and says when the next thing is; it reads no clock and writes
nothing. Order, back-off and events are those of kubelet (`kuberuntime_manager.go`,
`images/image_manager.go`); durations those of `timing`.
"""

import hashlib
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

from ekslab.kube.node.images import NodeImages, full_image
from ekslab.kube.node.plan import ContainerPlan, Failure, PodPlan, Probe, Role
from ekslab.kube.node.timing import Timing, go_duration, image_bytes

_STEPS_MOST: Final = 1000
_EXIT_KILLED: Final = 137


class Stage(Enum):
    """Where a pod is."""

    ADDRESS = "address"
    SANDBOX = "sandbox"
    ACTIVE = "active"
    STOPPING = "stopping"
    ENDED = "ended"


class Step(Enum):
    """Where a container is."""

    WAITING = "waiting"
    PULLING = "pulling"
    PULL_BACKOFF = "pull back-off"
    STARTING = "starting"
    RUNNING = "running"
    CRASH_BACKOFF = "crash back-off"
    DONE = "done"


class Event(NamedTuple):
    """An event to record about the pod, or (`field_path`) one of its containers."""

    type: str
    reason: str
    message: str
    field_path: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run of a container ended."""

    exit_code: int
    reason: str
    started_s: float
    finished_s: float
    container_id: str


@dataclass(slots=True)
class ContainerState:
    """A container now. `due_s` is when its step ends; `ended` its last run, if it is over."""

    step: Step = Step.WAITING
    due_s: float | None = None
    pull_took_s: float = 0.0
    pull_failures: int = 0
    pull_error: str = ""
    crashes: int = 0
    restarts: int = 0
    container_id: str = ""
    started_s: float = 0.0
    started: bool = False
    ready: bool = False
    ended: Ended | None = None
    in_backoff: bool = False
    complained: bool = False


@dataclass(slots=True)
class PodState:
    """A pod now. `since` holds each condition's value and when it became that."""

    containers: list[ContainerState]
    begun_s: float
    stage: Stage = Stage.ADDRESS
    due_s: float | None = None
    address: str = ""
    stops_s: float = 0.0
    since: dict[str, tuple[bool, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a pod's life depends on beside the pod."""

    timing: Timing
    images: NodeImages


class _Turn(NamedTuple):
    """One call of `advance`."""

    plan: PodPlan
    now_s: float
    around: Surroundings
    events: list[Event]


def begin(plan: PodPlan, now_s: float) -> PodState:
    """A pod that has just come to its node."""
    state = PodState([ContainerState() for _ in plan.containers], now_s)
    _note_conditions(plan, state, now_s)
    return state


def give_address(plan: PodPlan, state: PodState, address: str, now_s: float, at: Timing) -> None:
    """The pod has its address: its sandbox is made now."""
    state.address = address
    if state.stage is Stage.ADDRESS:
        state.stage = Stage.SANDBOX
        state.due_s = now_s + at.spread(at.sandbox_s, plan.uid, "sandbox")


def stop(
    plan: PodPlan, state: PodState, *, grace_s: float, now_s: float, at: Timing
) -> list[Event]:
    """The pod is to go: containers get SIGTERM, and SIGKILL after `grace_s`. Again: sooner."""
    events: list[Event] = []
    if state.stage is Stage.ENDED:
        return events
    was_stopping = state.stage is Stage.STOPPING
    last_s = now_s
    for container, is_now in zip(plan.containers, state.containers, strict=True):
        if is_now.step is not Step.RUNNING:
            if is_now.step is not Step.DONE:
                is_now.due_s = None
            continue
        wish_s = grace_s if container.ignores_sigterm else at.spread(
            at.sigterm_s, plan.uid, container.name, "stop"
        )  # fmt: skip
        due_s = now_s + min(wish_s, grace_s)
        is_now.due_s = min(due_s, is_now.due_s or due_s) if was_stopping else due_s
        last_s = max(last_s, is_now.due_s)
        if not was_stopping:
            text = f"Stopping container {container.name}"
            events.append(Event("Normal", "Killing", text, container.field_path))
    state.stage = Stage.STOPPING
    state.stops_s = last_s + (at.sandbox_stop_s if grace_s > 0 else 0.0)
    _set_due(state)
    return events


def advance(plan: PodPlan, state: PodState, now_s: float, around: Surroundings) -> list[Event]:
    """Do everything that is due; `state.due_s` says when to come again (None: never)."""
    turn = _Turn(plan, now_s, around, [])
    for _ in range(_STEPS_MOST):
        _advance_once(turn, state)
        _set_due(state)
        if state.due_s is None or state.due_s > now_s:
            break
    _note_conditions(plan, state, now_s)
    return turn.events


def _advance_once(turn: _Turn, state: PodState) -> None:
    """One round: what is due now, and what can start because of it."""
    match state.stage:
        case Stage.ADDRESS | Stage.ENDED:
            pass
        case Stage.SANDBOX:
            if state.due_s is not None and state.due_s <= turn.now_s:
                state.stage = Stage.ACTIVE
                _run_containers(turn, state)
        case Stage.STOPPING:
            _stop_what_is_due(state, turn.plan, turn.now_s)
        case Stage.ACTIVE:
            _run_containers(turn, state)


def _run_containers(turn: _Turn, state: PodState) -> None:
    plan, now_s = turn.plan, turn.now_s
    for container, is_now in zip(plan.containers, state.containers, strict=True):
        if is_now.due_s is not None and is_now.due_s <= now_s:
            _container_due(turn, container, is_now)
    for container, is_now in _may_start(plan, state):
        _start(turn, container, is_now)
    if _is_through(plan, state):
        state.stage = Stage.ENDED
        for is_now in state.containers:
            if is_now.step is Step.RUNNING:
                _end(is_now, 0, "Completed", now_s)
            is_now.due_s = None


def _may_start(plan: PodPlan, state: PodState) -> list[tuple[ContainerPlan, ContainerState]]:
    """Containers whose turn has come: one init step after the other, then all main ones."""
    turn: list[tuple[ContainerPlan, ContainerState]] = []
    for container, is_now in zip(plan.containers, state.containers, strict=True):
        if is_now.step is Step.WAITING:
            turn.append((container, is_now))
        if container.role is Role.INIT and not _succeeded(is_now):
            break
        if container.role is Role.SIDECAR and not is_now.started:
            break
    return turn


def _succeeded(is_now: ContainerState) -> bool:
    return is_now.step is Step.DONE and is_now.ended is not None and is_now.ended.exit_code == 0


def _is_through(plan: PodPlan, state: PodState) -> bool:
    over = True
    for container, is_now in zip(plan.containers, state.containers, strict=True):
        if container.role is Role.MAIN:
            over = over and is_now.step is Step.DONE
        elif container.role is Role.INIT and is_now.step is Step.DONE and not _succeeded(is_now):
            return True
    return over


def _start(turn: _Turn, container: ContainerPlan, is_now: ContainerState) -> None:
    now_s, around, events = turn.now_s, turn.around, turn.events
    path = container.field_path
    if container.failure is Failure.IMAGE_PULL:
        is_now.step = Step.PULLING
        is_now.due_s = now_s + around.timing.pull_fails_s
        events.append(Event("Normal", "Pulling", f'Pulling image "{container.image}"', path))
        return
    pull = around.images.need(container.image, container.pull_policy, now_s)
    if pull is None:
        is_now.pull_error = "ErrImageNeverPull"
        is_now.step, is_now.due_s = Step.PULL_BACKOFF, now_s + around.timing.backoff_first_s
        text = f'Container image "{container.image}" is not present with pull policy of Never'
        events.append(Event("Warning", "ErrImageNeverPull", text, path))
        events.append(Event("Warning", "Failed", "Error: ErrImageNeverPull", path))
        return
    is_now.pull_error = ""
    is_now.pull_took_s = pull.took_s
    if pull.contacts_registry:
        is_now.step, is_now.due_s = Step.PULLING, pull.done_s
        events.append(Event("Normal", "Pulling", f'Pulling image "{container.image}"', path))
        return
    text = (
        f'Container image "{container.image}" already present on machine'
        " and can be accessed by the pod"
    )
    events.append(Event("Normal", "Pulled", text, path))
    _create(turn, container, is_now)


def _create(turn: _Turn, container: ContainerPlan, is_now: ContainerState) -> None:
    at = turn.around.timing
    is_now.step = Step.STARTING
    what = (turn.plan.uid, container.name, str(is_now.restarts))
    is_now.due_s = turn.now_s + at.spread(at.container_start_s, *what)
    is_now.container_id = hashlib.sha256("/".join(what).encode()).hexdigest()


def _container_due(turn: _Turn, container: ContainerPlan, is_now: ContainerState) -> None:
    path, events = container.field_path, turn.events
    match is_now.step:
        case Step.PULLING if container.failure is Failure.IMAGE_PULL:
            _pull_failed(turn, container, is_now)
        case Step.PULLING:
            took = go_duration(is_now.pull_took_s)
            text = (
                f'Successfully pulled image "{container.image}" in {took} ({took} including'
                f" waiting). Image size: {image_bytes(container.image)} bytes."
            )
            events.append(Event("Normal", "Pulled", text, path))
            is_now.pull_failures = 0
            _create(turn, container, is_now)
        case Step.PULL_BACKOFF:
            is_now.step, is_now.due_s = Step.WAITING, None
        case Step.STARTING:
            events.append(Event("Normal", "Created", "Container created", path))
            events.append(Event("Normal", "Started", "Container started", path))
            is_now.step, is_now.started_s = Step.RUNNING, turn.now_s
            is_now.started = is_now.ready = is_now.complained = False
            is_now.in_backoff = False
            _run(turn, container, is_now)
        case Step.RUNNING:
            _run(turn, container, is_now)
        case Step.CRASH_BACKOFF:
            is_now.restarts += 1
            is_now.step, is_now.due_s = Step.WAITING, None
        case _:
            is_now.due_s = None


def _pull_failed(turn: _Turn, container: ContainerPlan, is_now: ContainerState) -> None:
    path, image, events = container.field_path, container.image, turn.events
    is_now.pull_failures += 1
    is_now.pull_error = pull_error(image)
    is_now.step = Step.PULL_BACKOFF
    is_now.due_s = turn.now_s + turn.around.timing.backoff_s(is_now.pull_failures)
    text = f'Failed to pull image "{image}": {is_now.pull_error}'
    events.append(Event("Warning", "Failed", text, path))
    events.append(Event("Warning", "Failed", "Error: ErrImagePull", path))
    events.append(Event("Normal", "BackOff", f'Back-off pulling image "{image}"', path))
    events.append(Event("Warning", "Failed", "Error: ImagePullBackOff", path))


def pull_error(image: str) -> str:
    """What containerd says of an image no registry has."""
    full = full_image(image)
    return (
        f'rpc error: code = NotFound desc = failed to pull and unpack image "{full}": failed to'
        f' resolve reference "{full}": {full}: not found'
    )


def _run(turn: _Turn, container: ContainerPlan, is_now: ContainerState) -> None:
    """A running container: probes pass when they are due, and at its end it ends."""
    now_s, at = turn.now_s, turn.around.timing
    if container.duration_s is not None:
        ends_s = is_now.started_s + container.duration_s
        if ends_s <= now_s:
            _exited(turn, container, is_now)
            return
    started_s = is_now.started_s + _passes_after_s(container.startup, 0.0, at)
    ready_s = max(
        started_s,
        is_now.started_s + _passes_after_s(container.readiness, container.ready_after_s, at),
    )
    is_now.started = is_now.started or started_s <= now_s
    if container.failure is Failure.UNREADY:
        _complain(turn, container, is_now)
    else:
        is_now.ready = is_now.ready or (container.role is not Role.INIT and ready_s <= now_s)
    coming = [
        moment_s
        for moment_s in (started_s, ready_s, is_now.started_s + (container.duration_s or 0.0))
        if moment_s > now_s
    ]
    is_now.due_s = min(coming, default=None)


def _complain(turn: _Turn, container: ContainerPlan, is_now: ContainerState) -> None:
    if is_now.complained or container.readiness is None:
        return
    if is_now.started_s + container.readiness.delay_s <= turn.now_s:
        is_now.complained = True
        text = "Readiness probe failed: HTTP probe failed with statuscode: 503"
        turn.events.append(Event("Warning", "Unhealthy", text, container.field_path))


def _passes_after_s(probe: Probe | None, wish_s: float, at: Timing) -> float:
    """When a probe has passed: at its first tick at or after `wish_s`.

    >>> _passes_after_s(Probe(2.0, 5.0, 1), 3.0, Timing(probe_answer_s=0.0))
    7.0
    """
    if probe is None:
        return wish_s
    late_s = max(0.0, wish_s - probe.delay_s)
    ticks = -int(-late_s // probe.period_s) + probe.success_threshold - 1
    return probe.delay_s + ticks * probe.period_s + at.probe_answer_s


def _exited(turn: _Turn, container: ContainerPlan, is_now: ContainerState) -> None:
    plan, now_s, at = turn.plan, turn.now_s, turn.around.timing
    code = container.exit_code
    reason = "Completed" if code == 0 else "Error"
    if container.failure is Failure.OOM:
        reason = "OOMKilled"
    _end(is_now, code, reason, now_s)
    if not _restarts(plan, container, code):
        return
    if now_s - is_now.started_s >= at.backoff_reset_s:
        is_now.crashes = 0
    is_now.crashes += 1
    is_now.step = Step.CRASH_BACKOFF
    # The first restart comes at the next sync; back-off begins with the second.
    is_now.in_backoff = is_now.crashes > 1
    is_now.due_s = now_s + (at.backoff_s(is_now.crashes - 1) if is_now.in_backoff else 1.0)
    if is_now.in_backoff:
        text = f"Back-off restarting failed container {container.name} in pod {plan.full_name}"
        turn.events.append(Event("Warning", "BackOff", text, container.field_path))


def _restarts(plan: PodPlan, container: ContainerPlan, code: int) -> bool:
    if container.role is Role.SIDECAR:
        return True
    if container.role is Role.INIT:
        return code != 0 and plan.restart_policy != "Never"
    return plan.restart_policy == "Always" or (plan.restart_policy == "OnFailure" and code != 0)


def resume(plan: PodPlan, container: ContainerPlan, is_now: ContainerState, now_s: float) -> None:
    """A container found terminated by a new agent: it is started again if that is its rule."""
    assert is_now.ended is not None
    if _restarts(plan, container, is_now.ended.exit_code):
        is_now.step, is_now.due_s = Step.CRASH_BACKOFF, now_s


def _end(is_now: ContainerState, code: int, reason: str, now_s: float) -> None:
    is_now.ended = Ended(code, reason, is_now.started_s, now_s, is_now.container_id)
    is_now.step, is_now.due_s = Step.DONE, None
    is_now.ready = is_now.started = False


def _stop_what_is_due(state: PodState, plan: PodPlan, now_s: float) -> None:
    for container, is_now in zip(plan.containers, state.containers, strict=True):
        if is_now.step is Step.RUNNING and is_now.due_s is not None and is_now.due_s <= now_s:
            killed = container.ignores_sigterm
            _end(is_now, _EXIT_KILLED if killed else 0, "Error" if killed else "Completed", now_s)
    if state.stops_s <= now_s:
        state.stage = Stage.ENDED


def _set_due(state: PodState) -> None:
    if state.stage in (Stage.ADDRESS, Stage.ENDED):
        state.due_s = None
    elif state.stage is not Stage.SANDBOX:
        dues = [is_now.due_s for is_now in state.containers if is_now.due_s is not None]
        if state.stage is Stage.STOPPING:
            dues.append(state.stops_s)
        state.due_s = min(dues, default=None)


def is_initialized(plan: PodPlan, state: PodState) -> bool:
    """Whether all init steps are through."""
    return all(
        _succeeded(is_now) if container.role is Role.INIT else is_now.started
        for container, is_now in zip(plan.containers, state.containers, strict=True)
        if container.role is not Role.MAIN
    )


def containers_ready(plan: PodPlan, state: PodState) -> bool:
    """Whether every container that should serve does."""
    return all(
        is_now.ready
        for container, is_now in zip(plan.containers, state.containers, strict=True)
        if container.role is not Role.INIT
    )


def _note_conditions(plan: PodPlan, state: PodState, now_s: float) -> None:
    """Remember when each condition became what it is."""
    ready = containers_ready(plan, state)
    was_initialized, _ = state.since.get("Initialized", (False, now_s))
    values = {
        "PodReadyToStartContainers": state.stage in (Stage.ACTIVE, Stage.STOPPING),
        "Initialized": was_initialized or is_initialized(plan, state),
        "Ready": ready,
        "ContainersReady": ready,
    }
    for kind, value in values.items():
        known = state.since.get(kind)
        if known is None or known[0] != value:
            state.since[kind] = (value, now_s)
