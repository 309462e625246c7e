"""Logs of simulated containers. They are honest: no program runs, so they say just that.

The lines follow from the state of the container (started, told to stop, ended), so nothing is kept
for pods nobody asks about. Options and refusals are those of kubelet (`kuberuntime_logs.go`,
`kubelet_pods.go` validateContainerLogStatus).
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

from ekslab.kit.clock import Clock, parse_rfc3339
from ekslab.kube.api.errors import ApiError, bad_request, not_found
from ekslab.kube.api.ports import LogOptions
from ekslab.kube.node.lifecycle import ContainerState, Ended, Stage, Step
from ekslab.kube.node.plan import ContainerPlan, Role
from ekslab.kube.node.simulated.machine import Machine, PodRun


@dataclass(frozen=True, slots=True)
class Line:
    """One line, and when it was printed."""

    at_s: float
    text: str

    def encode(self, *, timestamps: bool) -> bytes:
        """As it goes over the wire."""
        stamp = _nano(self.at_s) + " " if timestamps else ""
        return f"{stamp}{self.text}\n".encode()


class NodeLogs:
    """Implements `NodeConnection` for one simulated node."""

    def __init__(self, machine: Machine, *, clock: Clock) -> None:
        self._machine = machine
        self._clock = clock

    async def logs(self, namespace: str, pod: str, options: LogOptions) -> AsyncIterator[bytes]:
        """The log of one container. See `NodeConnection`.

        Raises:
            ApiError: 400 if the container is waiting to start, 404 if there is none.
        """
        run = self._find(namespace, pod)
        place = _place(run, options.container)
        container, is_now = run.plan.containers[place], run.state.containers[place]
        _check(run, container, is_now, previous=options.previous)
        lines = _previous(container, is_now) if options.previous else _current(run, place)
        left = options.limit_bytes
        for line in _chosen(lines, options, self._clock.now()):
            piece = line.encode(timestamps=options.timestamps)[:left]
            left = None if left is None else left - len(piece)
            if piece:
                yield piece
        if not options.follow or options.previous:
            return
        async for line in self._followed(run, place, len(lines)):
            piece = line.encode(timestamps=options.timestamps)[:left]
            left = None if left is None else left - len(piece)
            if not piece:
                return
            yield piece

    def _find(self, namespace: str, pod: str) -> PodRun:
        for run in self._machine.pods.values():
            if run.plan.name == pod and run.plan.namespace == namespace:
                return run
        raise not_found("", "pods", pod)

    async def _followed(self, run: PodRun, place: int, seen: int) -> AsyncIterator[Line]:
        """Lines after the first `seen`, until the container's run is over."""
        changed = asyncio.Event()
        run.followers.append(changed)
        is_now = run.state.containers[place]
        restarts = is_now.restarts
        try:
            while True:
                over = is_now.restarts != restarts or is_now.step is not Step.RUNNING
                lines = [] if is_now.restarts != restarts else _current(run, place)
                for line in lines[seen:]:
                    yield line
                seen = max(seen, len(lines))
                if over or self._machine.pods.get(run.uid) is not run:
                    return
                changed.clear()
                await changed.wait()
        finally:
            run.followers.remove(changed)


def unreachable(machine: Machine) -> ApiError:
    """What the API server says when a node does not answer."""
    address = machine.host.primary
    text = f'Get "https://{address}:10250/": dial tcp {address}:10250: connect: no route to host'
    return ApiError(500, "", text)


def _place(run: PodRun, name: str) -> int:
    names = [container.name for container in run.plan.containers]
    if name:
        if name not in names:
            raise bad_request(f"container {name} is not valid for pod {run.plan.name}")
        return names.index(name)
    mains = [one.name for one in run.plan.containers if one.role is Role.MAIN]
    if len(mains) == 1:
        return names.index(mains[0])
    text = f"a container name must be specified for pod {run.plan.name}, choose one of: "
    raise bad_request(f"{text}[{' '.join(mains)}]")


def _check(
    run: PodRun, container: ContainerPlan, is_now: ContainerState, *, previous: bool
) -> None:
    name, pod = container.name, run.plan.name
    if previous:
        if is_now.ended is None or is_now.step is Step.DONE:
            raise bad_request(f'previous terminated container "{name}" in pod "{pod}" not found')
        return
    if is_now.step is Step.RUNNING or is_now.ended is not None:
        return
    if is_now.step is Step.PULL_BACKOFF:
        why = is_now.pull_error if is_now.pull_error == "ErrImageNeverPull" else "ImagePullBackOff"
        refused = "image can't be pulled" if why == "ImagePullBackOff" else why
        why = f"trying and failing to pull image: {refused}"
        raise bad_request(f'container "{name}" in pod "{pod}" is waiting to start: {why}')
    has_init = any(one.role is not Role.MAIN for one in run.plan.containers)
    why = "PodInitializing" if has_init else "ContainerCreating"
    raise bad_request(f'container "{name}" in pod "{pod}" is waiting to start: {why}')


def _current(run: PodRun, place: int) -> list[Line]:
    container, is_now = run.plan.containers[place], run.state.containers[place]
    if is_now.step is not Step.RUNNING:
        return _of_run(container, is_now.ended) if is_now.ended else []
    lines = _started(container, is_now.started_s)
    if run.state.stage is Stage.STOPPING:
        lines.append(Line(run.stopping_s, "simulated by ekslab: SIGTERM"))
    return lines


def _previous(container: ContainerPlan, is_now: ContainerState) -> list[Line]:
    assert is_now.ended is not None, "checked before"
    return _of_run(container, is_now.ended)


def _of_run(container: ContainerPlan, run: Ended) -> list[Line]:
    text = f"simulated by ekslab: ended with exit code {run.exit_code} ({run.reason})"
    return [*_started(container, run.started_s), Line(run.finished_s, text)]


def _started(container: ContainerPlan, at_s: float) -> list[Line]:
    text = f"simulated by ekslab: container {container.name} of image {container.image} started"
    lines = [Line(at_s, text)]
    if container.command:
        lines.append(Line(at_s, f"simulated by ekslab: it would run: {container.command}"))
    text = "simulated by ekslab: no program runs here; use a real node to see what it prints"
    return [*lines, Line(at_s, text)]


def _chosen(lines: list[Line], options: LogOptions, now_s: float) -> list[Line]:
    since_s = 0.0
    if options.since_s is not None:
        since_s = now_s - options.since_s
    elif options.since_time:
        try:
            since_s = parse_rfc3339(options.since_time)
        except ValueError as error:
            raise bad_request(f"invalid sinceTime: {options.since_time}") from error
    chosen = [line for line in lines if line.at_s >= since_s]
    if options.tail_lines is None:
        return chosen
    return chosen[-options.tail_lines :] if options.tail_lines else []


def _nano(at_s: float) -> str:
    whole = datetime.fromtimestamp(int(at_s), UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{int(at_s % 1 * 1e9):09}Z"
