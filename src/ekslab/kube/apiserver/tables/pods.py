"""The cells of a pod: upstream's `printPod`, whose status column people know by heart."""

from collections.abc import Mapping
from typing import Any, Final

from ekslab.kit.clock import parse_rfc3339
from ekslab.kube.apiserver.tables.cells import NONE
from ekslab.kube.apiserver.tables.durations import age, human_duration

Part = Mapping[str, Any]

_NOTHING: Final[Part] = {}
_NODE_LOST: Final = "NodeLost"


def pod_cells(pod: dict[str, Any], now: float) -> list[Any]:
    """Name, ready, status, restarts, age; wide: address, node, nominated node, gates."""
    spec, status = pod["spec"], pod.get("status") or _NOTHING
    summary = _Summary(spec, status)
    summary.read_init_containers()
    if not summary.initializing or _is_true(status, "Initialized"):
        summary.read_containers()
    reason = summary.reason
    if "deletionTimestamp" in pod["metadata"]:
        if status.get("reason") == _NODE_LOST:
            reason = "Unknown"
        elif status.get("phase") not in {"Succeeded", "Failed"}:
            reason = "Terminating"
    addresses = status.get("podIPs")
    return [
        pod["metadata"].get("name", ""),
        f"{summary.ready}/{summary.total}",
        reason,
        summary.restarts_text(now),
        age(pod, now),
        (addresses[0].get("ip") if addresses else status.get("podIP")) or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _gates(spec, status),
    ]


class _Summary:
    """What the containers of one pod add up to."""

    def __init__(self, spec: Part, status: Part) -> None:
        self.status = status
        self.init_containers = spec.get("initContainers") or ()
        self.sidecars = {
            container.get("name")
            for container in self.init_containers
            if container.get("restartPolicy") == "Always"
        }
        self.total = len(spec.get("containers") or ()) + len(self.sidecars)
        self.ready = 0
        self.restarts = 0
        self.sidecar_restarts = 0
        self.last_restart = 0.0
        self.last_sidecar_restart = 0.0
        self.initializing = False
        self.reason: str = status.get("reason") or status.get("phase") or ""
        for each in status.get("conditions") or ():
            if each.get("type") == "PodScheduled" and each.get("reason") == "SchedulingGated":
                self.reason = "SchedulingGated"

    def read_init_containers(self) -> None:
        """Find the first init container that is not done."""
        for index, container in enumerate(self.status.get("initContainerStatuses") or ()):
            self.restarts += container.get("restartCount", 0)
            self.last_restart = max(self.last_restart, _last_finish(container))
            sidecar = container.get("name") in self.sidecars
            if sidecar:
                self.sidecar_restarts += container.get("restartCount", 0)
                self.last_sidecar_restart = max(self.last_sidecar_restart, _last_finish(container))
            state = container.get("state") or _NOTHING
            ended, waiting = state.get("terminated"), state.get("waiting") or _NOTHING
            if ended and ended.get("exitCode", 0) == 0:
                continue
            if sidecar and container.get("started"):
                self.ready += bool(container.get("ready"))
                continue
            why = waiting.get("reason")
            if ended:
                self.reason = f"Init:{_ending(ended)}"
            elif why and why != "PodInitializing":
                self.reason = f"Init:{why}"
            else:
                self.reason = f"Init:{index}/{len(self.init_containers)}"
            self.initializing = True
            return

    def read_containers(self) -> None:
        """Add up the containers; the first one in trouble gives its reason."""
        self.restarts, self.last_restart = self.sidecar_restarts, self.last_sidecar_restart
        running = False
        for container in reversed(self.status.get("containerStatuses") or ()):
            self.restarts += container.get("restartCount", 0)
            if "lastState" in container:
                self.last_restart = max(self.last_restart, _last_finish(container))
            state = container.get("state") or _NOTHING
            if state.get("waiting") and state["waiting"].get("reason"):
                self.reason = state["waiting"]["reason"]
            elif state.get("terminated"):
                self.reason = _ending(state["terminated"])
            elif container.get("ready") and "running" in state:
                running = True
                self.ready += 1
        if self.reason == "Completed" and running:
            self.reason = "Running" if _is_true(self.status, "Ready") else "NotReady"

    def restarts_text(self, now: float) -> str:
        """`2`, or `2 (3m ago)` if one is remembered."""
        if self.restarts and self.last_restart:
            return f"{self.restarts} ({human_duration(now - self.last_restart)} ago)"
        return str(self.restarts)


def _last_finish(container: Part) -> float:
    ended = (container.get("lastState") or _NOTHING).get("terminated") or _NOTHING
    finished = ended.get("finishedAt")
    return parse_rfc3339(finished) if finished else 0.0


def _ending(ended: Part) -> str:
    if ended.get("reason"):
        return str(ended["reason"])
    if ended.get("signal"):
        return f"Signal:{ended['signal']}"
    return f"ExitCode:{ended.get('exitCode', 0)}"


def _is_true(status: Part, kind: str) -> bool:
    for each in status.get("conditions") or ():
        if each.get("type") == kind:
            return bool(each.get("status") == "True")
    return False


def _gates(spec: Part, status: Part) -> str:
    gates = spec.get("readinessGates")
    if not gates:
        return NONE
    good = sum(_is_true(status, gate.get("conditionType", "")) for gate in gates)
    return f"{good}/{len(gates)}"
